"""Step Rollback: what is put back, from what, and what its end means."""

import datetime as dt

import pytest

from tests.builders import NOW
from tests.unit.plan.promotions.cases import ask, back, ended, extras, judged, results, status
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_operator.plan.promotions.steps.rollback import Rollback

SWAPPED = status(appliedPlanId="p-1", rollback={"reason": "AuditFailed"})


def test_by_itself_it_goes_back_to_what_was_there_and_by_hand_to_what_was_resolved() -> None:
    forward, by_hand = (
        extras(Rollback(), SWAPPED).task,
        extras(Rollback(), status(), back(planId="p-new")).task,
    )
    assert forward.promotion is not None and by_hand.promotion is not None
    assert (forward.promotion.plan_id, forward.promotion.expected) == ("p-old", "p-1")
    assert (by_hand.promotion.plan_id, by_hand.promotion.expected) == ("p-new", "p-old")


def test_what_it_undoes_is_part_of_what_it_is() -> None:
    assert ask(Rollback(), SWAPPED)[1] != ask(Rollback(), SWAPPED.but(applied_plan_id="p-2"))[1]


def test_where_nothing_was_there_before_nothing_can_be_put_back() -> None:
    assert ask(Rollback(), SWAPPED.but(previous=None))[0] == "Done Failed"


@pytest.mark.parametrize(
    ("spec", "outcome"), [({}, "RolledBack"), (back(planId="p-new"), "Succeeded")]
)
def test_its_success_is_the_end(spec: dict[str, object], outcome: str) -> None:
    work = Work(plan_id="p-old", intervals_behind=2, complete_until="2026-11-21T06:00:00Z")
    found = judged(Rollback(), ended("rollback", message="swapped.", work=work), SWAPPED, spec)
    assert (results(found, Rollback()), found.applied_plan_id) == (("Succeeded", outcome), "p-old")
    assert found.rollback is not None and found.rollback.time == NOW
    assert found.rollback.complete_until == dt.datetime(2026, 11, 21, 6, tzinfo=dt.timezone.utc)
    assert (
        "2 intervals are missing" in found.rollback.message
        and found.rollback.reason == "AuditFailed"
    )


@pytest.mark.parametrize(
    ("reason", "state", "outcome"),
    [(Reason.ROLLBACK_UNAVAILABLE, "Unavailable", "Failed"), (Reason.LOST, "Failed", "Errored")],
)
def test_its_failure_is_the_end_too(reason: Reason, state: str, outcome: str) -> None:
    found = judged(Rollback(), ended("rollback", reason), SWAPPED, target={"retry": {"limit": 0}})
    assert found.rollback is not None and (found.rollback.state, found.outcome) == (state, outcome)


def test_a_lost_one_is_tried_again_and_may_have_changed_views() -> None:
    step = judged(Rollback(), ended("rollback", Reason.LOST), SWAPPED).find("Rollback")
    assert step is not None and step.touched and step.failure is not None
