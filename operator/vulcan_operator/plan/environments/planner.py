"""plan_environment: everything seen of a VulcanEnvironment -> its complete new status and what to
do. Pure.

Called by `reconcile` only. One pass: the current task is inspected and, when it has ended,
recorded, whatever else is wrong; then the preconditions say whether anything may start; then the
steps say what. Two lanes with failures of their own: the change (resolve, plan, apply, checks)
comes first, scheduled runs go on while a change waits for people or fails. Intent comes first:
status names the task and its Job before the Job is created, so a crash between any two writes loses
nothing and does nothing twice.
"""

import datetime as dt

from vulcan_contract import times
from vulcan_contract.reasons import Outcome
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.actions import DeleteObject, Plan, WriteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.decision import Draft, EnvironmentDraft
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.core.needs import answering
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.plan.environments import (
    conditions,
    deletion,
    preconditions,
    rollback_targets,
    starting,
)
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import CHANGE
from vulcan_operator.plan.environments.steps import CHANGE_STEPS, RUN, STEPS
from vulcan_operator.plan.environments.steps.apply import answered
from vulcan_operator.plan.rules import messages, promoted_revision, promotion_history, schedule
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import life, retention

Walk = tuple[EnvironmentDraft, Verdict | None]


def plan_environment(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    """The Plan for one environment. Raises nothing for bad specs: they become conditions."""
    context = Context(seen, now)
    return answering(seen.environment.status, lambda: _plan(context).finish())


def _plan(context: Context) -> EnvironmentDraft:
    draft, verdict = Draft(context.environment.status), None
    if context.live.denied is not None:
        refused = conditions.finish(draft, context, conditions.denied(context), None)
        return deletion.give_up(refused, context)
    draft, progress = life.settle(
        draft, CHANGE, context.site, context.gateway_namespace, context.mine,
        lambda before, ended: _record(before, ended, context),
    )  # fmt: skip
    if context.meta.deletion_timestamp is not None:
        return deletion.plan_deletion(draft, context, progress)
    draft = draft.with_new(answered(draft.status, context))
    if progress is None:
        draft, verdict = _advance(draft, context)
    else:
        draft = _while_in_flight(draft, context)
    draft = _tidy(draft, context)
    return conditions.finish(draft, context, verdict, progress)


def _record(draft: EnvironmentDraft, ended: life.Ended, context: Context) -> EnvironmentDraft:
    """The end of a task, in the same pass that decides what comes next; only when that is written
    may the Job go."""
    step, before = STEPS[TaskKind(ended.task.kind)], draft.status
    status = before.but(task=None, **step.answered(ended))
    kept: tuple[WriteConfigMap, ...] = ()
    if ended.result.outcome is Outcome.SUCCEEDED:
        judged = step.judge(step.recovered(status), ended, context)
        status, kept = judged.status, judged.kept
    else:
        status = step.failed(status, ended, context)
    status = rollback_targets.noted(status, ended.result.work)
    note = ends.environment_note(context.environment, ended.task, ended.result)
    return draft.with_new(status).before_status(*kept).noting(note)


def _advance(draft: EnvironmentDraft, context: Context) -> Walk:
    """Starts what is wanted next, unless a precondition does not hold."""
    spec, promotions = context.spec, context.seen.promotions
    # Whatever is closed: what has happened is known.
    draft = promoted_revision.adopt(draft, context.environment, promotions, context.now)
    closed = preconditions.first(context)
    if closed is not None:
        soon = preconditions.SOON.get(closed.reason)
        until = spec.suspend_until if closed.reason == Why.SUSPENDED else None
        return _idle(draft).again(context.now + soon if soon is not None else None, until), closed
    name = context.environment.sqlmesh_environment
    draft = draft.with_status(
        environment=name, protected=context.protected, rules=context.in_force.shown
    )
    if spec.project is None and draft.status.applied is None:
        message = "waiting for a VulcanPromotion to this environment"
        return _idle(draft), Verdict("False", Why.NO_REVISION, message, reconciling=True)
    finalizer = deletion.fit_finalizer(context)
    if finalizer is not None:
        return draft.after_status(finalizer).again(context.now), None
    expires = context.expired_at(draft.status)
    if spec.ttl_action == "Delete" and expires is not None and expires <= context.now:
        return draft.after_status(DeleteObject(context.key, context.meta.uid)), None
    wrong = schedule.problem(spec.schedule, context.now)
    if wrong is not None:  # before anything is planned: a first backfill may take a day
        return _idle(draft), Verdict("False", Why.INVALID, f"spec.schedule: {wrong}", stalled=True)
    if expires is not None and _is_at_rest(context, expires):
        message = f"spec.ttl ended at {times.to_minute(expires)}; change the spec to use it again"
        ready = "True" if draft.status.applied is not None else "False"
        return _idle(draft), Verdict(ready, Why.EXPIRED, message)
    draft, verdict = _walk(draft, context)
    if expires is not None and (expires > context.now or draft.status.task is None):
        # A changed spec that starts nothing is at rest again, now that its generation is observed.
        draft = draft.again(max(expires, context.now))
    return draft, verdict


def _is_at_rest(context: Context, expires: dt.datetime) -> bool:
    """Whether its ttl is over: a changed spec starts a change, and a task in flight goes on."""
    environment, task = context.environment, context.environment.status.task
    if expires > context.now or (task is not None and task.kind != TaskKind.RUN):
        return False
    return environment.status.observed_generation == environment.metadata.generation


def _walk(draft: EnvironmentDraft, context: Context) -> Walk:
    """The change first; when nothing of it can start now, a run that is due."""
    draft, order, waits = _change(draft, context)
    draft = draft.with_status(standing=conditions.standing_of(waits))
    if order is None:
        move = RUN.next(draft.status, context)
        draft, order, verdict = _answer(draft, move, context)
        waits = waits or verdict
    # While a run goes on, Ready says what it said of the change that waits.
    return (starting.start(draft, order, context) if order is not None else _idle(draft)), waits


def _change(
    draft: EnvironmentDraft, context: Context
) -> tuple[EnvironmentDraft, Order | None, Verdict | None]:
    for step in CHANGE_STEPS:
        draft, order, verdict = _answer(draft, step.next(draft.status, context), context)
        if order is not None or verdict is not None:
            return draft, order, verdict
    return draft, None, None


def _answer(
    draft: EnvironmentDraft, move: Move, context: Context
) -> tuple[EnvironmentDraft, Order | None, Verdict | None]:
    """What a step's answer makes of the draft: a task to start, or why it waits, or neither."""
    match move:
        case Done(settles=settles, until=until):
            return draft.with_status(**settles).again(until), None, None
        case Wait(verdict=verdict, settles=settles, until=until):
            return draft.with_status(**settles).again(until), None, verdict
        case Order(settles=settles, until=until):
            draft = draft.with_status(**settles).again(until)
            failed = STEPS[move.kind].lane.failure(draft.status)
            same = failed is not None and (failed.task, failed.inputs) == (move.kind, move.inputs)
            again = context.retry_at(failed) if failed is not None else None
            if failed is None or not same or move.request is not None:
                return draft, move, None
            if again is not None and again <= context.now:
                return draft, move, None
            return draft.again(again), None, messages.failing(failed, again)


def _while_in_flight(draft: EnvironmentDraft, context: Context) -> EnvironmentDraft:
    """While a run goes on, people may answer a plan that waits; what follows starts later."""
    task, said = draft.status.task, conditions.standing_before(context)
    if task is None or task.kind != TaskKind.RUN or context.seen.gateway is None:
        return draft
    draft = draft.with_status(standing=said)
    if said is None or said.reason not in conditions.ANSWERS or draft.status.revision is None:
        return draft
    draft, _, waits = _answer(draft, STEPS[TaskKind.APPLY].next(draft.status, context), context)
    return draft.with_status(standing=conditions.standing_of(waits))


def _idle(draft: EnvironmentDraft) -> EnvironmentDraft:
    return draft.with_status(task=None) if draft.status.task is not None else draft


def _tidy(draft: EnvironmentDraft, context: Context) -> EnvironmentDraft:
    """Notes what promotions left and what can be rolled back to; deletes what nothing names."""
    seen, before, now = context.seen, context.environment.status, context.now
    draft = promotion_history.keep(draft, context.in_force.promotion_history, seen.promotions, now)
    draft = rollback_targets.watch(draft, context)
    current = {draft.status.task.job} if draft.status.task is not None else set[str]()
    policy = life.site_policy(context.site)
    waits = [retention.stuck_at(j, seen.pods, policy) for j in seen.jobs if j.name not in current]
    draft = draft.again(*(at for at in waits if at is not None and at > now))
    for step in STEPS.values():
        draft = draft.before_status(*step.leftovers(before, draft.status, context))
    return draft.after_status(*retention.expired_jobs(seen.jobs, seen.pods, current, policy, now))
