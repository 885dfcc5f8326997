"""Folds the result of an ended task into an environment's status. Pure.

Called once per task, by `environment`, in the same pass that decides what comes next; only after the status is written
may the Job go.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from vulcan_contract.reasons import ABOUT, Outcome, Reason, Retry
from vulcan_contract.result import PlanSummary, Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import (
    AppliedStatus,
    EnvironmentStatus,
    HistoryItem,
    PlanStatus,
    ReportRef,
    RevisionStatus,
    RunStatus,
)
from vulcan_operator.api.fields import FailureStatus, TaskStatus, parse_duration
from vulcan_operator.plan import approval, reports, schedule, tasks
from vulcan_operator.plan.actions import Note

_HISTORY = 10


@dataclass(frozen=True)
class Ended:
    """An ended task and what it was for."""

    environment: VulcanEnvironment
    task: TaskStatus
    result: Result
    now: dt.datetime
    approved_by: tuple[str, ...] = ()


def record(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    """The status with the task's end in it and the task gone."""
    status = status.model_copy(update={"task": None, **_answered(ended)})
    if ended.result.outcome is not Outcome.SUCCEEDED:
        return _failed(status, ended)
    lane = lane_of(ended.task.kind)
    status = status.model_copy(update={lane: None})
    match TaskKind(ended.task.kind):
        case TaskKind.RESOLVE:
            return _resolved(status, ended)
        case TaskKind.PLAN:
            return _planned(status, ended)
        case TaskKind.APPLY:
            return _applied(status, ended)
        case TaskKind.RUN:
            return _ran(status, ended)
        case _:
            return status


def lane_of(kind: str) -> str:
    """Status field of a task's failure: runs go on while a change fails, and the other way round."""
    return "run_failure" if kind == TaskKind.RUN else "failure"


def _answered(ended: Ended) -> dict[str, Any]:
    """A request is answered by the end of the task it caused, however that ended."""
    resolved = ended.task.kind == TaskKind.RESOLVE and ended.result.outcome is Outcome.SUCCEEDED
    if ended.task.request is None or resolved:
        return {}  # a resolved ref goes on to its plan, which answers
    kind = "run" if ended.task.kind == TaskKind.RUN else "plan"
    return {f"last_handled_{kind}_requested_at": ended.task.request}


def failure(previous: FailureStatus | None, task: TaskStatus, result: Result, now: dt.datetime) -> FailureStatus:
    """The failure of one attempt, counted on from earlier attempts at the same inputs."""
    same = previous is not None and (previous.task, previous.inputs) == (task.kind, task.inputs)
    counted = previous.counted if same and previous is not None else 0
    attempts = previous.attempts if same and previous is not None else 0
    return FailureStatus(
        task=task.kind,
        inputs=task.inputs,
        reason=result.reason,
        message=message_of(result)[:1024],
        attempts=attempts + 1,
        last_attempt=task.attempt,
        counted=counted + (1 if result.retries is Retry.BACKOFF else 0),
        time=now,
        retry=result.retries,
    )


def message_of(result: Result) -> str:
    """One sentence of what happened and one of what to do."""
    about = ABOUT[result.reason]
    what = result.message or about.meaning
    first = result.failures[0] if result.failures else None
    if first is not None and first.model not in what:
        where = f"{first.model} {first.interval}".strip()
        what = f"{what} ({where}: {first.message})"
    return f"{what.rstrip('.')}. {about.next_step}"


