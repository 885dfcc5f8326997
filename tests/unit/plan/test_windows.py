"""Windows of local time: open or shut, over clock changes, and the next opening; and what is made of them with a freeze."""

import datetime as dt
import functools
import zoneinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import NOW, stamp
from tests.unit.plan.seen_objects import env, facts, failure
from vulcan_contract.reasons import Reason
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.windows import PromotionWindow
from vulcan_operator.plan.rules import change_windows, windows

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
BERLIN = "Europe/Berlin"


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc)


def cron(text: str, duration: str, kind: str = "Allow", zone: str = "UTC") -> PromotionWindow:
    """A window by cron, named after it."""
    return PromotionWindow.model_validate(
        {"name": text, "kind": kind, "cron": text, "duration": duration, "timeZone": zone}
    )


def rule(
    text: str, duration: str, start: str, kind: str = "Allow", zone: str = "UTC"
) -> PromotionWindow:
    """A window by RRULE, named after it."""
    return PromotionWindow.model_validate(
        {
            "name": text[:63],
            "kind": kind,
            "rrule": text,
            "start": start,
            "duration": duration,
            "timeZone": zone,
        }
    )


NIGHT = cron("0 22 * * *", "4h", zone=BERLIN)
WEEKEND = cron("0 0 * * SAT", "48h", "Deny", BERLIN)


@pytest.mark.parametrize(
    ("given_", "at", "is_open", "changes"),
    [
        pytest.param([], "2026-11-22T12:00", True, None, id="none"),
        pytest.param([NIGHT], "2026-11-22T12:00", False, "2026-11-22T21:00", id="before"),
        pytest.param([NIGHT], "2026-11-22T21:00", True, "2026-11-23T01:00", id="its first moment"),
        pytest.param([NIGHT], "2026-11-23T00:59", True, "2026-11-23T01:00", id="past midnight"),
        pytest.param([NIGHT], "2026-11-23T01:00", False, "2026-11-23T21:00", id="its end is outside"),
        pytest.param([NIGHT], "2026-07-01T20:00", True, "2026-07-02T00:00", id="summer"),
        pytest.param([cron("0 23 * * *", "5h", zone=BERLIN)], "2026-03-28T22:30", True, "2026-03-29T02:00",
                     id="23:00 to 04:00 on the clock, with an hour left out"),
        pytest.param([cron("0 23 * * *", "5h", zone=BERLIN)], "2026-10-24T21:30", True, "2026-10-25T03:00",
                     id="23:00 to 04:00 on the clock, with an hour that comes twice"),
        pytest.param([WEEKEND], "2026-10-24T12:00", False, "2026-10-25T23:00", id="a weekend of 49 hours"),
        pytest.param([WEEKEND], "2026-03-28T12:00", False, "2026-03-29T22:00", id="a weekend of 47 hours"),
        pytest.param([WEEKEND], "2026-11-25T12:00", True, "2026-11-27T23:00", id="Deny alone: open else"),
        pytest.param([NIGHT, WEEKEND], "2026-11-27T21:30", True, "2026-11-27T23:00", id="Deny cuts an Allow short"),
        pytest.param([NIGHT, WEEKEND], "2026-11-28T21:30", False, "2026-11-29T23:00", id="Deny wins; Sunday night's rest"),
        pytest.param([cron("0 22 * * *", "2h"), cron("0 0 * * *", "2h")], "2026-11-22T22:30", True, "2026-11-23T02:00",
                     id="adjacent ones are one"),
        pytest.param([cron("0 22 * * *", "3h"), cron("0 0 * * *", "2h")], "2026-11-22T22:30", True, "2026-11-23T02:00",
                     id="overlapping ones are one"),
        pytest.param([cron("0 0 * * *", "24h", zone=BERLIN)], "2026-11-22T12:00", True, None, id="always"),
        pytest.param([cron("0 0 * * *", "24h", "Deny")], "2026-11-22T12:00", False, None, id="never"),
        pytest.param([NIGHT, cron("0 22 * * *", "4h", "Deny", BERLIN)], "2026-11-22T12:00", False, None, id="all denied"),
        pytest.param([rule("FREQ=MONTHLY;BYDAY=-1FR", "4h", "2026-01-01T18:00", zone=BERLIN)],
                     "2026-11-22T12:00", False, "2026-11-27T17:00", id="the last Friday"),
        pytest.param([rule("FREQ=WEEKLY;INTERVAL=2", "4h", "2026-11-17T18:00")],
                     "2026-11-22T12:00", False, "2026-12-01T18:00", id="every other week"),
        pytest.param([rule("FREQ=DAILY;COUNT=3", "4h", "2026-11-01T18:00")], "2026-11-22T12:00", False, None, id="used up"),
        pytest.param([rule("FREQ=DAILY;UNTIL=20261122T170000Z", "4h", "2026-11-01T18:00", zone=BERLIN)],
                     "2026-11-22T12:00", False, "2026-11-22T17:00", id="UNTIL in UTC"),
        pytest.param([rule("FREQ=DAILY;UNTIL=20261122", "4h", "2026-11-01T18:00", zone=BERLIN)],
                     "2026-11-22T12:00", False, "2026-11-22T17:00", id="UNTIL a day, and that day"),
        pytest.param([rule("FREQ=DAILY;UNTIL=20261121", "4h", "2026-11-01T18:00", "Deny")],
                     "2026-11-22T12:00", True, None, id="a Deny that is over"),
        pytest.param([rule("FREQ=YEARLY", "10d", "2020-12-23T00:00", "Deny")],
                     "2026-12-24T12:00", False, "2027-01-02T00:00", id="days between the years"),
    ],
)  # fmt: skip
def test_open_or_shut(
    given_: list[PromotionWindow], at: str, is_open: bool, changes: str | None
) -> None:
    found = windows.look(given_, utc(at))
    assert (found.is_open, found.changes) == (is_open, utc(changes) if changes else None)
    assert windows.problem(given_, utc(at)) is None


