"""How an environment ends. Pure.

Retain and Expire need no finalizer: the object goes at once, what SQLMesh has stays (or expires by
SQLMesh's own ttl), and an unfinished Job is collected later. Invalidate has our finalizer and a
Job; it works from status alone, without the project, and it always ends: after a deadline, or
without a gateway, our finalizer is removed and an event says so.
"""

import datetime as dt

from vulcan_contract import REFERENCE
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskState
from vulcan_operator.plan.core.actions import AuditEntry, Note, SetFinalizer, StopPods
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.deadlines import GIVE_UP, must_go
from vulcan_operator.plan.core.decision import EnvironmentDraft
from vulcan_operator.plan.core.moves import Done, Order
from vulcan_operator.plan.environments import conditions, starting
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import INVALIDATE
from vulcan_operator.plan.rules import schedule
from vulcan_operator.plan.tasks import slot
from vulcan_operator.plan.tasks.jobs import Progress


def fit_finalizer(context: Context) -> SetFinalizer | None:
    """Our finalizer on exactly those that are to be invalidated; never on prod."""
    meta = context.meta
    wanted = (
        context.deletion_policy == "Invalidate"
        and context.environment.sqlmesh_environment != REFERENCE
    )
    if wanted == (names.FINALIZER in meta.finalizers):
        return None
    return SetFinalizer.ours(context.key, meta, there=wanted)


def plan_deletion(
    draft: EnvironmentDraft, context: Context, progress: Progress | None
) -> EnvironmentDraft:
    """The next step towards the object's end; `progress`: of its Job that still runs, which is
    awaited."""
    if names.FINALIZER not in context.meta.finalizers:
        # Others hold it; it starts nothing any more, so it must not stand in anybody's way either.
        waits = draft.status.task is not None and draft.status.task.state == TaskState.WAITING
        return draft.with_status(task=None) if waits else draft
    deleted = context.meta.deletion_timestamp
    assert deleted is not None
    if context.deletion_policy != "Invalidate":
        # The spec was changed and nobody had looked at it before the deletion.
        return _release(draft, context)
    gone = _gone(draft, context, deleted)
    if gone is not None:
        return _forced(draft, context, gone)
    if progress is not None:
        return _await(draft.again(deleted + GIVE_UP), context, progress)
    if draft.status.task is not None and draft.status.task.kind != TaskKind.INVALIDATE:
        draft = draft.with_status(task=None)
    move = INVALIDATE.next(draft.status, context)
    if isinstance(move, Done):
        return _release(draft, context)
    failure = draft.status.failure
    if failure is not None and failure.task == TaskKind.INVALIDATE:
        again = schedule.retry_time(failure, context.spec.retry)
        if again is None or again > context.now:
            return _say(draft.again(again, deleted + GIVE_UP), context, failure.message)
    if not isinstance(move, Order):
        return _say(draft.again(deleted + GIVE_UP), context, "waiting for its gateway")
    draft = starting.start(draft, move, context, slot.Priority.OTHER)
    return conditions.finish(draft, context, None, None)


def give_up(draft: EnvironmentDraft, context: Context) -> EnvironmentDraft:
    """Deletion ends also where the API server refuses what would have to be done first."""
    meta = context.meta
    if meta.deletion_timestamp is None or names.FINALIZER not in meta.finalizers:
        return draft
    gone = _gone(draft, context, meta.deletion_timestamp)
    if gone is None:
        return draft.again(meta.deletion_timestamp + GIVE_UP)
    return _forced(draft, context, gone)


def _forced(draft: EnvironmentDraft, context: Context, gone: str) -> EnvironmentDraft:
    audit = AuditEntry(
        operation="invalidate", gateway=context.spec.gateway_ref.name,
        environment=context.environment.sqlmesh_environment,
        outcome="Errored", reason=Why.DELETION_FORCED, why=gone,
    )  # fmt: skip
    message = f"deleted without invalidating the SQLMesh environment: {gone}"
    note = Note(Why.DELETION_FORCED, message, warning=True, audit=audit)
    return _release(draft.noting(note), context)


def _release(draft: EnvironmentDraft, context: Context) -> EnvironmentDraft:
    """Copies of its project go with their owner, or `collect` clears them away."""
    return draft.after_status(SetFinalizer.ours(context.key, context.meta, there=False))


def _await(draft: EnvironmentDraft, context: Context, progress: Progress) -> EnvironmentDraft:
    """Its Job still runs: what it computes is of no use any more, so it is told to stop (what
    invalidates is not)."""
    task, pod = draft.status.task, progress.pod
    computes = task is not None and task.kind != TaskKind.INVALIDATE
    if task is not None and computes and pod is not None and pod.started and not pod.deleting:
        draft = draft.after_status(StopPods(context.gateway_namespace, task.job))
    return _say(draft, context, "waiting for its Job to end")


def _gone(draft: EnvironmentDraft, context: Context, deleted: dt.datetime) -> str | None:
    """Why nothing can or need be invalidated any more."""
    if context.seen.gateway is None:
        return "its gateway does not exist any more"
    if must_go(context.meta, context.now):
        failure = draft.status.failure
        why = f" ({failure.reason})" if failure is not None else ""
        return f"not done within {GIVE_UP}{why}"
    return None


def _say(draft: EnvironmentDraft, context: Context, message: str) -> EnvironmentDraft:
    verdict = Verdict("False", Why.INVALIDATING, message, reconciling=True)
    return conditions.finish(draft, context, verdict, None)
