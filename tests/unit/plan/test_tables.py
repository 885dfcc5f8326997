"""The tables of the planners are total: a new kind or reason is a decision, no accident."""

from vulcan_contract.reasons import Reason
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.plan.environments.step import CHANGE, RUNS, Step
from vulcan_operator.plan.environments.steps import CHANGE_STEPS, INVALIDATE, RUN, STEPS
from vulcan_operator.plan.gateways import steps as of_gateways

OF_GATEWAYS = {TaskKind.PROBE}
OF_ENVIRONMENTS = {
    TaskKind.RESOLVE, TaskKind.PLAN, TaskKind.APPLY, TaskKind.RUN, TaskKind.CHECKS,
    TaskKind.INVALIDATE
}  # fmt: skip
OF_PROMOTIONS = {
    TaskKind.PLAN, TaskKind.APPLY, TaskKind.PROMOTE, TaskKind.ROLLBACK, TaskKind.AUDIT,
    TaskKind.DIFF, TaskKind.CHECKS
}  # fmt: skip


def test_every_task_kind_belongs_to_somebody() -> None:
    assert set(TaskKind) == OF_GATEWAYS | OF_ENVIRONMENTS | OF_PROMOTIONS
    assert not OF_GATEWAYS & (OF_ENVIRONMENTS | OF_PROMOTIONS)


def test_every_task_of_a_gateway_has_its_row() -> None:
    assert of_gateways.STEPS.keys() == OF_GATEWAYS


def test_every_task_of_an_environment_has_its_step() -> None:
    assert STEPS.keys() == OF_ENVIRONMENTS
    assert all(step.kind is kind for kind, step in STEPS.items())
    assert {*CHANGE_STEPS, RUN, INVALIDATE} == set(STEPS.values())


def test_only_runs_have_a_lane_of_their_own() -> None:
    assert {kind for kind, step in STEPS.items() if step.lane == RUNS} == {TaskKind.RUN}
    assert all(step.lane in (CHANGE, RUNS) for step in STEPS.values()) and CHANGE != RUNS


def test_every_step_says_what_it_does_but_a_run_of_which_ready_says_nothing() -> None:
    said = {kind: step.doing for kind, step in STEPS.items() if hasattr(step, "doing")}
    assert said.keys() == OF_ENVIRONMENTS - {TaskKind.RUN}
    reasons, texts = zip(*said.values(), strict=True)
    assert len(set(reasons)) == len(said) and all(texts)


def test_every_step_decides_and_judges_itself() -> None:
    for name in ("next", "judge"):
        assert all(getattr(type(step), name) is not getattr(Step, name) for step in STEPS.values())


def test_every_reason_and_every_condition_type_says_what_it_means() -> None:
    assert all(why.meaning.endswith(".") and why.next_step.endswith(".") for why in Why)
    assert all(kind.description.endswith(".") for kind in Type)


def test_no_two_of_them_have_one_name() -> None:
    for table in (Why, Type):
        assert len({str(row) for row in table}) == len(table) == len(table.__members__)


def test_no_reason_of_the_operator_is_one_of_the_runner() -> None:
    assert not {str(why) for why in Why} & {str(reason) for reason in Reason}
