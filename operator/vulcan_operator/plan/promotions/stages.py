"""The steps of a promotion but the first (`resolve`) and its gates (`trials`): what each looks at and
what it makes of it. Pure; walked through by `planner`.

Nothing here remembers where it was: what is done is in `status.steps`.
"""

import datetime as dt

from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.promotion_status import PromotionStatus, RollbackStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions import diff_step, resolve, trials
from vulcan_operator.plan.promotions.context import ACROSS, PromotionContext, is_touched
from vulcan_operator.plan.promotions.moves import FAILED, PASSED, SKIPPED, Again, Done, Hold, Move, Order, Step
from vulcan_operator.plan.rules import approval, change_windows, messages
from vulcan_operator.plan.rules.messages import short
from vulcan_operator.plan.tasks import values


def plan(status: PromotionStatus, context: PromotionContext) -> Move:
    """Says what would change and what would be computed: from what the state has, or anew from the files in another
    system."""
    assert status.source is not None and context.to is not None
    made_of = [status.source.plan_id, context.image, context.promotion.spec.gates.virtual_only, status.plans]
    if status.relation == ACROSS:
        if status.origin is not None and status.origin.kind == "ConfigMap":
            if context.seen.source_files is None:
                return Hold(Verdict("Unknown", Why.PENDING), needs=frozenset({Need.SOURCE_FILES}))
            if context.seen.source_files.files is None:
                gone = f"ConfigMap {status.origin.copy_} is gone; promote from the environment that has the project"
                return Done(FAILED, f"the files of revision {short(status.revision or '')} are not there: {gone}")
        options = values.options_of(context.target.spec.plan).__dict__
        gateway = context.gateway
        made_of = [status.source_digest, options, context.image, gateway.sqlmesh_name, gateway.spec.variables]
        made_of += [status.plans]
    return Order(TaskKind.PLAN, of_json(made_of)[:16], "what the promotion would change", context.to)


def approve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The stricter rule of target and promotion; words are on this very plan."""
    plan_ = status.plan
    assert plan_ is not None
    decision = approval.decide(plan_, context.rules, context.author)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if context.has_moved(status):
        return Again("the target has moved")  # nobody is asked for what will not hold
    expires = approval.expires_at(plan_, context.policy)
    if expires <= context.now and (decision.by or decision.say is approval.Say.WAIT):
        return Again("the plan waited too long")
    if decision.say is approval.Say.WAIT:
        meta, first = context.promotion.metadata, "approvals" not in context.promotion.spec.model_fields_set
        command = approval.approve_command(
            meta.namespace, meta.name, plan_.digest, is_first=first, resource="vulcanpromotion"
        )
        message = f"{plan_.summary.text} — {decision.why}"
        if decision.reason is Why.AWAITING:
            message = f"{message} until {expires:%Y-%m-%dT%H:%M:%SZ}. To approve: {command}"
        return Hold(Verdict("False", decision.reason, message), expires)
    unguarded = messages.unguarded(context.seen.unguarded) if context.protected else None
    if unguarded is not None:
        return Hold(unguarded, context.now + dt.timedelta(seconds=30))
    if decision.by and plan_.report_ref is not None and context.seen.report_kept is None:
        return Hold(Verdict("False", Why.AWAITING, ""), needs=frozenset({Need.KEPT}))
    if decision.by and context.seen.report_kept is False:
        return Again("the plan's report is gone")
    by = {"by": ", ".join(decision.by)} if decision.by else {}
    return Done(PASSED, decision.why, {"plan": plan_.digest, **by}, {"approved_by": list(decision.by)})


def catch_up(status: PromotionStatus, context: PromotionContext) -> Move:
    """Recent intervals that the target has and the source does not; the Job that computes them changes the views then."""
    assert status.plan is not None
    if status.relation == ACROSS or not status.plan.summary.catch_up_intervals:
        return Done(SKIPPED, "nothing to catch up with")
    return swap(status, context)


def swap(status: PromotionStatus, context: PromotionContext) -> Move:
    """Changes the views; asked again before each Job, for words may have been taken back and windows shut meanwhile."""
    assert status.plan is not None and context.to is not None
    decision = approval.decide(status.plan, context.rules, context.author)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if decision.say is approval.Say.WAIT:
        return Hold(Verdict("False", Why.AWAITING, f"a word was taken back: {decision.why}"))
    tried = [s.failure for name in ("CatchUp", "Apply") if (s := status.find(name)) is not None]
    failure = next((f for f in tried if f is not None), None)
    line = change_windows.hold(context.target, context.gateway, failure, context.now)
    if line is not None and not is_touched(status):
        return Hold(line.verdict, line.look_again)
    kind = TaskKind.APPLY if status.relation == ACROSS else TaskKind.PROMOTE
    return Order(kind, status.plan.digest.removeprefix("sha256:")[:16], "the promotion was decided on", context.to)


def verify(status: PromotionStatus, context: PromotionContext) -> Move:
    """Audits of the target, with its views changed."""
    assert context.to is not None
    if not context.target.spec.checks.audits:
        return Done(SKIPPED, "the target's checks.audits is off")
    return Order(TaskKind.AUDIT, of_json(["verify", status.applied_plan_id])[:16], "audits of the target", context.to)


def go_back(status: PromotionStatus, context: PromotionContext) -> Move:
    """Puts back what the target had before, by view swap."""
    assert context.to is not None
    to = status.source if context.promotion.spec.rollback_to is not None else status.previous
    if to is None or not to.plan_id:
        message = "the target had nothing before that could be put back"
        return Done(FAILED, message, settles={"rollback": RollbackStatus(state="Unavailable", message=message)})
    inputs = of_json(["rollback", to.plan_id, undone(status)])[:16]
    return Order(TaskKind.ROLLBACK, inputs, "going back", context.to)


def undone(status: PromotionStatus) -> str:
    """The plan that the target must still have when it is put back: ours, or what it had when that was looked at."""
    return status.applied_plan_id or (status.target.plan_id if status.target is not None else "")


Together = tuple[tuple[str, Step], ...]
"""Steps that do not need each other. The next ones wait for all of them."""

FORWARD: tuple[Together, ...] = (
    (("Resolve", resolve.resolve),),
    (
        ("Plan", plan),
        ("Tests", trials.tests),
        ("Audits", trials.audits),
        ("Diff", diff_step.step),
        ("Checks", trials.checks),
        ("Soak", trials.soak),
    ),
    (("Approval", approve),),
    (("CatchUp", catch_up),),
    (("Apply", swap),),
    (("Verify", verify),),
)
BACK: tuple[Together, ...] = ((("Resolve", resolve.resolve),), (("Rollback", go_back),))
