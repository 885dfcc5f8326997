"""A tested revision moves on: through its steps, past people, in a queue, back after a failure, and through crashes."""

import hashlib
import json
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, HOUR, MINUTE, alive, edit, managed
from tests.stories.promotions import outcome, promote, steps, verified_badly
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.plan.core.seen import JobState

STEPS = {
    "Resolve": "Succeeded", "Plan": "Succeeded", "Tests": "Skipped", "Audits": "Succeeded", "Diff": "Skipped",
    "Checks": "Skipped", "Soak": "Skipped", "Approval": "Succeeded", "CatchUp": "Skipped", "Apply": "Succeeded",
    "Verify": "Succeeded",
}  # fmt: skip


def revisions(sqlmesh: SqlMesh) -> tuple[str, str]:
    """Digest of what staging and prod have, as their status says."""
    found = [sqlmesh.world.raw(f"venv/{name}")["status"]["applied"]["sourceDigest"] for name in ("staging", "prod")]
    return found[0], found[1]


def test_a_revision_moves_from_staging_to_prod_and_a_run_follows() -> None:
    sqlmesh = managed()
    assert len(set(revisions(sqlmesh))) == 2
    runs = sqlmesh.done.count("run warehouse/prod")
    promote(sqlmesh)
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh) == STEPS
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Reconciling", "Stalled") == {
        "Ready": "True/Promoted", "Reconciling": "False/Promoted", "Stalled": "False/Promoted",
    }  # fmt: skip
    assert len(set(revisions(sqlmesh))) == 1
    assert sqlmesh.done.count("promote warehouse/prod") == 1
    assert sqlmesh.done.count("run warehouse/prod") == runs + 1
    status = sqlmesh.world.environment().status
    assert status.promotion == "data/to-prod" and status.history[0].plan_id == status.applied.plan_id  # type: ignore[union-attr]
    with sqlmesh.world.no_writes():
        sqlmesh.world.resync().settle()


def test_evidence_is_left_when_it_ends() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    sqlmesh.world.approve("vpromo/to-prod", by="alice")
    sqlmesh.world.kube.crash_at("create-configmaps", "after", 1)
    sqlmesh.work()
    status = sqlmesh.world.raw("vpromo/to-prod")["status"]
    stored = sqlmesh.world.kube.objects["configmaps", "data", status["evidenceRef"]["name"]]
    text = stored["data"]["evidence.json"]
    assert hashlib.sha256(text.encode()).hexdigest() == status["evidenceRef"]["sha256"]
    said = json.loads(text)
    assert (said["outcome"], said["plan"]["digest"], said["approvals"][0]["by"]) == (
        "Succeeded", status["plan"]["digest"], "alice",
    )  # fmt: skip
    assert {s["name"]: s["state"] for s in said["steps"]} == STEPS
    assert stored["immutable"]


def test_what_is_there_already_is_a_success_that_does_nothing() -> None:
    """GitOps creates objects again."""
    sqlmesh = promote(managed())
    before = list(sqlmesh.done)
    promote(sqlmesh, "again")
    assert outcome(sqlmesh, "again") == "Succeeded"
    assert sqlmesh.done == before


def test_prod_can_be_told_from_the_objects_after_its_status_was_wiped() -> None:
    sqlmesh = promote(managed())
    known = sqlmesh.world.environment().status.applied
    raw = sqlmesh.world.kube.objects[ENVIRONMENTS.plural, "data", "prod"]
    raw.pop("status")
    sqlmesh.world.restart()
    sqlmesh.work()
    assert sqlmesh.world.environment().status.applied == known


