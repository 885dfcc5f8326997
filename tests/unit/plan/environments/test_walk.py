"""The walk over the steps of an environment: two lanes, their order, retries, what Ready says."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    PROJECT,
    applied,
    context,
    current,
    later,
    requested,
)
from tests.unit.plan.seen_objects import failure, gw, job, plan, pod
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment_status import (
    ChecksStatus,
    EnvironmentStatus,
    PlanStatus,
    StandingStatus,
)
from vulcan_operator.api.fields import Condition
from vulcan_operator.plan.core.actions import CreateJob, Plan, ReadConfigMap
from vulcan_operator.plan.core.conditions import condition
from vulcan_operator.plan.core.seen import JobState
from vulcan_operator.plan.environments.planner import plan_environment
from vulcan_operator.plan.environments.steps import CHANGE_STEPS, STEPS
from vulcan_operator.plan.environments.steps import plan as plans
from vulcan_operator.plan.rules import approval
from vulcan_operator.plan.tasks import checks

ALWAYS = {"plan": {"approval": {"mode": "Always"}}}
GIT = {"project": {"configMap": None, "git": {"url": "https://g/p", "ref": "main"}}}
SODA, FILES = {"checks": {"soda": {"configMapRef": {"name": "soda"}}}}, {"a.yml": b"c"}
SPEC, ASKS = context(), context(**ALWAYS)
INPUTS = plans.inputs_of(EnvironmentStatus(revision=objects.revision(SPEC)), SPEC)


def pending(**fields: Any) -> PlanStatus:
    return plan().but(inputs=INPUTS, **fields)


TOKEN = approval.token(ASKS.meta.uid, pending(), ASKS.spec)


def status(**fields: Any) -> EnvironmentStatus:
    """Planned and decided on by a pass before."""
    return EnvironmentStatus(**{"revision": objects.revision(SPEC), "schedule": "Auto", **fields})


def decide(before: EnvironmentStatus, **spec: Any) -> Plan[EnvironmentStatus]:
    """The Plan of one pass."""
    given = {PROJECT: objects.FILES, ReadConfigMap("data", "soda"): FILES}
    seen = context(given, status=before, **spec)
    return plan_environment(seen.seen, seen.now)


def outcome(found: Plan[EnvironmentStatus]) -> tuple[str | None, str, str | None]:
    """The task that is started, why Ready says what it says, and why the change waits."""
    ready = condition(found.status.conditions, Type.READY)
    task, standing = found.status.task, found.status.standing
    assert ready is not None and not found.needs
    assert bool(task) == any(isinstance(a, CreateJob) for a in found.actions)
    return task.kind if task else None, ready.reason, standing.reason if standing else None


HAS = applied(INPUTS, plan_digest="sha256:x")
DUE, LATER = {"next_run_time": NOW}, {"next_run_time": later(hours=1)}
CHECKED = ChecksStatus(inputs=checks.inputs("p1", FILES), time=NOW)
FAILED = failure(Reason.MODEL_FAILED, task="plan").but(inputs=INPUTS)
GIVEN_UP = FAILED.but(retry=Retry.NEVER)
RUN_FAILED = failure(Reason.MODEL_FAILED, task="run")
AWAITS = Why.AWAITING
OTHER, OLD = applied("old"), StandingStatus(status="False", reason="Old")
NONE: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(
            EnvironmentStatus(), GIT, ("resolve", Why.RESOLVING, None), id="a ref is resolved first"
        ),
        pytest.param(
            EnvironmentStatus(), NONE, ("plan", Why.PLANNING, None),
            id="what is resolved is planned",
        ),
        pytest.param(
            status(plan=pending()), NONE, ("apply", Why.APPLYING, None),
            id="what is planned is applied",
        ),
        pytest.param(
            status(applied=HAS), SODA, ("checks", Why.CHECKING, None),
            id="what is applied is checked",
        ),
        pytest.param(
            status(applied=HAS, **DUE), SODA, ("checks", Why.CHECKING, None), id="before it runs"
        ),
        pytest.param(
            status(applied=HAS, checks=CHECKED, **DUE), SODA, ("run", Why.READY, None),
            id="then it runs",
        ),
        pytest.param(
            status(applied=HAS, **LATER), NONE, (None, Why.READY, None), id="nothing is to be done"
        ),
        pytest.param(
            status(applied=HAS, task=current(TaskKind.RUN, state="Waiting"), **LATER), NONE,
            (None, Why.READY, None),
            id="a task that waits is forgotten when nothing is to be done",
        ),
        pytest.param(
            status(applied=OTHER, plan=pending(), **DUE), NONE, ("apply", Why.APPLYING, None),
            id="a change goes before a run that is due",
        ),
        pytest.param(
            status(applied=OTHER, plan=pending(), **LATER), ALWAYS, (None, AWAITS, AWAITS),
            id="a change waits for people",
        ),
        pytest.param(
            status(applied=OTHER, plan=pending(), **DUE), ALWAYS, ("run", AWAITS, AWAITS),
            id="runs go on meanwhile",
        ),
        pytest.param(
            status(applied=OTHER, plan=pending(), run_failure=RUN_FAILED, **LATER), ALWAYS,
            (None, AWAITS, AWAITS),
            id="the change's reason goes before a run's failure",
        ),
        pytest.param(
            status(applied=OTHER, failure=FAILED, **DUE), NONE,
            ("run", "ModelFailed", "ModelFailed"),
            id="runs go on while a change fails",
        ),
        pytest.param(
            status(applied=HAS, run_failure=RUN_FAILED, **LATER), NONE, (None, "ModelFailed", None),
            id="a run that failed says so, but no change waits",
        ),
        pytest.param(
            status(applied=OTHER, run_failure=RUN_FAILED, **LATER), NONE,
            ("plan", Why.PLANNING, None),
            id="a change starts while runs fail",
        ),
        pytest.param(
            status(applied=OTHER, standing=OLD, plan=pending()), NONE,
            ("apply", Why.APPLYING, None), id="what the change waited for is over",
        ),
        pytest.param(
            status(applied=applied(""), **DUE), {"project": None}, (None, Why.NO_REVISION, None),
            id="a run has a reason of its own",
        ),
        pytest.param(
            status(applied=HAS, task=current(TaskKind.RUN, state="Waiting"), **DUE),
            {"suspend": True},
            (None, Why.SUSPENDED, None), id="a precondition closes: nothing waits",
        ),
    ],
)  # fmt: skip
def test_which_lane_goes_on(
    now: EnvironmentStatus, spec: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert outcome(decide(now, **spec)) == expected


@pytest.mark.parametrize(
    ("failed", "now", "asked", "expected"),
    [
        pytest.param(
            FAILED,
            later(seconds=29),
            None,
            (None, "ModelFailed", later(seconds=30)),
            id="it is too early",
        ),
        pytest.param(
            FAILED, later(seconds=30), None, ("plan", Why.PLANNING, None), id="its time has come"
        ),
        pytest.param(
            FAILED.but(inputs="old"),
            NOW,
            None,
            ("plan", Why.PLANNING, None),
            id="it failed for other inputs",
        ),
        pytest.param(
            FAILED.but(task="apply"),
            NOW,
            None,
            ("plan", Why.PLANNING, None),
            id="another task failed",
        ),
        pytest.param(
            GIVEN_UP, later(days=9), None, (None, "ModelFailed", None), id="it is given up"
        ),
        pytest.param(GIVEN_UP, NOW, "1", ("plan", Why.PLANNING, None), id="somebody asks for it"),
    ],
)
def test_when_a_failure_is_tried_again(
    failed: Any, now: dt.datetime, asked: str | None, expected: tuple[Any, ...]
) -> None:
    found = decide(status(failure=failed), now=now, asked=requested() if asked else {})
    task, reason, standing = outcome(found)
    again = found.look_again if task is None else None
    assert (task, reason, again) == expected and standing == (reason if task is None else None)


def test_lanes_do_not_hold_each_other_up() -> None:
    found = decide(
        status(applied=OTHER, failure=GIVEN_UP, run_failure=failure(task="run"), **LATER),
        now=later(minutes=1),
    )
    assert outcome(found) == ("run", "ModelFailed", "ModelFailed")
    assert found.status.task is not None and found.status.task.why == "the last run failed"


def test_the_class_of_a_task_and_what_it_is_for() -> None:
    found = decide(status(applied=HAS, **DUE)).status.task
    assert found is not None and (found.due, found.why) == (NOW, "due at 2026-11-22T12:00:00Z")
    ranks = {"ttl": "9h"}, {"gateway": gw(**objects.PROTECTED), "seen": {"unguarded": ()}}, NONE
    tasks = [decide(status(applied=HAS, **DUE), **spec).status.task for spec in ranks]
    assert [t.priority for t in tasks if t is not None] == [5, 1, 4]


def in_flight(
    standing: StandingStatus | None, kind: TaskKind = TaskKind.RUN, **fields: Any
) -> EnvironmentStatus:
    """A run is in flight, and a plan is pending."""
    task = current(kind, state="Running")
    return status(
        **{"applied": OTHER, "plan": pending(), "task": task, "standing": standing, **fields}
    )


def told(reason: str) -> Condition:
    """What Ready says."""
    return Condition(type="Ready", status="False", reason=reason, last_transition_time=NOW)


def going(**spec: Any) -> dict[str, Any]:
    """Its Job and its pod are there."""
    return {"seen": {"jobs": (job(task="run"),), "pods": (pod(started=True),)}, **spec}


def said(decision: str) -> dict[str, Any]:
    return {"approvals": [{"plan": TOKEN, "by": "ann", "decision": decision}], **ALWAYS}


WAITS, NO_MAP, FAILS = (
    StandingStatus(status="False", reason=reason, message="m")
    for reason in (AWAITS, Why.CONFIG_MAP_MISSING, "ModelFailed")
)


@pytest.mark.parametrize(
    ("now", "spec", "standing", "ready"),
    [
        pytest.param(in_flight(WAITS), ALWAYS, AWAITS, AWAITS, id="nobody has answered"),
        pytest.param(
            in_flight(WAITS), said("Approve"), None, Why.READY,
            id="it is approved, and starts later",
        ),
        pytest.param(
            in_flight(WAITS), said("Reject"), Why.REJECTED, Why.REJECTED, id="it is rejected"
        ),
        pytest.param(
            in_flight(None, conditions=[told(AWAITS)]), ALWAYS, AWAITS, AWAITS,
            id="an older release has noted it in Ready alone",
        ),
        pytest.param(
            in_flight(None, conditions=[told(Why.WAITING_FOR_WRITER)]), ALWAYS, None, Why.READY,
            id="but not everything that it said there is of the change",
        ),
        pytest.param(in_flight(None), ALWAYS, None, Why.READY, id="no change waited when it began"),
        pytest.param(
            in_flight(FAILS, failure=FAILED), ALWAYS, FAILS.reason, FAILS.reason,
            id="a change that fails is told as it was",
        ),
        pytest.param(
            in_flight(NO_MAP), ALWAYS, NO_MAP.reason, NO_MAP.reason,
            id="the files of a change are missing",
        ),
        pytest.param(
            in_flight(WAITS, plan=pending(state="Applied")), ALWAYS, None, Why.READY,
            id="no plan is open any more",
        ),
        pytest.param(
            in_flight(None, run_failure=RUN_FAILED), ALWAYS, None, "ModelFailed",
            id="the run before has failed",
        ),
        pytest.param(
            in_flight(WAITS, TaskKind.APPLY), ALWAYS, AWAITS, Why.APPLYING,
            id="an apply says what it does itself",
        ),
    ],
)  # fmt: skip
def test_what_is_said_while_a_task_is_in_flight(
    now: EnvironmentStatus, spec: dict[str, Any], standing: str | None, ready: str
) -> None:
    found = decide(now, **going(**spec))
    shown, kept = condition(found.status.conditions, Type.READY), found.status.standing
    assert found.status.task == now.task and not found.actions and not found.needs
    assert (kept.reason if kept else None, shown.reason if shown else None) == (standing, ready)


def test_a_task_that_ended_is_followed_by_the_next_in_the_same_pass() -> None:
    word = builders.planned().to_message()
    pods = (pod("Succeeded", started=True, termination=word, exit_code=0),)
    before = status(task=current(TaskKind.PLAN, INPUTS, state="Running"))
    found = decide(before, seen={"jobs": (job(JobState.COMPLETE),), "pods": pods})
    assert outcome(found) == ("apply", Why.APPLYING, None)
    assert [note.reason for note in found.notes] == ["Succeeded"]


def test_every_change_step_is_asked_in_the_order_of_a_change() -> None:
    assert [step.kind for step in CHANGE_STEPS] == ["resolve", "plan", "apply", "checks"]
    assert {step.kind for step in STEPS.values() if step.lane is STEPS[TaskKind.RUN].lane} == {
        "run"
    }
