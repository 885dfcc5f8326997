"""Step resolve: which revision a source names, and when a Job has to find out."""

from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    FILES,
    FILES_DIGEST,
    PROJECT,
    Answer,
    answer,
    context,
    ended,
    filled,
    held,
    later,
    ordered,
    requested,
)
from tests.unit.plan.seen_objects import failure, gw, plan
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, RevisionStatus
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS

STEP = STEPS[TaskKind.RESOLVE]
URL = "https://git.example/p"


def git(ref: str = "main", **fields: Any) -> dict[str, Any]:
    """A project in git instead of a ConfigMap."""
    return {"project": {"configMap": None, "git": {"url": URL, "ref": ref, **fields}}}


def items(*keys: str) -> dict[str, Any]:
    """A project of these keys of the ConfigMap."""
    return {
        "project": {
            "configMap": {
                "name": "project",
                "items": [{"key": k, "path": f"models/{k}"} for k in keys],
            }
        }
    }


def status(revision: RevisionStatus | None = None, **fields: Any) -> EnvironmentStatus:
    return EnvironmentStatus(revision=revision, **fields)


SHA = "sha256:" + "c" * 64
IMAGE = {"project": {"configMap": None, "image": f"registry/p@{SHA}"}}
COMMIT = "a" * 40
MAPPED, BY_REF, POLLED = context(), context(**git()), context(**git(pollInterval="5m"))
REVISION = objects.revision(MAPPED)
MAIN = objects.revision(BY_REF, resolved=COMMIT, time=NOW)
MAIN_POLLED = objects.revision(POLLED, resolved=COMMIT, time=NOW)


def known(spec: Context, resolved: str, digest: str) -> Done:
    """The revision is known without a Job."""
    return Done(settles={"revision": objects.revision(spec, resolved=resolved, digest=digest)})


def pinned(spec: Context) -> str:
    """The digest of a commit whose files nobody has fetched yet."""
    return f"git:{COMMIT}:{objects.revision(spec).inputs}"


def to_resolve(spec: Context, why: str, request: str | None = None) -> Answer:
    return ordered(TaskKind.RESOLVE, objects.revision(spec).inputs, why, request=request)


NO_PROJECT, MISSING = (
    context(project=None),
    held(Why.CONFIG_MAP_MISSING, until=later(seconds=30), reconciling=True),
)
PINNED, ELSEWHERE = context(**git(COMMIT)), context(**git(COMMIT, path="other"))
FAST = context(**git(pollInterval="1s"))
ASKED = context(asked=requested(), **git())


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(status(), NO_PROJECT, Done(), id="promotions change it, and it has no plan"),
        pytest.param(
            status(plan=plan()), NO_PROJECT, Done(settles={"plan": None}),
            id="the plan of an earlier project is void",
        ),
        pytest.param(
            status(plan=plan(state="Applied")), NO_PROJECT, Done(), id="an applied plan stays"
        ),
        pytest.param(
            status(plan=plan(state="NoChanges")), NO_PROJECT, Done(),
            id="one without changes stays, too",
        ),
        pytest.param(
            status(), context({}), frozenset({PROJECT}), id="the ConfigMap has to be read"
        ),
        pytest.param(status(), context({PROJECT: None}), MISSING, id="there is no ConfigMap"),
        pytest.param(
            status(REVISION), context({PROJECT: None}), MISSING, id="there is none any more"
        ),
        pytest.param(status(), context(**items("a", "b")), MISSING, id="the ConfigMap lacks keys"),
        pytest.param(
            status(), MAPPED, known(MAPPED, "project", FILES_DIGEST),
            id="a ConfigMap's digest is computed",
        ),
        pytest.param(status(REVISION), MAPPED, Done(), id="the digest is the same"),
        pytest.param(
            status(REVISION.but(digest="sha256:old")), MAPPED,
            known(MAPPED, "project", FILES_DIGEST),
            id="the files have changed",
        ),
        pytest.param(
            status(REVISION.but(inputs="old")), MAPPED, known(MAPPED, "project", FILES_DIGEST),
            id="other fields have led to the same files",
        ),
        pytest.param(
            status(), context(**IMAGE), known(context(**IMAGE), f"registry/p@{SHA}", SHA),
            id="an image names its digest",
        ),
        pytest.param(
            status(), PINNED, known(PINNED, COMMIT, pinned(PINNED)),
            id="a commit needs no Job",
        ),
        pytest.param(
            status(objects.revision(PINNED, resolved=COMMIT, digest=pinned(PINNED))),
            ELSEWHERE, known(ELSEWHERE, COMMIT, pinned(ELSEWHERE)),
            id="another folder at the same commit is another source",
        ),
        pytest.param(
            status(), BY_REF, to_resolve(BY_REF, "the source changed"),
            id="a ref was never resolved",
        ),
        pytest.param(
            status(MAIN.but(inputs="old")), BY_REF, to_resolve(BY_REF, "the source changed"),
            id="another ref",
        ),
        pytest.param(status(MAIN), BY_REF, Done(), id="a ref stays resolved where nobody polls"),
        pytest.param(
            status(MAIN), ASKED, to_resolve(ASKED, "requested", "1"), id="somebody asks for a plan"
        ),
        pytest.param(
            status(), ASKED, to_resolve(ASKED, "the source changed", "1"),
            id="the first resolve answers a request",
        ),
        pytest.param(
            status(MAIN.but(request="1")), ASKED, Done(), id="it was resolved for this request"
        ),
        pytest.param(
            status(MAIN, last_handled_plan_requested_at="1"), ASKED, Done(),
            id="the request was answered by a plan",
        ),
        pytest.param(
            status(MAIN_POLLED), POLLED, Done(until=later(minutes=5)), id="it is polled later"
        ),
        pytest.param(
            status(MAIN_POLLED.but(time=later(minutes=-5))), POLLED,
            to_resolve(POLLED, "pollInterval"),
            id="it is polled now",
        ),
        pytest.param(
            status(MAIN_POLLED.but(time=None)), POLLED, Done(),
            id="nobody knows when it was resolved",
        ),
        pytest.param(
            status(objects.revision(FAST, time=NOW)), FAST, Done(until=later(seconds=10)),
            id="it is polled every ten seconds at most",
        ),
    ],
)  # fmt: skip
def test_what_is_resolved(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (context({PROJECT: None}), "ConfigMap data/project does not exist; create it"),
        (
            context(**items("f", "b", "config.yaml", "a", "c", "d", "e")),
            "ConfigMap data/project has no key a, b, c, d, e; "
            "add it or correct project.configMap.items",
        ),
    ],
)
def test_what_is_missing_is_named(spec: Context, says: str) -> None:
    assert objects.message(STEP, status(), spec) == says


