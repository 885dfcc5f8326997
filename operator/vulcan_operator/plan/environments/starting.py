"""How a task of an environment is started: announced in status, its Job in the same pass. Pure.

Used by `planner` for what the steps want, and by `deletion` for the last task.
"""

from vulcan_operator.plan.core.decision import EnvironmentDraft
from vulcan_operator.plan.core.moves import Order
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.tasks import life, slot


def start(
    draft: EnvironmentDraft,
    order: Order,
    context: Context,
    rank: slot.Priority | None = None,
) -> EnvironmentDraft:
    """The draft with the task, waiting for the writer slot where that is taken; without, if what it
    was ordered for is not wanted any more."""
    step, preview = STEPS[order.kind], context.spec.ttl is not None
    if rank is None:
        rank = slot.priority(order.kind, protected=context.protected, preview=preview)
    answer = life.start(
        draft, step.lane, order, context.environment.status.task, rank,
        lambda base, current: step.task(base, current, draft.status, context), context.mine,
    )  # fmt: skip
    match answer:
        case life.Started(started):
            return started
        case life.Queued(queued):
            return queued
        case life.Outdated():
            return draft.with_status(task=None)
