"""What stays when things are over: evidence of promotions, their history, and the earlier revisions one could have again."""

import json
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, HOUR, MINUTE, alive, edit, managed
from tests.stories.sqlmesh import SqlMesh
from tests.world import NODE_DIGEST
from vulcan_contract.reasons import Reason
from vulcan_operator.api import names
from vulcan_operator.api.environment_history import PromotionItem
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import CONFIG_MAPS, ENVIRONMENTS, Raw


def evidence(sqlmesh: SqlMesh) -> list[Raw]:
    """All ConfigMaps with evidence of promotions to prod, as people find them."""
    wanted = {names.EVIDENCE: "true", names.TARGET: "prod", names.TARGET_NAMESPACE: "data"}
    found = sqlmesh.world.kube.all(CONFIG_MAPS)
    return [raw for raw in found if wanted.items() <= raw["metadata"].get("labels", {}).items()]


def promote(sqlmesh: SqlMesh, name: str, **spec: Any) -> SqlMesh:
    """Another promotion of what staging has."""
    sqlmesh.world.clock.advance(MINUTE)
    sqlmesh.world.apply(builders.promotion(name, **spec)).settle()
    return sqlmesh.work()


def noted(sqlmesh: SqlMesh) -> list[PromotionItem]:
    """What prod remembers."""
    return sqlmesh.world.environment().status.promotions


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", ["create-configmaps", "apply-vulcanpromotions/status"])
def test_evidence_is_written_once_whenever_the_operator_dies(write: str, when: str) -> None:
    sqlmesh = managed()
    for count in range(1, 20 if "status" in write else 3):  # each write of the last promotions
        sqlmesh.world.kube.crash_at(write, when, count)
        promote(sqlmesh, f"to-prod-{count}")
    names_ = [raw["metadata"]["name"] for raw in evidence(sqlmesh)]
    assert sorted(item.evidence.name for item in noted(sqlmesh)) == sorted(names_) and len(names_) == count


def test_evidence_says_who_said_what_and_when_and_what_ran() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, "to-prod")
    sqlmesh.world.change("venv/prod", plan={"approval": {"mode": "Always", "count": 2}}).settle()
    sqlmesh.world.clock.advance(HOUR)
    first = sqlmesh.world.clock.now()
    sqlmesh.world.approve("vpromo/to-prod", by="alice").settle()
    sqlmesh.world.clock.advance(HOUR)
    second = sqlmesh.world.clock.now()
    sqlmesh.world.approve("vpromo/to-prod", by="bea")
    sqlmesh.work()
    (raw,) = evidence(sqlmesh)
    said = json.loads(raw["data"]["evidence.json"])
    assert [(word["by"], word["decision"], word["time"]) for word in said["approvals"]] == [
        ("alice", "Approve", builders.stamp(first)), ("bea", "Approve", builders.stamp(second)),
    ]  # fmt: skip
    assert said["runnerImages"] == [f"runner@{NODE_DIGEST}"]
    assert {s["name"] for s in said["steps"] if "job" in s["evidence"]} >= {"Plan", "Audits", "Apply", "Verify"}
    assert "EvidenceKept" in sqlmesh.world.events("vpromo/to-prod")
    (audit,) = [n.audit for _, n in sqlmesh.world.notes if n.audit and n.audit.operation == "promotion"]
    assert (audit.outcome, audit.asked, audit.gateway) == ("Succeeded", "alice, bea", "warehouse")


def test_evidence_outlives_the_promotion_and_the_environment() -> None:
    sqlmesh = managed()
    promote(sqlmesh, "to-prod")
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.live(DAY)
    (raw,) = evidence(sqlmesh)
    assert "ownerReferences" not in raw["metadata"] and names.INSTALL not in raw["metadata"]["labels"]
    (item,) = noted(sqlmesh)
    assert item.name == "to-prod"
    assert item.outcome == "Succeeded"
    assert item.evidence.name == raw["metadata"]["name"]
    sqlmesh.world.delete("venv/prod").settle()
    assert evidence(sqlmesh) == [raw]


def test_a_promotion_that_is_deleted_under_way_stays_until_it_is_noted() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit").world.start_job("promote")
    sqlmesh.world.settle().delete("vpromo/to-prod").settle()
    sqlmesh.world.finish_job("promote", builders.failed("promote", Reason.CANCELLED)).settle()
    (item,) = noted(sqlmesh)
    assert (item.name, item.outcome) == ("to-prod", "Cancelled") and len(evidence(sqlmesh)) == 1
    assert not sqlmesh.world.exists("vpromo/to-prod")


