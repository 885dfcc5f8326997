"""Step run: when a scheduled run is due, and what one means. Pure.

A lane of its own: runs go on while a change waits for people or fails, and the other way round.
"""

import datetime as dt
from typing import Any

from vulcan_contract import digest, times
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, RunStatus
from vulcan_operator.api.fields import TaskStatus, parse_duration
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import RUNS, Judged, Step, filled
from vulcan_operator.plan.rules import access, messages, schedule
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks.life import Ended, Extras

_GONE = "SQLMesh does not have it as it was given, see status.lastRun; promote to it again"


class Run(Step):
    """Computes what is due."""

    kind = TaskKind.RUN
    lane = RUNS

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        applied = status.applied
        if applied is None or not applied.inputs:  # gone or half swapped: apply it again
            if context.spec.project is not None:
                return Done()
            return Wait(Verdict("False", Why.NO_REVISION, _GONE, stalled=True))
        settles = _due(status, context)
        status = status.but(**settles)
        failed, request = status.run_failure, context.request("run", status)
        due = status.next_run_time
        if failed is not None and failed.reason == Reason.MANUAL_CHECK and request is None:
            return Wait(messages.failing(failed, None), settles=settles)
        assert context.site is not None
        if request is None and (due is None or due > context.now):
            if failed is None:
                return Done(settles=settles, until=due)
            if context.retry_at(failed) is None:
                return Wait(messages.failing(failed, None), due, settles)
            # It ran on request, and failed.
            why = "the last run failed"
            return Order(self.kind, failed.inputs, why, context.site, settles=settles, until=due)
        made_of = [applied.plan_id or applied.inputs, due.isoformat() if due else "", request]
        inputs = digest.of_json(made_of)[:16]
        late = " by its own schedule" if context.spec.schedule.mode == "Cron" else ""
        why = "requested" if due is None or request else f"due at {times.to_second(due)}{late}"
        return Order(self.kind, inputs, why, context.site, request, due, settles)

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        image = access.applied_image(context.environment, status.applied)
        return Extras(filled(base, status, context), image=image)

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        work, spec = ended.result.work, context.spec.schedule
        following: dt.datetime | None = None
        if spec.mode == "Cron":
            following = _cron_tick(context)
        elif spec.mode == "Auto" and work is not None and work.next_run is not None:
            # Never at once again: a run that leaves something due (a signal, a model out of its
            # cron) has its own pace.
            soonest = context.now + dt.timedelta(seconds=1)
            following = max(dt.datetime.fromisoformat(work.next_run), soonest)
        last = RunStatus(
            time=context.now, due=ended.task.due, succeeded=True,
            reason=ended.result.reason, message=ended.result.message[:1024], job=ended.task.job,
            models=work.models if work else 0, rows=work.rows if work else 0,
        )  # fmt: skip
        return Judged(
            status.but(
                last_run=last,
                # One that had nothing to compute proves nothing.
                green_runs=status.green_runs + (ended.result.reason is Reason.SUCCEEDED),
                next_run_time=following,
                observed_plan_id=work.plan_id if work and work.plan_id else status.observed_plan_id,
                intervals_behind=work.intervals_behind if work else None,
                applied=status.applied.but(complete_until=None) if status.applied else None,
            )
        )

    def failed(
        self, status: EnvironmentStatus, ended: Ended, context: Context
    ) -> EnvironmentStatus:
        result, now = ended.result, context.now
        failure = ends.failure(status.run_failure, ended.task, result, now)
        last = RunStatus(
            time=now, due=ended.task.due, succeeded=False,
            reason=result.reason, message=failure.message, job=ended.task.job,
        )  # fmt: skip
        status = status.but(last_run=last, run_failure=failure)
        if result.retries is Retry.REPLAN or result.reason is Reason.UNFINALIZED:
            # The environment is not what was applied (gone, or half swapped): it is planned again,
            # and the plan shows the difference. A plan that shows none must not end in a loop, so
            # the failure stays until something was applied.
            failure = failure.but(retry=Retry.BACKOFF, counted=failure.attempts)
            applied = status.applied.but(inputs="") if status.applied else None
            status = status.but(applied=applied, run_failure=failure)
        if schedule.retry_time(failure, context.spec.retry) is None:
            return status.but(next_run_time=_next_due(result.work, context))
        return status

    def recovered(self, status: EnvironmentStatus) -> EnvironmentStatus:
        return status.but(run_failure=None)

    def answered(self, ended: Ended) -> dict[str, Any]:
        request = ended.task.request
        return {"last_handled_run_requested_at": request} if request is not None else {}


def _due(status: EnvironmentStatus, context: Context) -> dict[str, Any]:
    """Fits the next due time to the schedule of today; what is due already stays due."""
    spec, due = context.spec.schedule, status.next_run_time
    cron = spec.cron if spec.mode == "Cron" else None
    current = f"{cron.cron} {cron.time_zone}" if cron is not None else spec.mode
    switched = status.schedule not in (None, current)
    settles: dict[str, Any] = {"schedule": current} if status.schedule != current else {}
    if due is not None and due <= context.now:
        return settles
    if cron is not None:
        fit: dt.datetime | None = schedule.next_tick(cron.cron, cron.time_zone, context.now)
    elif spec.mode == "Manual":
        fit = None
    else:
        fit = context.now if switched else due  # the next run tells when the models are due
    return settles if fit == due else {**settles, "next_run_time": fit}


def _next_due(work: Work | None, context: Context) -> dt.datetime:
    """After a run is given up: the cron's, the one the runner told, or a maxBackoff from now when
    it could not tell."""
    now = context.now
    tick = _cron_tick(context)
    if tick is not None:
        return tick
    pause = now + max(parse_duration(context.spec.retry.max_backoff), dt.timedelta(minutes=1))
    told = work.next_run if work is not None else None
    at = dt.datetime.fromisoformat(told) if told is not None else None
    return at if at is not None and at > now else pause


def _cron_tick(context: Context) -> dt.datetime | None:
    spec = context.spec.schedule
    if spec.mode != "Cron" or spec.cron is None:
        return None
    try:
        return schedule.next_tick(spec.cron.cron, spec.cron.time_zone, context.now)
    except schedule.ScheduleError:
        return None  # the next look at the schedule shows it as SpecInvalid
