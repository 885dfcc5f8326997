"""Steps CatchUp and Apply: when the Job that changes views may start, and what its end means."""

from typing import Any

import pytest

from tests.unit.plan.promotions.cases import (
    ACROSS,
    PLAN,
    ask,
    ended,
    extras,
    judged,
    results,
    status,
)
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_operator.plan.promotions.steps.swap import Apply, CatchUp

FREEZE = {"freeze": {"reason": "year-end close"}}
PLANNED = status(plan=PLAN)
TOUCHED = {"name": "Apply", "touched": True, "job": "before"}
BEHIND = {**PLAN, "summary": {"text": "t", "catchUpIntervals": 3}}
AGAIN = Reason.PLAN_CHANGED


def test_within_one_system_it_promotes_and_across_systems_it_applies() -> None:
    assert ask(Apply(), PLANNED)[0] == "Order promote on data/warehouse"
    across = status(**ACROSS, plan=PLAN)
    assert ask(Apply(), across, across=True)[0] == "Order apply on data/warehouse"
    promote, apply = extras(Apply(), PLANNED).task, extras(Apply(), across, across=True).task
    assert (promote.promotion is None, promote.source) == (False, None)
    assert (apply.promotion, apply.source is None) == (None, False)
    assert promote.approved is not None and promote.approved.token == PLAN["digest"]


@pytest.mark.parametrize(
    ("spec", "gateway", "step", "says"),
    [
        pytest.param({}, {}, None, "Order promote", id="decided, and nothing is closed"),
        pytest.param({"approval": {"mode": "Always"}}, {}, None, "Wait AwaitingApproval", id="the approval was withdrawn"),
        pytest.param(
            {"approvals": [{"plan": PLAN["digest"], "by": "bea", "decision": "Reject"}]}, {}, None, "Done Failed",
            id="rejected meanwhile",
        ),
        pytest.param({}, FREEZE, None, "Wait Frozen", id="frozen"),
        pytest.param({}, FREEZE, TOUCHED, "Order promote", id="half changed views are finished, frozen or not"),
    ],
)  # fmt: skip
def test_what_it_asks_before_each_job(
    spec: dict[str, Any], gateway: dict[str, Any], step: dict[str, Any] | None, says: str
) -> None:
    found = status(*([step] if step else []), plan=PLAN)
    assert ask(Apply(), found, spec, gateway=gateway)[0].startswith(says)


def test_catch_up_is_for_missing_intervals_within_one_system() -> None:
    assert ask(CatchUp(), PLANNED)[0] == "Done Skipped"
    assert ask(CatchUp(), status(plan=BEHIND))[0].startswith("Order promote")
    assert ask(CatchUp(), status(**ACROSS, plan=BEHIND), across=True)[0] == "Done Skipped"


@pytest.mark.parametrize("step", [CatchUp(), Apply()])
def test_the_end_of_its_job_is_the_end_of_apply(step: Apply) -> None:
    end = ended("promote", work=Work(plan_id="p-1", batches=2))
    found = judged(step, end, PLANNED)
    assert results(found, Apply()) == ("Succeeded", None) and found.applied_plan_id == "p-1"
    assert found.plan is not None and found.plan.state == "Applied"
    apply = found.find("Apply")
    assert apply is not None and apply.evidence == {"job": "j", "batches": "2", "planId": "p-1"}


@pytest.mark.parametrize(
    ("reason", "touched"),
    [
        pytest.param(Reason.LOST, True, id="nobody knows how far it came"),
        pytest.param(Reason.PREEMPTED, False, id="it was told to stop, and stops between batches"),
    ],
)
def test_an_attempt_that_may_have_changed_views_is_remembered(
    reason: Reason, touched: bool
) -> None:
    step = judged(Apply(), ended("promote", reason), PLANNED).find("Apply")
    assert step is not None and step.touched is touched and step.failure is not None


def test_a_plan_that_does_not_hold_any_more_is_made_again_but_not_for_ever() -> None:
    end = ended("promote", AGAIN, "m")
    again = judged(Apply(), end, status({"name": "Soak", "state": "Succeeded"}, plan=PLAN))
    assert (again.plan, again.plans, [s.name for s in again.steps]) == (None, 1, ["Soak"])
    assert results(judged(Apply(), end, status(plan=PLAN, plans=3)), Apply())[1] is not None


def test_half_changed_views_are_not_forgotten_with_their_plan() -> None:
    touched = status({"name": "CatchUp", "touched": True, "job": "lost"}, plan=PLAN)
    step = judged(Apply(), ended("promote", AGAIN), touched).find("Apply")
    assert step is not None and (step.touched, step.job) == (True, "lost")
