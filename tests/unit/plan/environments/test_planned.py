"""Step plan: what a plan has found, and what it leaves behind."""

import datetime as dt
import hashlib
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
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.environment_status import EnvironmentStatus, ReportRef
from vulcan_operator.plan.core.actions import DeleteConfigMap, WriteConfigMap
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.environments.steps import plan as plans
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.tasks import values

STEP = STEPS[TaskKind.PLAN]
SPEC = context()
REVISION = objects.revision(SPEC)


def status(**fields: Any) -> EnvironmentStatus:
    """With the revision that the project has."""
    return EnvironmentStatus(**{"revision": REVISION, **fields})


INPUTS = plans.inputs_of(status(), SPEC)


def found(state: str, **fields: Any) -> Any:
    """A plan made from what a plan of today is made from."""
    return plan(state=state).but(**{"inputs": INPUTS, **fields})


HAS = applied(INPUTS, plan_digest="sha256:x")
RESTATE = {"operations": [{"id": "o", "models": ["s.a"]}]}


def test_a_plan_with_changes_waits_for_its_decision() -> None:
    result = builders.planned(base="b1")
    end = ended(TaskKind.PLAN, summary=result.summary, task={"inputs": INPUTS})
    judged = STEP.judge(status(applied=HAS, operations_done=["x"]), end, context(**RESTATE))
    plan_now = judged.status.plan
    assert plan_now is not None and judged.kept == ()
    assert (plan_now.state, plan_now.inputs, plan_now.base, plan_now.changed) == (
        "Pending",
        INPUTS,
        "b1",
        0,
    )
    assert (plan_now.revision, plan_now.source_digest, plan_now.operations) == (
        "project",
        FILES_DIGEST,
        ["o"],
    )
    expected = status(
        applied=HAS, operations_done=["x"], plan=plan_now, plan_number=1, observed_plan_id="b1"
    )
    assert judged.status == expected


SHA = hashlib.sha256(b"packed").hexdigest()


@pytest.mark.parametrize(
    ("changes", "packed", "kept"),
    [
        pytest.param(True, b"packed", True, id="the report of changes is kept"),
        pytest.param(
            False, b"packed", False, id="nobody reads the report of a plan without changes"
        ),
        pytest.param(True, None, False, id="there is none"),
    ],
)
def test_whose_report_is_kept(changes: bool, packed: bytes | None, kept: bool) -> None:
    summary = builders.planned(changes=changes).summary
    end = ended(
        TaskKind.PLAN, summary=summary, report_sha256=SHA if packed else None, packed=packed
    )
    judged = STEP.judge(status(), end, SPEC)
    reference = judged.status.plan.report_ref if judged.status.plan is not None else None
    assert (reference is not None) == kept == bool(judged.kept)
    names = [reference.name] if reference is not None else []
    manifests = [plan_text.report_manifest(SPEC.environment, name, b"packed") for name in names]
    assert judged.kept == tuple(WriteConfigMap(m) for m in manifests)


def test_a_plan_whose_revision_is_forgotten_means_nothing() -> None:
    end = ended(
        TaskKind.PLAN, summary=builders.planned().summary, report_sha256=SHA, packed=b"packed"
    )
    before = status(revision=None, plan=plan())
    assert STEP.judge(before, end, SPEC) == STEP.judge(before, ended(TaskKind.PLAN), SPEC)
    assert STEP.judge(before, end, SPEC).status == before


@pytest.mark.parametrize(
    ("old", "changed"),
    [
        (found("Outdated", source_digest=FILES_DIGEST, changed=2), 2),
        (found("Outdated", source_digest="other", changed=2), 0),
        (found("Pending", source_digest=FILES_DIGEST, changed=2), 0),
        (None, 0),
    ],
)
def test_how_often_a_plan_changed_is_counted_for_one_source(old: Any, changed: int) -> None:
    judged = STEP.judge(
        status(plan=old), ended(TaskKind.PLAN, summary=builders.planned().summary), SPEC
    )
    assert judged.status.plan is not None and judged.status.plan.changed == changed


FIRST, EARLIER = (
    None,
    applied(
        "old", plan_digest="sha256:old", report="rep", approved_by=["ann"], time=later(days=-1)
    ),
)


