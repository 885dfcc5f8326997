"""What stays true in corners: ways back of what nobody undid, and the same revision promoted again."""

import datetime as dt
from typing import Any

from tests import builders
from tests.stories.lives import MINUTE, edit, managed
from tests.stories.promotions import (
    ACROSS,
    DIFF,
    counted,
    found,
    in_the_swap,
    left,
    outcome,
    promote,
    steps,
    two,
    verified_badly,
)
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.plan.core.seen import JobState


def back(sqlmesh: SqlMesh, name: str, promotion: str) -> SqlMesh:
    """A way back by hand, to its end."""
    sides: dict[str, Any] = {"from": None, "rollbackTo": {"promotion": promotion}}
    return promote(sqlmesh, name, **sides)


def has(sqlmesh: SqlMesh) -> str:
    """The source digest of what prod has, by its status."""
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None
    return applied.source_digest


# --- ways back


def test_a_way_back_that_finds_nothing_to_undo_holds_nothing() -> None:
    sqlmesh = managed()
    first = has(sqlmesh)
    promote(sqlmesh)
    second = has(sqlmesh)
    back(sqlmesh, "back", "to-prod")
    assert outcome(sqlmesh, "back") == "Succeeded"
    assert has(sqlmesh) == first
    sqlmesh.world.delete("vpromo/back").settle()
    back(sqlmesh, "back", "to-prod")  # as GitOps does
    assert outcome(sqlmesh, "back") == "Succeeded"
    assert has(sqlmesh) == first
    assert [h.source_digest for h in sqlmesh.world.environment().status.held] == [second]


def test_a_way_back_that_is_created_again_does_not_take_back_what_came_since() -> None:
    sqlmesh = managed()
    promote(sqlmesh)
    back(sqlmesh, "back", "to-prod")
    sqlmesh.world.delete("vpromo/back").settle()
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    promote(sqlmesh, "third")
    third = has(sqlmesh)
    back(sqlmesh, "back", "to-prod")
    assert outcome(sqlmesh, "back") == "Failed"
    assert has(sqlmesh) == third
    message = sqlmesh.world.conditions("vpromo/back")["Ready"].message
    assert "has moved on since VulcanPromotion to-prod" in message and "rollbackTo.planId" in message


def test_a_promotion_that_finds_nothing_to_do_does_not_undo_a_way_back_that_came_meanwhile() -> None:
    sqlmesh = managed()
    first = has(sqlmesh)
    promote(sqlmesh)
    sqlmesh.world.apply(builders.promotion("again")).settle()
    plan = next(j for j in sqlmesh.world.jobs("plan", JobState.UNFINISHED) if j.owner_name == "again")
    sqlmesh.world.start_job(plan.name)
    said = sqlmesh.answer(sqlmesh.task(plan))
    assert said.reason is Reason.NO_CHANGES
    sides: dict[str, Any] = {"from": None, "rollbackTo": {"promotion": "to-prod"}}
    sqlmesh.world.apply(builders.promotion("back", **sides)).settle()
    sqlmesh.work("rollback")
    sqlmesh.world.finish_job(plan.name, said).settle()
    sqlmesh.work()
    assert outcome(sqlmesh, "back") == "Succeeded"
    assert has(sqlmesh) == first
    assert outcome(sqlmesh, "again") == "Failed"  # what was taken back is held


def test_one_that_asks_audits_only_does_not_undo_a_way_back_that_came_meanwhile() -> None:
    sqlmesh = managed()
    first = has(sqlmesh)
    verified_badly(sqlmesh, onFailure="Hold")
    sqlmesh.world.apply(builders.promotion("again")).settle()
    sqlmesh.work("plan")
    audit = next(j for j in sqlmesh.world.jobs("audit", JobState.UNFINISHED) if j.owner_name == "again")
    sqlmesh.world.start_job(audit.name)
    sides: dict[str, Any] = {"from": None, "rollbackTo": {"promotion": "to-prod"}}
    sqlmesh.world.apply(builders.promotion("back", **sides)).settle()
    sqlmesh.work("rollback")
    assert outcome(sqlmesh, "back") == "Succeeded"
    assert has(sqlmesh) == first
    sqlmesh.world.finish_job(audit.name, sqlmesh.answer(sqlmesh.task(audit))).settle()
    sqlmesh.work()
    assert outcome(sqlmesh, "again") == "Succeeded"
    assert has(sqlmesh) == first
    assert sqlmesh.world.says("venv/prod", "Drifted") == {"Drifted": "False/InSync"}


def test_the_age_of_data_is_not_told_of_another_revision() -> None:
    sqlmesh = managed()
    sqlmesh.behind = {"intervals_behind": 2, "complete_until": "2026-11-21T06:00:00Z"}
    sqlmesh.fails["run"] = [builders.failed("run", Reason.AUDIT_FAILED)] * 9
    verified_badly(sqlmesh)
    assert sqlmesh.world.says("venv/prod", "Fresh") == {"Fresh": "False/StaleAfterRollback"}
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("third")).settle()
    sqlmesh.work("plan", "audit", "promote")
    assert outcome(sqlmesh, "third") == "Succeeded"
    assert sqlmesh.world.conditions("venv/prod")["Fresh"].reason != "StaleAfterRollback"


# --- what is verified