@pytest.mark.parametrize(
    ("window", "says"),
    [
        (cron("0 0 31 2 *", "1h"), "day-of-month"),
        (cron("99 0 * * *", "1h"), "minute"),
        (cron("0 0 * * *", "1h", zone="Europe"), "time zone"),
        (cron("0 0 * * *", "1h", zone="../etc/passwd"), "time zone"),
        (rule("FREQ=WEEKLY;BYDAY=XX", "1h", "2026-01-01T00:00"), "BYDAY"),
        (rule("FREQ=MONTHLY;BYHOUR=77", "1h", "2026-01-01T00:00"), "hour"),
        (rule("FREQ=MONTHLY;BYMONTHDAY=1,", "1h", "2026-01-01T00:00"), "BYMONTHDAY"),
        (
            rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "1h", "2026-01-01T00:00"),
            "does not open within two years",
        ),
        (
            rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=1", "1h", "2026-01-01T00:00"),
            "does not open",
        ),
        (rule("FREQ=YEARLY", "1h", "2035-01-01T00:00"), "does not open within two years"),
        (rule("FREQ=DAILY;INTERVAL=0", "1h", "2026-01-01T00:00"), "INTERVAL"),
        (rule("FREQ=DAILY;INTERVAL=-2", "1h", "2026-01-01T00:00"), "INTERVAL"),
        (rule("FREQ=DAILY;UNTIL=2026", "1h", "2026-01-01T00:00"), "isoformat"),
        (rule("FREQ=DAILY;COUNT=2;COUNT=3", "1h", "2026-01-01T00:00"), "twice"),
        (rule("FREQ=DAILY", "1h", "2026-02-30T00:00"), "day is out of range"),
    ],
    ids=lambda value: value.name if isinstance(value, PromotionWindow) else "",
)
def test_what_cannot_be_kept_is_said_so(window: PromotionWindow, says: str) -> None:
    found = windows.problem([NIGHT, window], NOW)
    assert found is not None
    assert found.startswith(f"window {window.name}: ") and says in found


HOURLY = f"FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))}"