def test_the_oldest_evidence_goes_by_count_and_by_age_and_nothing_is_written_in_between() -> None:
    sqlmesh = managed(promotionHistory={"limit": 2, "maxAge": "30d"}, schedule={"mode": "Manual"})
    for number in range(4):
        promote(sqlmesh, f"to-prod-{number}")
    assert [item.name for item in noted(sqlmesh)] == ["to-prod-3", "to-prod-2"]
    assert sorted(raw["metadata"]["labels"][names.OWNER_NAME] for raw in evidence(sqlmesh)) == [
        "to-prod-2",
        "to-prod-3",
    ]
    sqlmesh.world.change("venv/staging", suspend=True)
    sqlmesh.live(2 * DAY)  # its run is overdue by then
    with sqlmesh.world.no_writes():
        sqlmesh.world.resync().settle()
        sqlmesh.live(27 * DAY)
    sqlmesh.live(DAY)
    assert noted(sqlmesh) == [] and evidence(sqlmesh) == []
    with sqlmesh.world.no_writes():
        sqlmesh.world.resync().settle()


def test_the_history_is_noted_again_after_the_status_was_wiped() -> None:
    sqlmesh = managed()
    promote(sqlmesh, "one")
    promote(sqlmesh, "two")
    known = noted(sqlmesh)
    sqlmesh.world.kube.objects[ENVIRONMENTS.plural, "data", "prod"].pop("status")
    sqlmesh.world.restart()
    sqlmesh.work()
    assert noted(sqlmesh) == known and len(evidence(sqlmesh)) == 2


def test_evidence_that_may_not_be_deleted_stops_nothing() -> None:
    sqlmesh = managed(promotionHistory={"limit": 1})
    promote(sqlmesh, "one")
    sqlmesh.world.kube.fail("delete-configmaps", errors.Forbidden("cannot delete", status=403), 100)
    promote(sqlmesh, "two")
    assert [item.name for item in noted(sqlmesh)] == ["two"] and len(evidence(sqlmesh)) == 2
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}


def test_a_suspended_environment_notes_what_has_ended() -> None:
    """Or a promotion's finalizer would wait for it."""
    sqlmesh = managed()
    promote(sqlmesh, "to-prod")
    known = noted(sqlmesh)
    sqlmesh.world.change("venv/prod", suspend=True).settle()
    sqlmesh.world.kube.objects[ENVIRONMENTS.plural, "data", "prod"]["status"]["promotions"] = []
    sqlmesh.world.restart().settle()
    assert known and noted(sqlmesh) == known


def targets(sqlmesh: SqlMesh) -> list[tuple[str, str]]:
    """Plan ids and states."""
    return [(t.plan_id, t.state) for t in sqlmesh.world.environment().status.rollback_targets]


def test_earlier_revisions_are_there_by_name_after_applies_and_after_a_promotion() -> None:
    sqlmesh = alive()
    first = sqlmesh.world.environment().status.applied
    assert first is not None and targets(sqlmesh) == []
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    (target,) = sqlmesh.world.environment().status.rollback_targets
    assert target.plan_id == first.plan_id
    assert target.revision == first.revision
    assert target.state == "Available"
    assert sqlmesh.world.says("venv/prod", "RollbackExpiring") == {"RollbackExpiring": "False/Kept"}
    sqlmesh = managed()
    before = sqlmesh.world.environment().status.applied
    assert before is not None
    promote(sqlmesh, "to-prod")
    assert targets(sqlmesh) == [(before.plan_id, "Available")]


def test_a_revision_that_may_be_lost_inside_the_window_is_told_in_time_and_without_polling() -> None:
    sqlmesh = alive(rollback={"window": "7d"}, schedule={"mode": "Manual"})
    sqlmesh.ttl = 3 * DAY
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    said = sqlmesh.world.conditions("venv/prod")["RollbackExpiring"]
    (target,) = sqlmesh.world.environment().status.rollback_targets
    assert (said.status, said.reason) == ("True", "RollbackExpiring") and target.expires is not None
    assert target.plan_id in said.message and f"only until {builders.stamp(target.expires)}" in said.message
    assert "RollbackExpiring" in sqlmesh.world.events("venv/prod")
    with sqlmesh.world.no_writes():
        sqlmesh.world.resync().settle()
        sqlmesh.live(3 * DAY - HOUR)
    sqlmesh.live(HOUR)
    assert "may have been lost since" in sqlmesh.world.conditions("venv/prod")["RollbackExpiring"].message
    with sqlmesh.world.no_writes():
        sqlmesh.live(4 * DAY - HOUR)
    sqlmesh.live(HOUR)
    assert sqlmesh.world.says("venv/prod", "RollbackExpiring") == {"RollbackExpiring": "False/Kept"}


@pytest.mark.parametrize("window", ["0", "3d"])
def test_no_warning_when_nothing_longer_was_asked_for(window: str) -> None:
    sqlmesh = alive(rollback={"window": window})
    sqlmesh.ttl = 3 * DAY
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "RollbackExpiring") == {"RollbackExpiring": "False/Kept"}
