"""Step invalidate: when an environment that is being deleted has to be removed from SQLMesh."""

from typing import Any

import pytest

from tests.unit.plan.environments.objects import (
    Answer,
    answer,
    applied,
    context,
    ended,
    filled,
    held,
    later,
    ordered,
)
from tests.unit.plan.seen_objects import failure, gw, plan
from vulcan_contract.reasons import Reason
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_history import RollbackTargetStatus
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS

STEP = STEPS[TaskKind.INVALIDATE]
SPEC = context({}, project=None)
NOT_READY, SUSPENDED = (
    context({}, gateway=gw(**how)) for how in ({"ready": "False"}, {"reason": "Suspended"})
)
ORDER = ordered(TaskKind.INVALIDATE, "delete", "deleted")


def status(**fields: Any) -> EnvironmentStatus:
    return EnvironmentStatus(**fields)


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(status(), SPEC, Done(), id="it never came to life"),
        pytest.param(
            status(), NOT_READY, Done(), id="it never came to life, and the gateway does not answer"
        ),
        pytest.param(status(applied=applied()), SPEC, ORDER, id="something is applied"),
        pytest.param(status(plan=plan()), SPEC, ORDER, id="a plan may have left something"),
        pytest.param(
            status(applied=applied()), NOT_READY, held(Why.GATEWAY_NOT_READY, reconciling=True),
            id="not ready",
        ),
        pytest.param(
            status(applied=applied()), SUSPENDED, held(Why.GATEWAY_NOT_READY),
            id="the gateway is suspended",
        ),
        pytest.param(
            status(applied=applied(), failure=failure(task="plan")), context({}, suspend=True),
            ORDER,
            id="neither a failure nor its own suspension keeps it",
        ),
    ],
)  # fmt: skip
def test_when_it_is_removed(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


def test_its_job_needs_neither_project_nor_files() -> None:
    extras = filled(STEP, SPEC, status(applied=applied()), "delete")
    assert extras is not None and extras.task.environment == "prod" and extras.task.source is None
    assert (extras.copies, extras.source_config_map, extras.git_secret) == ((), None, None)


def test_afterwards_nothing_is_applied() -> None:
    target = RollbackTargetStatus(plan_id="p0", state="Available")
    before = status(
        applied=applied(),
        plan=plan(),
        next_run_time=later(hours=1),
        rollback_targets=[target],
        green_runs=2,
    )
    judged = STEP.judge(before, ended(TaskKind.INVALIDATE), SPEC)
    assert judged.status == status(green_runs=2) and judged.kept == ()


def test_a_failure_waits_and_keeps_what_is_applied() -> None:
    after = STEP.failed(
        status(applied=applied()), ended(TaskKind.INVALIDATE, Reason.STATE_UNREACHABLE), SPEC
    )
    assert after.failure is not None and (after.failure.task, after.applied) == (
        "invalidate",
        applied(),
    )
    assert STEP.recovered(after).failure is None and STEP.answered(ended(TaskKind.INVALIDATE)) == {}
    assert STEP.leftovers(after, status(), SPEC) == ()