def test_people_are_asked_for_this_promotion_and_for_no_other() -> None:
    sqlmesh = managed(plan=ALWAYS)
    sqlmesh.world.approve("venv/prod").settle()
    promote(sqlmesh)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "AwaitingApproval") == {
        "Ready": "False/AwaitingApproval", "AwaitingApproval": "True/AwaitingApproval",
    }  # fmt: skip
    message = sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    digest = sqlmesh.world.raw("vpromo/to-prod")["status"]["plan"]["digest"]
    assert digest in message and "kubectl patch vulcanpromotion to-prod" in message
    sqlmesh.world.delete("vpromo/to-prod").settle()
    promote(sqlmesh, "second")
    assert sqlmesh.world.raw("vpromo/second")["status"]["plan"]["digest"] != digest
    sqlmesh.world.approve("vpromo/second", plan=digest)
    sqlmesh.work()
    assert outcome(sqlmesh, "second") is None
    sqlmesh.world.approve("vpromo/second", by="bea")
    sqlmesh.work()
    assert outcome(sqlmesh, "second") == "Succeeded"
    assert sqlmesh.world.environment().status.applied.approved_by == ["bea"]  # type: ignore[union-attr]


def test_a_rejection_ends_it() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    sqlmesh.world.approve("vpromo/to-prod", decision="Reject")
    sqlmesh.work()
    assert outcome(sqlmesh) == "Failed"
    assert "promote warehouse/prod" not in sqlmesh.done


def test_a_rejection_says_why() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    digest = sqlmesh.world.raw("vpromo/to-prod")["status"]["plan"]["digest"]
    word = {"plan": digest, "by": "bea", "decision": "Reject", "comment": "not before the audit"}
    sqlmesh.world.change("vpromo/to-prod", approvals=[word]).settle()
    assert "bea rejected it: not before the audit" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


def test_as_many_people_as_the_rule_wants() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, approval={"mode": "Always", "count": 2})
    sqlmesh.world.approve("vpromo/to-prod", by="alice")
    sqlmesh.work()
    assert "1 approval missing" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    sqlmesh.world.approve("vpromo/to-prod", by="bea")
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"


@pytest.mark.parametrize("whose", ["target", "own"])
def test_who_created_the_promotion_does_not_approve_it(whose: str) -> None:
    """By the rule of either; who created the target may."""
    strict = {"approval": {"mode": "Always", "excludeAuthor": True}}
    sqlmesh = managed(plan=ALWAYS)
    sqlmesh.world.annotate("venv/prod", created_by="bea")
    if whose == "target":
        sqlmesh.world.change("venv/prod", plan=strict)
    made = builders.promotion(**(strict if whose == "own" else {}))
    made["metadata"]["annotations"] = {"vulcan.dev/created-by": "alice"}
    sqlmesh.world.apply(made).settle()
    sqlmesh.work()
    sqlmesh.world.approve("vpromo/to-prod", by="alice")
    sqlmesh.work()
    assert outcome(sqlmesh) is None
    assert "by others than alice" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    sqlmesh.world.approve("vpromo/to-prod", by="bea")
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.world.raw("vpromo/to-prod")["status"]["approvedBy"] == ["bea"]


def test_a_promotion_of_nobody_knows_whom_is_approved_by_nobody() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, approval={"mode": "Always", "excludeAuthor": True})
    sqlmesh.world.approve("vpromo/to-prod", by="bea")
    sqlmesh.work()
    assert outcome(sqlmesh) is None
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/AuthorUnknown"}
    assert "kubectl patch" not in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


@pytest.mark.parametrize(
    ("theirs", "own", "asks"), [("Never", "Always", True), ("Always", "Never", True), ("Never", "Never", False)]
)
def test_of_both_rules_the_stricter_one_counts(theirs: str, own: str, asks: bool) -> None:
    sqlmesh = managed(plan={"approval": {"mode": theirs}})
    promote(sqlmesh, approval={"mode": own})
    assert (
        sqlmesh.world.says("vpromo/to-prod", "AwaitingApproval")["AwaitingApproval"] == "True/AwaitingApproval"
    ) is asks
    assert (outcome(sqlmesh) is None) is asks


def test_a_revision_soaks_by_time_and_by_green_runs() -> None:
    sqlmesh = managed()
    promote(sqlmesh, gates={"soak": {"duration": "30h", "greenRuns": 2}})
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/Soaking"}
    assert "more green runs" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    sqlmesh.live(DAY)
    assert outcome(sqlmesh) is None
    sqlmesh.live(DAY)
    assert outcome(sqlmesh) == "Succeeded"
    evidence = next(s for s in sqlmesh.world.raw("vpromo/to-prod")["status"]["steps"] if s["name"] == "Soak")[
        "evidence"
    ]
    assert int(evidence["greenRuns"]) >= 2


