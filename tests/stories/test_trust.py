"""Somebody wants code of his own to run with the write credentials: what an approval is bound to, and the floor
that the gateway's grants put under every environment's own rules."""

from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, MINUTE, edit, fresh
from tests.stories.promotions import ACROSS, outcome, promote, two
from tests.stories.sqlmesh import SqlMesh
from tests.stories.test_reports import plan_with_report, reports
from vulcan_operator.kube.resources import CONFIG_MAPS

NEVER = {"approval": {"mode": "Never"}}
PROTECTED: dict[str, Any] = {"environments": ["prod"], "protected": True}


def plan(sqlmesh: SqlMesh) -> dict[str, Any]:
    found: dict[str, Any] = sqlmesh.world.raw("venv/prod")["status"]["plan"]
    return found


def approved_twice() -> tuple[SqlMesh, dict[str, Any]]:
    """Two plans were approved and applied; the first of them."""
    sqlmesh = fresh(builders.environment(plan=ALWAYS)).work()
    first = plan(sqlmesh)
    for text in ("two", "three"):
        sqlmesh.world.approve("venv/prod")
        sqlmesh.work()
        edit(sqlmesh.world, text)
        sqlmesh.work()
    return sqlmesh, first


def test_a_plan_that_claims_the_content_of_an_approved_one_is_asked_about() -> None:
    sqlmesh, first = approved_twice()
    applies = sqlmesh.done.count("apply warehouse/prod")
    sqlmesh.fails["plan"] = [builders.planned(target=first["target"], base=first["base"])]
    edit(sqlmesh.world, "pwned")
    sqlmesh.work()
    assert (plan(sqlmesh)["target"], plan(sqlmesh)["base"]) == (first["target"], first["base"])
    assert plan(sqlmesh)["digest"] != first["digest"]
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    assert sqlmesh.done.count("apply warehouse/prod") == applies


def test_an_approval_is_of_one_plan_also_when_the_same_files_come_back() -> None:
    sqlmesh, first = approved_twice()
    edit(sqlmesh.world, "x")
    sqlmesh.work()
    world = sqlmesh.world.apply(builders.config_map()).resync().settle()  # the files of the first plan
    sqlmesh.work()
    assert plan(sqlmesh)["sourceDigest"] == first["sourceDigest"] and plan(sqlmesh)["digest"] != first["digest"]
    assert world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_files_that_claim_to_change_nothing_are_approved_by_nobody() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS)).work()
    sqlmesh.world.approve("venv/prod", by="alice")
    assert sqlmesh.work().world.raw("venv/prod")["status"]["applied"]["approvedBy"] == ["alice"]
    sqlmesh.fails["plan"] = [builders.planned(changes=False)]
    edit(sqlmesh.world, "pwned")
    sqlmesh.work()
    applied = sqlmesh.world.raw("venv/prod")["status"]["applied"]
    assert applied["sourceDigest"] == plan(sqlmesh)["sourceDigest"] and applied["approvedBy"] == []


def exchange(sqlmesh: SqlMesh, name: str) -> None:
    """Somebody who may edit ConfigMaps puts a harmless report into the place of the real one."""
    false = {"metadata": {"name": name, "namespace": "data"}, "binaryData": {"report.json.gz": "cHJvbWlzZQ=="}}
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", name)
    sqlmesh.world.kube.put(CONFIG_MAPS, false)


def test_an_approval_of_a_report_that_was_exchanged_does_not_count_and_nothing_is_planned_without_end() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    (name,), jobs = reports(sqlmesh), len(sqlmesh.world.jobs("plan"))
    exchange(sqlmesh, name)
    sqlmesh.world.approve("venv/prod").settle()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert (ready.reason, sqlmesh.world.says("venv/prod", "Stalled")) == (
        "ReportTampered", {"Stalled": "True/ReportTampered"},
    )  # fmt: skip
    assert f"data/{name}" in ready.message and "delete" in ready.message
    sqlmesh.world.advance(10 * MINUTE)
    assert len(sqlmesh.world.jobs("plan")) == jobs and sqlmesh.world.jobs("apply") == []
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", name)
    sqlmesh.world.advance(MINUTE)
    plan_with_report(sqlmesh)
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.approve("venv/prod")
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "True/Ready"


def test_a_report_is_not_written_over_a_config_map_of_somebody_else() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    (name,) = reports(sqlmesh)
    again = fresh(builders.environment(plan=ALWAYS))
    false = {"metadata": {"name": name, "namespace": "data"}, "binaryData": {"report.json.gz": "cHJvbWlzZQ=="}}
    again.world.kube.put(CONFIG_MAPS, false)
    plan_with_report(again)
    ready = again.world.conditions("venv/prod")["Ready"]
    assert ready.reason == "OperatorNotAuthorized" and f"data/{name} exists with other content" in ready.message