def test_an_old_start_is_no_problem() -> None:
    """20,000 openings since the start were one too many, and took a second."""
    window = rule(HOURLY, "30m", "2001-01-01T00:00")
    assert windows.problem([NIGHT, window], NOW) is None
    assert windows.look([window], NOW).changes == NOW + dt.timedelta(minutes=30)


def test_what_takes_too_long_is_said_so() -> None:
    """COUNT counts from the start, through all the years."""
    old = [rule("FREQ=DAILY;COUNT=99999", f"{n}h", "2001-01-01T00:00") for n in range(1, 5)]
    found = windows.problem(old, NOW)
    assert found is not None
    assert "choose a later start, or UNTIL instead of COUNT" in found


def test_what_opens_very_often_is_known_for_a_day_at_least() -> None:
    found = windows.look([rule(HOURLY, "1h", "2026-01-01T00:00", zone=BERLIN)] * 16, NOW)
    assert (found.is_open, found.changes) == (True, None)
    assert NOW + DAY < found.searched < NOW + windows.HORIZON


@pytest.mark.parametrize("kind", ["Allow", "Deny"])
def test_what_is_not_known_for_two_years_says_until_when_it_is(kind: str) -> None:
    always = rule(HOURLY, "1h", "2026-01-01T00:00", kind)
    spec = env(promotionWindows=[always.to_json()]).spec
    window = change_windows.of_promotions(spec, facts(), NOW)
    says = (
        "open until 2027-01-03T04:00Z at least"
        if kind == "Allow"
        else "no opening before 2027-01-03T04:00Z"
    )
    assert says in window.message
    assert window.look_again == NOW + DAY


def test_a_freeze_until_the_end_of_time_is_no_bug() -> None:
    environment = env(promotionWindows=[NIGHT.to_json()])
    frozen = facts(freeze={**FREEZE, "until": "9999-12-31T23:59:59Z"})
    window = change_windows.of_promotions(environment.spec, frozen, NOW)
    assert window.why == Why.FROZEN


ZONES = ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]
SWITCHES = [
    "2026-03-08",
    "2026-03-29",
    "2026-04-05",
    "2026-10-04",
    "2026-10-25",
    "2026-11-01",
    "2026-06-15",
]


@functools.lru_cache(maxsize=100_000)
def reached(local: dt.datetime, zone: str) -> dt.datetime:
    """Minute by minute, from well before: when the clock first shows this, or more."""
    clock = zoneinfo.ZoneInfo(zone)
    moment = local.replace(tzinfo=clock).astimezone(dt.timezone.utc) - dt.timedelta(hours=3)
    while moment.astimezone(clock).replace(tzinfo=None) < local:
        moment += MINUTE
    return moment


def enumerated(given_: list[PromotionWindow], at: dt.datetime) -> bool:
    """By trying every day of the last ones; for the windows of `some_windows` only."""
    inside = {"Allow": False, "Deny": False}
    for window in given_:
        minute, hour, weekday = (
            int(part) if part != "*" else None for part in window.name.split("/")[1:]
        )
        for back in range(-1, 11):
            day = (at - back * DAY).replace(
                hour=hour or 0, minute=minute or 0, second=0, tzinfo=None
            )
            if weekday is not None and day.isoweekday() % 7 != weekday:
                continue
            ends = reached(day + parse_duration(window.duration), window.time_zone)
            inside[window.kind] |= reached(day, window.time_zone) <= at < ends
    return not inside["Deny"] and (inside["Allow"] or all(w.kind == "Deny" for w in given_))


