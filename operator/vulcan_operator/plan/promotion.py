"""plan_promotion: everything seen of a VulcanPromotion -> its complete new status and what to do. Pure.

Called by `reconcile` only. The task in hand is classified and, when ended, recorded; then the gates say whether anything
may go on; then the steps are walked through in their order, from the first that has not ended. A record: what is over
stays as it is.
"""

import datetime as dt
from dataclasses import replace

from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan import (
    approval,
    ended,
    evidence,
    jobs,
    promotion_gates,
    promotion_launch,
    promotion_record,
    promotion_steps,
    promotion_verdicts,
    reports,
    schedule,
    slot,
    tidy,
    verdicts,
)
from vulcan_operator.plan.actions import Need, Note, Plan, ReleaseSlot, WriteConfigMap
from vulcan_operator.plan.jobs import Progress, Stage
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.promotion_steps import Again, Done, Hold, Order
from vulcan_operator.plan.seen import PromotionSeen
from vulcan_operator.plan.status import Draft, Verdict

_SLOT_CHECK = dt.timedelta(seconds=20)
_ENDED = ("Succeeded", "Skipped", "Failed", "Errored", "Inconclusive")
_BAD = {"Failed": "Failed", "Errored": "Errored", "Inconclusive": "Inconclusive"}


def plan_promotion(seen: PromotionSeen, now: dt.datetime) -> Plan[PromotionStatus]:
    """The Plan for one promotion."""
    context = PromotionContext(seen, now)
    draft = Draft(seen.promotion.status)
    if seen.namespace_labels is None and promotion_gates.needs_labels(context):
        return draft.needing(Need.NAMESPACE).plan()
    if seen.denied is not None:
        namespace = seen.gateway.metadata.namespace if seen.gateway is not None else context.key.namespace
        refused = verdicts.refusal(seen.denied, seen.settings.operator_account, namespace)
        return promotion_verdicts.finish(draft, context, refused, None).plan()
    if seen.promotion.metadata.deletion_timestamp is not None:
        return draft.plan()
    draft, progress = _in_hand(draft, context)
    verdict: Verdict | None = None
    if not draft.needs and progress is None and draft.status.outcome is None:
        draft, verdict = _advance(draft, context)
    if draft.needs:
        return draft.plan()
    return evidence.leave(promotion_verdicts.finish(_tidy(draft, context), context, verdict, progress), context).plan()


