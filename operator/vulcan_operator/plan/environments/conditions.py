"""Conditions of an environment from its status: the one place where they are summed up. Pure."""

import datetime as dt

from vulcan_contract import times
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment_status import (
    DONE_PLANS,
    AppliedStatus,
    EnvironmentStatus,
    PlanState,
    StandingStatus,
)
from vulcan_operator.api.fields import TaskState, parse_duration
from vulcan_operator.plan.core.conditions import Verdict, condition, is_true, put, summarize
from vulcan_operator.plan.core.deadlines import REFUSAL_CHECK
from vulcan_operator.plan.core.decision import EnvironmentDraft
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import CHANGE, RUNS
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.rules import approval, change_windows, schedule
from vulcan_operator.plan.rules.messages import is_suspended, refusal, short, still_refused
from vulcan_operator.plan.tasks.jobs import Progress

_SOMETIMES = (Type.VERIFIED, Type.PLAN_READ_ONLY)
_LONG = dt.timedelta(minutes=2)  # what waits shorter for the slot is not worth a message
_STANDS = (
    *approval.ASKS,
    Why.REJECTED,
    Why.CONFIG_MAP_MISSING,
    Why.UNPROTECTED,
    Why.NOT_DETERMINISTIC,
    Why.FROZEN,
)
ANSWERS = (*approval.ASKS, Why.REJECTED)  # what people have to say, or have said

Said = tuple[str, str, str]  # status, reason and message of a condition


def denied(context: Context) -> Verdict:
    """The API server refused an action of ours."""
    account, hosts = context.seen.settings.operator_account, [context.gateway_namespace]
    return refusal(context.live.denied or "", account, hosts)


def finish(
    draft: EnvironmentDraft,
    context: Context,
    verdict: Verdict | None,
    progress: Progress | None,
) -> EnvironmentDraft:
    """The draft with every condition, next attempt and next look set."""
    meta, spec, now = context.meta, context.spec, context.now
    since = draft.status.suspended_since or now
    draft = draft.with_status(suspended_since=since if is_suspended(spec, now) else None)
    status, generation = draft.status, meta.generation
    refused = still_refused(draft, context.environment.status.conditions, context.live.denied)
    final = refused or verdict or _verdict(status, context, progress)
    facts = _facts(status, context)
    kept = [c for c in status.conditions if c.type not in _SOMETIMES or c.type in facts]
    conditions = summarize(kept, final, generation, now)
    for kind, (value, reason, message) in facts.items():
        conditions = put(conditions, kind, value, reason, message, generation, now)
    if context.may_use_gateway:
        window = change_windows.of_promotions(spec, context.seen.gateway, now)
        is_set = bool(spec.promotion_windows) or change_windows.is_frozen(context.seen.gateway)
        conditions = change_windows.with_condition(
            conditions, window, generation, now, is_set=is_set
        )
    else:  # anybody can write windows: they cost nothing where there is nothing to promote to
        window = change_windows.NOT_JUDGED
        conditions = [c for c in conditions if c.type != Type.CHANGES]
    late = _late(status, context)
    return draft.with_status(
        conditions=conditions,
        next_opening_time=window.opens,
        environment=context.environment.sqlmesh_environment,
        observed_generation=generation,
        next_attempt_time=_next_attempt(status, context),
    ).again(
        window.look_again,
        now + REFUSAL_CHECK if final.reason == Why.NOT_AUTHORIZED else None,
        late if late is not None and late > now else None,
    )


def standing_before(context: Context) -> StandingStatus | None:
    """Why the change waits, as the status has it. One of a release without `standing`, seen while a
    run is in flight, has it in condition Ready."""
    status = context.environment.status
    said = condition(status.conditions, Type.READY)
    if status.standing is not None or said is None or said.status == "True":
        return status.standing
    failed = status.failure is not None and status.failure.reason == said.reason
    if not failed and said.reason not in _STANDS:
        return None
    reconciling, stalled = (is_true(status.conditions, t) for t in (Type.RECONCILING, Type.STALLED))
    return standing_of(Verdict(said.status, said.reason, said.message, reconciling, stalled))