def test_a_source_that_moves_on_while_it_soaks_is_another_revision() -> None:
    sqlmesh = managed()
    promote(sqlmesh, gates={"soak": {"duration": "2d"}})
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.live(MINUTE)
    assert outcome(sqlmesh) == "Failed"
    assert "promote warehouse/prod" not in sqlmesh.done


def test_failed_audits_of_the_source_stop_it_and_optional_ones_do_not() -> None:
    sqlmesh = managed()
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    promote(sqlmesh)
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Audits"] == "Failed"
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/PromotionFailed"}
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    promote(sqlmesh, "second", gates={"audits": "Optional"})
    assert outcome(sqlmesh, "second") == "Succeeded"


def test_more_than_a_virtual_update_is_refused_with_what_it_would_compute() -> None:
    sqlmesh = managed()
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.NOT_VIRTUAL_ONLY, "It would have to compute s.a.")]
    promote(sqlmesh)
    assert outcome(sqlmesh) == "Failed"
    assert "s.a" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


def applied_tests(sqlmesh: SqlMesh) -> int:
    """How many unit tests the target's revision is known to have passed."""
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None
    return applied.tests_run


def test_audits_that_fail_after_the_swap_take_it_back_and_the_revision_is_held() -> None:
    sqlmesh = managed()
    before = revisions(sqlmesh)[1]
    tests = applied_tests(sqlmesh)
    verified_badly(sqlmesh)
    assert outcome(sqlmesh) == "RolledBack"
    assert tests == applied_tests(sqlmesh) >= 0, "what it has again was tested: it may go on from here"
    assert sqlmesh.done[-3:] == ["promote warehouse/prod", "rollback warehouse/prod", "run warehouse/prod"]
    assert revisions(sqlmesh)[1] == before
    assert "a.b: 3 rows" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    held = sqlmesh.world.environment().status.held
    assert [h.promotion for h in held] == ["data/to-prod"]
    assert "a.b: 3 rows" in held[0].message
    promote(sqlmesh, "another-name")
    assert outcome(sqlmesh, "another-name") == "Failed"
    message = sqlmesh.world.conditions("vpromo/another-name")["Ready"].message
    assert f"hold-lifted={held[0].id}" in message
    assert sqlmesh.done.count("promote warehouse/prod") == 1


def test_a_hold_ends_when_it_is_lifted_and_not_by_another_revision() -> None:
    sqlmesh = verified_badly(managed())
    first = sqlmesh.world.environment().status.held[0].id
    sqlmesh.world.annotate("venv/prod", hold_lifted=first).settle()
    assert sqlmesh.world.environment().status.held == []
    promote(sqlmesh, "lifted")
    assert outcome(sqlmesh, "lifted") == "Succeeded"
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("bad")).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.work()
    assert [h.promotion for h in sqlmesh.world.environment().status.held] == ["data/bad"]
    edit(sqlmesh.world, "four")
    sqlmesh.work()
    promote(sqlmesh, "good")
    assert outcome(sqlmesh, "good") == "Succeeded"
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    promote(sqlmesh, "bad-again")
    assert outcome(sqlmesh, "bad-again") == "Failed"
    second = sqlmesh.world.environment().status.held[0].id
    assert f"hold-lifted={first},{second}" in sqlmesh.world.conditions("vpromo/bad-again")["Ready"].message


def test_on_failure_hold_leaves_it_to_people() -> None:
    sqlmesh = verified_badly(managed(), onFailure="Hold")
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Verify"] == "Failed"
    assert "rollback warehouse/prod" not in sqlmesh.done
    assert len(set(revisions(sqlmesh))) == 1  # prod has it, whatever became of it


def test_one_that_can_go_nowhere_holds_up_nobody() -> None:
    sqlmesh = managed()
    far = {
        "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
        "to": {"environmentRef": {"name": "prod", "namespace": "data"}},
    }
    sqlmesh.world.apply(builders.promotion("refused", "team", **far)).settle()
    sqlmesh.world.clock.advance(MINUTE)
    promote(sqlmesh)
    assert outcome(sqlmesh) == "Succeeded"


