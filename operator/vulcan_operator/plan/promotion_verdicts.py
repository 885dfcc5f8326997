"""Conditions of a promotion from its status: the one place where they are summed up. Pure."""

from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan import approval, schedule, stop_the_line
from vulcan_operator.plan.jobs import Progress
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.status import Draft, Verdict, put, summarize
from vulcan_operator.plan.verdicts import failing, short

_DOING = {
    "Plan": (Why.PLANNING, "looking at what would change"),
    "Checks": (Why.AUDITING, "auditing the source"),
    "CatchUp": (Why.PROMOTING, "computing recent intervals, then changing the views"),
    "Apply": (Why.PROMOTING, "changing the views"),
    "Verify": (Why.AUDITING, "auditing the target"),
    "Rollback": (Why.ROLLING_BACK, "putting the views back"),
}
_OVER = {
    "Succeeded": ("True", Why.PROMOTED),
    "Failed": ("False", Why.PROMOTION_FAILED),
    "Errored": ("False", Why.PROMOTION_ERRORED),
    "Inconclusive": ("False", Why.INCONCLUSIVE),
    "RolledBack": ("False", Why.ROLLED_BACK),
}


def finish(
    draft: Draft[PromotionStatus], context: PromotionContext, verdict: Verdict | None, progress: Progress | None
) -> Draft[PromotionStatus]:
    """The draft with every condition, next attempt and next look set."""
    status, meta, now = draft.status, context.promotion.metadata, context.now
    final = verdict or _verdict(status, context, progress)
    conditions = summarize(list(status.conditions), final, meta.generation, now)
    awaits = _awaits(status, context)
    conditions = put(
        conditions, Type.AWAITING, "True" if awaits else "False", Why.AWAITING if awaits else Why.NOT_NEEDED,
        awaits, meta.generation, now,
    )  # fmt: skip
    waits = final.reason in (Why.OUTSIDE_WINDOW, Why.FROZEN) and context.seen.target is not None
    line = stop_the_line.of_promotions(context.target, context.seen.gateway, now) if waits else None
    draft = draft.having(next_opening_time=line.opens if line is not None else None)
    failure = status.failure
    retries = schedule.retry_time(failure, context.target.spec.retry) if failure and context.seen.target else None
    draft = draft.having(conditions=conditions, observed_generation=meta.generation, next_attempt_time=retries)
    return draft.again(retries if retries is not None and retries > now else None)


def _verdict(status: PromotionStatus, context: PromotionContext, progress: Progress | None) -> Verdict:
    if status.outcome is not None:
        return _over(status)
    if status.failure is not None and status.task is None and context.seen.target is not None:
        return failing(status.failure, schedule.retry_time(status.failure, context.target.spec.retry))
    task = status.task
    if task is None:
        return Verdict("Unknown", Why.PENDING, "not looked at yet", reconciling=True)
    if task.state == "Waiting":
        message = f"{task.kind} waits for the writer slot of the gateway"
        return Verdict("Unknown", Why.WAITING_FOR_WRITER, message, reconciling=True)
    if progress is not None and progress.detail:
        return Verdict("Unknown", progress.why, f"Job {task.job}: {progress.detail}", reconciling=True)
    reason, doing = _DOING.get(status.step or "", (Why.PROMOTING, "at work"))
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    return Verdict("Unknown", reason, f"{status.step}: {doing}{again}, Job {task.job}", reconciling=True)


def _over(status: PromotionStatus) -> Verdict:
    ready, reason = _OVER[status.outcome or "Failed"]
    bad = next((s for s in status.steps if s.state in ("Failed", "Errored", "Inconclusive")), None)
    revision = short(status.revision or "")
    message = f"revision {revision}" if bad is None else f"{bad.name}: {bad.message}"
    if status.outcome == "RolledBack" and status.previous is not None:
        message = f"back at revision {short(status.previous.revision)}, {revision} is held. {message}"
    return Verdict(ready, reason, message, stalled=ready == "False")


def _awaits(status: PromotionStatus, context: PromotionContext) -> str:
    if status.plan is None or status.plan.state != "Pending" or status.outcome is not None or status.step != "Approval":
        return ""
    if context.seen.target is None:
        return ""
    decision = approval.decide(status.plan, context.rules)
    waits = decision.say is approval.Say.WAIT
    return f"{status.plan.summary.text} — {decision.why}; plan {status.plan.digest}" if waits else ""
