"""plan_environment: everything seen of a VulcanEnvironment -> its complete new status and what to do. Pure.

Called by `reconcile` only. One pass: the task in hand is classified and, when ended, recorded (whatever else is wrong);
then the gates say whether anything may start; then the wants say what. Intent comes first: status names the task and
its Job before the Job is created, so a crash between any two writes loses nothing and does nothing twice.
"""

import datetime as dt

from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.actions import DeleteObject, Need, Plan
from vulcan_operator.plan.core.deadlines import SLOT_CHECK
from vulcan_operator.plan.core.decision import Draft, Verdict
from vulcan_operator.plan.core.seen import EnvironmentSeen
from vulcan_operator.plan.environments import conditions, deletion, launch, preconditions, rollback_targets, wants
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.in_hand import in_hand
from vulcan_operator.plan.rules import access, promoted_revision, promotion_history, schedule
from vulcan_operator.plan.tasks import life, retention, slot

_SOON = {
    Why.GATEWAY_NOT_FOUND: dt.timedelta(minutes=1),
    preconditions.REFERENCE_MISSING: dt.timedelta(seconds=15),
}


def plan_environment(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    """The Plan for one environment. Raises nothing for bad specs: they become conditions."""
    context = Context(seen, now)
    draft = Draft(seen.environment.status)
    if seen.denied is not None:
        return deletion.give_up(conditions.finish(draft, context, conditions.denied(context), None), context).finish()
    if (
        seen.gateway is not None
        and seen.namespace_labels is None
        and access.needs_labels(seen.gateway, seen.environment)
    ):
        return draft.needing(Need.NAMESPACE).finish()
    found = in_hand(draft, context)
    draft, progress = found.draft, found.progress
    if draft.needs:
        return draft.finish()
    if seen.environment.metadata.deletion_timestamp is not None:
        return deletion.plan_deletion(draft, context, progress).finish()
    verdict = None
    if progress is None:
        draft, verdict = _advance(draft, context)
    return (
        draft.finish() if draft.needs else conditions.finish(_tidy(draft, context), context, verdict, progress).finish()
    )


def _tidy(draft: Draft[EnvironmentStatus], context: Context) -> Draft[EnvironmentStatus]:
    """Notes what promotions left and what can be had again; lets go of what nothing refers to any more."""
    seen, task = context.seen, draft.status.task
    draft = promotion_history.keep(draft, context.environment, seen.promotions, context.now)
    draft = rollback_targets.watch(draft, context)
    current, terms = {task.job} if task is not None else set(), context.terms()
    waits = [retention.stuck_at(j, seen.pods, terms) for j in seen.jobs if j.name not in current]
    draft = draft.again(*(at for at in waits if at is not None and at > context.now))
    return draft.before_status(
        *retention.let_go_copies(seen.environment, draft.status, context.gateway_namespace)
    ).after_status(
        *retention.let_go_jobs(seen.jobs, seen.pods, current, terms, context.now),
        *retention.let_go_reports(seen.environment, draft.status),
    )


def _advance(draft: Draft[EnvironmentStatus], context: Context) -> tuple[Draft[EnvironmentStatus], Verdict | None]:
    """Starts what is wanted next, unless a gate is shut."""
    spec, meta = context.environment.spec, context.environment.metadata
    draft = promoted_revision.take(
        draft, context.environment, context.seen.promotions, context.now
    )  # whatever is shut: what has happened is known
    shut = preconditions.first(context)
    if shut is not None:
        soon = _SOON.get(shut.reason)
        until = spec.suspend_until if shut.reason == Why.SUSPENDED else None
        return _idle(draft).again(context.now + soon if soon is not None else None, until), shut
    draft = draft.with_status(environment=context.environment.sqlmesh_environment, protected=context.protected)
    if spec.project is None and draft.status.applied is None:
        message = "waiting for a VulcanPromotion to this environment"
        return _idle(draft), Verdict("False", Why.NO_REVISION, message, reconciling=True)
    finalizer = deletion.fit_finalizer(context)
    if finalizer is not None:
        return draft.after_status(finalizer), None
    expires = context.expired_at(draft.status)
    if spec.ttl_action == "Delete" and expires is not None and expires <= context.now:
        return draft.after_status(DeleteObject(context.key, meta.uid)), None
    wrong = schedule.problem(spec.schedule, context.now)
    if wrong is not None:  # before anything is planned: a first backfill may take a day
        return _idle(draft), Verdict("False", Why.INVALID, f"spec.schedule: {wrong}", stalled=True)
    outlook = wants.next_step(draft, context)
    if outlook.draft.needs or outlook.want is None:
        return _idle(outlook.draft), outlook.verdict
    # While a run goes on, Ready says what it said of the change that waits.
    return _start(outlook.draft, context, outlook.want), outlook.verdict


def _idle(draft: Draft[EnvironmentStatus]) -> Draft[EnvironmentStatus]:
    return draft.with_status(task=None) if draft.status.task is not None else draft


def _start(draft: Draft[EnvironmentStatus], context: Context, want: wants.Want) -> Draft[EnvironmentStatus]:
    """Announces a task in status; its Job follows in the same pass, unless the writer slot is taken."""
    failed = draft.status.run_failure if want.kind is TaskKind.RUN else draft.status.failure
    rank = slot.priority(want.kind, protected=context.protected, preview=context.environment.spec.ttl is not None)
    task = life.announce(
        context.environment.metadata,
        context.seen.jobs,
        want.kind,
        want.inputs,
        (failed, draft.status.task),
        context.now,
        priority=int(rank),
        request=want.request,
        due=want.due,
        why=want.why,
    )
    ready = launch.launch(draft.with_status(task=task), context, task)
    if ready is None:
        return draft.with_status(task=None)
    if ready.needs:
        return ready
    if ready.actions != draft.actions:  # it keeps the class it has risen to
        return ready.with_status(task=task.but(priority=slot.aged(rank, task.since, context.now)))
    queued = task.but(state="Waiting")
    return draft.with_status(task=queued).again(context.now + SLOT_CHECK)
