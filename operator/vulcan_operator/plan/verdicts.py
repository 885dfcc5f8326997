"""Conditions of an environment from its status: the one place where they are summed up. Pure."""

import datetime as dt

from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.plan import approval, schedule
from vulcan_operator.plan.context import Context
from vulcan_operator.plan.jobs import Progress
from vulcan_operator.plan.status import Draft, Verdict, condition, put, summarize

_DOING = {
    TaskKind.RESOLVE: (Why.RESOLVING, "resolving the source"),
    TaskKind.PLAN: (Why.PLANNING, "building the plan"),
    TaskKind.APPLY: (Why.APPLYING, "applying the plan"),
    TaskKind.INVALIDATE: (Why.INVALIDATING, "removing the environment from SQLMesh"),
}


def denied(context: Context) -> Verdict:
    """The API server refused an action of ours."""
    account = context.seen.settings.operator_account.removeprefix("system:serviceaccount:").partition(":")
    message = (
        f"the operator may not work in namespace {context.gateway_namespace}: kubectl create rolebinding"
        f" vulcan-operator --clusterrole=vulcan-gateway --serviceaccount={account[0]}:{account[2]}"
        f" --namespace={context.gateway_namespace} ({(context.seen.denied or '')[:300]})"
    )
    return Verdict("False", Why.NOT_AUTHORIZED, message, stalled=True)


def finish(
    draft: Draft[EnvironmentStatus], context: Context, verdict: Verdict | None, progress: Progress | None
) -> Draft[EnvironmentStatus]:
    """The draft with every condition, next attempt and next look set."""
    status = draft.status
    meta, generation, now = context.environment.metadata, context.environment.metadata.generation, context.now
    final = verdict or _verdict(status, context, progress)
    conditions = summarize(list(status.conditions), final, generation, now)
    for kind, (value, reason, message) in _facts(status, context).items():
        conditions = put(conditions, kind, value, reason, message, generation, now)
    draft = draft.having(
        conditions=conditions,
        observed_generation=meta.generation,
        next_attempt_time=_next_attempt(status, context),
    )
    if context.seen.denied is not None:
        draft = draft.again(now + dt.timedelta(seconds=30))
    return draft.again(_late(status, context))


def _verdict(status: EnvironmentStatus, context: Context, progress: Progress | None) -> Verdict:
    task = status.task
    if task is None:
        return _settled(status)
    if task.kind == TaskKind.RUN:
        old = condition(context.environment.status.conditions, Type.READY)
        working = {c.type for c in context.environment.status.conditions if c.status == "True"}
        if progress is None or old is None or old.reason in {why for why, _ in _DOING.values()}:
            return _settled(status)
        flags = {"reconciling": Type.RECONCILING in working, "stalled": Type.STALLED in working}
        return Verdict(old.status, old.reason, old.message, **flags)
    ready = "Unknown" if status.applied is not None else "False"
    if task.state == "Waiting":
        slot = context.seen.slot
        holder = f" ({slot.holder} holds it)" if slot is not None and slot.holder and slot.live else ""
        message = (
            f"{task.kind} waits for the writer slot of gateway {context.environment.spec.gateway_ref.name}{holder}"
        )
        return Verdict(ready, Why.WAITING_FOR_WRITER, message, reconciling=True)
    if progress is not None and progress.detail:
        return Verdict(ready, Why.POD_WAITING, f"Job {task.job}: {progress.detail}", reconciling=True)
    reason, doing = _DOING[TaskKind(task.kind)]
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    return Verdict(ready, reason, f"{doing}{again} ({task.why}), Job {task.job}", reconciling=True)


def _settled(status: EnvironmentStatus) -> Verdict:
    if status.applied is None:
        return Verdict("Unknown", Why.PENDING, "not looked at yet", reconciling=True)
    return Verdict("True", Why.READY, f"revision {short(status.applied.revision)} is applied")


def short(revision: str) -> str:
    """A commit's first twelve digits; other revisions as they are."""
    return revision[:12] if len(revision) in (40, 64) and revision.isalnum() else revision


