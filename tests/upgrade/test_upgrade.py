"""An operator started on objects and Jobs of an earlier one goes on with them, at every moment.

The objects were recorded with an earlier commit (`record` says which), together with what that
operator did with them. The operator of today must do the same: the same Jobs under the same names,
the same work, the same conditions in the end. Messages and further fields of a status may differ.
"""

import collections
import functools
from typing import Any

import pytest

from tests.upgrade import recording
from tests.upgrade.playing import play
from vulcan_operator.plan.core.seen import JobState

SINCE = {"CredentialsShared"}  # types of conditions that the recorded operator did not know
every_moment = pytest.mark.parametrize("name", recording.names())


@functools.cache
def played(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recorded operator did at a moment, and what today's does."""
    whole = recording.read(name)
    return whole["then"], play(recording.start(whole))


@every_moment
def test_tasks_in_hand_keep_their_jobs(name: str) -> None:
    then, now = played(name)
    assert now["tasks"] == then["tasks"]


@every_moment
def test_at_its_first_look_it_creates_and_deletes_the_same(name: str) -> None:
    then, now = played(name)
    assert now["created"] == then["created"]
    assert now["deleted"] == then["deleted"]


@every_moment
def test_at_its_first_look_it_writes_nothing_else_but_statuses(name: str) -> None:
    then, now = played(name)
    assert _but_statuses(now) == _but_statuses(then)


@every_moment
def test_at_its_first_look_it_says_the_same_since_the_same_time(name: str) -> None:
    then, now = played(name)
    assert _but_new(now["changed"]) == then["changed"]


@every_moment
def test_later_jobs_have_the_same_names_and_do_the_same_work(name: str) -> None:
    then, now = played(name)
    assert now["jobs"] == then["jobs"]
    assert now["done"] == then["done"]


@every_moment
def test_in_the_end_it_says_the_same(name: str) -> None:
    then, now = played(name)
    assert _but_new(now["end"]) == then["end"]


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
