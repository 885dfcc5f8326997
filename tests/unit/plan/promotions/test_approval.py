"""Step Approval: whose answer is missing, and when the plan does not hold any more."""

import datetime as dt
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.promotions.cases import HAD, HOUR, PLAN, ask, promotion, route, status
from vulcan_operator.plan.core.actions import ReadConfigMap
from vulcan_operator.plan.promotions.steps.approval import Approval, under_rules_of_today

ALWAYS: dict[str, Any] = {"approval": {"mode": "Always"}}
VOTE = {"plan": PLAN["digest"], "by": "bea"}
PLANNED = status(plan=PLAN)


def voted(**vote: str) -> dict[str, Any]:
    """A spec with one vote."""
    return {**ALWAYS, "approvals": [{**VOTE, **vote}]}


@pytest.mark.parametrize(
    ("spec", "after", "says"),
    [
        pytest.param({}, 0, "Done Succeeded", id="nobody is asked"),
        pytest.param(ALWAYS, 0, "Wait AwaitingApproval", id="somebody is"),
        pytest.param(voted(), 0, "Done Succeeded", id="and has approved"),
        pytest.param(voted(decision="Reject"), 0, "Done Failed", id="and has rejected"),
        pytest.param(voted(plan="sha256:" + "b" * 64), 0, "Wait AwaitingApproval", id="of another plan"),
        pytest.param(ALWAYS, 73, "Again", id="nobody has answered in time"),
        pytest.param(voted(), 73, "Again", id="the approval is too old"),
        pytest.param({}, 73, "Done Succeeded", id="where nobody is asked there is no hurry"),
        pytest.param(
            {"approval": {"mode": "Always", "excludeAuthor": True}}, 0, "Wait AuthorUnknown", id="nobody knows the author"
        ),
    ],
)  # fmt: skip
def test_what_it_answers(spec: dict[str, Any], after: int, says: str) -> None:
    assert ask(Approval(), PLANNED, spec, now=NOW + after * HOUR)[0] == says


def test_the_command_adds_to_the_list_that_is_there() -> None:
    assert '"op":"test"' in ask(Approval(), PLANNED, ALWAYS)[1]
    assert '"op":"test"' not in ask(Approval(), PLANNED, {**ALWAYS, "approvals": []})[1]


def test_nobody_is_asked_for_a_plan_of_a_target_that_has_moved() -> None:
    assert ask(Approval(), PLANNED, ALWAYS, had={**HAD, "planId": "other"})[0] == "Again"
    left = promotion("other", status={
        "outcome": "Succeeded", "appliedPlanId": "p9", "finishedAt": "2026-11-22T13:00:00Z", "revision": "r"})  # fmt: skip
    assert ask(Approval(), PLANNED, ALWAYS)[0] != "Again"
    way = route(PLANNED, ALWAYS, left)
    assert type(Approval().next(PLANNED, way)).__name__ == "Again"


def test_of_a_protected_target_nothing_counts_that_the_api_server_does_not_guard() -> None:
    target = {"status": {"protected": True}}
    assert (
        ask(Approval(), PLANNED, target=target, unguarded=("policy",))[0]
        == "Wait ApprovalsUnprotected"
    )
    assert ask(Approval(), PLANNED, target=target, unguarded=None)[0] == "Wait ApprovalsUnprotected"
    assert ask(Approval(), PLANNED, target=target)[0] == "Done Succeeded"


def test_an_approval_of_a_report_that_is_gone_does_not_count() -> None:
    planned = status(plan={**PLAN, "reportRef": {"name": "report", "sha256": "0"}})
    gone = {ReadConfigMap("data", "report"): None}
    assert ask(Approval(), planned, voted(), live=gone)[0] == "Again"
    assert ask(Approval(), planned, {}, live={})[0] == "Done Succeeded"  # nobody has looked at it


@pytest.mark.parametrize(
    ("step", "is_asked_again"),
    [
        pytest.param({"name": "Approval", "state": "Waiting"}, True, id="while people are asked"),
        pytest.param(
            {"name": "Apply", "state": "Running", "task": "Waiting"}, True, id="while it is queued"
        ),
        pytest.param(
            {"name": "Apply", "state": "Running", "task": "Running"},
            False,
            id="not once it has begun",
        ),
    ],
)
def test_under_other_rules_people_are_asked_again(
    step: dict[str, Any], is_asked_again: bool
) -> None:
    state = step.pop("task", None)
    since = (NOW - dt.timedelta(hours=1)).isoformat()
    task = (
        {"task": {"kind": "promote", "job": "j", "inputs": "i", "since": since, "state": state}}
        if state
        else {}
    )
    found = status({**step, **task}, plan=PLAN, approvedBy=["bea"])
    now = under_rules_of_today(found, route(found))
    assert (now.plan is not None and now.plan.digest != PLAN["digest"]) is is_asked_again
    assert now.approved_by == ([] if is_asked_again else ["bea"])
    assert [s.task is None for s in now.steps] == [state is None or is_asked_again]
