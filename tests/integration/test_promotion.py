"""A revision moves from staging to prod and back, on a real API server with real SQLMesh and PostgreSQL."""

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from tests.integration import crash_kit as kit
from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import INCREMENTAL, one
from tests.integration.things import Thing

CHANGED = {
    **INCREMENTAL,
    **one("SELECT 2 AS x;"),
    "models/shown.sql": "MODEL (name t.shown, kind VIEW);\nSELECT x FROM t.one;\n",
}
FIRST = {**CHANGED, **one("SELECT 1 AS x;"), "models/shown.sql": CHANGED["models/shown.sql"]}
OVER = ("Succeeded", "Failed", "Errored", "RolledBack", "Inconclusive")


def over(promotion: Thing, outcome: str, seconds: float = 120) -> dict[str, Any]:
    """Its status, once it has ended like this."""
    status = promotion.wait(lambda s: s.get("outcome") in OVER, "it has ended", seconds)
    assert status["outcome"] == outcome, promotion.tell()
    return status


@contextmanager
def readers(system: System, sql: str) -> Iterator[tuple[list[Any], list[str]]]:
    """Somebody who reads all the time: what was seen, and errors."""
    seen: list[Any] = []
    errors: list[str] = []
    done = threading.Event()

    def poll() -> None:
        options = system.connection("warehouse")["options"]
        session = psycopg2.connect(
            host=options["host"], port=options["port"], dbname=options["database"], user=options["user"],
            password=system.password("warehouse"),
        )  # fmt: skip
        session.autocommit = True  # a transaction would hold its lock on the view
        with session.cursor() as cursor:
            while not done.is_set():
                try:
                    cursor.execute(sql)
                    seen.append(cursor.fetchone())
                except psycopg2.Error as error:
                    errors.append(str(error))
        session.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen, errors
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """prod takes its revision from promotions; staging has another one."""
    system = module_systems("promoting").up()
    system.environment("prod", FIRST).wait_ran(120)
    system.existing("prod").patch(revisionFrom="Promotion", project=None)
    system.environment("staging", CHANGED, deletionPolicy="Retain").wait_ran(120)
    return system


def test_there_and_back_without_a_reader_noticing(company: System) -> None:
    prod = company.existing("prod")
    before = prod.status()["applied"]
    with readers(company, "select x from t.shown") as (seen, errors):
        there = company.promotion("there", approval={"mode": "Always"})
        digest = there.wait_plan(120)
        assert "needs verb approve" in there.refused("bob", digest)
        there.run_approve_command("alice")
        status = over(there, "Succeeded")
        wanted = company.existing("staging").status()["applied"]["sourceDigest"]
        applied = prod.wait(lambda s: s["applied"]["sourceDigest"] == wanted, "prod has it", 30)["applied"]
        prod.wait_ran(120)
        assert (applied["approvedBy"], status["approvedBy"]) == (["alice"], ["alice"])
        back = company.promotion("back", **{"from": None, "rollbackTo": {"promotion": "there"}})
        over(back, "Succeeded")
        prod.wait(lambda s: s["applied"]["sourceDigest"] == before["sourceDigest"], "prod is back", 60)
    assert errors == []
    assert [a for a, _ in itertools.groupby(seen)] == [(1,), (2,), (1,)]
    states = {s["name"]: s["state"] for s in status["steps"]}
    assert (states["Audits"], states["CatchUp"], states["Apply"], states["Verify"]) == (
        "Succeeded", "Skipped", "Succeeded", "Succeeded",
    )  # fmt: skip
    assert [h["promotion"] for h in prod.status()["held"]] == [f"{company.namespace}/back"]
    assert prod.jobs("plan", "apply") == [j for j in prod.jobs("plan", "apply") if kit.label(j, "owner-name") == "prod"]


def test_what_is_kept_of_them_outlives_them(company: System) -> None:
    prod, there = company.existing("prod"), Thing(company, "vulcanpromotions", "there")
    noted = prod.wait(lambda s: len(s.get("promotions", [])) == 2, "it has noted both", 30)["promotions"]
    assert [(item["name"], item["outcome"]) for item in noted] == [("back", "Succeeded"), ("there", "Succeeded")]
    promoted = there.status()

    def looked(status: dict[str, Any]) -> bool:
        first = next(iter(status.get("rollbackTargets", [])), {})
        return bool(first.get("planId") == promoted["appliedPlanId"])

    target = prod.wait(looked, "the run after the way back has looked", 60)["rollbackTargets"][0]
    assert target["state"] == "Held"
    assert (target["revision"], "expires" in target) == (promoted["revision"], False)  # staging has it, too
    there.delete(wait=True)
    labels = f"vulcan.dev/evidence=true,vulcan.dev/target=prod,vulcan.dev/target-namespace={company.namespace}"
    found = json.loads(company.stage.kubectl("get", "configmap", "-A", "-l", labels, "-o", "json"))["items"]
    assert {raw["metadata"]["name"] for raw in found} == {item["evidence"]["name"] for item in noted}
    text = next(raw["data"]["evidence.json"] for raw in found if raw["metadata"]["name"].startswith("there-"))
    assert hashlib.sha256(text.encode()).hexdigest() == noted[1]["evidence"]["sha256"]
    said = json.loads(text)
    assert [word["by"] for word in said["approvals"]] == ["alice"] and len(said["runnerImages"]) == 1


def test_what_was_rolled_back_is_held_until_somebody_lifts_it(company: System) -> None:
    prod = company.existing("prod")
    name = prod.status()["held"][0]["id"]
    assert name in over(company.promotion("retried"), "Failed")["steps"][0]["message"]
    company.stage.kubectl(
        "annotate",
        "vulcanenvironment",
        "prod",
        "-n",
        company.namespace,
        "--overwrite",
        f"vulcan.dev/hold-lifted={name}",
    )
    prod.wait(lambda s: not s.get("held"), "the hold is lifted", 30)
    over(company.promotion("lifted"), "Succeeded")
    assert company.rows("select x from t.shown") == [(2,)]


def test_an_operator_that_is_killed_at_every_step_of_a_promotion(systems: Systems) -> None:
    system = kit.prepare(systems("killed")).up(runner={"env": []})
    system.environment("prod", kit.days(1), **kit.MANUAL).wait_ran(120)
    system.existing("prod").patch(revisionFrom="Promotion", project=None)
    system.environment("staging", kit.days(2), **kit.MANUAL).wait_ran(120)
    promotion = system.promotion()
    for step in ("Plan", "Audits", "Apply", "Verify"):
        kit.wait_begun(promotion, step)
        kit.kill_operator(system)
    over(promotion, "Succeeded", 180)
    system.existing("prod").wait(lambda s: s.get("promotion", "").endswith("/to-prod"), "prod has it", 30)
    system.existing("prod").wait_ran(120)
    assert system.rows("select distinct n from t.days") == [(2,)]
    assert kit.batches(system) == kit.each_once(1, 2)
    assert len(promotion.jobs("promote")) == 1
