"""When things are due: cron ticks, durations, retries. Pure."""

import datetime as dt
import zoneinfo

import cronsim

from vulcan_contract.reasons import Retry
from vulcan_operator.api.environment import RetrySpec, ScheduleSpec
from vulcan_operator.api.fields import FailureStatus, parse_duration


class ScheduleError(ValueError):
    """The cron expression or time zone does not exist."""


def next_tick(cron: str, zone: str, after: dt.datetime) -> dt.datetime:
    """First tick after a time, in UTC; DST as in Debian's cron. Raises ScheduleError."""
    try:
        local = after.astimezone(zoneinfo.ZoneInfo(zone))
        tick: dt.datetime = next(cronsim.CronSim(cron, local))
        return tick.astimezone(dt.timezone.utc)
    except (cronsim.CronSimError, zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        # OSError: `Europe`
        raise ScheduleError(f"cron {cron!r} in time zone {zone!r}: {error}") from error
    except StopIteration as error:
        raise ScheduleError(f"cron {cron!r} never fires") from error


def problem(spec: ScheduleSpec, now: dt.datetime) -> str | None:
    """Why a schedule cannot be kept."""
    if spec.mode != "Cron" or spec.cron is None:
        return None
    try:
        next_tick(spec.cron.cron, spec.cron.time_zone, now)
    except ScheduleError as error:
        return str(error)
    return None


def retry_time(failure: FailureStatus, policy: RetrySpec) -> dt.datetime | None:
    """When a failed task may be tried again; None: not by itself."""
    match failure.retry:
        case Retry.NOW:
            # A pause although "now": something that stops at once, every time, must not spin.
            return failure.time + dt.timedelta(seconds=0 if failure.attempts <= 3 else 30)
        case Retry.BACKOFF if failure.counted <= policy.limit:
            return failure.time + backoff(failure.attempts, policy)
        case Retry.WAIT | Retry.REPLAN:
            return failure.time + backoff(failure.attempts, policy)
        case _:
            return None


def backoff(attempts: int, policy: RetrySpec) -> dt.timedelta:
    """Doubles from `backoff` to `maxBackoff`."""
    base, top = parse_duration(policy.backoff), parse_duration(policy.max_backoff)
    doubled = base * 2 ** min(max(attempts - 1, 0), 16)
    return min(doubled, top) if top >= base else base
