"""Step Verify: the audits of the target, once its views are changed. Pure.

Where they fail, the views are rolled back, unless onFailure says Wait or nothing was changed.
"""

from vulcan_contract import reasons
from vulcan_contract.digest import of_json
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import PlanState
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.moves import Done, Move, Order
from vulcan_operator.plan.promotions import step as common
from vulcan_operator.plan.promotions.lane import close
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.promotions.step import Judged, Step, closed, succeeded
from vulcan_operator.plan.rules.promotion_changes import is_touched
from vulcan_operator.plan.tasks.life import Ended


class Verify(Step):
    """Judged by the result of its Job."""

    name = StepName.VERIFY
    doing = Why.AUDITING, "auditing the target"
    runs_even_there = True

    def next(self, status: PromotionStatus, route: Route) -> Move:
        if not route.rules.checks.audits:
            return Done(StepState.SKIPPED, "the target's checks.audits is off")
        inputs = of_json(["verify", status.applied_plan_id])[:16]
        return Order(TaskKind.AUDIT, inputs, "audits of the target", route.to_site)

    def passed(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        done = succeeded("Required", status.applied_plan_id, ended)
        return Judged(closed(status, self.name, route, done))

    def failed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        stays, result = _stays(status, case), ended.result
        message = common.last_message(result)
        if stays:
            message = f"{message[:700].rstrip('. ')}. {stays}"
        rejected = result.outcome is reasons.Outcome.FAILED
        state = StepState.FAILED if rejected else StepState.ERRORED
        done = Done(state, message, common.evidence_of(ended))
        if stays or not rejected:
            return closed(status, self.name, case, done)
        running, text = statuses.RollbackState.RUNNING, message[:1024]
        wanted = statuses.RollbackStatus(state=running, reason=result.reason, message=text)
        return close(status, self.name, case.now, done).but(rollback=wanted)


def _stays(status: PromotionStatus, case: Case) -> str:
    """Why views that were not verified are not rolled back, and what does that; empty: they are."""
    applied = status.plan is not None and status.plan.state == PlanState.APPLIED
    if not applied and not is_touched(status):  # the revision was there already
        stays, hint = "The views had been changed before, and stay so", case.rollback_hint
    elif case.promotion.spec.on_failure == "Hold":
        stays = "The views are changed and stay so (onFailure: Hold)"
        hint = f"rollbackTo: {{promotion: {case.key.name}}}"
    else:
        return ""
    return f"{stays}; a VulcanPromotion with {hint} takes them back."