@pytest.mark.parametrize(
    ("old", "next_run", "time"),
    [
        pytest.param(FIRST, NOW, NOW, id="an environment that was there already: a run follows"),
        pytest.param(
            EARLIER,
            later(hours=1),
            later(days=-1),
            id="the same data as before: its schedule goes on, and nobody has approved these files",
        ),
        pytest.param(
            EARLIER.but(source_digest=FILES_DIGEST),
            later(hours=1),
            later(days=-1),
            id="the same files as before, which somebody has approved",
        ),
    ],
)
def test_a_plan_without_changes_is_as_good_as_applied(
    old: Any, next_run: dt.datetime, time: dt.datetime
) -> None:
    end = ended(
        TaskKind.PLAN, summary=builders.planned(base="b9", changes=False, tests_run=7).summary
    )
    before = status(applied=old, next_run_time=later(hours=1), run_failure=failure(task="run"))
    after = STEP.judge(before, end, context(**RESTATE)).status
    assert (
        after.plan is not None
        and after.plan.state == "NoChanges"
        and after.operations_done == ["o"]
    )
    assert (after.next_run_time, after.run_failure) == (next_run, None)
    assert after.applied == applied(
        "i", revision="project", source_digest=FILES_DIGEST, plan_id="b9", time=time, tests_run=7,
        image=after.plan.image if old is None else "",
        plan_digest=old.plan_digest if old else after.plan.digest, report=old.report if old else "",
        approved_by=["ann"] if old and old.source_digest == FILES_DIGEST else [],
    )  # fmt: skip


def test_skipped_tests_and_a_selection_are_noted() -> None:
    end = ended(TaskKind.PLAN, summary=builders.planned(changes=False, tests_run=7).summary)
    after = STEP.judge(
        status(), end, context(plan={"skipTests": True, "selectModels": ["s.a"]})
    ).status
    assert after.applied is not None and (after.applied.tests_run, after.applied.partial) == (
        -1,
        True,
    )


def test_a_failure_waits_and_a_success_ends_any_failure_of_the_change() -> None:
    end = ended(TaskKind.PLAN, Reason.MODEL_FAILED, retry=Retry.REPLAN)
    failed = STEP.failed(status(plan=plan()), end, SPEC)
    assert (
        failed.failure is not None
        and failed.failure.reason == "ModelFailed"
        and failed.plan == plan()
    )
    both = status(failure=failure(task="apply"), run_failure=failure(task="run"))
    assert STEP.recovered(both) == both.but(failure=None)


def test_what_its_end_answers() -> None:
    asked = ended(TaskKind.PLAN, Reason.LINT_FAILED, task={"request": "1"})
    assert STEP.answered(asked) == {"last_handled_plan_requested_at": "1"}
    assert STEP.answered(ended(TaskKind.PLAN)) == {}


def reported(name: str = "rep", **fields: Any) -> Any:
    source = {"revision": "project", "source_digest": FILES_DIGEST}
    return plan().but(report_ref=ReportRef(name=name, sha256=SHA), **source, **fields)


def copy_of(digest: str) -> str:
    return values.source_copy(SPEC.environment, digest)


GONE = DeleteConfigMap("data", "rep")
MAP = {"revision": "project"}
BOTH = status(revision=None, applied=applied(report="rep"))


@pytest.mark.parametrize(
    ("before", "after", "deleted"),
    [
        pytest.param(status(plan=reported()), status(plan=reported()), (), id="the same report"),
        pytest.param(status(plan=reported()), status(), (GONE,), id="a plan is void"),
        pytest.param(
            status(plan=reported()), status(plan=reported("new")), (GONE,), id="another plan"
        ),
        pytest.param(
            status(plan=reported()), status(applied=applied("i", plan_digest=plan().digest)), (),
            id="a plan that is applied keeps it",
        ),
        pytest.param(
            status(plan=reported()), status(applied=applied("i", plan_digest="other")), (GONE,),
            id="another plan is applied",
        ),
        pytest.param(
            BOTH, BOTH.but(applied=applied(report="new")), (GONE,),
            id="the applied plan's, once replaced",
        ),
        pytest.param(BOTH, BOTH, (), id="the applied plan's stays"),
        pytest.param(
            status(), status(revision=REVISION.but(digest="sha256:n")),
            (DeleteConfigMap("data", copy_of(FILES_DIGEST)),), id="the copy of other files",
        ),
        pytest.param(
            status(), status(revision=None, plan=plan().but(source_digest=FILES_DIGEST, **MAP)), (),
            id="a plan still needs the copy",
        ),
        pytest.param(
            status(),
            status(revision=None, applied=applied().but(source_digest=FILES_DIGEST, **MAP)), (),
            id="what is applied still needs the copy",
        ),
        pytest.param(
            status(revision=REVISION.but(resolved="a" * 40)), status(revision=None), (),
            id="a commit has no copy",
        ),
        pytest.param(
            status(revision=REVISION.but(resolved="p@sha256:" + "c" * 64)), status(revision=None),
            (),
            id="an image has none either",
        ),
    ],
)  # fmt: skip
def test_what_is_left_behind(
    before: EnvironmentStatus, after: EnvironmentStatus, deleted: tuple[Any, ...]
) -> None:
    assert STEP.leftovers(before, after, SPEC) == deleted


def test_copies_lie_with_the_gateway_and_reports_with_the_environment() -> None:
    spec = context(gatewayRef={"namespace": "platform"})
    left = STEP.leftovers(status(plan=reported()), status(revision=None), spec)
    assert [a.namespace for a in left if isinstance(a, DeleteConfigMap)] == ["data", "platform"]