def test_a_plan_that_waited_too_long_is_built_again() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    sqlmesh.live(2 * DAY)
    assert sum(note.audit is not None and note.audit.operation == "plan" for _, note in sqlmesh.world.notes) == 3
    sqlmesh.live(DAY + HOUR)
    assert sum(note.audit is not None and note.audit.operation == "plan" for _, note in sqlmesh.world.notes) == 4
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/AwaitingApproval"}


def test_words_do_not_count_under_other_rules_than_those_that_were_shown() -> None:
    sqlmesh = managed(plan=ALWAYS)
    sqlmesh.world.change("venv/prod", plan={"approval": {"mode": "Always", "count": 2}}).settle()
    promote(sqlmesh)
    sqlmesh.world.approve("vpromo/to-prod", by="alice").settle()
    sqlmesh.world.change("venv/prod", plan={"approval": {"mode": "Always", "count": 1}})
    sqlmesh.work()
    assert outcome(sqlmesh) is None
    sqlmesh.world.approve("vpromo/to-prod", by="bea")
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"


def test_a_plan_of_its_own_project_is_forgotten_by_an_environment_that_promotions_manage() -> None:
    sqlmesh = alive(plan=ALWAYS)
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "False/AwaitingApproval"}
    sqlmesh.world.apply(builders.environment(revisionFrom="Promotion", project=None, plan=ALWAYS)).settle()
    assert sqlmesh.world.says("venv/prod", "Ready", "AwaitingApproval") == {
        "Ready": "True/Ready", "AwaitingApproval": "False/NotNeeded",
    }  # fmt: skip


def test_a_way_back_that_is_not_there_is_told_and_not_tried_again() -> None:
    sqlmesh = managed()
    sqlmesh.fails["rollback"] = [builders.failed("rollback", Reason.ROLLBACK_UNAVAILABLE, "snapshots of s.a are gone")]
    verified_badly(sqlmesh)
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Rollback"] == "Failed"
    assert sqlmesh.world.raw("vpromo/to-prod")["status"]["rollback"]["state"] == "Unavailable"
    sqlmesh.live(DAY)
    assert len(sqlmesh.world.jobs("rollback")) == 1


def test_back_by_hand_to_what_a_promotion_replaced_or_to_an_earlier_plan() -> None:
    sqlmesh = managed()
    before, plan_id = revisions(sqlmesh)[1], sqlmesh.world.environment().status.applied.plan_id  # type: ignore[union-attr]
    promote(sqlmesh)
    sqlmesh.world.apply(builders.promotion("undo", rollbackTo={"promotion": "to-prod"}, **{"from": None})).settle()
    sqlmesh.work()
    assert outcome(sqlmesh, "undo") == "Succeeded"
    assert revisions(sqlmesh)[1] == before
    assert [h.promotion for h in sqlmesh.world.environment().status.held] == ["data/undo"]
    sqlmesh.world.apply(builders.promotion("nowhere", rollbackTo={"planId": "none"}, **{"from": None})).settle()
    assert outcome(sqlmesh, "nowhere") == "Failed"
    assert plan_id in str(sqlmesh.world.raw("vpromo/nowhere")["status"]["steps"])


def test_two_to_one_environment_queue_and_the_second_looks_at_what_the_first_left() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, "first")
    sqlmesh.world.clock.advance(MINUTE)
    promote(sqlmesh, "second")
    assert sqlmesh.world.says("vpromo/second", "Ready") == {"Ready": "False/Queued"}
    assert "data/first" in sqlmesh.world.conditions("vpromo/second")["Ready"].message
    sqlmesh.world.approve("vpromo/first")
    sqlmesh.work()
    assert (outcome(sqlmesh, "first"), outcome(sqlmesh, "second")) == ("Succeeded", "Succeeded")
    assert sqlmesh.done.count("promote warehouse/prod") == 1