def test_files_that_are_no_source_do_not_count() -> None:
    more = context({PROJECT: {**FILES, ".git__head": b"z"}})
    assert answer(STEP, status(), more) == known(more, "project", FILES_DIGEST)


def test_items_name_the_files() -> None:
    read = {PROJECT: {"a": b"x", "b": b"y", "unused": b"z"}}
    names = [{"key": "a", "path": "config.yaml"}, {"key": "b", "path": "models/a.sql"}]
    spec = {"configMap": {"name": "project", "items": names}}
    found = context(read, project=spec)
    assert answer(STEP, status(), found) == known(found, "project", FILES_DIGEST)


def test_its_job_gets_the_ref_the_credentials_and_no_commit() -> None:
    gateway = gw(
        gitCredentials=[{"urlPrefix": "https://git.example", "secretRef": {"name": "token"}}]
    )
    extras = filled(STEP, context(gateway=gateway, **git()), status(MAIN))
    assert extras is not None and extras.git_secret == "token" and extras.source_config_map is None
    assert extras.task.source == contract.Source(contract.SourceKind.GIT, URL, "main", ".")
    assert extras.task.environment == "prod" and extras.copies == ()


def test_a_project_that_is_gone_is_not_resolved() -> None:
    assert filled(STEP, NO_PROJECT, status()) is None


@pytest.mark.parametrize(("commit", "resolved"), [(COMMIT, COMMIT), (None, "sha256:f")])
def test_what_it_has_found_is_the_revision(commit: str | None, resolved: str) -> None:
    end = ended(TaskKind.RESOLVE, commit=commit, digest="sha256:f", task={"request": "1"})
    judged = STEP.judge(status(MAIN, green_runs=3), end, BY_REF)
    expected = RevisionStatus(
        resolved=resolved, digest="sha256:f", inputs="i", time=NOW, request="1"
    )
    assert judged.status == status(expected, green_runs=3) and judged.kept == ()


@pytest.mark.parametrize(
    ("task", "stays"),
    [("plan", True), ("apply", True), ("checks", True), ("resolve", False)],
)
def test_a_success_ends_its_own_failure_and_no_other(task: str, stays: bool) -> None:
    found = STEP.recovered(status(failure=failure(task=task), run_failure=failure(task="run")))
    assert (found.failure is not None) == stays and found.run_failure is not None


@pytest.mark.parametrize(
    ("reason", "result", "answered"),
    [
        pytest.param(
            Reason.SUCCEEDED, {"digest": "sha256:f"}, {},
            id="a success leaves the answer to the plan",
        ),
        pytest.param(
            Reason.SOURCE_UNREACHABLE, {}, {"last_handled_plan_requested_at": "1"},
            id="a failure is an answer",
        ),
        pytest.param(
            Reason.SOURCE_CHANGED, {"digest": "sha256:f"}, {"last_handled_plan_requested_at": "1"},
            id="a failure that names a digest is one, too",
        ),
    ],
)  # fmt: skip
def test_what_answers_a_request(
    reason: Reason, result: dict[str, Any], answered: dict[str, str]
) -> None:
    assert (
        STEP.answered(ended(TaskKind.RESOLVE, reason, task={"request": "1"}, **result)) == answered
    )
    assert STEP.answered(ended(TaskKind.RESOLVE, reason, **result)) == {}


def test_a_failure_waits_and_one_of_a_changed_source_forgets_the_revision() -> None:
    unreachable = STEP.failed(
        status(MAIN), ended(TaskKind.RESOLVE, Reason.SOURCE_UNREACHABLE), BY_REF
    )
    assert (
        unreachable.failure is not None
        and unreachable.failure.task == "resolve"
        and unreachable.revision == MAIN
    )
    assert (
        STEP.failed(status(MAIN), ended(TaskKind.RESOLVE, Reason.SOURCE_CHANGED), BY_REF).revision
        is None
    )


def test_polling_is_no_property_of_the_source() -> None:
    assert MAIN_POLLED.inputs == MAIN.inputs
