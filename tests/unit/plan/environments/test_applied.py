"""Step apply: what the environment has after an apply, or after one that failed."""

from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    FILES_DIGEST,
    applied,
    context,
    ended,
    later,
)
from tests.unit.plan.seen_objects import failure, plan
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.environment_status import (
    EnvironmentStatus,
    HistoryItem,
    PlanStatus,
    ReportRef,
)
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.environments.steps import plan as plans

STEP = STEPS[TaskKind.APPLY]
FREE = context()
REVISION = objects.revision(FREE)


def status(plan: PlanStatus | None = None, **fields: Any) -> EnvironmentStatus:
    return EnvironmentStatus(**{"revision": REVISION, "plan": plan, **fields})


INPUTS = plans.inputs_of(status(), FREE)
PLAN = plan().but(inputs=INPUTS)
REPORTED = PLAN.but(report_ref=ReportRef(name="rep", sha256="f" * 64))
DONE = ended(TaskKind.APPLY, work=Work(plan_id="p2", intervals_behind=3))


def test_what_the_environment_has_after_an_apply() -> None:
    decision = REPORTED.but(approved_by=["ann"], changed=2, summary=PLAN.summary.but(tests_run=4))
    before = status(
        decision, applied=applied("old"), green_runs=4, run_failure=failure(task="run"),
        next_run_time=later(days=1),
        history=[HistoryItem(revision=str(n), time=NOW) for n in range(10)], intervals_behind=9,
    )  # fmt: skip
    judged = STEP.judge(before, DONE, FREE)
    item = HistoryItem(
        revision="r", source_digest="d", plan_id="p2", plan_digest=PLAN.digest, time=NOW
    )
    assert judged.kept == () and judged.status == before.but(
        plan=decision.but(state="Applied", changed=0),
        applied=applied(
            INPUTS, plan_id="p2", plan_digest=PLAN.digest, report="rep", tests_run=4,
            approved_by=["ann"]
        ),
        history=[item, *before.history[:9]], green_runs=0, run_failure=None, next_run_time=NOW,
        observed_plan_id="p2", intervals_behind=3,
    )  # fmt: skip


RESTATE = {"operations": [{"id": "o", "models": ["s.a"]}]}
WITH_ONE = plans.inputs_of(status(), context(**RESTATE))


@pytest.mark.parametrize(
    ("inputs", "spec", "expected"),
    [
        pytest.param(
            WITH_ONE, context(**RESTATE), INPUTS, id="they are done: nothing is left to be planned"
        ),
        pytest.param(WITH_ONE, FREE, WITH_ONE, id="the spec has moved on"),
        pytest.param(INPUTS, context(**RESTATE), INPUTS, id="an operation was added meanwhile"),
    ],
)
def test_inputs_after_one_shots(inputs: str, spec: Context, expected: str) -> None:
    planned = PLAN.but(
        inputs=inputs, operations=["o"] if inputs == WITH_ONE else [], source_digest=FILES_DIGEST
    )
    after = STEP.judge(status(planned, operations_done=["x"]), DONE, spec).status
    assert after.applied is not None and after.applied.inputs == expected
    assert after.operations_done == (["x", "o"] if inputs == WITH_ONE else ["x"])


def test_an_apply_that_found_nothing_to_do_keeps_what_is_known() -> None:
    end = ended(TaskKind.APPLY, Reason.ALREADY_APPLIED, summary=builders.planned(base="b1").summary)
    after = STEP.judge(
        status(PLAN, intervals_behind=9),
        end,
        context(plan={"skipTests": True, "selectModels": ["a"]}),
    )
    assert after.status.applied is not None and after.status.intervals_behind == 9
    found = after.status.applied
    assert (found.plan_id, found.tests_run, found.partial) == ("b1", -1, True)


def test_an_apply_of_a_plan_that_is_forgotten_means_nothing() -> None:
    assert STEP.judge(status(), DONE, FREE).status == status()


@pytest.mark.parametrize(
    ("reason", "plan_now", "state", "waits", "keeps"),
    [
        pytest.param(Reason.MODEL_FAILED, PLAN, ("Pending", 0), True, True, id="it is tried again"),
        pytest.param(
            Reason.PLAN_CHANGED, PLAN, ("Outdated", 1), False, True, id="it is planned again"
        ),
        pytest.param(Reason.PLAN_CHANGED, None, None, True, True, id="there is no plan any more"),
        pytest.param(
            Reason.SOURCE_CHANGED, PLAN, ("Outdated", 1), False, False, id="the files are others"
        ),
    ],
)
def test_what_a_failure_means(
    reason: Reason, plan_now: Any, state: Any, waits: bool, keeps: bool
) -> None:
    after = STEP.failed(status(plan_now), ended(TaskKind.APPLY, reason), FREE)
    assert (after.plan and (after.plan.state, after.plan.changed)) == state
    assert (after.failure is not None, after.revision is not None) == (waits, keeps)


def test_a_success_ends_any_failure_of_the_change_and_answers() -> None:
    both = status(failure=failure(task="plan"), run_failure=failure(task="run"))
    assert STEP.recovered(both) == both.but(failure=None)
    asked = ended(TaskKind.APPLY, task={"request": "1"})
    assert STEP.answered(asked) == {"last_handled_plan_requested_at": "1"}
    assert STEP.answered(DONE) == {} and STEP.leftovers(status(PLAN), status(), FREE) == ()
