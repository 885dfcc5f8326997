"""Step Tests: what is known of the unit tests of a revision."""

from typing import Any

import pytest

from tests.unit.plan.promotions.cases import ACROSS, APPLIED, PLAN, ask, status
from vulcan_operator.plan.promotions.steps.tests import Tests


@pytest.mark.parametrize(
    ("tests_run", "gate", "says"),
    [
        pytest.param(3, "Required", "Done Succeeded", id="passed"),
        pytest.param(0, "Required", "Done Skipped", id="there are none"),
        pytest.param(-1, "Required", "Done Inconclusive", id="nobody knows: a human must look"),
        pytest.param(-1, "Optional", "Done Skipped", id="nobody knows, and nobody asks"),
        pytest.param(3, "Skip", "Done Skipped", id="not asked"),
    ],
)
def test_within_one_system_the_source_has_run_them(tests_run: int, gate: str, says: str) -> None:
    has = {**APPLIED, "testsRun": tests_run}
    assert ask(Tests(), spec={"gates": {"tests": gate}}, has=has)[0] == says


def test_the_tests_of_another_plan_do_not_count() -> None:
    assert ask(Tests(), has={**APPLIED, "planId": "p-newer"})[0] == "Done Inconclusive"


@pytest.mark.parametrize(
    ("steps", "target", "says"),
    [
        pytest.param([{"name": "Plan", "evidence": {"testsRun": "5"}}], {}, "Done Succeeded", id="by its own plan"),
        pytest.param([{"name": "Plan", "evidence": {}}], {}, "Done Inconclusive", id="which does not say"),
        pytest.param(
            [{"name": "Plan", "evidence": {"testsRun": "0"}}], {"plan": {"skipTests": True}}, "Done Inconclusive",
            id="the target skips them",
        ),
    ],
)  # fmt: skip
def test_across_systems_they_ran_again(steps: list[Any], target: dict[str, Any], says: str) -> None:
    planned = status(*steps, **{**ACROSS, "plan": PLAN})
    assert ask(Tests(), planned, across=True, target=target)[0] == says


def test_across_systems_they_are_waited_for() -> None:
    assert ask(Tests(), status(**ACROSS), across=True)[0] == "Wait Planning"


def test_a_source_that_has_nothing_any_more_has_run_none() -> None:
    assert ask(Tests(), has=None)[0] == "Done Inconclusive"