def standing_of(verdict: Verdict | None) -> StandingStatus | None:
    """Why the change waits, for as long as a run is in flight and nobody asks its steps."""
    if verdict is None:
        return None
    return StandingStatus(
        status=verdict.ready, reason=verdict.reason, message=verdict.message,
        reconciling=verdict.reconciling, stalled=verdict.stalled,
    )  # fmt: skip


def _verdict(status: EnvironmentStatus, context: Context, progress: Progress | None) -> Verdict:
    task = status.task
    if task is None:
        return _settled(status)
    waits, detail = task.state == TaskState.WAITING, progress.detail if progress is not None else ""
    if task.kind == TaskKind.RUN:
        standing = _standing(status)
        if waits and context.now - task.since >= _LONG:
            since = f"{times.to_minute(task.since)}"
            message = f"run, {task.why}, has waited since {since} for {_slot(context)}"
            return Verdict(standing.ready, Why.WAITING_FOR_WRITER, message, reconciling=True)
        if progress is None or not detail:
            return standing
        message = f"Job {task.job}: {detail}"
        return Verdict(standing.ready, progress.why, message, reconciling=True)
    ready = "Unknown" if status.applied is not None else "False"
    if waits:
        message = f"{task.kind} waits for {_slot(context)}"
        return Verdict(ready, Why.WAITING_FOR_WRITER, message, reconciling=True)
    if progress is not None and detail:
        return Verdict(ready, progress.why, f"Job {task.job}: {detail}", reconciling=True)
    reason, doing = STEPS[TaskKind(task.kind)].doing
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    message = f"{doing}{again} ({task.why}), Job {task.job}"
    return Verdict(ready, reason, message, reconciling=True)


def _slot(context: Context) -> str:
    gateway = context.spec.gateway_ref.name
    slot = context.live.slot_if_read(context.gateway_namespace, gateway)
    said = f"the writer slot of gateway {gateway}"
    if slot is None or not slot.holder or not slot.live:
        return said
    why = f", {slot.detail}" if slot.detail else ""
    return f"{said} ({slot.holder} holds it{why})"


def _standing(status: EnvironmentStatus) -> Verdict:
    """What Ready says while a run is in flight: why the change waits, else of the run before."""
    said = status.standing
    if said is not None:
        return Verdict(said.status, said.reason, said.message, said.reconciling, said.stalled)
    failed = status.run_failure
    if failed is not None:
        return Verdict("False", failed.reason, failed.message, reconciling=True)
    return _settled(status)


def _settled(status: EnvironmentStatus) -> Verdict:
    applied = status.applied
    if applied is None:
        return Verdict("Unknown", Why.PENDING, "not looked at yet", reconciling=True)
    if applied.verification == "Failed":
        return Verdict("False", Why.VERIFY_FAILED, applied.verification_message, stalled=True)
    return Verdict("True", Why.READY, f"revision {short(applied.revision)} is applied")


def _facts(status: EnvironmentStatus, context: Context) -> dict[str, Said]:
    facts = {
        Type.APPLIED: _applied(status),
        Type.AWAITING: _awaiting(status),
        Type.RUN: _run(status),
        Type.FRESH: _fresh(status, context),
        Type.DRIFTED: _drifted(status, context),
    }
    if status.applied is not None and status.applied.verification:
        facts[Type.VERIFIED] = _verified(status.applied)
    if context.protected:
        facts[Type.PLAN_READ_ONLY] = _plan_reads(context)
    return {str(k): v for k, v in facts.items()}


def _plan_reads(context: Context) -> Said:
    if context.site is not None and context.site.connections is not None:
        return "False", Why.PLAN_WRITES, "its grant's connections are used for every task"
    if context.gateway.spec.additional_connections:
        return "False", Why.PLAN_WRITES, "additionalConnections have no credentials for planning"
    if context.gateway.spec.planning is not None:
        return "True", Why.PLAN_READS, ""
    return "False", Why.PLAN_WRITES, "give the gateway spec.planning with read-only credentials"


def _applied(status: EnvironmentStatus) -> Said:
    applied, plan, task = status.applied, status.plan, status.task
    if applied is None:
        return "False", Why.NOT_APPLIED, "nothing was applied yet"
    changing = task is not None and task.kind not in (TaskKind.RUN, TaskKind.CHECKS)
    failed = status.failure is not None and status.failure.task != TaskKind.CHECKS
    if changing or failed or (plan is not None and plan.state not in DONE_PLANS):
        return "False", Why.OUTDATED, f"the environment has revision {short(applied.revision)}"
    return "True", Why.UP_TO_DATE, f"revision {short(applied.revision)}"


