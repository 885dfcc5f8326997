"""The table of steps is total, and its stages keep their order."""

import pytest

from tests.unit.plan.promotions.cases import ACROSS, route, status
from vulcan_operator.api.promotion_status import StepName
from vulcan_operator.plan.promotions.step import Change, Gate, Step
from vulcan_operator.plan.promotions.steps import BACK, FORWARD, STEPS
from vulcan_operator.plan.rules.promotion_changes import CHANGES
from vulcan_operator.plan.tasks.slot import Priority

every_step = pytest.mark.parametrize("name", list(StepName))


def test_every_name_has_its_step_and_every_step_its_place() -> None:
    assert list(STEPS) == list(StepName)
    assert [step.name for stage in FORWARD for step in stage] == list(StepName)[:-1]
    assert [step.name for stage in BACK for step in stage] == [StepName.RESOLVE, StepName.ROLLBACK]


@every_step
def test_a_step_that_changes_views_is_one_of_those_that_must_come_to_an_end(name: StepName) -> None:
    assert isinstance(STEPS[name], Change) is (name in CHANGES)


@every_step
def test_nothing_runs_for_a_revision_that_is_there_but_what_judges_or_undoes_it(
    name: StepName,
) -> None:
    assert STEPS[name].runs_even_there is (name in (StepName.VERIFY, StepName.ROLLBACK))


@every_step
def test_a_step_with_a_job_says_what_it_is_doing(name: StepName) -> None:
    has_job = (
        type(STEPS[name]).judge is not Step.judge or type(STEPS[name]).passed is not Step.passed
    )
    assert (type(STEPS[name]).doing != Step.doing) is has_job


@every_step
@pytest.mark.parametrize("across", [False, True])
def test_a_promotion_is_kept_for_what_changes_views_or_leaves_a_copy(
    name: StepName, across: bool
) -> None:
    way = route(status(**ACROSS) if across else status(), across=across)
    assert STEPS[name].needs_finalizer(way) is (
        name in CHANGES or (across and name is StepName.PLAN)
    )


@every_step
def test_nothing_but_a_rollback_goes_before_scheduled_runs(name: StepName) -> None:
    assert (STEPS[name].rank < Priority.PROTECTED_RUN) is (name is StepName.ROLLBACK)


def test_gates_are_asked_at_the_same_time() -> None:
    gates = {step.name for step in STEPS.values() if isinstance(step, Gate)}
    assert gates <= {step.name for step in FORWARD[1]}
