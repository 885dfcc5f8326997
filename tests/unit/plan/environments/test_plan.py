"""Step plan: when another plan is needed, and what it is made from."""

from typing import Any

import pytest

from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    FILES_DIGEST,
    Answer,
    answer,
    applied,
    context,
    filled,
    held,
    ordered,
    requested,
)
from tests.unit.plan.seen_objects import gw, plan, sibling
from vulcan_contract import task as contract
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.environments.steps import plan as plans
from vulcan_operator.plan.tasks import values

STEP = STEPS[TaskKind.PLAN]
SPEC = context()
REVISION = objects.revision(SPEC)
CHANGED, PLAN_CHANGED = "the revision or planning fields changed", "the plan changed"


def status(**fields: Any) -> EnvironmentStatus:
    """With the revision that the project has."""
    return EnvironmentStatus(**{"revision": REVISION, **fields})


INPUTS = plans.inputs_of(status(), SPEC)


def found(state: str, **fields: Any) -> Any:
    """A plan made from what a plan of today is made from."""
    return plan(state=state).but(**{"inputs": INPUTS, **fields})


ASKED = context(asked=requested())
ORDER = ordered(TaskKind.PLAN, INPUTS, CHANGED)
REQUESTED = ordered(TaskKind.PLAN, INPUTS, "requested", request="1")
HAS, OTHER = applied(INPUTS, plan_digest="sha256:x"), plan()
STUCK = held(Why.NOT_DETERMINISTIC, stalled=True)


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(status(), context(project=None), Done(), id="promotions change it"),
        pytest.param(status(), SPEC, ORDER, id="it was never planned"),
        pytest.param(status(plan=plan()), SPEC, ORDER, id="the plan was made from something else"),
        pytest.param(status(plan=found("Pending")), SPEC, Done(), id="a plan waits"),
        pytest.param(
            status(plan=found("Rejected")), SPEC, Done(), id="a rejected plan is not built again"
        ),
        pytest.param(
            status(plan=found("Applied")), SPEC, ORDER,
            id="it is applied, but the environment is gone",
        ),
        pytest.param(
            status(plan=found("NoChanges")), SPEC, ORDER,
            id="it had no changes for another revision",
        ),
        pytest.param(
            status(plan=found("Outdated")), SPEC, ordered(TaskKind.PLAN, INPUTS, PLAN_CHANGED),
            id="it changed before its apply",
        ),
        pytest.param(
            status(plan=found("Outdated", inputs="old")), SPEC, ORDER,
            id="an outdated plan of before",
        ),
        pytest.param(
            status(plan=found("Outdated", changed=2)), SPEC,
            ordered(TaskKind.PLAN, INPUTS, PLAN_CHANGED),
            id="it changed twice",
        ),
        pytest.param(
            status(plan=found("Outdated", changed=3)), SPEC, STUCK, id="it changed three times"
        ),
        pytest.param(
            status(plan=found("Outdated", changed=3)), ASKED, REQUESTED,
            id="somebody asks after that",
        ),
        pytest.param(status(applied=HAS), SPEC, Done(), id="the environment has the revision"),
        pytest.param(
            status(applied=HAS, plan=OTHER), SPEC, Done(settles={"plan": None}),
            id="a plan of what was undone is void",
        ),
        pytest.param(
            status(applied=HAS.but(plan_digest=OTHER.digest), plan=OTHER), SPEC, Done(),
            id="the plan that brought it stays",
        ),
        pytest.param(
            status(applied=HAS, plan=found("Pending")), SPEC, Done(), id="a plan for it waits"
        ),
        pytest.param(
            status(applied=HAS), ASKED, REQUESTED, id="somebody asks although it has the revision"
        ),
        pytest.param(
            status(plan=found("Pending")), ASKED, REQUESTED, id="somebody asks while a plan waits"
        ),
        pytest.param(
            status(applied=HAS, last_handled_plan_requested_at="1"), ASKED, Done(),
            id="the request was answered",
        ),
        pytest.param(
            status(applied=applied("")), SPEC, ORDER, id="a run has found it half swapped"
        ),
    ],
)  # fmt: skip
def test_when_it_is_planned(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


def test_a_plan_that_keeps_changing_names_its_revision_and_the_annotation() -> None:
    said = objects.message(STEP, status(plan=found("Outdated", changed=3)), SPEC)
    assert said.startswith("the plan changed 3 times between decision and apply at r: ")
    assert said.endswith("then annotate vulcan.dev/plan-requested-at")


RESTATE = {"operations": [{"id": "o", "models": ["s.a"]}]}


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        pytest.param({"plan": {"forwardOnly": True}}, False, id="planning fields"),
        pytest.param({"plan": {"selectModels": ["s.a"]}}, False, id="a selection"),
        pytest.param(RESTATE, False, id="operations"),
        pytest.param({"runner": {"image": "runner:2"}}, False, id="the image"),
        pytest.param({"gateway": gw(variables={"v": 1})}, False, id="variables of the gateway"),
        pytest.param({"gateway": gw(sqlmeshName="other")}, False, id="its name in SQLMesh"),
        pytest.param({"approvals": [{"plan": "a" * 64, "by": "ann"}]}, True, id="approvals"),
        pytest.param({"plan": {"limits": {"maxRebuiltModels": 1}}}, True, id="limits"),
        pytest.param({"plan": {"approval": {"mode": "Always"}}}, True, id="the approval policy"),
        pytest.param({"schedule": {"mode": "Manual"}}, True, id="the schedule"),
        pytest.param({"retry": {"limit": 1}}, True, id="the retry policy"),
        pytest.param({"suspend": True}, True, id="a suspension"),
    ],
)
def test_what_a_plan_is_made_from(spec: dict[str, Any], same: bool) -> None:
    assert (plans.inputs_of(status(), context(**spec)) == INPUTS) == same


