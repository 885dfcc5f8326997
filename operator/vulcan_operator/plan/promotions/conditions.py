"""Conditions of a promotion from its status: the one place where they are summed up. Pure."""

from vulcan_contract import reasons
from vulcan_contract.reasons import ABOUT, Side
from vulcan_contract.result import Result
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.fields import TaskState, TaskStatus
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.actions import AuditEntry, Note
from vulcan_operator.plan.core.conditions import Verdict, put, summarize
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.promotions.lane import REJECTS, Going
from vulcan_operator.plan.promotions.route import Case
from vulcan_operator.plan.promotions.steps import STEPS
from vulcan_operator.plan.rules import approval, schedule
from vulcan_operator.plan.rules.messages import failing, named, still_refused
from vulcan_operator.plan.tasks import ended as ends

_CLOSED = (Why.OUTSIDE_WINDOW, Why.FROZEN)
_ORDER = list(StepName)
_OVER = {
    Outcome.SUCCEEDED: ("True", Why.PROMOTED),
    Outcome.FAILED: ("False", Why.PROMOTION_FAILED),
    Outcome.ERRORED: ("False", Why.PROMOTION_ERRORED),
    Outcome.INCONCLUSIVE: ("False", Why.INCONCLUSIVE),
    Outcome.ROLLED_BACK: ("False", Why.ROLLED_BACK),
    Outcome.SUPERSEDED: ("False", Why.SUPERSEDED),
    Outcome.CANCELLED: ("False", Why.CANCELLED),
}


def finish(
    draft: Draft[PromotionStatus], case: Case, verdict: Verdict | None, going: Going
) -> Draft[PromotionStatus]:
    """The draft with every condition, the current step, next attempt and next look set."""
    status, generation, now = draft.status, case.meta.generation, case.now
    refused = still_refused(draft, case.promotion.status.conditions, case.live.denied)
    final = refused or verdict or _verdict(status, case, going)
    conditions = summarize(list(status.conditions), final, generation, now)
    awaits = _awaits(status) if case.seen.target is not None else ""
    value, reason = ("True", Why.AWAITING) if awaits else ("False", Why.NOT_NEEDED)
    conditions = put(conditions, Type.AWAITING, value, reason, awaits, generation, now)
    target = case.seen.target
    failures = [s.failure for s in status.steps if s.failure is not None and target is not None]
    times = [schedule.retry_time(f, target.spec.retry) for f in failures if target is not None]
    retries = min((t for t in times if t is not None), default=None)
    stopped = next((s.name for s in status.steps if s.state in REJECTS), None)
    current = stopped or next((s.name for s in status.steps if not s.has_ended), status.step)
    draft = draft.with_status(
        conditions=conditions,
        observed_generation=generation,
        next_attempt_time=retries,
        next_opening_time=status.next_opening_time if final.reason in _CLOSED else None,
        step=current,
        steps=sorted(status.steps, key=lambda s: _ORDER.index(StepName(s.name))),
    )
    return draft.again(retries if retries is not None and retries > now else None)


def note(status: PromotionStatus, name: StepName, task: TaskStatus, result: Result) -> Note:
    """Event and audit line of an ended task, with the status that it leads to."""
    bad = result.outcome is not reasons.Outcome.SUCCEEDED
    audit = AuditEntry(
        operation=task.kind,
        gateway=task.place[1],
        environment=status.target.environment if status.target else "",
        step=name,
        revision=status.revision or "",
        plan=status.plan.digest if status.plan else "",
        outcome=result.outcome.value,
        reason=result.reason.value,
        job=task.job,
        why=task.why,
        asked=", ".join(status.approved_by),
    )
    # A judgement of the data is final: its next step ("it is tried again") would be wrong.
    final = ABOUT[result.reason].side is Side.DATA and result.message
    message = ends.message_of(result) if bad and not final else result.message
    return Note(result.reason, f"{name}: {message}", bad, audit)


def _verdict(status: PromotionStatus, case: Case, going: Going) -> Verdict:
    """What Ready says where no step of this pass waits."""
    if status.outcome is not None:
        return _over(status, Outcome(status.outcome))
    open_ = [s for s in status.steps if not s.has_ended]
    kept = next((s for s in open_ if s.name in going and going[StepName(s.name)].detail), None)
    if kept is not None:
        progress = going[StepName(kept.name)]
        message = f"{kept.name}: Job {kept.job}: {progress.detail}"
        return Verdict("Unknown", progress.why, message, reconciling=True)
    working = [s for s in open_ if s.task is not None and s.task.state != TaskState.WAITING]
    if working:
        reason, _ = STEPS[StepName(working[0].name)].doing
        return Verdict("Unknown", reason, "; ".join(map(_doing, working)), reconciling=True)
    failed = next((s.failure for s in open_ if s.failure is not None), None)
    if failed is not None and case.seen.target is not None:
        return failing(failed, schedule.retry_time(failed, case.seen.target.spec.retry))
    queued = next((s for s in open_ if s.task is not None), None)
    if queued is not None and queued.task is not None:
        message = f"{queued.name}: waits for the writer slot of gateway {queued.task.gateway}"
        return Verdict("Unknown", Why.WAITING_FOR_WRITER, message, reconciling=True)
    return Verdict("Unknown", Why.PENDING, "not looked at yet", reconciling=True)


def _doing(step: statuses.StepStatus) -> str:
    _, doing = STEPS[StepName(step.name)].doing
    attempt = step.task.attempt if step.task is not None else 1
    again = f", attempt {attempt}" if attempt > 1 else ""
    return f"{step.name}: {doing}{again}, Job {step.job}"


def _over(status: PromotionStatus, outcome: Outcome) -> Verdict:
    ready, reason = _OVER[outcome]
    if outcome is Outcome.SUPERSEDED:
        message = f"VulcanPromotion {status.superseded_by} took its place; nothing was changed"
        return Verdict(ready, reason, message)
    if outcome is Outcome.CANCELLED:
        plan = status.applied_plan_id
        done = f"the target has plan {plan}" if plan else "nothing was changed"
        return Verdict(ready, reason, f"deleted under way; {done}")
    stopped = next((s for s in status.steps if s.state in REJECTS), None)
    revision = named(status.revision or "", status.source_digest or "")
    message = f"revision {revision}" if stopped is None else f"{stopped.name}: {stopped.message}"
    if outcome is Outcome.ROLLED_BACK and status.previous is not None:
        before = named(status.previous.revision, status.previous.source_digest)
        message = f"back at revision {before}, {revision} is held. {message}"
    elif outcome is Outcome.INCONCLUSIVE:
        hint = "create another promotion once this can be judged, or one where the gate is Optional"
        message = f"{message[:3000]} — a human must look: {hint}"
    elif outcome is Outcome.SUCCEEDED and status.is_there:
        message = f"{message} was there already; nothing was changed"
    elif outcome is Outcome.SUCCEEDED and status.supersedes:
        message = f"{message}, in place of {', '.join(status.supersedes)}"
    return Verdict(ready, reason, message, stalled=ready == "False")


def _awaits(status: PromotionStatus) -> str:
    """What people are asked, while step Approval waits for them."""
    step = status.find(StepName.APPROVAL)
    waits = step is not None and step.state == StepState.WAITING and step.reason in approval.ASKS
    return step.message if step is not None and waits else ""
