"""Windows of local time: open or shut now, and when that changes. Pure; for `change_windows`.

Starts and ends are times of a clock in the window's zone: 22:00 and 4h is until 02:00 in every
night. A time that the clock shows twice is the first of the two, one that it leaves out is the
moment of the jump. The search ends after two years, or after a thousand openings and shuttings:
whoever writes windows must not decide for how long everybody else waits for this one look.
"""

import dataclasses
import datetime as dt
import heapq
import itertools
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cronsim

from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.windows import PromotionWindow
from vulcan_operator.plan.rules.recurrence import Recurrence, Years

HORIZON = dt.timedelta(days=731)
MOST_EDGES = 1000  # more than a day of sixteen windows that open every hour
_MINUTE = dt.timedelta(minutes=1)
_OPENS, _GOES_ON, _SHUTS = 1, 0, -1
Span = tuple[dt.datetime, dt.datetime]
Edge = tuple[dt.datetime, int, int]  # when, which window, what it does


class WindowError(ValueError):
    """A window that cannot be kept, or never opens."""


@dataclass(frozen=True)
class Look:
    """Whether changes are allowed, which Deny windows forbid them, and when that changes."""

    is_open: bool
    denied_by: tuple[str, ...]
    searched: dt.datetime  # up to when it is known
    changes: dt.datetime | None = None  # None: not before that


def look(windows: Sequence[PromotionWindow], now: dt.datetime) -> Look:
    """The answer at a time; adjacent and overlapping windows count as one. Raises WindowError."""
    years, horizon = Years(), after(now, HORIZON)
    found = [_edges(number, window, now, years) for number, window in enumerate(windows)]
    inside: set[int] = set()
    first, seen = None, 0
    for at, together in itertools.groupby(heapq.merge(*found), key=lambda edge: edge[0]):
        if at > now and first is None:
            first = _judge(windows, inside, horizon)
        if first is not None and (at > horizon or seen >= MOST_EDGES):
            return dataclasses.replace(first, searched=min(at, horizon))
        for _, number, what in together:
            inside = inside | {number} if what >= _GOES_ON else inside - {number}
            seen += 1
        if first is not None and _judge(windows, inside, horizon).is_open != first.is_open:
            return dataclasses.replace(first, changes=at)
    return first or _judge(windows, inside, horizon)


def problem(windows: Sequence[PromotionWindow], now: dt.datetime) -> str | None:
    """Why a window cannot be kept, or never opens; one that is over has done its work."""
    try:
        look(windows, now)
    except WindowError as error:
        return str(error)
    return None


def _judge(windows: Sequence[PromotionWindow], inside: set[int], searched: dt.datetime) -> Look:
    """Deny wins; with Allow windows one of them must be open."""
    here = [windows[number] for number in sorted(inside)]
    denied = tuple(w.name for w in here if w.kind == "Deny")
    allowed = any(w.kind == "Allow" for w in here) or all(w.kind != "Allow" for w in windows)
    return Look(allowed and not denied, denied, searched)


def _edges(number: int, window: PromotionWindow, now: dt.datetime, years: Years) -> Iterator[Edge]:
    """When a window opens and shuts, from now on; spans that touch are one."""
    shuts: dt.datetime | None = None
    for start, end in _spans(window, now, years):
        if shuts is not None and start <= shuts:
            yield (
                start,
                number,
                _GOES_ON,
            )  # so that a window that is always open is not all there is
        else:
            if shuts is not None:
                yield shuts, number, _SHUTS
            yield start, number, _OPENS
        shuts = end
    if shuts is not None:
        yield shuts, number, _SHUTS


def _spans(window: PromotionWindow, now: dt.datetime, years: Years) -> Iterator[Span]:
    """Raises WindowError, before the first one or later."""
    opens = False
    try:
        zone, length = _zone(window), min(parse_duration(window.duration), 2 * HORIZON)
        for start in _starts(window, now.astimezone(zone), years):
            opens = True
            span = _moment(start, zone), _moment(start + length, zone)
            if now < span[1] and span[0] < span[1]:
                yield span
        if not opens:
            raise ValueError("it does not open within two years")
    except (ValueError, TypeError, OverflowError) as error:
        raise WindowError(f"window {window.name}: {error}") from error


def _starts(window: PromotionWindow, now: dt.datetime, years: Years) -> Iterator[dt.datetime]:
    """Local times at which it opens: the last one before now, then the next ones."""
    local = now.replace(tzinfo=None, microsecond=0)
    # Beyond: so that what ends with the search is told from what ends by itself.
    beyond = local + HORIZON + dt.timedelta(days=2)
    if window.cron is not None:
        yield from itertools.takewhile(lambda start: start < beyond, _cron(window.cron, local))
        return
    try:
        found = _recurrence(window, years)
        yield from found.near(local, beyond)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"rrule {window.rrule!r} from {window.start}: {error}") from error


def _cron(cron: str, local: dt.datetime) -> Iterator[dt.datetime]:
    """Cronsim gives up after fifty years, which it goes through in two milliseconds."""
    try:
        before = cronsim.CronSim(cron, local + dt.timedelta(seconds=1), reverse=True)
        yield from itertools.islice(before, 1)
        yield from cronsim.CronSim(cron, local)
    except (cronsim.CronSimError, ValueError, OverflowError) as error:
        raise ValueError(f"cron {cron!r}: {error}") from error


def _recurrence(window: PromotionWindow, years: Years) -> Recurrence:
    parts = [part.partition("=")[::2] for part in (window.rrule or "").split(";")]
    if len(dict(parts)) < len(parts):
        raise ValueError("a part comes twice")
    until = dict(parts).get("UNTIL")
    ends = _until(until, _zone(window)) if until is not None else None
    start = dt.datetime.fromisoformat(window.start or "")
    return Recurrence(dict(parts), start, ends, years)


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
        raise ValueError(f"there is no time zone {window.time_zone!r}") from error


def after(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """A freeze may last until the year 9999."""
    latest = dt.datetime.max.replace(tzinfo=dt.timezone.utc) - dt.timedelta(days=2)
    return moment + min(by, max(latest - moment, dt.timedelta()))
