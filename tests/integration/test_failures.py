"""Projects that fail: which model, why, and what happens next. One gateway, one environment per kind of failure."""

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import TINY, Files, one

BAD_SQL = "MODEL (name t.bad, kind FULL);\nSELECT 1 / (x - x) AS y FROM t.one;\n"
BAD_AUDIT = "MODEL (name t.bad, kind FULL, audits (not_null(columns := (y))));\nSELECT NULL::INT AS y FROM t.one;\n"
BAD_TEST = """
test_one:
  model: t.bad
  inputs: {t.one: {rows: [{x: 1}]}}
  outputs: {query: {rows: [{y: 5}]}}
"""
ODD_NAME = "naïve 'x' 💥"
ODD = f'MODEL (name t."{ODD_NAME}", kind FULL);\nSELECT 1 / (x - x) AS "ünï 💥" FROM t.one;\n'
TEXT = 'it\'s "quoted"\nin two lines, 100 % 💥 {} \\'
RAISING = f"""
import typing as t
import pandas as pd
from sqlmesh import model

@model("t.raising", kind="FULL", columns={{"x": "int"}})
def execute(context, start, end, execution_time, **kwargs: t.Any) -> pd.DataFrame:
    raise ValueError({TEXT!r})
"""
FAILING: dict[str, Files] = {
    "sql": {**TINY, "models/bad.sql": BAD_SQL},
    "audit": {**TINY, "models/bad.sql": BAD_AUDIT},
    "tests": {**TINY, "models/bad.sql": BAD_SQL.replace("/ (x - x)", "+ x"), "tests/test_bad.yaml": BAD_TEST},
    "odd": {**TINY, "models/odd.sql": ODD},
    "raising": {**TINY, "models/raising.py": RAISING},
}
ATTEMPTS = {"sql": 2}


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """A good prod, and what fails; as many attempts as ATTEMPTS says."""
    system = module_systems("failures").up()
    system.environment("prod", TINY)
    for name, files in FAILING.items():
        system.environment(name, files, retry={"limit": ATTEMPTS.get(name, 1) - 1})
    return system


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("sql", "ModelFailed", ('"t"."bad"', "division by zero")),
        ("audit", "AuditFailed", ('"t"."bad"', "not_null")),
        ("odd", "ModelFailed", (ODD_NAME, "division by zero")),
        ("raising", "ModelFailed", ('"t"."raising"', 'it\'s "quoted"', "💥")),
    ],
)
def test_a_failed_model_is_named_and_tried_again_up_to_the_limit(
    company: System, name: str, reason: str, words: tuple[str, ...]
) -> None:
    environment, attempts = company.existing(name), ATTEMPTS.get(name, 1)
    environment.wait(lambda s: s.get("failure", {}).get("counted") == attempts, "all attempts", 240)
    message = environment.wait_reason(reason)
    assert not [word for word in words if word.replace('"."', ".").strip('"') not in message and word not in message], (
        message
    )
    conditions = environment.conditions()
    assert conditions["Stalled"]["status"] == "True" and conditions["Stalled"]["reason"] == reason
    assert conditions["Applied"]["status"] == "False"
    jobs = environment.jobs("apply")
    assert [j["metadata"]["labels"]["vulcan.dev/attempt"] for j in jobs] == ["1", "2"][:attempts]
    environment.stage.throughout(lambda: len(environment.jobs("apply")) == attempts, "no further attempt", 2)
    assert reason in {e["reason"] for e in environment.events()}


def test_failing_unit_tests_stop_before_a_plan(company: System) -> None:
    environment = company.existing("tests")
    message = environment.wait_reason("TestsFailed", seconds=240)
    assert "test_one" in message
    assert environment.conditions()["Stalled"]["status"] == "True"
    assert len(environment.jobs("plan")) == 1 and environment.jobs("apply") == []


def test_a_fix_is_taken_at_once(company: System) -> None:
    environment = company.existing("sql")
    environment.wait(lambda s: s.get("failure", {}).get("counted") == 2, "both attempts", 240)
    company.config_map("project-sql", {**TINY, "models/bad.sql": BAD_SQL.replace("/ (x - x)", "+ x")})
    environment.answered("plan")
    environment.wait_ready(90)
    assert company.rows("select y from t__sql.bad") == [(2,)]


def test_prod_does_not_notice(company: System) -> None:
    prod = company.existing("prod")
    prod.wait_ran(240)
    assert all(j["status"].get("succeeded") for j in prod.jobs())


def test_words_of_people_come_back_as_they_are(company: System) -> None:
    prod = company.existing("prod")
    prod.wait_ready(120)
    prod.patch(suspend=True, suspendReason=TEXT)
    assert TEXT in prod.wait_reason("Suspended")
    company.config_map("project-prod", one("SELECT 7 AS x;"))
    before = len(prod.jobs())
    prod.request("plan")
    prod.stage.throughout(lambda: len(prod.jobs()) == before, "suspended: no Job", 2)
    prod.patch(suspend=False, suspendReason=None)
    prod.wait(lambda s: len(s.get("history", ())) == 2, "applied after the suspension", 90)
    assert company.rows("select x from t.one") == [(7,)]