@st.composite
def some_window(draw: st.DrawFn) -> PromotionWindow:
    """Once a day or once a week, by cron or by the same as a rule; its name says when."""
    minute, hour = draw(st.sampled_from([0, 15, 30])), draw(st.integers(0, 23))
    weekday = draw(st.one_of(st.none(), st.integers(0, 6)))
    raw: dict[str, Any] = {
        "name": f"w/{minute}/{hour}/{'*' if weekday is None else weekday}",
        "kind": draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        "duration": draw(st.sampled_from(["15m", "45m", "1h", "4h", "9h30m", "24h", "2d", "7d"])),
        "timeZone": draw(st.sampled_from(ZONES)),
    }
    if draw(st.booleans()):
        raw["cron"] = f"{minute} {hour} * * {'*' if weekday is None else weekday}"
    else:
        day = (
            ""
            if weekday is None
            else f";BYDAY={('SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA')[weekday]}"
        )
        raw |= {
            "rrule": f"FREQ=WEEKLY{day}" if day else "FREQ=DAILY",
            "start": f"2026-01-04T{hour:02d}:{minute:02d}",
        }
    return PromotionWindow.model_validate(raw)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(some_window(), min_size=1, max_size=4),
    st.sampled_from(SWITCHES),
    st.integers(-3 * 1440, 3 * 1440),
)
def test_it_agrees_with_trying_every_minute(
    given_: list[PromotionWindow], near: str, minutes: int
) -> None:
    at = utc(near) + minutes * MINUTE
    found = windows.look(given_, at)
    assert found.is_open is enumerated(given_, at)
    if found.changes is None:
        return
    assert found.changes > at
    assert enumerated(given_, found.changes) is not found.is_open
    step = max(MINUTE, (found.changes - at) // 97 // MINUTE * MINUTE)
    before = [at + step * i for i in range(98) if at + step * i < found.changes] + [
        found.changes - MINUTE
    ]
    assert all(enumerated(given_, moment) is found.is_open for moment in before if moment >= at)


FREEZE = {"reason": "the warehouse is being moved"}


@pytest.mark.parametrize(
    ("freeze", "given_", "why", "opens"),
    [
        pytest.param(None, [], Why.OPEN, None, id="nothing"),
        pytest.param(FREEZE, [], Why.FROZEN, None, id="a freeze that somebody must lift"),
        pytest.param({**FREEZE, "until": stamp(NOW + DAY)}, [], Why.FROZEN, NOW + DAY, id="until tomorrow"),
        pytest.param({**FREEZE, "until": stamp(NOW)}, [], Why.OPEN, None, id="over"),
        pytest.param(None, [NIGHT], Why.OUTSIDE_WINDOW, utc("2026-11-22T21:00"), id="a window"),
        pytest.param({**FREEZE, "until": stamp(NOW + DAY)}, [NIGHT], Why.FROZEN, utc("2026-11-23T21:00"),
                     id="the first opening after the freeze"),
        pytest.param({**FREEZE, "until": "2026-11-22T22:30:00Z"}, [NIGHT], Why.FROZEN, utc("2026-11-22T22:30"),
                     id="a freeze that ends inside a window"),
        pytest.param(None, [cron("0 0 31 2 *", "1h", "Deny")], Why.INVALID, None, id="a bad window holds, too"),
    ],
)  # fmt: skip
def test_a_freeze_and_windows_together(
    freeze: dict[str, str] | None,
    given_: list[PromotionWindow],
    why: Why,
    opens: dt.datetime | None,
) -> None:
    environment = env(promotionWindows=[w.to_json() for w in given_])
    window = change_windows.of_promotions(
        environment.spec, facts(**({"freeze": freeze} if freeze else {})), NOW
    )
    assert (window.why, window.opens) == (why, opens)
    assert ("is being moved" in window.message) is (why == Why.FROZEN)
    assert (opens is None) or f"{opens:%Y-%m-%dT%H:%MZ}" in window.message
    assert (window.verdict.reconciling, window.verdict.stalled) == (
        opens is not None,
        why == Why.INVALID,
    )


@pytest.mark.parametrize(
    ("reason", "task", "held"),
    [
        pytest.param(Reason.LOST, "promote", False, id="may have ended between two views"),
        pytest.param(Reason.WAREHOUSE_UNREACHABLE, "promote", True, id="has begun nothing"),
        pytest.param(Reason.LOST, "audit", True, id="another task"),
    ],
)
def test_an_attempt_that_may_be_half_done_is_finished(
    reason: Reason, task: str, held: bool
) -> None:
    window = change_windows.of_gateway(facts(freeze=FREEZE), NOW)
    assert change_windows.blocks(window, failure(reason, task=task), "promote") is held
