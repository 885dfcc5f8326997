"""Step checks: when what was applied is checked, what its Job gets, and what a success means."""

from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    Answer,
    answer,
    applied,
    context,
    current,
    ended,
    filled,
    held,
    later,
    ordered,
)
from tests.unit.plan.seen_objects import failure
from vulcan_contract import digest
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import ChecksStatus, EnvironmentStatus
from vulcan_operator.plan.core.actions import DeleteConfigMap, ReadConfigMap
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.tasks import checks

STEP = STEPS[TaskKind.CHECKS]
SODA = {"checks": {"soda": {"configMapRef": {"name": "soda"}}}}
NEED, FILES = ReadConfigMap("data", "soda"), {"a.yml": b"checks for s.a:"}
PLAIN, SPEC, UNREAD = context(), context({NEED: FILES}, **SODA), context({}, **SODA)
MISSING = context({NEED: None}, **SODA)
INPUTS = checks.inputs("p1", FILES)
FAILED, OWN = failure(task="plan"), failure(task="checks")
FREE = {"failure": None}


def status(**fields: Any) -> EnvironmentStatus:
    """Applied, and not checked yet."""
    return EnvironmentStatus(**{"applied": applied(), **fields})


def done(inputs: str = INPUTS) -> ChecksStatus:
    return ChecksStatus(inputs=inputs, time=NOW)


def order(**settles: Any) -> Answer:
    return ordered(TaskKind.CHECKS, INPUTS, "plan p1 is applied", settles=settles)


def absent(**settles: Any) -> Answer:
    return held(Why.CONFIG_MAP_MISSING, until=later(seconds=30), reconciling=True, settles=settles)


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(status(), PLAIN, Done(), id="there are no checks"),
        pytest.param(
            status(failure=FAILED), PLAIN, Done(settles=FREE), id="nothing is left that could fail"
        ),
        pytest.param(
            status(failure=OWN), PLAIN, Done(settles=FREE), id="checks that failed were removed"
        ),
        pytest.param(EnvironmentStatus(), UNREAD, Done(), id="nothing is applied"),
        pytest.param(
            status(applied=applied(plan_id="")), UNREAD, Done(), id="nobody knows what is applied"
        ),
        pytest.param(status(), UNREAD, frozenset({NEED}), id="the files have to be read"),
        pytest.param(status(), MISSING, absent(), id="there are no files"),
        pytest.param(
            status(failure=FAILED), MISSING, absent(**FREE), id="an earlier step's failure is over"
        ),
        pytest.param(status(failure=OWN), MISSING, absent(), id="that of the checks is not"),
        pytest.param(status(), SPEC, order(), id="what is applied was not checked"),
        pytest.param(
            status(failure=FAILED), SPEC, order(**FREE),
            id="an earlier step's failure is over: checked",
        ),
        pytest.param(
            status(failure=OWN), SPEC, order(),
            id="the checks failed: the planner knows when to try again",
        ),
        pytest.param(
            status(checks=done("old")), SPEC, order(), id="it was checked with other files"
        ),
        pytest.param(status(checks=done()), SPEC, Done(), id="it is checked"),
        pytest.param(
            status(checks=done(), failure=OWN), SPEC, Done(settles=FREE),
            id="the files are again what passed",
        ),
        pytest.param(
            status(applied=applied(plan_id="p2"), checks=done()), SPEC,
            ordered(TaskKind.CHECKS, checks.inputs("p2", FILES), "plan p2 is applied"),
            id="something else is applied",
        ),
    ],
)  # fmt: skip
def test_when_it_is_checked(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


def test_the_missing_config_map_is_named() -> None:
    assert (
        objects.message(STEP, status(), MISSING) == "ConfigMap data/soda does not exist; create it"
    )


def test_its_job_gets_a_copy_of_the_files() -> None:
    extras = filled(STEP, SPEC, status(), INPUTS)
    assert extras is not None and extras.task.checks is not None and extras.task.source is None
    assert extras.task.checks.digest == digest.of_files(FILES)
    assert extras.checks_config_map == checks.copy_name(SPEC.meta, INPUTS)
    assert [c.manifest["metadata"]["name"] for c in extras.copies] == [extras.checks_config_map]


@pytest.mark.parametrize("spec", [PLAIN, MISSING])
def test_without_files_nothing_is_started(spec: Context) -> None:
    assert filled(STEP, spec, status()) is None


@pytest.mark.parametrize(
    ("work", "found"),
    [
        (
            Work(plan_id="p1", audits_run=3, audits_warned=1),
            {"plan_id": "p1", "checks": 3, "warned": 1},
        ),
        (None, {}),
    ],
)
def test_what_passed_is_noted(work: Work | None, found: dict[str, Any]) -> None:
    judged = STEP.judge(status(checks=done("old")), ended(TaskKind.CHECKS, work=work), SPEC)
    assert (
        judged.status == status(checks=ChecksStatus(inputs="i", time=NOW, **found))
        and judged.kept == ()
    )


def test_a_failure_waits_and_what_passed_before_stays_known() -> None:
    after = STEP.failed(
        status(checks=done("old")), ended(TaskKind.CHECKS, Reason.CHECKS_FAILED), SPEC
    )
    assert after.failure is not None and (after.failure.task, after.failure.reason) == (
        "checks",
        "ChecksFailed",
    )
    assert after.checks == done("old")
    assert STEP.recovered(status(failure=OWN, run_failure=FAILED)) == status(run_failure=FAILED)


CHECKING = status(task=current(TaskKind.CHECKS, INPUTS))
GONE = (DeleteConfigMap("data", checks.copy_name(SPEC.meta, INPUTS)),)


@pytest.mark.parametrize(
    ("before", "after", "deleted"),
    [
        pytest.param(CHECKING, CHECKING, (), id="it is in flight"),
        pytest.param(CHECKING, status(), GONE, id="it has ended"),
        pytest.param(CHECKING, status(task=current(TaskKind.RUN)), GONE, id="a run follows"),
        pytest.param(
            CHECKING,
            status(task=current(TaskKind.CHECKS, "new")),
            GONE,
            id="other files are checked",
        ),
        pytest.param(
            status(task=current(TaskKind.RUN, INPUTS)),
            status(),
            (),
            id="other tasks have no such copy",
        ),
        pytest.param(status(), CHECKING, (), id="it begins"),
    ],
)
def test_what_is_left_behind(
    before: EnvironmentStatus, after: EnvironmentStatus, deleted: tuple[Any, ...]
) -> None:
    assert STEP.leftovers(before, after, SPEC) == deleted


def test_the_copy_lies_with_the_gateway() -> None:
    left = STEP.leftovers(CHECKING, status(), context(gatewayRef={"namespace": "platform"}))
    assert [a.namespace for a in left if isinstance(a, DeleteConfigMap)] == ["platform"]
