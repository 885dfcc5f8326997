"""Step Approval: people's answer to the plan, under the stricter rule of both objects. Pure."""

from vulcan_contract import times
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import PlanState, PlanStatus
from vulcan_operator.api.fields import TaskState
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState, StepStatus
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.deadlines import CONFIG_MAP_CHECK, GUARD_CHECK
from vulcan_operator.plan.core.moves import Done, Wait
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import Again, Answer, Step, settled
from vulcan_operator.plan.promotions.steps.swap import SWAPS
from vulcan_operator.plan.rules import approval, messages, plan_text
from vulcan_operator.plan.rules.plan_text import Report


class Approval(Step):
    """Has no Job. An approval is of one plan, under the rules that were shown."""

    name = StepName.APPROVAL

    def next(self, status: PromotionStatus, route: Route) -> Answer:
        plan = settled(status.plan)
        decision = approval.decide(plan, route.rules, route.author)
        if decision.say is approval.Say.NO:
            return Done(StepState.FAILED, f"rejected: {decision.why}")
        if route.has_moved(status):
            return Again()  # nobody is asked about a plan that does not hold
        expires = approval.expires_at(plan, route.policy)
        if expires <= route.now and (decision.by or decision.say is approval.Say.WAIT):
            return Again()  # it has waited too long
        if decision.say is approval.Say.WAIT:
            return Wait(_asking(plan, decision, route), expires)
        unguarded = messages.unguarded(route.seen.unguarded) if route.protected else None
        if unguarded is not None:
            return Wait(unguarded, route.now + GUARD_CHECK)
        report = (
            plan_text.report_of(plan, route.meta.namespace, route.live) if decision.by else None
        )
        if report is Report.GONE:
            return Again()  # nobody could read what was approved
        if report is Report.TAMPERED:
            again, void = route.now + CONFIG_MAP_CHECK, {"plan": plan.but(tampered=True)}
            return Wait(plan_text.tampered(plan, route.meta.namespace), again, void)
        by = {"by": ", ".join(decision.by)} if decision.by else {}
        evidence, settles = {"plan": plan.digest, **by}, {"approved_by": list(decision.by)}
        return Done(StepState.SUCCEEDED, decision.why, evidence, settles)


def _asking(plan: PlanStatus, decision: approval.Decision, route: Route) -> Verdict:
    message = f"{plan.summary.text} — {decision.why}"
    expires = approval.expires_at(plan, route.policy)
    if decision.reason is Why.AWAITING:
        meta, is_first = route.meta, "approvals" not in route.promotion.spec.model_fields_set
        command = approval.approve_command(
            meta.namespace, meta.name, plan.digest, is_first=is_first, resource="vulcanpromotion"
        )
        message = f"{message} until {times.to_second(expires)}. To approve: {command}"
    return Verdict("False", decision.reason, message)


def under_rules_of_today(status: PromotionStatus, route: Route) -> PromotionStatus:
    """With the plan's digest under the rules of today. Approvals are of a digest, so under other
    rules people are asked again; not once the Job that changes the views has begun."""
    plan = status.plan
    if plan is None or plan.state != PlanState.PENDING or status.applied_plan_id:
        return status
    tasks = [s.task for s in status.steps if s.name in SWAPS and s.task is not None]
    digest = approval.token_today(route.target.metadata.uid, plan, route.rules)
    asked = status.find(StepName.APPROVAL)
    decision = approval.decide(plan.but(digest=digest), route.rules, route.author)
    withdrawn = asked is not None and asked.has_ended and decision.say is approval.Say.WAIT
    begun = any(task.state != TaskState.WAITING for task in tasks)
    if begun or (digest == plan.digest and not withdrawn):
        return status
    steps = [_asked_again(step) for step in status.steps]
    return status.but(plan=plan.but(digest=digest), steps=steps, approved_by=[])


def _asked_again(step: StepStatus) -> StepStatus:
    """Jobs that have failed are not forgotten: they may have begun to change the target."""
    if step.name == StepName.APPROVAL:
        return StepStatus(name=step.name, started_at=step.started_at)
    return step.but(task=None) if step.name in SWAPS else step
