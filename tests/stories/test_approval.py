"""Nothing reaches an environment with approval Always but what was approved, and an approval is used up."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, alive, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract.digest import of_names
from vulcan_contract.reasons import Reason

OTHER = "sha256:" + "0" * 64


def waiting() -> SqlMesh:
    """An environment whose first plan waits for people."""
    return fresh(builders.environment(plan=ALWAYS)).work()


def digest(sqlmesh: SqlMesh) -> str:
    """The plan in question."""
    return str(sqlmesh.world.raw("venv/prod")["status"]["plan"]["digest"])


def test_a_plan_waits_with_the_complete_command_and_is_neither_working_nor_stalled() -> None:
    sqlmesh = waiting()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling", "Stalled", "AwaitingApproval") == {
        "Ready": "False/AwaitingApproval", "Reconciling": "False/AwaitingApproval",
        "Stalled": "False/AwaitingApproval", "AwaitingApproval": "True/AwaitingApproval",
    }  # fmt: skip
    assert digest(sqlmesh) in ready.message and "kubectl patch vulcanenvironment" in ready.message
    assert sqlmesh.done == []


def test_the_command_is_one_that_a_shell_accepts_and_that_names_the_plan() -> None:
    sqlmesh = waiting()
    command = sqlmesh.world.conditions("venv/prod")["Ready"].message.split("To approve: ")[1]
    fake = 'kubectl() { if [ "$1" = auth ]; then printf %s alice; else for a; do :; done; printf %s "$a"; fi; }; '
    shell = shutil.which("bash")
    assert shell is not None
    out = subprocess.run([shell, "-c", fake + command], capture_output=True, text=True, check=True).stdout
    assert json.loads(out)[-1]["value"] == [{"plan": digest(sqlmesh), "by": "alice"}]


def test_after_its_approval_the_plan_is_applied_and_status_says_who_approved() -> None:
    sqlmesh = waiting()
    sqlmesh.world.approve("venv/prod", by="alice")
    assert sqlmesh.work().done == ["apply warehouse/prod", "run warehouse/prod"]
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None and applied.approved_by == ["alice"]
    audits = [n.audit for _, n in sqlmesh.world.notes if n.audit and n.audit.operation == "apply"]
    assert [a.asked for a in audits] == ["alice"]


def test_a_digest_without_its_prefix_is_the_same_digest() -> None:
    sqlmesh = waiting()
    sqlmesh.world.approve("venv/prod", plan=digest(sqlmesh).removeprefix("sha256:"))
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_an_approval_for_another_digest_does_nothing() -> None:
    sqlmesh = waiting()
    sqlmesh.world.approve("venv/prod", plan=OTHER)
    assert sqlmesh.work().done == []
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_a_rejected_plan_is_not_applied_whoever_else_approves_it() -> None:
    sqlmesh = waiting()
    sqlmesh.world.approve("venv/prod", by="bob", decision="Reject").approve("venv/prod", by="alice")
    assert sqlmesh.work().done == []
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling", "Stalled") == {
        "Ready": "False/PlanRejectedByHuman", "Reconciling": "False/PlanRejectedByHuman",
        "Stalled": "False/PlanRejectedByHuman",
    }  # fmt: skip
    assert "bob rejected it" in sqlmesh.world.conditions("venv/prod")["Ready"].message


def test_a_withdrawn_rejection_asks_again() -> None:
    sqlmesh = waiting()
    sqlmesh.world.approve("venv/prod", by="bob", decision="Reject").settle()
    sqlmesh.world.change("venv/prod", approvals=[]).settle()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.approve("venv/prod")
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_two_approvals_must_be_of_different_people() -> None:
    sqlmesh = fresh(builders.environment(plan={"approval": {"mode": "Always", "count": 2}})).work()
    sqlmesh.world.approve("venv/prod", plan=digest(sqlmesh))
    sqlmesh.world.approve("venv/prod", plan=digest(sqlmesh).removeprefix("sha256:"))
    assert sqlmesh.work().done == []
    sqlmesh.world.approve("venv/prod", by="carol")
    assert "apply warehouse/prod" in sqlmesh.work().done


BY_OTHERS = {"approval": {"mode": "Always", "excludeAuthor": True}}


def test_who_created_it_does_not_approve_it() -> None:
    made = builders.environment(plan=BY_OTHERS)
    made["metadata"]["annotations"] = {"vulcan.dev/created-by": "alice"}
    sqlmesh = fresh(made).work()
    sqlmesh.world.approve("venv/prod", by="alice")
    assert sqlmesh.work().done == []
    assert "1 approval missing, by others than alice" in sqlmesh.world.conditions("venv/prod")["Ready"].message
    sqlmesh.world.approve("venv/prod", by="bea")
    assert "apply warehouse/prod" in sqlmesh.work().done
    assert sqlmesh.world.environment().status.applied.approved_by == ["bea"]  # type: ignore[union-attr]


def test_where_nobody_knows_who_created_it_nobody_can_approve_it() -> None:
    sqlmesh = fresh(builders.environment(plan=BY_OTHERS)).work()
    sqlmesh.world.approve("venv/prod", by="bea")
    assert sqlmesh.work().done == []
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling", "Stalled", "AwaitingApproval") == {
        "Ready": "False/AuthorUnknown", "Reconciling": "False/AuthorUnknown", "Stalled": "False/AuthorUnknown",
        "AwaitingApproval": "True/AwaitingApproval",
    }  # fmt: skip
    message = sqlmesh.world.conditions("venv/prod")["Ready"].message
    assert "vulcan.dev/created-by: YOUR-USER-NAME" in message and "kubectl patch" not in message


def test_an_approval_is_used_up_when_the_environment_has_moved_on_and_back() -> None:
    sqlmesh = waiting()
    for text in ("A", "B", "A"):
        edit(sqlmesh.world, text)
        sqlmesh.work()
        assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval", text
        sqlmesh.world.approve("venv/prod")
        sqlmesh.work()
    assert sqlmesh.done.count("apply warehouse/prod") == 3
    assert len({a["plan"] for a in sqlmesh.world.raw("venv/prod")["spec"]["approvals"]}) == 3


@pytest.mark.parametrize(
    "rules",
    [{"limits": {"maxRemovedPercent": 10}}, {"approval": {"mode": "Always", "count": 2}}],
    ids=["another limit", "another approval rule"],
)
def test_another_rule_is_another_digest_and_the_old_approval_does_not_count(rules: dict[str, object]) -> None:
    sqlmesh = waiting()
    old = digest(sqlmesh)
    sqlmesh.world.change("venv/prod", plan=rules).settle()
    assert digest(sqlmesh) != old
    sqlmesh.world.approve("venv/prod", plan=old)
    assert sqlmesh.work().done == []
    assert len(sqlmesh.world.jobs("plan")) == 1


def test_a_plan_without_changes_needs_no_approval_and_no_apply() -> None:
    sqlmesh = alive(plan=ALWAYS)
    sqlmesh.world.annotate("venv/prod", plan_requested_at="now")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
    assert sqlmesh.done.count("apply warehouse/prod") == 1
    plan = sqlmesh.world.environment().status.plan
    assert plan is not None and plan.state == "NoChanges"


@pytest.mark.parametrize(
    ("summary", "why"),
    [
        ({"removed": 2, "total_models": 6}, "maxRemovedPercent: 25.0 above 20"),
        ({"backfill_intervals": 5001}, "maxBackfillIntervals: 5001 above 5000"),
    ],
    ids=["a quarter of the models goes away", "more intervals than allowed"],
)
def test_without_approvals_a_plan_above_the_limits_still_asks(summary: dict[str, object], why: str) -> None:
    sqlmesh = fresh(builders.environment())
    sqlmesh.summary = summary
    sqlmesh.work()
    assert why in sqlmesh.world.conditions("venv/prod")["Ready"].message
    assert sqlmesh.done == []


def test_a_plan_that_changed_is_planned_and_asked_for_again() -> None:
    sqlmesh = waiting()
    sqlmesh.fails["apply"] = [builders.failed("apply", Reason.PLAN_CHANGED)]
    sqlmesh.summary = {"backfill_intervals": 7}
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work("apply")
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/Planning"
    sqlmesh.plan_ids["warehouse/prod"] = "somebody else's"
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_a_plan_that_changes_three_times_at_one_source_is_stalled_until_asked() -> None:
    sqlmesh = fresh(builders.environment())
    sqlmesh.fails["apply"] = [builders.failed("apply", Reason.PLAN_CHANGED)] * 3
    sqlmesh.work()
    assert [j.task for j in sqlmesh.world.jobs()] == ["probe", *["plan", "apply"] * 3]
    assert sqlmesh.world.says("venv/prod", "Ready", "Stalled") == {
        "Ready": "False/PlanNotDeterministic", "Stalled": "True/PlanNotDeterministic",
    }  # fmt: skip
    sqlmesh.world.annotate("venv/prod", plan_requested_at="again")
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_a_plan_that_waits_too_long_is_planned_again_and_asks_again() -> None:
    sqlmesh = waiting()
    sqlmesh.world.advance(3 * DAY)
    assert len(sqlmesh.world.jobs("plan")) == 2
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_an_approved_plan_whose_apply_failed_is_retried_with_the_same_approval() -> None:
    sqlmesh = waiting()
    sqlmesh.fails["apply"] = [builders.failed("apply", Reason.MODEL_FAILED, "division by zero")]
    sqlmesh.world.approve("venv/prod")
    assert sqlmesh.live(DAY / 24).done[0] == "apply warehouse/prod"
    assert [j.attempt for j in sqlmesh.world.jobs("apply")] == [1, 2]


def test_an_approval_withdrawn_between_announcement_and_job_stops_the_job() -> None:
    sqlmesh = waiting()
    sqlmesh.world.kube.crash_at("apply-vulcanenvironments/status", "after")
    sqlmesh.world.approve("venv/prod")
    sqlmesh.world.restart = lambda: sqlmesh.world.change("venv/prod", approvals=[]) and World.restart(sqlmesh.world)  # type: ignore[method-assign]
    sqlmesh.world.settle()
    assert sqlmesh.work().done == []
    assert sqlmesh.world.jobs("apply") == []


@pytest.mark.parametrize(
    "change",
    [
        {"approvals": []},
        {"plan": {"approval": {"mode": "Always", "count": 2}}},
        {"plan": {"limits": {"maxHistory": "1d"}}},
    ],
    ids=["the vote is withdrawn", "two must approve", "another limit"],
)
def test_what_is_applied_keeps_the_decision_that_it_was_started_with(change: dict[str, Any]) -> None:
    sqlmesh = waiting()
    decided = digest(sqlmesh)
    sqlmesh.world.approve("venv/prod", by="alice").settle().start_job(sqlmesh.world.job("apply").name)
    sqlmesh.world.settle().change("venv/prod", **change).settle()
    assert digest(sqlmesh) == decided
    sqlmesh.work()
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None and (applied.plan_digest, applied.approved_by) == (decided, ["alice"])


PROTECTED = {"grants": [{"environments": ["prod"], "protected": True, "minimum": {"approval": {"mode": "Never"}}}]}


@pytest.mark.parametrize("guarded", [False, None], ids=["not guarded", "not known yet"])
@pytest.mark.parametrize("mode", ["Always", "Never"])
def test_protected_environments_wait_while_approvals_are_not_guarded(guarded: bool | None, mode: str) -> None:
    sqlmesh = fresh(builders.gateway(**PROTECTED), guarded=guarded)
    sqlmesh.world.apply(builders.environment(plan={"approval": {"mode": mode}}))
    sqlmesh.work()
    if mode == "Always":
        sqlmesh.world.approve("venv/prod")
    assert sqlmesh.work().done == []
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/ApprovalsUnprotected"
    sqlmesh.world.guarded = True
    sqlmesh.world.advance(DAY / 1440)
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_a_plan_with_more_destructive_names_than_fit_is_applied_by_the_digest_of_all() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    lost = tuple(f"some_schema.a_rather_long_model_name_{i}" for i in range(400))
    sha256 = of_names(lost)
    sqlmesh.summary.update(destructive=lost, destructive_count=400, destructive_sha256=sha256, total_models=400)
    sqlmesh.work()
    summary = sqlmesh.world.raw("venv/prod")["status"]["plan"]["summary"]
    assert (summary["destructiveCount"], summary["destructiveSha256"]) == (400, sha256)
    sqlmesh.world.approve("venv/prod")
    approved = sqlmesh.task(sqlmesh.world.settle().jobs(task="apply")[0]).approved
    assert approved is not None and approved.destructive_sha256 == sha256
