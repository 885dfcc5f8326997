"""An operator started on objects and Jobs of an earlier one goes on with them, at every moment.

The objects were recorded with an earlier commit (`record` says which), together with what that
operator did with them. The operator of today must do the same: the same Jobs under the same names,
the same work, the same conditions in the end. Messages and further fields of a status may differ,
and so may the digests in names of what did not exist yet: a plan's token is made of other things.

What people had answered and nobody had begun to apply is asked again (`ASKED_AGAIN`).
"""

import collections
import functools
import re
from typing import Any

import pytest

from tests.stories.sqlmesh import SqlMesh
from tests.upgrade import recording
from tests.upgrade.playing import play
from tests.world import World
from vulcan_operator.kube.resources import ENVIRONMENTS, PROMOTIONS
from vulcan_operator.plan.core.seen import JobState

ASKED_AGAIN = {
    "environment-apply-announced", "environment-apply-without-slot", "environment-approved", "operation-apply-stuck",
    "promotion-apply-waiting", "promotion-approved", "promotion-finalizer-set", "rejected", "rejected-unseen",
}  # fmt: skip
# Reports that were stored by an operator that crashed before its status named them.
REPORT_STORED = {
    "environment-report-stored": "configmaps/data/prod-plan-*", "across-target-counted": "configmaps/data/to-prod-plan-*",
}  # fmt: skip
SINCE = {"CredentialsShared"}  # types of conditions that the recorded operator did not know
every_moment = pytest.mark.parametrize("name", recording.names())
moments_without_answers = pytest.mark.parametrize("name", sorted({*recording.names()} - ASKED_AGAIN))
_BY_TOKEN = re.compile(r"-(apply|promote)-[0-9a-f]{10}$|-(plan)-[0-9a-f]{12}-[0-9a-f]{8}$|-(evidence)-[0-9a-f]{12}$")


@functools.cache
def played(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recorded operator did at a moment, and what today's does."""
    whole = recording.read(name)
    return whole["then"], play(recording.start(whole))


@functools.cache
def existed(name: str) -> frozenset[str]:
    """Names of the objects of a moment."""
    return frozenset(key.split("/")[-1] for key in recording.read(name)["objects"])


def shown(moment: str, names: list[str]) -> list[str]:
    """Names of Jobs and ConfigMaps; of those that did not exist, without what follows from a plan's token."""
    return [n if n.split("/")[-1] in existed(moment) else _BY_TOKEN.sub(r"-\1\2\3-*", n) for n in names]


def tasks(moment: str, found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: shown(moment, jobs) for name, jobs in found.items()}


@moments_without_answers
def test_current_tasks_keep_their_jobs(name: str) -> None:
    then, now = played(name)
    assert tasks(name, now["tasks"]) == tasks(name, then["tasks"])


@moments_without_answers
def test_at_its_first_look_it_creates_and_deletes_the_same(name: str) -> None:
    then, now = played(name)
    stored = [REPORT_STORED[name]] if name in REPORT_STORED else []  # under its old name, too
    assert sorted(shown(name, now["created"])) == sorted(shown(name, then["created"]) + stored)
    assert now["deleted"] == then["deleted"]


@moments_without_answers
def test_at_its_first_look_it_writes_nothing_else_but_statuses(name: str) -> None:
    then, now = played(name)
    assert _but_statuses(now) == _but_statuses(then)


@moments_without_answers
def test_at_its_first_look_it_says_the_same_since_the_same_time(name: str) -> None:
    then, now = played(name)
    assert _but_new(now["changed"]) == then["changed"]


@moments_without_answers
def test_later_jobs_have_the_same_names_and_do_the_same_work(name: str) -> None:
    then, now = played(name)
    assert shown(name, now["jobs"]) == shown(name, then["jobs"])
    assert now["done"] == then["done"]


@moments_without_answers
def test_in_the_end_it_says_the_same(name: str) -> None:
    then, now = played(name)
    assert _but_new(now["end"]) == then["end"]


@pytest.mark.parametrize("name", sorted(ASKED_AGAIN))
def test_what_was_answered_and_not_begun_is_asked_again_and_says_why(name: str) -> None:
    sqlmesh = recording.start(recording.read(name))
    before = _applied(sqlmesh)
    asked = [m for m in _ready(sqlmesh.world.settle()) if "planned by an earlier release" in m]
    assert asked and all("To approve: " in message for message in asked)
    assert not sqlmesh.world.jobs("apply", state=JobState.UNFINISHED)
    assert not sqlmesh.world.jobs("promote", state=JobState.UNFINISHED)
    assert _applied(sqlmesh) == before


@every_moment
def test_with_the_floor_of_protected_grants_nothing_that_is_applied_is_touched(name: str) -> None:
    sqlmesh = recording.start(recording.read(name), floor=True)
    before = _applied(sqlmesh)
    sqlmesh.world.settle()
    after = _applied(sqlmesh)
    if name not in ASKED_AGAIN:  # the end of an apply that is seen now is recorded with and without a floor
        same = recording.start(recording.read(name))
        same.world.settle()
        before = _applied(same)
    assert after == before


@every_moment
def test_no_task_gets_a_second_job_and_a_second_look_writes_nothing(name: str) -> None:
    sqlmesh = recording.start(recording.read(name))
    world = sqlmesh.world.settle()
    attempts = collections.Counter((j.owner_uid, j.task, j.inputs, j.attempt) for j in world.jobs())
    assert set(attempts.values()) == {1}
    sqlmesh.check_single_writer()
    with world.no_writes():
        world.restart().settle()


def test_every_kind_of_task_was_recorded_while_it_ran() -> None:
    going = {
        job.task
        for name in recording.names()
        for job in recording.start(recording.read(name)).world.jobs(state=JobState.UNFINISHED)
    }
    kinds = {
        "probe",
        "resolve",
        "plan",
        "apply",
        "run",
        "promote",
        "rollback",
        "audit",
        "diff",
        "checks",
    }
    assert going == kinds | {"invalidate"}


def _but_new(said: dict[str, Any]) -> dict[str, Any]:
    """What is said by object, without conditions that are new."""
    return {
        name: {kind: value for kind, value in of.items() if kind not in SINCE}
        for name, of in said.items()
        if not of or set(of) - SINCE
    }


def _but_statuses(then: dict[str, Any]) -> list[str]:
    return [write for write in then["writes"] if not write.endswith("/status")]


def _ready(world: World) -> list[str]:
    kinds = (ENVIRONMENTS, PROMOTIONS)
    found = (c for kind in kinds for raw in world.kube.all(kind) for c in raw.get("status", {}).get("conditions", []))
    return [c.get("message", "") for c in found if c["type"] == "Ready"]


def _applied(sqlmesh: SqlMesh) -> dict[str, Any]:
    """What environments have, as their status says; not with fields that the recorded operator did not know."""
    found = {
        raw["metadata"]["uid"]: raw.get("status", {}).get("applied") for raw in sqlmesh.world.kube.all(ENVIRONMENTS)
    }
    return {uid: {k: v for k, v in (applied or {}).items() if k != "image"} for uid, applied in found.items()}
