"""Folds the result of an ended run into an environment's status. Pure; called by `record`."""

import datetime as dt
from typing import Any

from vulcan_contract.reasons import Reason, Retry
from vulcan_operator.api.environment_status import EnvironmentStatus, RunStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.plan.rules import schedule
from vulcan_operator.plan.tasks.ended import Ended, failure


def failed(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    environment, result, now = ended.environment, ended.result, ended.now
    fail = failure(status.run_failure, ended.task, result, now)
    last = RunStatus(
        time=now, due=ended.task.due, succeeded=False, reason=result.reason, message=fail.message, job=ended.task.job
    )
    update: dict[str, Any] = {"last_run": last, "run_failure": fail}
    if result.retries is Retry.REPLAN or result.reason is Reason.UNFINALIZED:
        # The environment is not what we applied (gone, or half swapped): plan again, the plan shows the difference.
        applied = status.applied.but(inputs="") if status.applied else None
        update |= {"applied": applied, "run_failure": None}
    elif schedule.retry_time(fail, environment.spec.retry) is None:
        update |= {"next_run_time": _next_due(ended)}
    return status.but(**update)


def _next_due(ended: Ended) -> dt.datetime:
    """After a run is given up: the cron's, the one the runner told, or a maxBackoff from now when it could not tell."""
    spec, work, now = ended.environment.spec, ended.result.work, ended.now
    tick = _cron_tick(ended)
    if tick is not None:
        return tick
    pause = now + max(parse_duration(spec.retry.max_backoff), dt.timedelta(minutes=1))
    told = dt.datetime.fromisoformat(work.next_run) if work is not None and work.next_run is not None else None
    return told if told is not None and told > now else pause


def _cron_tick(ended: Ended) -> dt.datetime | None:
    spec = ended.environment.spec.schedule
    if spec.mode != "Cron" or spec.cron is None:
        return None
    try:
        return schedule.next_tick(spec.cron.cron, spec.cron.time_zone, ended.now)
    except schedule.ScheduleError:
        return None  # whoever looks at the schedule next shows it as SpecInvalid


def succeeded(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    work, now = ended.result.work, ended.now
    spec = ended.environment.spec.schedule
    following: dt.datetime | None = None
    if spec.mode == "Cron":
        following = _cron_tick(ended)
    elif spec.mode == "Auto" and work is not None and work.next_run is not None:
        # Never at once again: a run that leaves something due (a signal, a model out of its cron) has its own pace.
        following = max(dt.datetime.fromisoformat(work.next_run), now + dt.timedelta(seconds=1))
    return status.but(
        **{
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
            # One that had nothing to compute proves nothing.
            "green_runs": status.green_runs + (ended.result.reason is Reason.SUCCEEDED),
            "next_run_time": following,
            "observed_plan_id": work.plan_id if work and work.plan_id else status.observed_plan_id,
            "intervals_behind": work.intervals_behind if work else None,
            "applied": status.applied.but(complete_until=None) if status.applied else None,
        }
    )
