"""How an environment ends. Pure.

Retain and Expire need no finalizer: the object goes at once, what SQLMesh has stays (or expires by SQLMesh's own ttl),
and an unfinished Job is collected later. Invalidate has our finalizer and a Job; it works from status alone, without
the project, and it always ends: after a deadline, or without a gateway, the object is let go and says so.
"""

import datetime as dt

from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan import gates, jobs, launch, schedule, slot, verdicts
from vulcan_operator.plan.actions import Note, SetFinalizer
from vulcan_operator.plan.context import Context
from vulcan_operator.plan.status import Draft, Verdict, holds

_GIVE_UP = dt.timedelta(minutes=10)
_SLOT_CHECK = dt.timedelta(seconds=20)


def fit_finalizer(context: Context) -> SetFinalizer | None:
    """Our finalizer on exactly those that are to be invalidated; never on prod."""
    meta = context.environment.metadata
    wanted = context.deletion_policy == "Invalidate" and context.environment.sqlmesh_environment != "prod"
    if wanted == (names.FINALIZER in meta.finalizers):
        return None
    return _finalizers(context, with_ours=wanted)


def _finalizers(context: Context, *, with_ours: bool) -> SetFinalizer:
    meta = context.environment.metadata
    others = tuple(f for f in meta.finalizers if f != names.FINALIZER)
    return SetFinalizer(context.key, meta.resource_version, (*others, names.FINALIZER) if with_ours else others)


def plan_deletion(draft: Draft[EnvironmentStatus], context: Context, *, busy: bool) -> Draft[EnvironmentStatus]:
    """The next step towards the object's end; `busy`: its Job still runs, which is awaited."""
    if names.FINALIZER not in context.environment.metadata.finalizers:
        return draft  # others hold it
    deleted = context.environment.metadata.deletion_timestamp
    assert deleted is not None
    if busy:
        return _say(draft.again(context.now + _SLOT_CHECK), context, "waiting for its Job to end")
    gone = _gone(draft, context, deleted)
    if gone is not None:
        note = Note(
            Why.DELETION_FORCED, f"let go without invalidating: {gone}", warning=True, audit=_audit(context, gone)
        )
        return draft.saying(note).then(_finalizers(context, with_ours=False))
    if _invalidated(draft, context):
        return draft.then(_finalizers(context, with_ours=False))
    failure = draft.status.failure
    if failure is not None and failure.task == TaskKind.INVALIDATE:
        again = schedule.retry_time(failure, context.environment.spec.retry)
        if again is None or again > context.now:
            return _say(draft.again(again, deleted + _GIVE_UP), context, failure.message)
    return _start(draft, context, deleted)


def _gone(draft: Draft[EnvironmentStatus], context: Context, deleted: dt.datetime) -> str | None:
    """Why nothing can or need be invalidated any more."""
    if context.seen.gateway is None:
        return "its gateway does not exist any more"
    if context.now >= deleted + _GIVE_UP:
        failure = draft.status.failure
        return f"not done within {_GIVE_UP}" + (f" ({failure.reason})" if failure is not None else "")
    return None


def _invalidated(draft: Draft[EnvironmentStatus], context: Context) -> bool:
    """Whether it never came to life, or its invalidate task ended well (recorded: no failure and no task left)."""
    if draft.status.applied is None and draft.status.plan is None:
        return True
    before = context.environment.status.task
    return (
        before is not None
        and before.kind == TaskKind.INVALIDATE
        and draft.status.task is None
        and (draft.status.failure is None)
    )


def _start(draft: Draft[EnvironmentStatus], context: Context, deleted: dt.datetime) -> Draft[EnvironmentStatus]:
    if gates.gateway_not_ready(context) is not None and not holds(context.gateway.status.conditions, Type.READY):
        return _say(draft.again(deleted + _GIVE_UP), context, "waiting for its gateway")
    failure, meta = draft.status.failure, context.environment.metadata
    known = failure.last_attempt if failure is not None and failure.task == TaskKind.INVALIDATE else 0
    attempt = jobs.next_attempt(context.seen.jobs, TaskKind.INVALIDATE, "delete", known)
    waiting = draft.status.task
    task = TaskStatus(
        kind=TaskKind.INVALIDATE,
        job=jobs.job_name(meta.name, meta.uid, TaskKind.INVALIDATE, "delete", attempt),
        inputs="delete",
        attempt=attempt,
        state="Started",
        priority=slot.Priority.OTHER,
        since=waiting.since if waiting is not None and waiting.kind == TaskKind.INVALIDATE else context.now,
        why="deleted",
    )
    ready = launch.launch(draft.having(task=task), context, task)
    if ready is None or ready.needs:
        return ready or draft
    if ready.actions == draft.actions:
        ready = draft.having(task=task.model_copy(update={"state": "Waiting"})).again(context.now + _SLOT_CHECK)
    return verdicts.finish(ready, context, None, None)


def _say(draft: Draft[EnvironmentStatus], context: Context, message: str) -> Draft[EnvironmentStatus]:
    return verdicts.finish(draft, context, Verdict("False", Why.INVALIDATING, message, reconciling=True), None)


def _audit(context: Context, why: str) -> dict[str, str]:
    return {
        "operation": "invalidate",
        "gateway": context.environment.spec.gateway_ref.name,
        "environment": context.environment.sqlmesh_environment,
        "outcome": "Errored",
        "reason": Why.DELETION_FORCED,
        "why": why,
    }