def test_done_operations_and_other_files_count() -> None:
    assert plans.inputs_of(status(operations_done=["o"]), context(**RESTATE)) == INPUTS
    assert plans.inputs_of(status(revision=REVISION.but(digest="sha256:f")), SPEC) != INPUTS


def test_its_job_gets_a_copy_of_the_files_named_by_their_digest() -> None:
    extras = filled(STEP, SPEC, status())
    assert extras is not None and len(extras.copies) == 1 and extras.git_secret is None
    assert extras.source_config_map == extras.copies[0].manifest["metadata"]["name"]
    assert sorted(extras.copies[0].manifest["binaryData"]) == ["config.yaml", "models_2fa.sql"]
    assert extras.task.source == contract.Source(
        contract.SourceKind.CONFIG_MAP, digest=FILES_DIGEST
    )


def test_its_job_gets_the_commit_of_a_ref() -> None:
    spec = context(
        project={"configMap": None, "git": {"url": "https://g/p", "ref": "main", "path": "x"}}
    )
    extras = filled(
        STEP, spec, status(revision=objects.revision(spec, resolved="a" * 40, digest="sha256:f"))
    )
    assert extras is not None and extras.copies == () and extras.source_config_map is None
    expected = contract.Source(
        contract.SourceKind.GIT, "https://g/p", "main", "x", "a" * 40, "sha256:f"
    )
    assert extras.task.source == expected


@pytest.mark.parametrize(
    ("now", "spec"),
    [
        pytest.param(status(), context(project=None), id="the project is gone"),
        pytest.param(status(revision=None), SPEC, id="nothing is resolved"),
        pytest.param(
            status(revision=REVISION.but(inputs="old")), SPEC, id="another source was resolved"
        ),
    ],
)
def test_what_was_announced_for_another_source_is_not_started(
    now: EnvironmentStatus, spec: Context
) -> None:
    assert filled(STEP, spec, now) is None


def test_what_the_task_of_every_step_says() -> None:
    others = [sibling("a", environment="a", protected=True), sibling("b", environment="b")]
    spec = context(
        claims=others, asked={"vulcan.dev/checked": "c" * 99}, gateway=gw(runner={"env": [
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "value": "v"},
        ]}), environment="dev", checks={"audits": False}, plan={"forwardOnly": True}, **RESTATE,
    )  # fmt: skip
    extras = filled(STEP, spec, status())
    assert extras is not None
    task = extras.task
    assert (task.environment, task.protected, task.expires, task.audits) == (
        "dev",
        False,
        True,
        False,
    )
    assert task.plan == values.options_of(spec.spec.plan) and [o.id for o in task.operations] == [
        "o"
    ]
    assert (task.image, task.secret_env, task.secret_paths) == ("runner:1", ("B",), ())
    assert (
        task.checked == "c" * 64 and task.protected_environments == ("a",) and task.approved is None
    )


def test_a_protected_environment_may_touch_all_snapshots_and_does_not_expire() -> None:
    spec = context(
        gateway=gw(**objects.PROTECTED),
        claims=[sibling("a", protected=True)],
        deletionPolicy="Expire",
    )
    extras = filled(STEP, spec, status())
    assert extras is not None and extras.task.protected and not extras.task.expires
    assert extras.task.protected_environments == ()