@pytest.mark.parametrize(
    ("own", "minimum", "asks"),
    [
        (NEVER, None, True),
        (NEVER, {"approval": {"mode": "Never"}}, False),
        ({"approval": {"mode": "OnRisk", "risks": []}}, {"approval": {"mode": "OnRisk", "risks": ["Backfill"]}}, True),
        ({"approval": {"mode": "Never"}, "limits": {"maxBackfillIntervals": 9}},
         {"approval": {"mode": "Never"}, "limits": {"maxBackfillIntervals": 0}}, True),
    ],
    ids=["protected asks for every plan", "the grant says Never", "a risk of the grant's", "a limit of the grant's"],
)  # fmt: skip
def test_of_an_environments_rules_and_the_grants_the_stricter_ones_count(
    own: dict[str, Any], minimum: dict[str, Any] | None, asks: bool
) -> None:
    grant = {**PROTECTED, **({"minimum": minimum} if minimum is not None else {})}
    sqlmesh = fresh(builders.gateway(grants=[grant]), builders.environment(plan=own))
    sqlmesh.summary.update(backfill_intervals=5)
    ready = sqlmesh.work().world.says("venv/prod")["Ready"]
    assert ready == ("False/AwaitingApproval" if asks else "True/Ready")
    rules = sqlmesh.world.raw("venv/prod")["status"]["rules"]
    assert bool(rules.get("fromGrant")) == asks


def test_a_floor_that_rises_asks_again_for_what_was_approved_and_not_applied() -> None:
    two_votes = {**PROTECTED, "minimum": {"approval": {"count": 2}}}
    sqlmesh = fresh(builders.gateway(grants=[PROTECTED]), builders.environment(plan=NEVER)).work()
    sqlmesh.world.change("vgw/warehouse", grants=[two_votes]).settle()
    sqlmesh.world.approve("venv/prod", by="alice")
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.approve("venv/prod", by="bob")
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "True/Ready"


def test_a_restatement_is_a_risk() -> None:
    sqlmesh = fresh(builders.environment(plan={"approval": {"mode": "OnRisk", "risks": []}})).work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
    sqlmesh.world.change("venv/prod", operations=[{"id": "again", "type": "Restate", "models": ["s.a"]}])
    ready = sqlmesh.work().world.conditions("venv/prod")["Ready"]
    assert ready.reason == "AwaitingApproval" and "operations" in ready.message


def test_a_promotion_to_a_protected_environment_is_asked_about_whatever_both_objects_say() -> None:
    sqlmesh = two(plan=NEVER, floor={})
    promote(sqlmesh, **ACROSS, approval={"mode": "Never"})
    assert sqlmesh.world.says("vpromo/to-prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.approve("vpromo/to-prod")
    assert outcome(sqlmesh.work()) == "Succeeded"


def test_an_image_that_no_minimum_accepts_is_refused() -> None:
    grant = {**PROTECTED, "minimum": {"runnerImages": ["registry.acme.com/*"]}}
    sqlmesh = fresh(builders.gateway(grants=[grant]), builders.environment()).work()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert ready.reason == "ImageNotAllowed" and "minimum.runnerImages" in ready.message


def secrets_of(sqlmesh: SqlMesh, task: str) -> set[str]:
    """Secrets that the connections of a task's Job name."""
    gateway = sqlmesh.task(sqlmesh.world.job(task)).gateway
    connections = [c for c in (gateway.connection, gateway.state_connection) if c is not None]
    return {ref.name for c in connections for ref in c.secrets.values()}


def test_environments_of_a_grant_with_connections_get_no_credential_of_the_gateway() -> None:
    own = {"type": "postgres", "options": {"host": "db"}, "secrets": {"password": {"name": "dev-only", "key": "p"}}}
    grants = [
        {"environments": ["prod"]},
        {"environments": ["dev"], "connections": {"connection": own, "stateConnection": own}},
    ]
    planning = {"connection": {**own, "secrets": {"password": {"name": "planning", "key": "p"}}}}
    sqlmesh = fresh(builders.gateway(grants=grants, planning=planning), builders.environment("dev", environment="dev"))
    sqlmesh.work("probe")
    assert secrets_of(sqlmesh, "plan") == {"dev-only"}
    sqlmesh.work("plan")
    assert secrets_of(sqlmesh, "apply") == {"dev-only"}
    sqlmesh.work().world.apply(builders.environment()).settle()
    assert "planning" in secrets_of(sqlmesh, "plan") and "dev-only" not in secrets_of(sqlmesh, "plan")