def test_a_target_that_moves_between_decision_and_swap_is_planned_and_asked_for_again() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    sqlmesh.plan_ids["warehouse/prod"] = "from a laptop"
    sqlmesh.world.approve("vpromo/to-prod")
    sqlmesh.work()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/AwaitingApproval"}
    assert "promote warehouse/prod" not in sqlmesh.done


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"to": {"environmentRef": {"name": "nowhere"}}}, "EnvironmentObjectNotFound", id="no target"),
        pytest.param({"from": {"environmentRef": {"name": "nowhere"}}}, "EnvironmentObjectNotFound", id="no source"),
        pytest.param(
            {"from": {"environmentRef": {"name": "prod"}}, "to": {"environmentRef": {"name": "staging"}}},
            "TargetNotManagedByPromotions", id="a target with a project",
        ),
    ],
)  # fmt: skip
def test_what_it_waits_for(change: dict[str, Any], reason: str) -> None:
    sqlmesh = promote(managed(), **change)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": f"False/{reason}"}
    with sqlmesh.world.no_writes():
        sqlmesh.world.advance(HOUR)


def test_from_another_namespace_it_needs_a_grant() -> None:
    sqlmesh = managed()
    refs = {
        "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
        "to": {"environmentRef": {"name": "prod", "namespace": "data"}},
    }
    sqlmesh.world.apply(builders.promotion("far", "team", **refs)).settle()
    sqlmesh.work()
    assert sqlmesh.world.says("vpromo/team/far", "Ready") == {"Ready": "False/PromotionNotGranted"}
    grants = [{"namespaces": {"from": "All"}, "environments": ["*"], "promotions": True}]
    sqlmesh.world.apply(builders.gateway(grants=grants)).settle()
    sqlmesh.live(2 * MINUTE)
    assert sqlmesh.world.raw("vpromo/team/far")["status"]["outcome"] == "Succeeded"


def test_crashes_of_jobs_are_tried_again_and_then_it_is_errored() -> None:
    sqlmesh = managed(retry={"limit": 2})
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.RUNNER_CRASHED) for _ in range(2)]
    promote(sqlmesh)
    assert sqlmesh.world.says("vpromo/to-prod", "Reconciling") == {"Reconciling": "True/RunnerCrashed"}
    sqlmesh.live(HOUR)
    assert outcome(sqlmesh) == "Succeeded"
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.RUNNER_CRASHED) for _ in range(9)]
    promote(sqlmesh, "second")
    sqlmesh.live(DAY)
    assert outcome(sqlmesh, "second") == "Errored"


