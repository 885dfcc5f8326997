"""Step Soak: time and green runs."""

import datetime as dt

import pytest

from tests.builders import NOW
from tests.unit.plan.promotions.cases import APPLIED, HOUR, ask, route, status
from vulcan_operator.plan.core.moves import Wait
from vulcan_operator.plan.promotions.steps.soak import Soak

GATE = {"gates": {"soak": {"duration": "2h", "greenRuns": 2}}}
SECOND = dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("after", "runs", "says"),
    [
        pytest.param(2 * HOUR, 2, "Done Succeeded", id="both"),
        pytest.param(2 * HOUR - SECOND, 2, "Wait Soaking", id="a second too early"),
        pytest.param(9 * HOUR, 1, "Wait Soaking", id="a run is missing"),
    ],
)
def test_time_and_runs_must_both_have_come(after: dt.timedelta, runs: int, says: str) -> None:
    source = {"status": {"greenRuns": runs}}
    assert ask(Soak(), spec=GATE, source=source, now=NOW + after)[0] == says


def test_it_looks_again_when_the_time_has_come_and_not_for_runs() -> None:
    for after, until in ((HOUR, NOW + 2 * HOUR), (3 * HOUR, None)):
        move = Soak().next(status(), route(status(), GATE, now=NOW + after))
        assert isinstance(move, Wait) and move.until == until


def test_a_source_with_another_plan_has_not_soaked_this_one() -> None:
    assert ask(Soak(), spec=GATE, has={**APPLIED, "planId": "p-newer"})[0] == "Done Failed"


def test_without_a_gate_it_is_skipped() -> None:
    assert ask(Soak())[0] == "Done Skipped"