def _failed(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    task, result = ended.task, ended.result
    if task.kind == TaskKind.RUN:
        return _run_failed(status, ended)
    update: dict[str, Any] = {"failure": failure(status.failure, task, result, ended.now)}
    if task.kind == TaskKind.APPLY and status.plan is not None and result.retries is Retry.REPLAN:
        changed = status.plan.changed + 1
        update = {"failure": None, "plan": status.plan.model_copy(update={"state": "Outdated", "changed": changed})}
    if result.reason is Reason.SOURCE_CHANGED:
        update |= {"revision": None}
    return status.model_copy(update=update)


def _run_failed(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    environment, result, now = ended.environment, ended.result, ended.now
    fail = failure(status.run_failure, ended.task, result, now)
    last = RunStatus(
        time=now, due=ended.task.due, succeeded=False, reason=result.reason, message=fail.message, job=ended.task.job
    )
    update: dict[str, Any] = {"last_run": last, "run_failure": fail}
    if result.retries is Retry.REPLAN or result.reason is Reason.UNFINALIZED:
        # The environment is not what we applied (gone, or half swapped): plan again, the plan shows the difference.
        applied = status.applied.model_copy(update={"inputs": ""}) if status.applied else None
        update |= {"applied": applied, "run_failure": None}
    elif schedule.retry_time(fail, environment.spec.retry) is None:
        # Given up until the next due time; Auto has no better guess than one maxBackoff from now.
        pause = now + max(parse_duration(environment.spec.retry.max_backoff), dt.timedelta(minutes=1))
        cron = environment.spec.schedule.cron
        if environment.spec.schedule.mode == "Cron" and cron is not None:
            pause = schedule.next_tick(cron.cron, cron.time_zone, now)
        update |= {"next_run_time": pause}
    return status.model_copy(update=update)


def _resolved(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    result = ended.result
    if result.digest is None:
        return status
    return status.model_copy(
        update={
            "revision": RevisionStatus(
                resolved=result.commit or result.digest,
                digest=result.digest,
                inputs=ended.task.inputs,
                time=ended.now,
                request=ended.task.request,
            )
        }
    )


def _planned(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    summary, revision = ended.result.summary, status.revision
    if summary is None or revision is None:
        return status
    spec = ended.environment.spec
    operations = tuple(o.id for o in tasks.operations_of(ended.environment))
    digest = approval.token(summary, spec, operations)
    plan = PlanStatus(
        digest=digest,
        state="Pending" if summary.has_changes else "NoChanges",
        inputs=ended.task.inputs,
        target=summary.target,
        base=summary.base,
        revision=revision.resolved,
        source_digest=revision.digest,
        time=ended.now,
        adopted=summary.adopted,
        changed=_changes(status, revision.digest),
        operations=list(operations),
        summary=reports.summary_status(summary),
        report_ref=_report_ref(ended, digest) if summary.has_changes else None,
    )
    update: dict[str, Any] = {"plan": plan, "observed_plan_id": summary.base_plan_id}
    if not summary.has_changes:
        update |= _nothing_to_apply(status, ended, plan, summary)
    return status.model_copy(update=update)


def _changes(status: EnvironmentStatus, source_digest: str) -> int:
    same = status.plan is not None and status.plan.source_digest == source_digest and status.plan.state == "Outdated"
    return status.plan.changed if same and status.plan is not None else 0


def _nothing_to_apply(
    status: EnvironmentStatus, ended: Ended, plan: PlanStatus, summary: PlanSummary
) -> dict[str, Any]:
    """A plan with nothing to do needs no approval and no apply: the environment has this revision already."""
    old = status.applied
    return {
        "applied": AppliedStatus(
            revision=plan.revision,
            source_digest=plan.source_digest,
            inputs=plan.inputs,
            plan_id=summary.base_plan_id,
            plan_digest=plan.digest,
            time=old.time if old is not None else ended.now,
            partial=bool(ended.environment.spec.plan.select_models),
            approved_by=old.approved_by if old is not None else [],
        ),
        "next_run_time": status.next_run_time or ended.now,
    }


def _report_ref(ended: Ended, digest: str) -> ReportRef | None:
    sha = ended.result.report_sha256
    return ReportRef(name=reports.report_name(ended.environment, digest), sha256=sha) if sha else None


def _applied(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    plan, work = status.plan, ended.result.work
    if plan is None:
        return status
    item = HistoryItem(
        revision=plan.revision,
        plan_id=work.plan_id if work else "",
        plan_digest=plan.digest,
        time=ended.now,
    )
    done = [*status.operations_done, *(o for o in plan.operations if o not in status.operations_done)]
    return status.model_copy(
        update={
            "plan": plan.model_copy(update={"state": "Applied", "changed": 0}),
            "applied": AppliedStatus(
                revision=plan.revision,
                source_digest=plan.source_digest,
                inputs=plan.inputs,
                plan_id=item.plan_id,
                plan_digest=plan.digest,
                time=ended.now,
                partial=bool(ended.environment.spec.plan.select_models),
                approved_by=list(ended.approved_by),
            ),
            "history": [item, *status.history][:_HISTORY],
            "operations_done": done[-256:],
            # Every apply is followed at once by a run.
            "next_run_time": ended.now,
            "observed_plan_id": item.plan_id,
            "intervals_behind": work.intervals_behind if work else status.intervals_behind,
        }
    )


def _ran(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    work, now = ended.result.work, ended.now
    spec = ended.environment.spec.schedule
    following: dt.datetime | None = None
    if spec.mode == "Cron" and spec.cron is not None:
        following = schedule.next_tick(spec.cron.cron, spec.cron.time_zone, now)
    elif spec.mode == "Auto" and work is not None and work.next_run is not None:
        # Never at once again: a run that leaves something due (a signal, a model out of its cron) has its own pace.
        following = max(dt.datetime.fromisoformat(work.next_run), now + dt.timedelta(seconds=1))
    return status.model_copy(
        update={
            "last_run": RunStatus(
                time=now,
                due=ended.task.due,
                succeeded=True,
                reason=ended.result.reason,
                message=ended.result.message[:1024],
                models=work.models if work else 0,
                rows=work.rows if work else 0,
                job=ended.task.job,
            ),
            "next_run_time": following,
            "observed_plan_id": work.plan_id if work and work.plan_id else status.observed_plan_id,
            "intervals_behind": work.intervals_behind if work else None,
        }
    )


def audit_note(ended: Ended) -> Note:
    """Event and audit line of an ended task."""
    environment, result = ended.environment, ended.result
    bad = result.outcome is not Outcome.SUCCEEDED
    plan = environment.status.plan
    revision = environment.status.revision
    audit = {
        "operation": ended.task.kind,
        "gateway": environment.spec.gateway_ref.name,
        "environment": environment.sqlmesh_environment,
        "revision": revision.resolved if revision else "",
        "plan": plan.digest if plan and ended.task.kind == TaskKind.APPLY else "",
        "outcome": result.outcome.value,
        "reason": result.reason.value,
        "job": ended.task.job,
        "why": ended.task.why,
        "asked": ", ".join(ended.approved_by),
    }
    text = message_of(result) if bad else result.message or ABOUT[result.reason].meaning
    return Note(result.reason.value, f"{ended.task.kind}: {text}", warning=bad, audit=audit)
