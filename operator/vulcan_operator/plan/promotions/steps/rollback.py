"""Step Rollback: puts back what the target had before, by swapping views. Pure.

The last step of a rollback by hand (spec.rollbackTo), and what follows when Verify has rejected the
views. Waits for no window, freeze or queue.
"""

import datetime as dt
from dataclasses import replace

from vulcan_contract import times
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_contract.task import Promotion, Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.moves import Done, Move, Order
from vulcan_operator.plan.promotions.lane import close, end
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.promotions.step import Change, last_message
from vulcan_operator.plan.rules import access
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import slot
from vulcan_operator.plan.tasks.life import Ended, Extras


class Rollback(Change):
    """Judged by the result of its Job."""

    name = StepName.ROLLBACK
    doing = Why.ROLLING_BACK, "putting the views back"
    runs_even_there = True
    rank = slot.Priority.ROLLBACK

    def next(self, status: PromotionStatus, route: Route) -> Move:
        to = _goal(status, route)
        if to is None or not to.plan_id:
            message = "the target had nothing before that could be put back"
            unavailable = statuses.RollbackState.UNAVAILABLE
            rollback = statuses.RollbackStatus(state=unavailable, message=message)
            return Done(StepState.FAILED, message, settles={"rollback": rollback})
        inputs = of_json(["rollback", to.plan_id, _undone(status)])[:16]
        return Order(TaskKind.ROLLBACK, inputs, "going back", route.to_site)

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        to = _goal(status, route)
        assert to is not None
        promotion = Promotion(
            route.target.sqlmesh_environment,
            to.plan_id,
            virtual_only=False,
            catch_up=route.promotion.spec.rollback.data == "CatchUpThenSwap",
            max_catch_up=route.gates.max_catch_up_intervals,
            expected=_undone(status),
        )
        task = super().task(base, named, status, route).task
        image = access.applied_image(route.target, route.target.applied)
        return Extras(replace(task, promotion=promotion), image=image)

    def changed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        to, result = _goal(status, case), ended.result
        plan_id, work, message = ends.plan_id(result), result.work or Work(), result.message
        complete = work.complete_until
        until = dt.datetime.fromisoformat(complete) if complete is not None else None
        if until is not None:
            message = f"{message[:900]} {_age_of_data(work, until)}"
        evidence = {"job": ended.task.job, "planId": plan_id}
        status = close(status, self.name, case.now, Done(StepState.SUCCEEDED, message, evidence))
        rollback = statuses.RollbackStatus(
            state=statuses.RollbackState.SUCCEEDED,
            reason=_reason(status),
            message=message,
            plan_id=plan_id,
            revision=to.revision if to is not None else "",
            time=case.now,
            intervals_behind=work.intervals_behind,
            complete_until=until,
        )
        outcome = Outcome.SUCCEEDED if case.is_back else Outcome.ROLLED_BACK
        return end(status.but(rollback=rollback, applied_plan_id=plan_id), outcome, case.now)

    def failed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        unavailable = ended.result.reason is Reason.ROLLBACK_UNAVAILABLE
        states, message = statuses.RollbackState, last_message(ended.result)[:1024]
        state = states.UNAVAILABLE if unavailable else states.FAILED
        rollback = statuses.RollbackStatus(state=state, reason=_reason(status), message=message)
        return super().failed(status, case, ended).but(rollback=rollback)


def _goal(
    status: PromotionStatus, case: Case
) -> statuses.SideStatus | statuses.PreviousStatus | None:
    """What is put back."""
    return status.source if case.is_back else status.previous


def _reason(status: PromotionStatus) -> str:
    return status.rollback.reason if status.rollback is not None else "Requested"


def _undone(status: PromotionStatus) -> str:
    """The plan that the target must still have: ours, or what it had when Resolve looked at it."""
    return status.applied_plan_id or (status.target.plan_id if status.target is not None else "")


def _age_of_data(work: Work, until: dt.datetime) -> str:
    many = work.intervals_behind != 1
    missing = f"{work.intervals_behind} intervals are missing" if many else "1 interval is missing"
    at = f"{times.to_second(until)}"
    return f"Data is complete up to {at}; {missing} until the run that follows."