def _facts(status: EnvironmentStatus, context: Context) -> dict[str, tuple[str, str, str]]:
    facts = {
        Type.APPLIED: _applied(status),
        Type.AWAITING: _awaiting(status, context),
        Type.RUN: _run(status),
        Type.FRESH: _fresh(status, context),
        Type.DRIFTED: _drifted(status),
    }
    if context.protected:
        planning = context.gateway.spec.planning is not None
        facts[Type.PLAN_READ_ONLY] = (
            ("True", Why.PLAN_READS, "")
            if planning
            else ("False", Why.PLAN_WRITES, "give the gateway spec.planning with read-only credentials")
        )
    return {str(k): v for k, v in facts.items()}


def _applied(status: EnvironmentStatus) -> tuple[str, str, str]:
    applied, plan, task = status.applied, status.plan, status.task
    if applied is None:
        return "False", Why.NOT_APPLIED, "nothing was applied yet"
    changing = task is not None and task.kind != TaskKind.RUN
    if changing or status.failure is not None or (plan is not None and plan.state not in ("Applied", "NoChanges")):
        return "False", Why.OUTDATED, f"the environment has revision {short(applied.revision)}"
    return "True", Why.UP_TO_DATE, f"revision {short(applied.revision)}"


def _awaiting(status: EnvironmentStatus, context: Context) -> tuple[str, str, str]:
    plan, task = status.plan, status.task
    waiting = (
        plan is not None
        and plan.state == "Pending"
        and (task is None or task.kind == TaskKind.RUN)
        and approval.decide(plan, context.environment.spec).say is approval.Say.WAIT
    )
    if not waiting or plan is None:
        return "False", Why.NOT_NEEDED, ""
    return "True", Why.AWAITING, f"{plan.summary.text} — {plan.why}; plan {plan.digest}"


def _run(status: EnvironmentStatus) -> tuple[str, str, str]:
    run = status.last_run
    if run is None:
        return "Unknown", Why.NEVER_RAN, ""
    return "True" if run.succeeded else "False", run.reason, run.message


def _fresh(status: EnvironmentStatus, context: Context) -> tuple[str, str, str]:
    if status.applied is None:
        return "Unknown", Why.NOT_APPLIED, ""
    late = _late(status, context)
    if late is not None and late <= context.now:
        return "False", Why.OVERDUE, f"a run has been due since {late - _lag(context):%Y-%m-%dT%H:%M:%SZ}"
    if status.last_run is None:
        return "Unknown", Why.NEVER_RAN, ""
    if status.last_run.succeeded and status.intervals_behind:
        return "False", Why.BEHIND, f"{status.intervals_behind} intervals missing after the last run"
    old = condition(context.environment.status.conditions, Type.FRESH)
    if not status.last_run.succeeded and old is not None:
        return old.status, old.reason, old.message
    return "True", Why.UP_TO_DATE, ""


def _lag(context: Context) -> dt.timedelta:
    return parse_duration(context.environment.spec.freshness.max_lag)


def _late(status: EnvironmentStatus, context: Context) -> dt.datetime | None:
    """When the oldest run that is owed becomes too late."""
    run = status.last_run
    owed = [status.next_run_time] if status.next_run_time is not None and status.applied is not None else []
    if run is not None and not run.succeeded and run.due is not None:
        owed.append(run.due)
    return min(owed) + _lag(context) if owed else None


def _drifted(status: EnvironmentStatus) -> tuple[str, str, str]:
    applied, seen = status.applied, status.observed_plan_id
    if applied is None or seen is None or not applied.plan_id or seen == applied.plan_id:
        return "False", Why.IN_SYNC, ""
    return "True", Why.APPLIED_ELSEWHERE, f"SQLMesh has plan {seen or 'none'}, the operator applied {applied.plan_id}"


def _next_attempt(status: EnvironmentStatus, context: Context) -> dt.datetime | None:
    failures = [f for f in (status.failure, status.run_failure) if f is not None]
    times = [schedule.retry_time(f, context.environment.spec.retry) for f in failures]
    return min((t for t in times if t is not None), default=None)