def test_a_lost_swap_is_done_again_and_has_an_effect_once() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan").work("audit")
    job = sqlmesh.world.job("promote").name
    sqlmesh.world.start_job(job)
    sqlmesh.world.settle()
    sqlmesh.answer(sqlmesh.task(sqlmesh.world.job(job)))  # it was done, and nobody hears of it
    sqlmesh.world.lose_job(job)
    sqlmesh.live(5 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.done.count("promote warehouse/prod") == 1


WRITES = [
    "apply-vulcanpromotions/status",
    "apply-vulcanenvironments/status",
    "create-jobs",
    "replace-leases",
    "merge-jobs",
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", range(1, 9))
def test_a_death_at_any_write_changes_nothing(write: str, when: str, count: int) -> None:
    sqlmesh = managed()
    sqlmesh.world.kube.writes.clear()
    sqlmesh.world.kube.crash_at(write, when, count)
    verified_again(sqlmesh)
    assert outcome(sqlmesh) == "RolledBack"
    assert [d for d in sqlmesh.done if d.startswith(("promote", "rollback"))] == [
        "promote warehouse/prod", "rollback warehouse/prod",
    ]  # fmt: skip
    names = [j.name for j in sqlmesh.world.jobs()]
    assert len(names) == len(set(names)) and not sqlmesh.world.jobs(state=JobState.UNFINISHED)


def verified_again(sqlmesh: SqlMesh) -> None:
    """As `verified_badly`, with an operator that may die: the audit of the target fails whenever it is asked."""
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan")
    sqlmesh.live(MINUTE) if not sqlmesh.world.jobs("audit") else sqlmesh.work("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.live(5 * MINUTE)


REFERENCE = {"name": "warehouse", "namespace": "data"}
TO_TEAM = {
    "to": {"environmentRef": {"name": "qa"}},
    "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
}


def test_a_target_that_has_no_grant_itself_gets_no_promotion_either() -> None:
    sqlmesh = managed()
    world = sqlmesh.world
    grants = [{"namespaces": {"from": "All"}, "environments": ["else_*"], "promotions": True}]
    world.apply(builders.gateway(grants=grants)).settle()
    qa = builders.environment("qa", "team", revisionFrom="Promotion", project=None, gatewayRef=REFERENCE)
    world.apply(qa, builders.promotion("take", "team", **TO_TEAM)).settle()
    before = len(sqlmesh.done)
    sqlmesh.live(HOUR)
    assert world.says("venv/team/qa", "Ready") == {"Ready": "False/NotGranted"}
    assert "team" in world.conditions("vpromo/team/take")["Ready"].message
    assert world.says("vpromo/team/take", "Ready")["Ready"] in ("False/PromotionNotGranted", "False/TargetRefused")
    assert not [d for d in sqlmesh.done[before:] if d.endswith("/qa")]


def test_a_target_that_would_take_anothers_name_gets_no_promotion() -> None:
    sqlmesh = managed()
    thief = builders.environment("thief", environment="staging", revisionFrom="Promotion", project=None)
    sqlmesh.world.apply(thief).settle()
    promote(sqlmesh, to={"environmentRef": {"name": "thief"}})
    assert sqlmesh.world.says("venv/thief", "Ready") == {"Ready": "False/EnvironmentNameTaken"}
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Stalled") == {
        "Ready": "False/TargetRefused", "Stalled": "True/TargetRefused",
    }  # fmt: skip
    assert sqlmesh.world.jobs("promote") == []


def test_once_views_were_changed_it_comes_to_an_end_whatever_is_shut_meanwhile() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit", "promote")
    sqlmesh.world.change("venv/prod", suspend=True)
    sqlmesh.world.delete("venv/staging").settle()
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"


def test_a_suspended_target_is_not_taken_back_by_hand_either() -> None:
    sqlmesh = promote(managed())
    sqlmesh.world.change("venv/prod", suspend=True).settle()
    sqlmesh.world.apply(builders.promotion("undo", rollbackTo={"promotion": "to-prod"}, **{"from": None})).settle()
    sqlmesh.live(HOUR)
    assert sqlmesh.world.says("vpromo/undo", "Ready") == {"Ready": "False/Suspended"}
    assert "rollback warehouse/prod" not in sqlmesh.done


def test_a_plan_that_never_holds_is_not_built_for_ever() -> None:
    sqlmesh = managed()
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.PLAN_CHANGED) for _ in range(99)]
    promote(sqlmesh)
    sqlmesh.live(DAY)
    assert outcome(sqlmesh) == "Failed"
    assert 2 <= 99 - len(sqlmesh.fails["promote"]) <= 4


def test_a_rollback_cannot_be_rolled_back() -> None:
    sqlmesh = promote(managed())
    back = {"from": None}
    sqlmesh.world.apply(builders.promotion("undo", rollbackTo={"promotion": "to-prod"}, **back)).settle()
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("redo", rollbackTo={"promotion": "undo"}, **back)).settle()
    sqlmesh.work()
    assert outcome(sqlmesh, "redo") == "Failed"
    assert "is a rollback itself" in sqlmesh.world.conditions("vpromo/redo")["Ready"].message


def test_unit_tests_of_what_was_gone_back_to_by_hand_are_still_known() -> None:
    sqlmesh = managed()
    before = sqlmesh.world.environment().status.applied
    promote(sqlmesh)
    sqlmesh.world.apply(builders.promotion("undo", rollbackTo={"promotion": "to-prod"}, **{"from": None})).settle()
    sqlmesh.work()
    after = sqlmesh.world.environment().status.applied
    assert before is not None and after is not None
    assert before.tests_run == after.tests_run == 0