def _tidy(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    seen, task = context.seen, draft.status.task
    current = task.job if task is not None else ""
    return draft.then(*tidy.let_go_jobs(seen.jobs, seen.pods, current, context.terms(), context.now))


def _in_hand(
    draft: Draft[PromotionStatus], context: PromotionContext
) -> tuple[Draft[PromotionStatus], Progress | None]:
    task, seen = draft.status.task, context.seen
    if task is None or task.state == "Waiting":
        return draft, None
    terms = context.terms(task.kind, task.job)
    progress = jobs.classify(task, seen.jobs, seen.pods, terms, context.now)
    match progress.stage:
        case Stage.PENDING | Stage.RUNNING:
            draft = draft.again(jobs.next_look(progress, terms, context.now))
            noticed = task.model_copy(update={"state": "Running"})
            return draft if task.state == "Running" else draft.having(task=noticed), progress
        case Stage.ABSENT if not seen.job_is_live:
            return draft.needing(Need.JOB), None
        case Stage.ABSENT if task.state == "Running":
            lost = Result(task.kind, Reason.LOST, f"Job {task.job} vanished before its result was recorded")
            return _record(draft, context, task, Progress(Stage.ENDED, result=lost)), None
        case Stage.ABSENT:
            return draft, None
        case Stage.STUCK:
            return _record(draft, context, task, progress), None
        case _:
            return _ended(draft, context, task, progress), None


def _ended(
    draft: Draft[PromotionStatus], context: PromotionContext, task: TaskStatus, progress: Progress
) -> Draft[PromotionStatus]:
    result, pod = progress.result, progress.pod
    assert result is not None
    if (pod is None or not pod.termination) and not context.seen.job_is_live:
        return draft.needing(Need.JOB)
    summary = result.summary
    if task.kind != TaskKind.PLAN or result.report_sha256 is None or summary is None or not summary.has_changes:
        return _record(draft, context, task, progress)
    report = context.seen.report
    if report is None:
        return draft.needing(Need.REPORT)
    if report.packed is None:
        lost = Result(task.kind, Reason.LOST, "the plan's report is not in the Job's log")
        return _record(draft, context, task, replace(progress, result=lost))
    draft = _record(draft, context, task, progress)
    plan = draft.status.plan
    if plan is None or plan.report_ref is None:
        return draft
    manifest = reports.report_manifest(context.promotion, plan.report_ref.name, report.packed)
    return draft.first(WriteConfigMap(manifest))


def _record(
    draft: Draft[PromotionStatus], context: PromotionContext, task: TaskStatus, progress: Progress
) -> Draft[PromotionStatus]:
    result = progress.result
    assert result is not None
    draft = replace(draft, status=promotion_record.record(draft.status, context, task, result))
    draft = draft.saying(_note(draft.status, context, task, result))
    gateway = context.seen.gateway
    if gateway is not None and slot.needs_slot(TaskKind(task.kind), gateway) and progress.stage is Stage.ENDED:
        return draft.then(ReleaseSlot(gateway.metadata.namespace, gateway.metadata.name, task.job))
    return draft


def _note(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> Note:
    bad = result.outcome is not Outcome.SUCCEEDED
    audit = {
        "operation": task.kind,
        "gateway": context.seen.gateway.metadata.name if context.seen.gateway else "",
        "environment": status.target.environment if status.target else "",
        "step": status.step or "",
        "revision": status.revision or "",
        "plan": status.plan.digest if status.plan else "",
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "job": task.job,
        "why": task.why,
        "asked": ", ".join(status.approved_by),
    }
    return Note(result.reason, f"{task.kind}: {ended.message_of(result) if bad else result.message}", bad, audit)


def _advance(draft: Draft[PromotionStatus], context: PromotionContext) -> tuple[Draft[PromotionStatus], Verdict | None]:
    """Walks on until a task is started, something is waited for, or it is over."""
    shut = promotion_gates.first(draft.status, context)
    if shut is not None:
        return _idle(draft).again(context.now + dt.timedelta(minutes=1)), shut
    if draft.status.started_at is None:
        draft = draft.having(started_at=context.now)
    draft = _under_rules_of_today(draft, context)
    for name, step in _way(draft.status, context):
        known = next((s for s in draft.status.steps if s.name == name), None)
        if known is not None and known.state in _ENDED:
            continue
        move = step(draft.status, context)
        match move:
            case Done():
                draft = _judge(draft, context, name, move)
                if draft.status.outcome is not None:
                    return _idle(draft), None
            case Hold():
                return _hold(draft, context, name, move)
            case Again():
                return _advance(replace(draft, status=promotion_record.planned_again(draft.status)), context)
            case Order():
                return _order(draft, context, name, move)
    return _idle(replace(draft, status=promotion_record.end(draft.status, "Succeeded", context.now))), None


def _under_rules_of_today(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """Words are on a plan under the rules that were shown: under others it has another digest."""
    plan = draft.status.plan
    if plan is None or plan.state != "Pending" or draft.status.applied_plan_id:
        return draft
    token = approval.retoken(plan, context.rules)
    if token == plan.digest:
        return draft
    kept = [s for s in draft.status.steps if s.name not in ("Approval", "CatchUp", "Apply")]
    return draft.having(plan=plan.model_copy(update={"digest": token}), steps=kept, approved_by=[])


def _way(status: PromotionStatus, context: PromotionContext) -> tuple[tuple[str, promotion_steps.Step], ...]:
    if context.promotion.spec.rollback_to is not None:
        return promotion_steps.BACK
    if status.rollback is not None:
        return promotion_steps.BACK[1:]
    return promotion_steps.FORWARD


def _judge(draft: Draft[PromotionStatus], context: PromotionContext, name: str, done: Done) -> Draft[PromotionStatus]:
    judged = promotion_record.Judged(done.state, done.message, done.evidence)
    status = promotion_record.put(draft.status.model_copy(update=done.settles), name, judged, context.now)
    if done.state in _BAD:
        status = promotion_record.end(status, _BAD[done.state], context.now)
    return replace(draft, status=status)


def _hold(
    draft: Draft[PromotionStatus], context: PromotionContext, name: str, hold: Hold
) -> tuple[Draft[PromotionStatus], Verdict | None]:
    if hold.needs:
        return draft.needing(*hold.needs), None
    status = promotion_record.put(
        draft.status, name, None, context.now, state="Waiting", message=hold.verdict.message[:1024]
    )
    return _idle(replace(draft, status=status)).again(hold.until), hold.verdict


def _order(
    draft: Draft[PromotionStatus], context: PromotionContext, name: str, order: Order
) -> tuple[Draft[PromotionStatus], Verdict | None]:
    failed = draft.status.failure
    same = failed is not None and (failed.task, failed.inputs) == (order.kind, order.inputs)
    if failed is not None and same:
        again = schedule.retry_time(failed, context.target.spec.retry)
        if again is not None and again > context.now:
            return _idle(draft).again(again), verdicts.failing(failed, again)
    known = failed.last_attempt if failed is not None and same else 0
    attempt = jobs.next_attempt(context.seen.jobs, order.kind, order.inputs, known)
    meta, waiting = context.promotion.metadata, draft.status.task
    kept = waiting is not None and (waiting.kind, waiting.inputs) == (order.kind, order.inputs)
    since = waiting.since if kept and waiting is not None else context.now
    back = order.kind is TaskKind.ROLLBACK
    rank = slot.Priority.ROLLBACK if back else slot.Priority.PROMOTION
    task = TaskStatus(
        kind=order.kind,
        job=jobs.job_name(meta.name, meta.uid, order.kind, order.inputs, attempt),
        inputs=order.inputs,
        attempt=attempt,
        state="Started",
        priority=int(rank),
        since=since,
        why=order.why,
    )
    status = promotion_record.put(
        draft.status, name, None, context.now, state="Running", message=order.why, job=task.job
    )
    begun = replace(draft, status=status).having(task=task)
    ready = promotion_launch.launch(begun, context, task)
    if ready.needs:
        return ready, None
    if ready.actions != begun.actions:
        return ready.having(task=task.model_copy(update={"priority": slot.aged(rank, since, context.now)})), None
    queued = task.model_copy(update={"state": "Waiting"})
    return begun.having(task=queued).again(context.now + _SLOT_CHECK), None


def _idle(draft: Draft[PromotionStatus]) -> Draft[PromotionStatus]:
    return draft.having(task=None) if draft.status.task is not None else draft
