"""plan_promotion: everything seen of a VulcanPromotion -> its complete new status and what to do. Pure.

Called by `reconcile` only. The tasks in hand are classified and, when ended, recorded; then the gates say whether anything
may go on; then the steps are walked through in their order, from the first that has not ended. A record: what is over
stays as it is.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vulcan_contract.task import TaskKind
from vulcan_operator.api.promotion_status import PromotionStatus, StepStatus
from vulcan_operator.plan.core.actions import DeleteConfigMap, KeepJob, Need, Plan, ReleaseSlot, WriteConfigMap
from vulcan_operator.plan.core.deadlines import SLOT_CHECK
from vulcan_operator.plan.core.decision import Draft, Verdict
from vulcan_operator.plan.core.seen import PromotionSeen
from vulcan_operator.plan.promotions import (
    conditions,
    diff_step,
    ending,
    evidence,
    launch,
    preconditions,
    record,
    stages,
)
from vulcan_operator.plan.promotions.context import ACROSS, MOVES, PromotionContext
from vulcan_operator.plan.promotions.moves import BAD, ENDED, SKIPPED, Again, Done, Hold, Order
from vulcan_operator.plan.rules import approval, messages, plan_text, schedule
from vulcan_operator.plan.tasks import checks, jobs, life, retention, slot
from vulcan_operator.plan.tasks.jobs import Progress, Stage

_MINUTE = dt.timedelta(minutes=1)
Going = Mapping[str, Progress]  # steps whose task goes on
_EVEN_THERE = ("Verify", "Rollback")  # steps that also one takes which finds nothing to do
_THERE = Done(SKIPPED, "the target has this revision already")
Walk = tuple[Draft[PromotionStatus], Verdict | None]


def plan_promotion(seen: PromotionSeen, now: dt.datetime) -> Plan[PromotionStatus]:
    """The Plan for one promotion."""
    context = PromotionContext(seen, now)
    draft = Draft(seen.promotion.status)
    if seen.denied is not None:
        hosts = [g.metadata.namespace for g in (seen.gateway, seen.source_gateway) if g is not None]
        refused = messages.refusal(seen.denied, seen.settings.operator_account, hosts or [context.key.namespace])
        return ending.give_up(conditions.finish(draft, context, refused, {}), context).finish()
    if seen.namespace_labels is None and preconditions.needs_labels(context):
        return draft.needing(Need.NAMESPACE).finish()
    draft, going = _in_hand(draft, context)
    if draft.needs:
        return draft.finish()
    deleted = seen.promotion.metadata.deletion_timestamp is not None
    verdict: Verdict | None = None
    if deleted and draft.status.outcome is None:
        draft, verdict, onward = ending.cancel(draft, context, going)
        if onward:  # its Job may have died in the middle of the views: they are not left like that
            draft, verdict = _stage(draft, context, going, ending.unfinished(draft.status))
    elif draft.status.outcome is None:
        draft, verdict = _advance(draft, context, going)
    if draft.needs:
        return draft.finish()
    draft = ending.let_go(_tidy(ending.stop(draft, context, going), context), context)
    return evidence.leave(conditions.finish(draft, context, verdict, going), context).finish()


def _tidy(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """The last Jobs of each task stay until it is over: people who decide look at their logs, however long that takes."""
    over = draft.status.outcome is not None
    seen, current = context.seen, {task.job for task in draft.status.tasks}
    for site in {s.name: s for s in (context.to, context.origin) if s is not None}.values():
        here = tuple(j for j in seen.jobs if j.namespace == site.gateway.metadata.namespace)
        terms = context.terms(site.name)
        found = retention.let_go_jobs(here, seen.pods, current, terms, context.now)
        draft = draft.after_status(*(action for action in found if over or not isinstance(action, KeepJob)))
    return draft


def _in_hand(draft: Draft[PromotionStatus], context: PromotionContext) -> tuple[Draft[PromotionStatus], Going]:
    seen, now, going = context.seen, context.now, dict[str, Progress]()
    for step in draft.status.steps if draft.status.outcome is None else ():
        task = step.task
        if task is None:
            continue
        terms = context.terms(task.gateway, task.kind, task.job)
        found = life.look(task, seen.jobs, seen.pods, terms, now, live=seen.job_is_live, reports=seen.reports)
        if found.need is not None:
            draft = draft.needing(found.need)
        elif found.goes is not None:
            going[step.name] = found.goes
            draft = draft.again(jobs.next_look(found.goes, terms, now))
            noticed = life.noticed(task)
            if noticed is not task:
                draft = replace(draft, status=record.change(draft.status, step.name, task=noticed))
        elif found.ended is not None:
            draft = _record(draft, context, step, found.ended, found.packed)
            if task.kind == TaskKind.DIFF:  # what it left is read by what status says of it: in the next pass
                going[step.name] = found.ended
        elif task.state == "Started":  # it is known live that its Job was never made
            waits: dict[str, Any] = {"task": task.but(state="Waiting")}
            waits |= {"job": ""} if step.failure is None and not step.touched else {}
            draft = replace(draft, status=record.change(draft.status, step.name, **waits))
    return draft, {name: progress for name, progress in going.items() if draft.status.find(name) is not None}


def _record(
    draft: Draft[PromotionStatus], context: PromotionContext, step: StepStatus, progress: Progress, packed: bytes | None
) -> Draft[PromotionStatus]:
    result, task = progress.result, step.task
    assert result is not None and task is not None
    draft = replace(draft, status=record.record(draft.status, context, step, result, packed))
    draft = draft.noting(conditions.note(draft.status, context, step, result))
    plan = draft.status.plan
    if task.kind == TaskKind.PLAN and packed is not None and plan is not None and plan.report_ref is not None:
        draft = draft.before_status(
            WriteConfigMap(plan_text.report_manifest(context.promotion, plan.report_ref.name, packed))
        )
    site = context.site(task.gateway)
    if task.kind == TaskKind.DIFF and packed is not None and draft.status.relation == ACROSS:
        name = diff_step.report_name(context, result.report_sha256 or "")
        draft = draft.before_status(WriteConfigMap(plan_text.report_manifest(context.promotion, name, packed)))
        draft = _let_go(draft, context, context.promotion.status.reports)
    if task.kind == TaskKind.CHECKS:
        copy = checks.copy_name(context.promotion.metadata, task.inputs)
        draft = draft.before_status(DeleteConfigMap(task.place[0], copy))
    if site is not None and slot.needs_slot(TaskKind(task.kind), site.gateway) and progress.stage is Stage.ENDED:
        meta = site.gateway.metadata
        return draft.after_status(ReleaseSlot(meta.namespace, meta.name, task.job))
    return draft


def _let_go(draft: Draft[PromotionStatus], context: PromotionContext, known: list[str]) -> Draft[PromotionStatus]:
    """Reports that the status does not name any more. Before that is written: nothing else knows their names."""
    gone = [name for name in known if name not in draft.status.reports]
    return draft.before_status(*(DeleteConfigMap(context.key.namespace, name) for name in gone))


def _advance(draft: Draft[PromotionStatus], context: PromotionContext, going: Going) -> Walk:
    """Walks on until tasks are started, something is waited for, or it is over."""
    shut = preconditions.first(draft.status, context)
    superseded = ending.superseded(draft, context)
    if superseded is not None:
        return superseded, None
    if shut is not None:
        soon = _MINUTE if shut.reconciling else 10 * _MINUTE  # changes of what is seen wake it; labels are not watched
        return ending.idle(draft, going).again(context.now + soon), None if going else shut
    if draft.status.started_at is None:
        draft = draft.with_status(started_at=context.now)
    draft = _under_rules_of_today(ending.superseding(draft, context), context)
    verdict: Verdict | None = None
    for stage in _way(draft.status, context):
        draft, verdict = _stage(draft, context, going, stage)
        if draft.needs or draft.status.outcome is not None or not _is_over(draft.status, stage):
            return draft, verdict
        if draft.status.relation == ACROSS and context.promotion.status.relation is None:
            return draft, None  # what is read for the next step is read by what status says of this one
        context = context.having(draft.status)
    return replace(draft, status=record.end(draft.status, "Succeeded", context.now)), None


def _is_over(status: PromotionStatus, stage: stages.Together) -> bool:
    return all((step := status.find(name)) is not None and step.state in ENDED for name, _ in stage)


def _stage(draft: Draft[PromotionStatus], context: PromotionContext, going: Going, stage: stages.Together) -> Walk:
    """Every step of a stage that has not ended and has nothing in hand; the verdict is that of the first that waits."""
    first: Verdict | None = None
    for name, step in stage:
        known = draft.status.find(name)
        if name in going or (known is not None and known.state in ENDED):
            continue
        verdict: Verdict | None = None
        match step(draft.status, context) if name in _EVEN_THERE or not draft.status.is_there else _THERE:
            case Done() as done:
                draft = _judge(draft, context, name, done)
                if draft.status.outcome is not None:
                    return draft, None
            case Hold() as hold:
                draft, verdict = _hold(draft, context, name, hold)
            case Again():
                again = record.planned_again(draft.status)
                return _advance(replace(draft, status=again), context.having(again), going)
            case Order() as order:
                draft, verdict = _order(draft, context, name, order)
        first = first or verdict
    return draft, first


def _under_rules_of_today(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """Words are on a plan under the rules that were shown: under others it has another digest."""
    plan = draft.status.plan
    if plan is None or plan.state != "Pending" or draft.status.applied_plan_id:
        return draft
    token = approval.retoken(plan, context.rules)
    begun = [task for task in draft.status.tasks if task.state != "Waiting"]
    changing = any(task.kind in MOVES for task in begun)
    if token == plan.digest or changing:
        return draft
    steps = [_asked_again(step) for step in draft.status.steps]
    return draft.with_status(plan=plan.but(digest=token), steps=steps, approved_by=[])


def _asked_again(step: StepStatus) -> StepStatus:
    """Jobs that have failed are not forgotten: they may have begun to change the target."""
    match step.name:
        case "Approval":
            return StepStatus(name=step.name, started_at=step.started_at)
        case "CatchUp" | "Apply":
            return step.but(task=None)
        case _:
            return step


def _way(status: PromotionStatus, context: PromotionContext) -> tuple[stages.Together, ...]:
    if context.promotion.spec.rollback_to is not None:
        return stages.BACK
    if status.rollback is not None:
        return stages.BACK[1:]
    return stages.FORWARD


def _judge(draft: Draft[PromotionStatus], context: PromotionContext, name: str, done: Done) -> Draft[PromotionStatus]:
    known = draft.status.reports
    status = record.put(draft.status.but(**done.settles), name, done, context.now)
    draft = _let_go(replace(draft, status=status), context, known)
    if done.state in BAD:
        status = record.end(status, done.state, context.now)
    return replace(draft, status=status)


def _hold(draft: Draft[PromotionStatus], context: PromotionContext, name: str, hold: Hold) -> Walk:
    if hold.needs:
        return draft.needing(*hold.needs), None
    words = {"state": "Waiting", "message": hold.verdict.message[:1024], "task": None}
    status = record.put(draft.status, name, None, context.now, **words)
    return replace(draft, status=status).again(hold.until), hold.verdict


def _order(draft: Draft[PromotionStatus], context: PromotionContext, name: str, order: Order) -> Walk:
    step, site = draft.status.find(name) or StepStatus(name=name), order.site
    failed = step.failure
    if failed is not None and (failed.task, failed.inputs) == (order.kind, order.inputs):
        again = schedule.retry_time(failed, context.target.spec.retry)
        if again is not None and again > context.now:
            status = record.change(draft.status, name, task=None)
            return replace(draft, status=status).again(again), messages.failing(failed, again)
    if slot.needs_slot(order.kind, site.gateway) and _holds_or_waits(draft.status, name, site.name, context):
        words = {"state": "Pending", "message": "another step is at work on this gateway, which lets one in at a time"}
        return replace(draft, status=record.put(draft.status, name, None, context.now, **words)), None
    rank = slot.Priority.ROLLBACK if order.kind is TaskKind.ROLLBACK else slot.Priority.PROMOTION
    task = life.announce(
        context.promotion.metadata,
        context.seen.jobs,
        order.kind,
        order.inputs,
        (failed, step.task),
        context.now,
        priority=int(rank),
        why=order.why,
        gateway=site.name,
    )
    status = record.put(
        draft.status, name, None, context.now, state="Running", message=order.why, job=task.job, task=task
    )
    begun = replace(draft, status=status)
    if order.kind.writes or (status.relation == ACROSS and order.kind is TaskKind.PLAN):  # which leaves a copy
        begun = ending.keep(begun, context)
    ready = launch.start(begun, context, task, site)
    if ready.needs:
        return ready, None
    if ready.actions != begun.actions:
        risen = task.but(priority=slot.aged(rank, task.since, context.now))
        return replace(ready, status=record.change(ready.status, name, task=risen)), None
    # The Job is none yet: whoever asks later whether it may have changed anything must not take it for one.
    waiting, last = task.but(state="Waiting"), step.job if failed is not None else ""
    status = record.put(begun.status, name, None, context.now, job=last, task=waiting)
    return replace(draft, status=status).again(context.now + SLOT_CHECK), None


def _holds_or_waits(status: PromotionStatus, name: str, gateway: str, context: PromotionContext) -> bool:
    """Whether another step of this promotion needs the same writer slot; one object waits at one place in a line."""
    site = context.site(gateway)
    return site is not None and any(
        s.name != name and s.task is not None and s.task.gateway == gateway
        and slot.needs_slot(TaskKind(s.task.kind), site.gateway)
        for s in status.steps
    )  # fmt: skip
