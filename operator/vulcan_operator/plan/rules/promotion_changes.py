"""What a promotion has done to its target, or may have: told from its status alone. Pure.

Used by `promotion_facts` for others and by `promotions`, where much depends on it: what may have
changed views must come to an end, whatever else is closed or gone.
"""

from vulcan_contract.reasons import ABOUT, Leaves, Reason
from vulcan_operator.api.fields import TaskState
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepStatus

# A task that was told to stop never stops between two views.
UNTOUCHED = tuple(r for r in Reason if ABOUT[r].leaves is Leaves.BATCHES)
# Ends without a result, or with one that only comes in the middle. Others mostly come before
# anything was begun.
TOUCHING = tuple(r for r in Reason if ABOUT[r].leaves is Leaves.MAYBE_VIEWS)
CHANGES = (StepName.CATCH_UP, StepName.APPLY, StepName.ROLLBACK)  # whose Job may change the target


def is_changing(status: PromotionStatus) -> bool:
    """Whether its Job may have begun to change the target, or has: it must come to an end then."""
    steps = (step for step in status.steps if step.name in CHANGES)
    return has_changed(status) or any(step.job for step in steps)


def half_done(status: PromotionStatus) -> StepStatus | None:
    """The step whose Job may have left the views half changed."""
    steps = (step for name in CHANGES if (step := status.find(name)) is not None)
    return next((s for s in steps if s.finished_at is None and _may_be_half_done(s)), None)


def _may_be_half_done(step: StepStatus) -> bool:
    """By an attempt that did not say that it had changed nothing, or by one that may be at it."""
    waits = step.task is not None and step.task.state == TaskState.WAITING and step.failure is None
    stopped = step.failure is not None and step.failure.reason in UNTOUCHED
    return step.touched or (bool(step.job) and not stopped and not waits)


def is_touched(status: PromotionStatus) -> bool:
    """Whether an attempt is known to have died where it may have changed some of the views."""
    return any(step.touched for step in status.steps if step.name in CHANGES)


def must_end(status: PromotionStatus) -> bool:
    """Whether views were changed, or are likely half changed: nothing else holds it then."""
    return has_changed(status) or is_touched(status)


def has_changed(status: PromotionStatus) -> bool:
    """Whether views were changed, or are being put back."""
    return bool(status.applied_plan_id) or status.rollback is not None
