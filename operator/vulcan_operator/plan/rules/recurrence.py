"""Openings by an RFC 5545 rule, a year at a time and near now, so that no rule takes long. Pure.

Used by `windows`. python-dateutil knows which days of a year a rule means, but would look for a
30th of February until the year 9999, and counts through all years since the rule's start. So it is
only asked about single years here; intervals, counts and positions are worked out around that.
"""

import datetime as dt
import itertools
import re
from collections.abc import Iterable, Iterator

from dateutil import rrule

MOST_YEARS = 72  # a third of a millisecond each
_MOMENT = dt.timedelta(microseconds=1)
_ONE_YEAR_ONLY = 10_000  # an interval after which dateutil is past its last year
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_EVERY_DAY = ",".join(_WEEKDAYS)
_EVERY_MONTH = ",".join(str(month) for month in range(1, 13))
_OURS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYSETPOS", "BYHOUR")
_OF_DAYS = {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}

Parts = dict[str, str]
Day = tuple[dt.date, tuple[int, ...]]  # and the hours at which it opens


class Years:
    """Counts the years that one look asks about, for all its rules together."""

    def __init__(self) -> None:
        self._left = MOST_YEARS

    def ask(self) -> None:
        """Count one more. Raises ValueError if there were too many."""
        if self._left == 0:
            too_long = "evaluating the windows takes too long"
            raise ValueError(f"{too_long}: choose a later start, or UNTIL instead of COUNT")
        self._left -= 1


class Recurrence:
    """The openings of a rule, as local times. Raises ValueError, also later, if it is wrong."""

    def __init__(self, parts: Parts, start: dt.datetime, ends: dt.datetime | None, years: Years):
        self._start, self._years = start, years
        self._frequency = parts["FREQ"]
        self._interval = _number(parts, "INTERVAL", 1)
        self._count = _number(parts, "COUNT", 0) if "COUNT" in parts else None
        self._positions = [int(position) for position in _listed(parts, "BYSETPOS", "")]
        hours = {int(hour) for hour in _listed(parts, "BYHOUR", str(start.hour))}
        self._hours = tuple(start.replace(hour=hour).hour for hour in sorted(hours))
        self._week_starts = _WEEKDAYS.index(parts.get("WKST", "MO"))
        self._days_of_year = rrule.rrulestr(_days_of_year(parts, start), dtstart=start)
        self._known: dict[int, list[Day]] = {}
        self._ends = ends

    def near(self, now: dt.datetime, until: dt.datetime) -> Iterator[dt.datetime]:
        """The last opening up to `now`, if there is one, and those after it, before `until`."""
        until = until if self._ends is None else min(until, self._ends + _MOMENT)
        if self._count is not None:
            until = self._used_up(self._count, until) if self._count else self._start
        last = self._last(min(now, until - _MOMENT))
        if last is not None:
            yield last
        for year in range(max(now.year, self._start.year), until.year + 1):
            days = [day for day in self._of(year) if day[0] >= now.date()]
            yield from (found for found in self._openings(days) if now < found < until)

    def _last(self, now: dt.datetime) -> dt.datetime | None:
        for year in range(now.year, self._start.year - 1, -1):
            for day in reversed(self._of(year)):
                if day[0] <= now.date():
                    for opening in reversed([*self._openings([day])]):
                        if opening <= now:
                            return opening
        return None

    def _used_up(self, count: int, until: dt.datetime) -> dt.datetime:
        """When COUNT is used up, if that is before `until`."""
        for year in range(self._start.year, until.year + 1):
            for day, hours in self._of(year):
                if count <= len(hours):
                    *_, last = self._openings([(day, hours[:count])])
                    return min(until, last + _MOMENT)
                count -= len(hours)
        return until

    def _openings(self, days: Iterable[Day]) -> Iterator[dt.datetime]:
        for day, hours in days:
            for hour in hours:
                yield self._start.replace(year=day.year, month=day.month, day=day.day, hour=hour)

    def _of(self, year: int) -> list[Day]:
        """The days of a year, from the rule's start on, with their hours."""
        if self._frequency == "YEARLY" and (year - self._start.year) % self._interval:
            return []
        if year not in self._known:
            self._years.ask()
            first = self._start.replace(year=year, month=1, day=1, hour=0, minute=0)
            one = self._days_of_year.replace(dtstart=first, interval=_ONE_YEAR_ONLY)
            days = [(found.date(), self._hours) for found in one]
            if self._interval > 1:
                days = [day for day in days if self._period(day[0]) % self._interval == 0]
            days = self._at_positions(days) if self._positions else days
            self._known[year] = [*self._begun(days)] if year == self._start.year else days
        return self._known[year]

    def _begun(self, days: Iterable[Day]) -> Iterator[Day]:
        for day, hours in days:
            if day > self._start.date():
                yield day, hours
            elif day == self._start.date():
                yield day, tuple(hour for hour in hours if hour >= self._start.hour)

    def _period(self, day: dt.date) -> int:
        """The number of a day's period, counted from that of the start."""
        start = self._start.date()
        match self._frequency:
            case "DAILY":
                return (day - start).days
            case "WEEKLY":
                return self._week(day) - self._week(start)
            case "MONTHLY":
                return 12 * (day.year - start.year) + day.month - start.month
            case _:
                return day.year - start.year

    def _week(self, day: dt.date) -> int:
        return (day.toordinal() - 1 - self._week_starts) // 7  # the first day of year 1 is a Monday

    def _at_positions(self, days: list[Day]) -> list[Day]:
        """BYSETPOS: some of the openings of each period only."""
        kept: dict[dt.date, set[int]] = {}
        for _, period in itertools.groupby(days, key=lambda day: self._period(day[0])):
            inside, size = list(period), len(self._hours)
            for position in self._positions:
                day, hour = divmod(position if position < 0 else position - 1, size)
                if -len(inside) <= day < len(inside):
                    kept.setdefault(inside[day][0], set()).add(self._hours[hour])
        return [(day, tuple(sorted(hours))) for day, hours in sorted(kept.items())]


def _days_of_year(parts: Parts, start: dt.datetime) -> str:
    """The rule as a yearly one, which has all days of all its periods."""
    kept = {name: value for name, value in parts.items() if name not in _OURS}
    frequency, given = parts["FREQ"], bool(_OF_DAYS & parts.keys())
    match frequency:
        case "DAILY" | "WEEKLY":  # where a number before a weekday means nothing
            usual = _EVERY_DAY if frequency == "DAILY" else _WEEKDAYS[start.weekday()]
            kept["BYDAY"] = re.sub("[+-]?[0-9]+", "", parts.get("BYDAY", usual))
        case "MONTHLY":
            kept.setdefault("BYMONTH", _EVERY_MONTH)
        case _ if not given:
            kept.setdefault("BYMONTH", str(start.month))
    if not given and frequency in ("MONTHLY", "YEARLY"):
        kept["BYMONTHDAY"] = str(start.day)
    kept |= {"BYHOUR": "0", "BYMINUTE": "0", "BYSECOND": "0"}
    return ";".join(["FREQ=YEARLY", *(f"{name}={value}" for name, value in kept.items())])


def _number(parts: Parts, name: str, least: int) -> int:
    text = parts.get(name, "1")
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) < least:
        raise ValueError(f"{name} must be a number from {least} to 99999")
    return int(text)


def _listed(parts: Parts, name: str, default: str) -> list[str]:
    text = parts.get(name, default)
    return text.split(",") if text else []