def test_the_same_revision_again_asks_audits_where_it_was_not_verified() -> None:
    sqlmesh = verified_badly(managed(), onFailure="Hold")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED, "a.b: 1 row")]
    promote(sqlmesh, "still-bad", onFailure="Rollback")
    assert outcome(sqlmesh, "still-bad") == "Failed"
    assert steps(sqlmesh, "still-bad")["Verify"] == "Failed"
    assert "rollback warehouse/prod" not in sqlmesh.done, "it had changed nothing"
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "False/VerifyFailed"}
    assert "a.b: 1 row" in sqlmesh.world.conditions("venv/prod")["Ready"].message
    promote(sqlmesh, "fixed")
    assert outcome(sqlmesh, "fixed") == "Succeeded"
    assert steps(sqlmesh, "fixed")["Apply"] == "Skipped"
    assert sqlmesh.world.says("venv/prod", "Ready", "Verified") == {"Ready": "True/Ready", "Verified": "True/Verified"}
    assert sqlmesh.done.count("promote warehouse/prod") == 1
    sqlmesh.world.delete("vpromo/fixed").settle()  # what it told is not forgotten with it
    assert sqlmesh.world.says("venv/prod", "Ready", "Verified") == {"Ready": "True/Ready", "Verified": "True/Verified"}
    promote(sqlmesh, "once-more")
    assert outcome(sqlmesh, "once-more") == "Succeeded"
    assert "Verify" not in steps(sqlmesh, "once-more")


def test_verification_is_told_again_after_the_status_was_wiped() -> None:
    sqlmesh = promote(managed())
    promote(sqlmesh, "again")  # finds it there
    before = sqlmesh.world.environment().status.applied
    del sqlmesh.world.kube.objects[ENVIRONMENTS.plural, "data", "prod"]["status"]
    sqlmesh.world.restart()
    sqlmesh.work()
    after = sqlmesh.world.environment().status.applied
    assert before is not None and after is not None
    assert after.verification == "Passed"
    assert after.plan_digest == before.plan_digest
    assert after.time == before.time


def test_deleted_while_it_is_verified_the_views_are_not_verified() -> None:
    sqlmesh = promote(managed())
    assert sqlmesh.world.says("venv/prod", "Verified") == {"Verified": "True/Verified"}
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("second")).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.work("promote")
    sqlmesh.world.delete("vpromo/second").settle()
    sqlmesh.live(MINUTE)
    assert not sqlmesh.world.exists("vpromo/second")
    assert sqlmesh.world.says("venv/prod", "Verified") == {"Verified": "Unknown/NotVerified"}


# --- what is refused, what is left


def test_labels_that_may_not_be_read_are_told_and_hold_no_deletion() -> None:
    sqlmesh = managed()
    grants = [
        {"environments": ["*"]},
        {
            "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "bi"}}},
            "environments": ["*"],
            "promotions": True,
        },
    ]
    sqlmesh.world.change("vgw/warehouse", grants=grants).settle()
    sqlmesh.work()
    sqlmesh.world.kube.fail("get-namespaces", errors.Forbidden("namespaces is forbidden", status=403), times=-1)
    sides: dict[str, Any] = {
        "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
        "to": {"environmentRef": {"name": "prod", "namespace": "data"}},
    }
    sqlmesh.world.apply(builders.promotion("refused", "team", **sides)).settle()
    assert sqlmesh.world.says("vpromo/team/refused", "Ready") == {"Ready": "False/OperatorNotAuthorized"}


def test_deletion_ends_while_the_api_server_answers_with_errors_of_its_own() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    broken = errors.Unavailable("failed calling webhook", status=500)
    for write in ("create-configmaps", "merge-jobs", "delete-jobs", "delete-pods"):
        sqlmesh.world.kube.fail(write, broken, times=-1)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.finish_job(job, builders.failed("promote", Reason.CANCELLED)).settle()
    sqlmesh.world.advance(dt.timedelta(minutes=45))
    assert not sqlmesh.world.exists("vpromo/to-prod")


def test_what_was_counted_goes_also_when_another_gate_says_no() -> None:
    sqlmesh = two()
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    promote(sqlmesh, "first", **ACROSS)
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion(gates=DIFF, **ACROSS)).settle()
    sqlmesh.do(sqlmesh.world.job("diff"))
    assert len(left(sqlmesh)) == 1
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.do(next(j for j in sqlmesh.world.jobs("audit", JobState.UNFINISHED)))
    assert outcome(sqlmesh) == "Failed"
    assert left(sqlmesh) == []
    assert "targetReport" not in found(sqlmesh, "Diff").get("evidence", {})
    assert TaskKind.DIFF in {j.task for j in sqlmesh.world.jobs()}


def test_what_changed_nothing_cannot_be_undone_and_the_message_says_what_can() -> None:
    sqlmesh = verified_badly(managed(), onFailure="Hold")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED, "a.b: 1 row")]
    promote(sqlmesh, "again")
    newest = sqlmesh.world.environment().status.rollback_targets[0].plan_id
    assert f"rollbackTo: {{planId: {newest}}}" in sqlmesh.world.conditions("venv/prod")["Ready"].message
    for name, why in (("again", "has changed nothing"), ("never", "is not there")):
        back(sqlmesh, f"back-{name}", name)
        assert outcome(sqlmesh, f"back-{name}") == "Failed"
        message = sqlmesh.world.conditions(f"vpromo/back-{name}")["Ready"].message
        assert why in message and f"planId: {newest}" in message
