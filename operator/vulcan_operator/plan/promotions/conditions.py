"""Conditions of a promotion from its status: the one place where they are summed up. Pure."""

from collections.abc import Mapping

from vulcan_contract.reasons import Outcome
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepStatus
from vulcan_operator.plan.core.actions import Note
from vulcan_operator.plan.core.decision import Draft, Verdict, put, summarize
from vulcan_operator.plan.promotions.context import PromotionContext
from vulcan_operator.plan.promotions.moves import BAD, ENDED
from vulcan_operator.plan.rules import approval, change_windows, schedule
from vulcan_operator.plan.rules.messages import failing, named, still_refused
from vulcan_operator.plan.tasks import ended
from vulcan_operator.plan.tasks.jobs import Progress

_DOING = {
    "Plan": (Why.PLANNING, "looking at what would change"),
    "Audits": (Why.AUDITING, "auditing the source"),
    "Diff": (Why.COMPARING, "comparing data"),
    "Checks": (Why.CHECKING, "checking the source"),
    "CatchUp": (Why.PROMOTING, "computing recent intervals, then changing the views"),
    "Apply": (Why.PROMOTING, "changing the target"),
    "Verify": (Why.AUDITING, "auditing the target"),
    "Rollback": (Why.ROLLING_BACK, "putting the views back"),
}
_OVER = {
    "Succeeded": ("True", Why.PROMOTED),
    "Failed": ("False", Why.PROMOTION_FAILED),
    "Errored": ("False", Why.PROMOTION_ERRORED),
    "Inconclusive": ("False", Why.INCONCLUSIVE),
    "RolledBack": ("False", Why.ROLLED_BACK),
    "Superseded": ("False", Why.SUPERSEDED),
    "Cancelled": ("False", Why.CANCELLED),
}


def finish(
    draft: Draft[PromotionStatus], context: PromotionContext, verdict: Verdict | None, going: Mapping[str, Progress]
) -> Draft[PromotionStatus]:
    """The draft with every condition, the current step, next attempt and next look set."""
    status, meta, now = draft.status, context.promotion.metadata, context.now
    refused = still_refused(draft, context.promotion.status.conditions, context.seen.denied)
    final = refused or verdict or _verdict(status, context, going)
    conditions = summarize(list(status.conditions), final, meta.generation, now)
    awaits = _awaits(status, context)
    conditions = put(
        conditions, Type.AWAITING, "True" if awaits else "False", Why.AWAITING if awaits else Why.NOT_NEEDED,
        awaits, meta.generation, now,
    )  # fmt: skip
    waits = final.reason in (Why.OUTSIDE_WINDOW, Why.FROZEN) and context.seen.target is not None
    line = change_windows.of_promotions(context.target, context.seen.gateway, now) if waits else None
    failures = [s.failure for s in status.steps if s.failure is not None] if context.seen.target is not None else []
    times = [schedule.retry_time(f, context.target.spec.retry) for f in failures]
    retries = min((t for t in times if t is not None), default=None)
    bad = next((s.name for s in status.steps if s.state in BAD), None)
    open_ = bad or next((s.name for s in status.steps if s.state not in ENDED), status.step)
    draft = draft.with_status(
        conditions=conditions,
        observed_generation=meta.generation,
        next_attempt_time=retries,
        next_opening_time=line.opens if line is not None else None,
        step=open_,
        steps=sorted(status.steps, key=lambda s: list(StepName).index(StepName(s.name))),
    )
    return draft.again(retries if retries is not None and retries > now else None)