def _awaiting(status: EnvironmentStatus) -> Said:
    plan, task = status.plan, status.task
    changing = task is not None and task.kind != TaskKind.RUN
    waits = plan is not None and plan.state == PlanState.PENDING and plan.reason is not None
    if plan is None or changing or not waits:
        return "False", Why.NOT_NEEDED, ""
    return "True", Why.AWAITING, f"{plan.summary.text} — {plan.why}; plan {plan.digest}"


def _run(status: EnvironmentStatus) -> Said:
    run = status.last_run
    if run is None:
        return "Unknown", Why.NEVER_RAN, ""
    return "True" if run.succeeded else "False", run.reason, run.message


def _fresh(status: EnvironmentStatus, context: Context) -> Said:
    if status.applied is None:
        return "Unknown", Why.NOT_APPLIED, ""
    late = _late(status, context)
    if late is not None and late <= context.now:
        due = late - _lag(context)
        return "False", Why.OVERDUE, f"a run has been due since {times.to_second(due)}"
    until, run, behind = status.applied.complete_until, status.last_run, status.intervals_behind
    if until is not None:
        data = f"data complete up to {times.to_second(until)}"
        age = _age(status.applied.time - until)
        return (
            "False",
            Why.STALE_AFTER_ROLLBACK,
            f"put back with {data}, {age} old then; a run follows",
        )
    if run is None:
        return "Unknown", Why.NEVER_RAN, ""
    if run.succeeded and behind:
        return "False", Why.BEHIND, f"{behind} intervals missing after the last run"
    old = condition(context.environment.status.conditions, Type.FRESH)
    if not run.succeeded and old is not None and old.reason != Why.STALE_AFTER_ROLLBACK:
        return old.status, old.reason, old.message
    return "True", Why.UP_TO_DATE, ""


_VERIFIED = {
    "Passed": ("True", Why.VERIFIED),
    "Failed": ("False", Why.VERIFY_FAILED),
    "Unknown": ("Unknown", Why.NOT_VERIFIED),
}


def _verified(applied: AppliedStatus) -> Said:
    status, reason = _VERIFIED[applied.verification]
    return status, reason, applied.verification_message


def _age(age: dt.timedelta) -> str:
    hours, minutes = divmod(int(age.total_seconds()) // 60, 60)
    return f"{hours // 24}d{hours % 24}h" if hours >= 48 else f"{hours}h{minutes}m"


def _lag(context: Context) -> dt.timedelta:
    return parse_duration(context.spec.freshness.max_lag)


def _late(status: EnvironmentStatus, context: Context) -> dt.datetime | None:
    """When the oldest run that is owed becomes too late."""
    run = status.last_run
    scheduled = status.next_run_time if status.applied is not None else None
    failed = run.due if run is not None and not run.succeeded else None
    owed = min((due for due in (scheduled, failed) if due is not None), default=None)
    return owed + _lag(context) if owed is not None else None


def _drifted(status: EnvironmentStatus, context: Context) -> Said:
    """Whether somebody else has applied a plan. A promotion that has changed the views and is
    still verified is one of ours."""
    applied, seen = status.applied, status.observed_plan_id
    ours = {p.applied_plan_id for p in context.seen.promotions}
    if applied is None or seen is None or not applied.plan_id or seen in {applied.plan_id, *ours}:
        return "False", Why.IN_SYNC, ""
    message = f"SQLMesh has plan {seen or 'none'}, the operator applied {applied.plan_id}"
    return "True", Why.APPLIED_ELSEWHERE, message


def _next_attempt(status: EnvironmentStatus, context: Context) -> dt.datetime | None:
    in_flight = STEPS[TaskKind(status.task.kind)].lane if status.task is not None else None
    failures = (lane.failure(status) for lane in (CHANGE, RUNS) if lane is not in_flight)
    times = (schedule.retry_time(f, context.spec.retry) for f in failures if f is not None)
    return min((t for t in times if t is not None), default=None)
