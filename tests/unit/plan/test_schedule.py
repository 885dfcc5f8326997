"""Cron ticks over clock changes, and when a failure is tried again."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW
from tests.unit.plan.seen_objects import env, failure, gw, seen, sibling
from vulcan_contract.reasons import Reason, Retry
from vulcan_operator.api.environment import RetrySpec
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway import ProbeStatus
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.rules import schedule


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "tick"),
    [
        pytest.param("0 3 * * *", "UTC", "2026-11-22T12:00", "2026-11-23T03:00", id="tomorrow"),
        pytest.param("0 3 * * *", "UTC", "2026-11-23T02:59:59", "2026-11-23T03:00", id="in a second"),
        pytest.param("0 3 * * *", "UTC", "2026-11-23T03:00", "2026-11-24T03:00", id="not the one that is now"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-11-22T12:00", "2026-11-23T01:30", id="winter in Berlin"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-07-01T12:00", "2026-07-02T00:30", id="summer in Berlin"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00", id="an hour that is left out"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30", id="an hour that comes twice"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30", id="fires in it once"),
        pytest.param("0 9 * * MON-FRI", "America/New_York", "2026-11-20T15:00", "2026-11-23T14:00", id="weekdays"),
        pytest.param("0 0 31 * *", "UTC", "2026-11-22T12:00", "2026-12-31T00:00", id="months without a 31st"),
    ],
)  # fmt: skip
def test_ticks(cron: str, zone: str, after: str, tick: str) -> None:
    assert schedule.next_tick(cron, zone, utc(after)) == utc(tick)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("99 * * * *", "UTC"), ("* * *", "UTC"), ("", "UTC"), ("0 0 31 2 *", "UTC"), ("* * * * *", "Mars/Olympus"),
     ("* * * * *", "../etc/passwd"), ("* * * * *", "")],
)  # fmt: skip
def test_what_is_no_cron_or_zone_is_said_so(cron: str, zone: str) -> None:
    with pytest.raises(schedule.ScheduleError):
        schedule.next_tick(cron, zone, NOW)


@given(st.integers(0, 366 * 86400))
def test_a_tick_is_always_later_and_at_most_a_day_and_an_hour_away(seconds: int) -> None:
    after = utc("2026-01-01") + dt.timedelta(seconds=seconds)
    tick = schedule.next_tick("30 2 * * *", "Europe/Berlin", after)
    assert after < tick <= after + dt.timedelta(hours=25)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 30), (2, 60), (3, 120), (6, 960), (7, 1800), (99, 1800), (10**6, 1800)],
)
def test_backoff_doubles_up_to_the_longest(attempts: int, seconds: int) -> None:
    assert schedule.backoff(attempts, RetrySpec()).total_seconds() == seconds


def test_a_longest_pause_that_is_shorter_than_the_first_is_ignored() -> None:
    assert schedule.backoff(5, RetrySpec(backoff="10m", max_backoff="1m")) == dt.timedelta(
        minutes=10
    )


@pytest.mark.parametrize(
    ("retry", "fields", "seconds"),
    [
        pytest.param(Retry.NEVER, {}, None, id="never"),
        pytest.param(Retry.NOW, {"attempts": 1}, 0, id="now"),
        pytest.param(Retry.NOW, {"attempts": 4}, 30, id="now, but not in a circle"),
        pytest.param(Retry.BACKOFF, {"attempts": 2, "counted": 2}, 60, id="backoff"),
        pytest.param(
            Retry.BACKOFF, {"attempts": 5, "counted": 5}, 480, id="the last attempt of the limit"
        ),
        pytest.param(Retry.BACKOFF, {"attempts": 6, "counted": 6}, None, id="given up"),
        pytest.param(
            Retry.BACKOFF,
            {"attempts": 9, "counted": 1},
            1800,
            id="what is not counted does not give up",
        ),
        pytest.param(Retry.WAIT, {"attempts": 99, "counted": 9}, 1800, id="an outage has no limit"),
        pytest.param(Retry.REPLAN, {"attempts": 1}, 30, id="plan again"),
    ],
)
def test_when_a_failure_is_tried_again(
    retry: Retry, fields: dict[str, Any], seconds: int | None
) -> None:
    at = schedule.retry_time(failure(retry=retry, **fields), RetrySpec())
    assert (at - NOW).total_seconds() == seconds if at is not None else seconds is None


LATER = NOW + dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("reason", "attempts", "probed", "at"),
    [
        pytest.param(
            Reason.WAREHOUSE_UNREACHABLE, 1, 10, LATER, id="the gateway answered since: now"
        ),
        pytest.param(
            Reason.WAREHOUSE_UNREACHABLE,
            3,
            -10,
            NOW + dt.timedelta(minutes=2),
            id="a probe from before",
        ),
        pytest.param(
            Reason.WAREHOUSE_UNREACHABLE,
            4,
            10,
            NOW + dt.timedelta(minutes=4),
            id="not for ever at once",
        ),
        pytest.param(Reason.STATE_IDENTITY, 1, -10, None, id="another state: not by itself"),
        pytest.param(
            Reason.STATE_IDENTITY,
            1,
            10,
            NOW + dt.timedelta(seconds=30),
            id="but when the probe is content",
        ),
        pytest.param(
            Reason.STATE_IDENTITY, 9, 10, NOW + dt.timedelta(minutes=30), id="with growing pauses"
        ),
        pytest.param(Reason.PROJECT_EMPTY, 1, 10, None, id="a probe heals no project"),
    ],
)
def test_what_a_probe_heals(
    reason: Reason, attempts: int, probed: int, at: dt.datetime | None
) -> None:
    retry = Retry.WAIT if reason is Reason.WAREHOUSE_UNREACHABLE else Retry.NEVER
    gateway = gw()
    probe = ProbeStatus(inputs="i", time=NOW + dt.timedelta(seconds=probed))
    gateway = gateway.but(status=gateway.status.but(probe=probe))
    context = Context(seen(env(), gateway), LATER)
    assert context.retry_at(failure(reason, retry, attempts=attempts)) == at


@pytest.mark.parametrize(
    ("applied", "at"), [(True, LATER), (False, NOW + dt.timedelta(seconds=30))]
)
def test_a_missing_prod_that_is_there_is_no_reason_to_wait(applied: bool, at: dt.datetime) -> None:
    context = Context(seen(env("dev"), claims=(sibling("prod", applied=applied),)), LATER)
    assert context.retry_at(failure(Reason.REFERENCE_MISSING, Retry.WAIT)) == at


@given(
    st.lists(
        st.tuples(st.integers(0, 99999), st.sampled_from(["ms", "s", "m", "h", "d"])),
        min_size=1,
        max_size=5,
    )
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    found = parse_duration("".join(f"{n}{unit}" for n, unit in parts))
    assert abs(found.total_seconds() - sum(n * units[u] for n, u in parts)) < 0.001


@pytest.mark.parametrize("text", ["", "5", "m5", "1 h", "-1h", "1h\n", "1.5h", "１h", "1w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