def note(status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result) -> Note:
    """Event and audit line of an ended task."""
    task, bad = step.task, result.outcome is not Outcome.SUCCEEDED
    assert task is not None
    audit = {
        "operation": task.kind,
        "gateway": task.place[1],
        "environment": status.target.environment if status.target else "",
        "step": step.name,
        "revision": status.revision or "",
        "plan": status.plan.digest if status.plan else "",
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "job": task.job,
        "why": task.why,
        "asked": ", ".join(status.approved_by),
    }
    judged = task.kind in (TaskKind.AUDIT, TaskKind.CHECKS)  # once: "it is tried again" would be wrong
    said = ended.message_of(result) if bad and not (judged and result.message) else result.message
    return Note(result.reason, f"{step.name}: {said}", bad, audit)


def _verdict(status: PromotionStatus, context: PromotionContext, going: Mapping[str, Progress]) -> Verdict:
    if status.outcome is not None:
        return _over(status)
    open_ = [s for s in status.steps if s.state not in ENDED]
    kept = next((s for s in open_ if s.name in going and going[s.name].detail), None)
    if kept is not None:
        progress = going[kept.name]
        return Verdict("Unknown", progress.why, f"{kept.name}: Job {kept.job}: {progress.detail}", reconciling=True)
    working = [s for s in open_ if s.task is not None and s.task.state != "Waiting"]
    if working:
        reason = _DOING.get(working[0].name, (Why.PROMOTING, ""))[0]
        return Verdict("Unknown", reason, "; ".join(map(_doing, working)), reconciling=True)
    failed = next((s.failure for s in open_ if s.failure is not None), None)
    if failed is not None and context.seen.target is not None:
        return failing(failed, schedule.retry_time(failed, context.target.spec.retry))
    queued = next((s for s in open_ if s.task is not None and s.task.state == "Waiting"), None)
    if queued is not None and queued.task is not None:
        message = f"{queued.name}: waits for the writer slot of gateway {queued.task.gateway}"
        return Verdict("Unknown", Why.WAITING_FOR_WRITER, message, reconciling=True)
    return Verdict("Unknown", Why.PENDING, "not looked at yet", reconciling=True)


def _doing(step: StepStatus) -> str:
    again = f", attempt {step.task.attempt}" if step.task is not None and step.task.attempt > 1 else ""
    return f"{step.name}: {_DOING.get(step.name, (Why.PROMOTING, 'at work'))[1]}{again}, Job {step.job}"


def _over(status: PromotionStatus) -> Verdict:
    ready, reason = _OVER[status.outcome or "Failed"]
    bad = next((s for s in status.steps if s.state in BAD), None)
    revision = named(status.revision or "", status.source_digest or "")
    message = f"revision {revision}" if bad is None else f"{bad.name}: {bad.message}"
    match status.outcome:
        case "RolledBack" if status.previous is not None:
            before = named(status.previous.revision, status.previous.source_digest)
            message = f"back at revision {before}, {revision} is held. {message}"
        case "Superseded":
            return Verdict(ready, reason, f"VulcanPromotion {status.superseded_by} took its place; nothing was changed")
        case "Cancelled":
            done = f"the target has plan {status.applied_plan_id}" if status.applied_plan_id else "nothing was changed"
            return Verdict(ready, reason, f"deleted under way; {done}")
        case "Inconclusive":
            message = (
                f"{message[:3000]} — a human must look: create another promotion once this can be judged, or one where"
                " the gate is Optional"
            )
        case "Succeeded" if status.is_there:
            message = f"{message} was there already; nothing was changed"
        case "Succeeded" if status.supersedes:
            message = f"{message}, in place of {', '.join(status.supersedes)}"
    return Verdict(ready, reason, message, stalled=ready == "False")


def _awaits(status: PromotionStatus, context: PromotionContext) -> str:
    waits_at = status.find("Approval")
    if status.plan is None or status.plan.state != "Pending" or status.outcome is not None:
        return ""
    if context.seen.target is None or waits_at is None or waits_at.state in ENDED:
        return ""
    decision = approval.decide(status.plan, context.rules, context.author)
    waits = decision.say is approval.Say.WAIT
    return f"{status.plan.summary.text} — {decision.why}; plan {status.plan.digest}" if waits else ""
