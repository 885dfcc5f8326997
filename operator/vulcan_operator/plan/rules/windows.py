"""Windows of local time: open or shut now, and when that changes. Pure; for `change_windows`.

Starts and ends are times of a clock in the window's zone: 22:00 and 4h is until 02:00 in every
night. A time that the clock shows twice is the first of the two, one that it leaves out is the
moment of the jump. The search ends after two years: a rule that never opens again says so.
"""

import datetime as dt
import functools
import heapq
import itertools
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cronsim
from dateutil import rrule

from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.windows import PromotionWindow

HORIZON = dt.timedelta(days=731)
_MOST = 20_000  # openings before now that are counted through: more than two years of hourly ones
_MINUTE = dt.timedelta(minutes=1)
Span = tuple[dt.datetime, dt.datetime]


class WindowError(ValueError):
    """A window that cannot be kept."""


@dataclass(frozen=True)
class Look:
    """Whether changes are allowed, which Deny windows forbid them, and when that changes."""

    is_open: bool
    denied_by: tuple[str, ...] = ()
    changes: dt.datetime | None = None  # None: not within two years


def look(windows: Sequence[PromotionWindow], now: dt.datetime) -> Look:
    """The answer at a time; adjacent and overlapping windows count as one. Raises WindowError."""
    inside: set[int] = set()
    first: Look | None = None
    edges = heapq.merge(*(_edges(number, window, now) for number, window in enumerate(windows)))
    for at, together in itertools.groupby(edges, key=lambda edge: edge[0]):
        if at > now and first is None:
            first = _judge(windows, inside)
        for _, number, opens in together:
            inside = inside | {number} if opens else inside - {number}
        if at > now + HORIZON:
            break
        if first is not None and _judge(windows, inside).is_open != first.is_open:
            return Look(first.is_open, first.denied_by, at)
    return first or _judge(windows, inside)


def problem(windows: Sequence[PromotionWindow], now: dt.datetime) -> str | None:
    """Why a window cannot be kept, or never opens; one that is over has done its work."""
    for window in windows:
        try:
            if next(_starts(window, now), None) is None:
                return f"window {window.name}: it does not open within two years"
        except WindowError as error:
            return f"window {window.name}: {error}"
    return None


def _judge(windows: Sequence[PromotionWindow], inside: set[int]) -> Look:
    """Deny wins; with Allow windows one of them must be open."""
    here = [windows[number] for number in sorted(inside)]
    denied = tuple(w.name for w in here if w.kind == "Deny")
    allowed = any(w.kind == "Allow" for w in here) or all(w.kind != "Allow" for w in windows)
    return Look(allowed and not denied, denied)


def _edges(
    number: int, window: PromotionWindow, now: dt.datetime
) -> Iterator[tuple[dt.datetime, int, bool]]:
    """When a window opens and shuts, from now on; spans that touch are one."""
    begun: Span | None = None
    for start, end in _spans(window, now):
        if begun is not None and start <= begun[1]:
            begun = begun[0], end
            continue
        if begun is not None:
            yield from ((begun[0], number, True), (begun[1], number, False))
        begun = start, end
    if begun is not None:
        yield from ((begun[0], number, True), (begun[1], number, False))


def _spans(window: PromotionWindow, now: dt.datetime) -> Iterator[Span]:
    zone, length = _zone(window), min(parse_duration(window.duration), 2 * HORIZON)
    for start in _starts(window, now):
        span = _moment(start, zone), _moment(start + length, zone)
        if now < span[1] and span[0] < span[1]:
            yield span


def _starts(window: PromotionWindow, now: dt.datetime) -> Iterator[dt.datetime]:
    """Local times at which it opens: the last one before now, then the next ones."""
    local = now.astimezone(_zone(window)).replace(tzinfo=None, microsecond=0)
    found = _cron(window.cron, local) if window.cron is not None else _rrule(window, local)
    # Beyond: so that what ends with the search is told from what ends by itself.
    beyond = local + HORIZON + dt.timedelta(days=2)
    yield from itertools.takewhile(lambda start: start < beyond, found)


def _cron(cron: str, local: dt.datetime) -> Iterator[dt.datetime]:
    try:
        before = cronsim.CronSim(cron, local + dt.timedelta(seconds=1), reverse=True)
        yield from itertools.islice(before, 1)
        yield from cronsim.CronSim(cron, local)
    except (cronsim.CronSimError, ValueError, OverflowError) as error:
        raise WindowError(f"cron {cron!r}: {error}") from error


def _rrule(window: PromotionWindow, local: dt.datetime) -> Iterator[dt.datetime]:
    last = None
    for number, start in enumerate(_rule(window)):
        if start <= local:
            if number > _MOST:
                times = f"more than {_MOST} times since {window.start}"
                raise WindowError(f"it has opened {times}: choose a later start")
            last = start
            continue
        if last is not None:
            yield last
            last = None
        yield start
    if last is not None:
        yield last


def _rule(window: PromotionWindow) -> Iterator[dt.datetime]:
    """UNTIL is taken out: dateutil wants it local where the start is, and RFC 5545 in UTC."""
    parts = [part.partition("=")[::2] for part in (window.rrule or "").split(";")]
    text = ";".join(f"{name}={value}" for name, value in parts if name != "UNTIL")
    until = dict(parts).get("UNTIL")
    try:
        if len(dict(parts)) < len(parts):
            raise ValueError("a part comes twice")
        ends = _until(until, _zone(window)) if until is not None else None
        rule = _parsed(text, window.start or "")
    except (ValueError, TypeError, OverflowError) as error:
        raise WindowError(f"rrule {window.rrule!r} from {window.start}: {error}") from error
    return itertools.takewhile(lambda start: ends is None or start <= ends, rule)


@functools.lru_cache(maxsize=256)
def _parsed(text: str, start: str) -> Sequence[dt.datetime] | rrule.rrule:
    """Kept: dateutil looks for a 30th of February until the year 9999, and once is enough."""
    if re.search("INTERVAL=(?!0*[1-9][0-9]{0,4}(;|$))", text):
        raise ValueError("INTERVAL must be a number from 1 on")
    rule = rrule.rrulestr(text, dtstart=dt.datetime.fromisoformat(start))
    return rule if next(iter(rule), None) is not None else ()


def _until(text: str, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Local: of a date all day, of a time in UTC what the clock shows then."""
    found = dt.datetime.fromisoformat(text)
    if found.tzinfo is not None:
        return found.astimezone(zone).replace(tzinfo=None)
    return found if "T" in text else found.replace(hour=23, minute=59, second=59)


def _moment(local: dt.datetime, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """The first moment at which the clock has reached a local time."""
    folds = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    before, after = (moment.astimezone(dt.timezone.utc) for moment in folds)
    if before <= after:
        return before
    moment = after.replace(second=0, microsecond=0)  # the clock jumps over it: between these two
    while moment.astimezone(zone).replace(tzinfo=None) < local:
        moment += _MINUTE
    return moment


def _zone(window: PromotionWindow) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(window.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe`
        raise WindowError(f"there is no time zone {window.time_zone!r}") from error
