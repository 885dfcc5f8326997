"""Recurrence rules near now: the same openings as dateutil finds from the start, and never many years."""

import datetime as dt
import itertools

import pytest
from dateutil import rrule
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vulcan_operator.plan.rules.recurrence import MOST_YEARS, Recurrence, Years

NOW = dt.datetime.fromisoformat("2026-11-22T12:00")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def some(values: list[int], most: int = 4) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most).map(
        lambda found: ",".join(map(str, found))
    )


@st.composite
def a_rule(draw: st.DrawFn) -> dict[str, str]:
    """Any rule that the CRD accepts, rather one that matches now and then."""
    parts = {"FREQ": draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))}
    of_months = parts["FREQ"] in ("MONTHLY", "YEARLY")
    choices = {
        # Every seventh day and never a Monday: dateutil itself would take seconds.
        "INTERVAL": st.sampled_from(
            ["1", "2", "3", *(["7", "12", "52"] if parts["FREQ"] != "DAILY" else [])]
        ),
        "BYMONTH": some(list(range(1, 13))),
        "BYHOUR": some(list(range(24))),
        "BYDAY": st.lists(st.sampled_from(DAYS), min_size=1, max_size=4).map(",".join),
        "WKST": st.sampled_from(DAYS),
        "COUNT": st.sampled_from(["0", "1", "5", "30"]),
    }
    if of_months:
        numbered = st.builds(
            "{}{}".format, st.sampled_from(["", "+1", "-1", "3", "-2"]), st.sampled_from(DAYS)
        )
        choices |= {
            "BYDAY": st.lists(numbered, min_size=1, max_size=3).map(",".join),
            "BYMONTHDAY": some([*range(1, 32), -1, -2, -31]),
            "BYYEARDAY": some([1, 59, 60, 100, 365, 366, -1, -366]),
            "BYWEEKNO": some([1, 2, 10, 52, 53, -1]),
            "BYSETPOS": some([1, 2, 3, -1, -2, 30]),
        }
    for name in draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=4)):
        parts[name] = draw(choices[name])
    return parts


def before_the_year_10000(
    parts: dict[str, str], start: dt.datetime, until: dt.datetime
) -> list[dt.datetime]:
    """What dateutil finds from the start."""
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    found = rrule.rrulestr(text, dtstart=start)
    return list(itertools.takewhile(lambda opening: opening < until, found))


@settings(max_examples=150, deadline=None)
@given(a_rule(), st.integers(-2500, 800), st.integers(0, 23), st.integers(1, 900))
def test_it_agrees_with_dateutil(parts: dict[str, str], days: int, hour: int, ahead: int) -> None:
    start = NOW.replace(hour=hour, minute=30) + dt.timedelta(days=days)
    until = NOW + dt.timedelta(days=ahead)
    try:
        expected = before_the_year_10000(parts, start, until)
    except ValueError:
        assume(False)
    last = [opening for opening in expected if opening <= NOW][-1:]
    wanted = last + [opening for opening in expected if opening > NOW]
    assert list(Recurrence(parts, start, None, Years()).near(NOW, until)) == wanted


def test_until_is_the_last_moment() -> None:
    found = Recurrence({"FREQ": "DAILY"}, NOW, NOW + dt.timedelta(days=2), Years())
    assert list(found.near(NOW, NOW + dt.timedelta(days=9))) == [
        NOW + dt.timedelta(days=day) for day in range(3)
    ]


@pytest.mark.parametrize("name", ["INTERVAL", "COUNT"])
@pytest.mark.parametrize("value", ["", "-1", "x", "١", "100000"])
def test_numbers_are_numbers(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number"):
        Recurrence({"FREQ": "DAILY", name: value}, NOW, None, Years())


def test_a_look_asks_about_a_bounded_number_of_years() -> None:
    years = Years()
    for _ in range(MOST_YEARS):
        years.ask()
    with pytest.raises(ValueError, match="takes too long: choose a later start"):
        years.ask()
