"""The operator dies before and after each of its writes, in whole lives: nothing is done twice, nothing gets lost."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests import builders
from tests.fakes import FakeKube
from tests.stories.lives import ALWAYS, DAY, MINUTE, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_operator.kube.resources import CONFIG_MAPS

Story = Callable[[SqlMesh], None]
PREVIEW = {"deletionPolicy": "Invalidate", "environment": "dev"}


def one_life(sqlmesh: SqlMesh) -> None:
    """Planned, approved, applied, run; changed; another day."""
    world = sqlmesh.world.apply(builders.environment(plan=ALWAYS))
    sqlmesh.work()
    world.approve("venv/prod")
    sqlmesh.work()
    edit(world, "two")
    sqlmesh.work()
    world.approve("venv/prod")
    sqlmesh.live(DAY)


def failures(sqlmesh: SqlMesh) -> None:
    """An apply that fails, one that finds another plan, a run that fails."""
    sqlmesh.fails = {
        "apply": [builders.failed("apply", r) for r in (Reason.MODEL_FAILED, Reason.PLAN_CHANGED)],
        "run": [builders.failed("run", Reason.AUDIT_FAILED)],
    }
    sqlmesh.world.apply(builders.environment())
    sqlmesh.live(10 * MINUTE)


def two_on_one_gateway(sqlmesh: SqlMesh) -> None:
    """Both want to write at once."""
    sqlmesh.world.apply(builders.environment(), builders.environment("dev"))
    sqlmesh.live(5 * MINUTE)


def from_a_branch(sqlmesh: SqlMesh) -> None:
    """Resolved, and resolved again on request."""
    git = {"url": "https://git.acme.com/a.git", "ref": "main"}
    sqlmesh.world.apply(builders.environment(project={"git": git, "configMap": None}))
    sqlmesh.work()
    sqlmesh.refs["main"] = "e" * 40
    sqlmesh.world.annotate("venv/prod", plan_requested_at="1", run_requested_at="1")
    sqlmesh.work()


def a_preview(sqlmesh: SqlMesh) -> None:
    """Applied, deleted, invalidated."""
    sqlmesh.world.apply(builders.environment("dev", **PREVIEW))
    sqlmesh.work()
    sqlmesh.world.delete("venv/dev")
    sqlmesh.live(MINUTE)


STORIES: list[Story] = [one_life, failures, two_on_one_gateway, from_a_branch, a_preview]


def play(story: Story, crash: tuple[str, str, int] | None = None) -> SqlMesh:
    """Tell a story, with one death in it."""
    sqlmesh = fresh()
    sqlmesh.world.kube.writes.clear()
    if crash is not None:
        sqlmesh.world.kube.crash_at(*crash)
    story(sqlmesh)
    sqlmesh.live(2 * MINUTE)
    return sqlmesh


def outcome(sqlmesh: SqlMesh) -> dict[str, Any]:
    """What must not depend on crashes: what was really done, under which names, and what status says of it."""
    world = sqlmesh.world
    found = {"done": sqlmesh.done, "jobs": sorted(j.name for j in world.jobs() if j.task != "probe")}
    found["unrecorded"] = [j.name for j in world.jobs() if j.ttl is None]
    found["maps"] = sorted(c["metadata"]["name"] for c in world.kube.all(CONFIG_MAPS))
    for name in ("prod", "dev"):
        if world.exists(f"venv/{name}"):
            found[name] = world.says(f"venv/{name}")
    return found


class Writes(list[str]):
    """The writes, each with what the API server had seen before it."""

    def __init__(self, kube: FakeKube) -> None:
        super().__init__()
        self.kube, self.versions = kube, list[int]()

    def append(self, write: str) -> None:
        super().append(write)
        self.versions.append(self.kube._version)


def deaths(story: Story) -> list[tuple[str, str, int]]:
    """After every write of the story told without any, and before every one.

    Before a write is after the one before it, unless somebody else did something in between; that is not tried twice.
    """
    sqlmesh = fresh()
    writes = sqlmesh.world.kube.writes = Writes(sqlmesh.world.kube)
    story(sqlmesh)
    sqlmesh.live(2 * MINUTE)
    found = []
    for i, write in enumerate(writes):
        number = writes[: i + 1].count(write)
        alone = i == 0 or writes.versions[i] > writes.versions[i - 1] + 1
        if not write.endswith("-events"):
            found += [(write, "before", number)] if alone else []
            found.append((write, "after", number))
    return found


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__doc__)
def test_a_death_at_any_write_changes_nothing(story: Story) -> None:
    expected = outcome(play(story))
    for death in deaths(story):
        assert outcome(play(story, death)) == expected, death


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__doc__)
def test_restarting_before_every_step_changes_nothing(story: Story) -> None:
    expected = outcome(play(story))
    sqlmesh = Restless(fresh().world)
    story(sqlmesh)
    assert outcome(dataclasses.replace(sqlmesh).live(2 * MINUTE)) == expected


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__doc__)
def test_hearing_everything_twice_changes_nothing(story: Story) -> None:
    expected = outcome(play(story))
    sqlmesh = fresh()
    watchers = sqlmesh.world.kube.watchers
    watchers += list(watchers)
    story(sqlmesh)
    assert outcome(sqlmesh.live(2 * MINUTE)) == expected


class Restless(SqlMesh):
    """The operator restarts around each Job."""

    def answer(self, task: Any) -> Any:
        result = super().answer(task)
        self.world.restart()
        return result
