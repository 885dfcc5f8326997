"""Step Verify: whether the views stay."""

from typing import Any

import pytest

from tests.unit.plan.promotions.cases import PLAN, ask, ended, judged, results, status
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_operator.plan.promotions.steps.verify import Verify

SWAPPED = status(plan={**PLAN, "state": "Applied"}, appliedPlanId="p-1")
THERE = status(plan={**PLAN, "state": "NoChanges"}, appliedPlanId="p-1")
TARGETS = {"status": {"rollbackTargets": [{"planId": "p-9", "state": "Available"}]}}


def test_the_target_s_audits_decide_whether_it_is_asked() -> None:
    assert ask(Verify(), SWAPPED)[0] == "Order audit on data/warehouse"
    assert ask(Verify(), SWAPPED, target={"checks": {"audits": False}})[0] == "Done Skipped"


@pytest.mark.parametrize(
    ("before", "reason", "spec", "outcome", "rolls_back"),
    [
        pytest.param(SWAPPED, Reason.AUDIT_FAILED, {}, None, True, id="rejected: rolled back"),
        pytest.param(SWAPPED, Reason.AUDIT_FAILED, {"onFailure": "Hold"}, "Failed", False, id="rejected, onFailure: Hold"),
        pytest.param(THERE, Reason.AUDIT_FAILED, {}, "Failed", False, id="rejected, but nothing was changed"),
        pytest.param(SWAPPED, Reason.LOST, {}, None, False, id="lost: asked again"),
    ],
)  # fmt: skip
def test_what_its_failure_means(
    before: Any, reason: Reason, spec: dict[str, Any], outcome: str | None, rolls_back: bool
) -> None:
    found = judged(Verify(), ended("audit", reason, "a.b: 3 rows"), before, spec)
    assert (found.outcome, found.rollback is not None) == (outcome, rolls_back)


def test_what_could_not_be_judged_is_not_rolled_back() -> None:
    end = ended("audit", Reason.LOST)
    found = judged(Verify(), end, SWAPPED, target={"retry": {"limit": 0}})
    assert (results(found, Verify()), found.rollback) == (("Errored", "Errored"), None)


def test_audits_of_another_plan_have_not_verified_this_one_and_undo_nothing() -> None:
    found = judged(Verify(), ended("audit", work=Work(plan_id="p-2")), SWAPPED)
    assert (results(found, Verify()), found.rollback) == (("Failed", "Failed"), None)
    assert results(
        judged(Verify(), ended("audit", work=Work(plan_id="p-1")), SWAPPED), Verify()
    ) == ("Succeeded", None)


@pytest.mark.parametrize(
    ("before", "hint"),
    [(SWAPPED, "{promotion: to-prod}"), (THERE, "{planId: p-9}")],
    ids=["changed", "there already"],
)
def test_views_that_stay_come_with_the_way_to_take_them_back(before: Any, hint: str) -> None:
    end = ended("audit", Reason.AUDIT_FAILED, "a.b: 3 rows")
    step = judged(Verify(), end, before, {"onFailure": "Hold"}, target=TARGETS).find("Verify")
    assert step is not None and hint in step.message and "a.b: 3 rows" in step.message
