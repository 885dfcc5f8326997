"""Steps CatchUp and Apply: one Job that changes the target's views. Pure.

Within one system it swaps views, after it has computed recent intervals where some are missing:
that is step CatchUp, and its end is the end of both. Across systems it applies the plan.
"""

from dataclasses import replace

from vulcan_contract import reasons
from vulcan_contract.reasons import Retry
from vulcan_contract.task import Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import PlanState
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.promotions import files
from vulcan_operator.plan.promotions.lane import MOST_REPLANS, close, replanned
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.promotions.step import Change, Judged, settled
from vulcan_operator.plan.rules import approval, change_windows
from vulcan_operator.plan.rules.promotion_changes import is_touched
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras

SWAPS = (StepName.CATCH_UP, StepName.APPLY)


class Apply(Change):
    """Changes the views. Asked before each Job: votes are withdrawn and windows close meanwhile."""

    name = StepName.APPLY
    doing = Why.PROMOTING, "changing the target"

    def next(self, status: PromotionStatus, route: Route) -> Move:
        plan = settled(status.plan)
        decision = approval.decide(plan, route.rules, route.author)
        if decision.say is approval.Say.NO:
            return Done(StepState.FAILED, f"rejected: {decision.why}")
        if decision.say is approval.Say.WAIT:
            message = f"an approval was withdrawn: {decision.why}"
            return Wait(Verdict("False", Why.AWAITING, message))
        failures = (s.failure for s in status.steps if s.name in SWAPS)
        failure = next((f for f in failures if f is not None), None)
        window = change_windows.closed_for(route.target.spec, route.gateway, failure, route.now)
        if window is not None and not is_touched(status):
            return Wait(window.verdict, window.look_again, {"next_opening_time": window.opens})
        kind = TaskKind.APPLY if route.is_across else TaskKind.PROMOTE
        inputs = approval.apply_inputs(plan)
        return Order(kind, inputs, "the promotion was decided on", route.to_site)

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        by_human, plan = bool(status.approved_by), settled(status.plan)
        approved = values.approved_of(route.rules.plan, plan, by_human=by_human)
        task = super().task(base, named, status, route).task
        extras = files.computing(replace(task, approved=approved), status, route)
        return replace(extras, image=plan.image or None)

    def judge(self, status: PromotionStatus, route: Case, ended: Ended) -> Judged:
        result = ended.result
        failed = result.outcome is not reasons.Outcome.SUCCEEDED
        if failed and result.retries is Retry.REPLAN and status.plans < MOST_REPLANS:
            return Judged(replanned(status))
        return super().judge(status, route, ended)

    def changed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        result, job, plan = ended.result, ended.task.job, status.plan
        batches = str(result.work.batches) if result.work else "0"
        evidence = {"job": job, "batches": batches, "planId": ends.plan_id(result)}
        done = Done(StepState.SUCCEEDED, result.message, evidence)
        applied = plan.but(state=PlanState.APPLIED) if plan is not None else None
        status = close(status, StepName.APPLY, case.now, done, job=job)
        return status.but(applied_plan_id=evidence["planId"], plan=applied)


class CatchUp(Apply):
    """Computes recent intervals that the target has and the source has not, then changes views."""

    name = StepName.CATCH_UP
    doing = Why.PROMOTING, "computing recent intervals, then changing the views"

    def next(self, status: PromotionStatus, route: Route) -> Move:
        if route.is_across or not settled(status.plan).summary.catch_up_intervals:
            return Done(StepState.SKIPPED, "nothing to catch up with")
        return super().next(status, route)

    def changed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        batches = str(ended.result.work.batches) if ended.result.work else "0"
        done = Done(StepState.SUCCEEDED, "caught up", {"job": ended.task.job, "batches": batches})
        return super().changed(close(status, self.name, case.now, done), case, ended)
