"""People interfere while a task is in flight: Jobs deleted, objects changed, deleted, re-created, claimed twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration import crash_kit as kit
from tests.integration.conftest import Systems
from tests.integration.harness import System, Thing

BROKEN = "MODEL (name t.broken, kind FULL);\nSELECT 1 / (n - n) AS x FROM t.days;\n"
LATER = {"schedule": {"mode": "Manual"}, "retry": {"limit": 5, "backoff": "10m", "maxBackoff": "10m"}}
NOWHERE = {"kubernetes.io/hostname": "nowhere"}


def rows(system: System, environment: str = "prod") -> list[tuple[int, int]]:
    """(rows, n) of what an environment shows."""
    schema = "t" if environment == "prod" else f"t__{environment.replace('-', '_')}"
    return system.rows(f"select count(*), max(n) from {schema}.days")


# --- Jobs deleted by hand


def test_a_job_deleted_before_its_pod_starts_is_made_again(systems: Systems) -> None:
    system = kit.prepare(systems("early")).up(runner={"env": []})
    system.gateway.patch(runner={"nodeSelector": NOWHERE})
    thing = system.environment(project=kit.days(), **kit.MANUAL)
    job = kit.in_hand(thing, "plan", "")
    thing.stage.wait_for(lambda: thing.jobs("plan"), "its Job", 30)
    first = thing.jobs("plan")[0]["metadata"]["uid"]
    kit.delete_job(thing, job)
    again = thing.stage.wait_for(
        lambda: [j for j in thing.jobs("plan") if j["metadata"]["uid"] != first], "another Job", 30
    )
    assert len(again) == 1
    system.gateway.patch(runner={"nodeSelector": None})
    kit.settle(thing)
    assert "Complete" in kit.outcomes(thing, "plan").values()
    assert kit.batches(system) == kit.each_once(1)


def test_a_job_deleted_while_it_runs_goes_on_under_a_new_name(systems: Systems) -> None:
    system = kit.prepare(systems("lost"))
    thing = system.environment(project=kit.days(pause=1), approval="Always", **kit.MANUAL)
    digest = thing.wait_plan(120)
    assert thing.approve("alice", digest) is None
    job = kit.in_hand(thing, "apply")
    kit.wait_batches(thing, 1)
    kit.delete_job(thing, job)
    status = kit.settle(thing)
    assert kit.outcomes(thing, "apply") == {2: "Complete"}
    assert thing.jobs("apply")[0]["metadata"]["name"] != job
    assert [item["planDigest"] for item in status["history"]] == [digest]
    ends = [event["reason"] for event in thing.events() if event["reason"] in ("Cancelled", "Lost")]
    assert len(ends) == 1, "its pod may report that it was told to stop, or be gone before that was seen"
    assert kit.batches(system) == kit.each_once(1)
    assert rows(system) == [(4, 1)]


# --- objects


def test_an_object_recreated_while_its_apply_runs(systems: Systems) -> None:
    system = kit.prepare(systems("recreated"))
    thing = system.environment(project=kit.days(pause=2), **kit.MANUAL)
    job = kit.in_hand(thing, "apply")
    found = thing.get()
    assert found is not None
    kit.wait_batches(thing, 1)
    thing.delete(wait=True)
    again = system.environment(project=kit.days(pause=2), **kit.MANUAL)
    status = kit.settle(again)
    now = again.get()
    assert now is not None
    assert now["metadata"]["uid"] != found["metadata"]["uid"]
    assert [kit.ended(j) for j in again.jobs("apply") if j["metadata"]["name"] == job] in ([], ["Complete"])
    assert kit.batches(system) == kit.each_once(1)
    assert rows(system) == [(4, 1)]
    assert kit.finalised(system) == {"prod": (status["applied"]["planId"], True)}


def test_of_two_objects_for_one_environment_the_older_has_it(systems: Systems) -> None:
    system = kit.prepare(systems("two"))
    first = system.environment("first", kit.days(), environment="prod", **kit.MANUAL)
    kit.settle(first)
    second = system.environment("second", kit.days(), environment="prod", **kit.MANUAL)
    message = second.wait_reason("EnvironmentNameTaken")
    assert f"{system.namespace}/first" in message
    second.request("plan")
    second.stage.throughout(lambda: not second.jobs(), "no Job of the second", 3)
    assert first.ready()
    first.delete(wait=True)
    status = kit.settle(second)
    assert status["plan"]["state"] == "NoChanges"
    assert not second.jobs("apply")
    assert kit.batches(system) == kit.each_once(1)


# --- spec changed and object deleted, in every phase

Reach = Callable[[Thing, int], Any]
PHASES: dict[str, Reach] = {
    "resolving": lambda t, n: kit.in_hand(t, "resolve", "", 240),
    "planning": lambda t, n: kit.in_hand(t, "plan", seconds=240),
    "awaiting approval": lambda t, n: t.wait_plan(240),
    "applying": lambda t, n: computing(t, n),
    "running": lambda t, n: kit.in_hand(t, "run", seconds=240),
    "failed, waiting": lambda t, n: t.wait_reason("ModelFailed", seconds=240),
}
NUMBER = {phase: number for number, phase in enumerate(PHASES)}


def computing(thing: Thing, n: int) -> None:
    """Until a batch of revision n is there, and more are to come."""
    kit.in_hand(thing, "apply", seconds=240)
    thing.stage.wait_for(lambda: kit.batches(thing.system)[f"n={n} 2026-01-01"], lambda: f"a batch; {thing.tell()}", 60)


def begin(system: System, phase: str, name: str, n: int, **spec: Any) -> Thing:
    """An environment of a revision n, which gets into a phase and stays there for a while."""
    project: Any = kit.days(n, pause=0.5) | ({"models/broken.sql": BROKEN} if phase.startswith("failed") else {})
    project = system.repository(project, name) if phase == "resolving" else project
    approval = "Always" if phase.startswith("awaiting") else "Never"
    return system.environment(name, project, approval=approval, **(LATER | spec))


@pytest.fixture(scope="module")
def bases(module_systems: Systems) -> list[System]:
    """Two systems, each with the baseline prod that others branch from."""
    made = [kit.prepare(module_systems("phase")) for _ in range(2)]
    for prod in [system.environment(project=kit.days(9), **kit.MANUAL) for system in made]:
        kit.settle(prod, 240)
    return made


@pytest.fixture(scope="module")
def changed(bases: list[System]) -> dict[str, Thing]:
    """An environment per phase whose project became another when it got there; at rest again."""

    def change(phase: str) -> Thing:
        number = NUMBER[phase]
        thing = begin(bases[number % 2], phase, f"changed-{number}", 10 + number)
        PHASES[phase](thing, 10 + number)
        thing.system.config_map(f"second-{number}", kit.days(20 + number))
        project = {"git": None, "configMap": {"name": f"second-{number}"}}
        thing.patch(project=project, plan={"approval": {"mode": "Never"}})
        kit.settle(thing, 300)
        return thing

    with ThreadPoolExecutor(len(PHASES)) as pool:
        return dict(zip(PHASES, pool.map(change, PHASES), strict=True))


@pytest.mark.parametrize("phase", PHASES)
def test_the_spec_may_change_in_every_phase(changed: dict[str, Thing], phase: str) -> None:
    thing, n = changed[phase], 20 + NUMBER[phase]
    status = thing.status()
    assert rows(thing.system, thing.name) == [(4, n)]
    assert status["applied"]["revision"] == f"second-{NUMBER[phase]}"
    assert "failure" not in status
    assert [kit.batches(thing.system)[f"n={n} 2026-01-0{day}"] for day in range(1, 5)] == [1, 1, 1, 1]


@pytest.fixture(scope="module")
def deleted(changed: dict[str, Thing], bases: list[System]) -> dict[str, Thing]:
    """An environment per phase that was deleted when it got there, with a finalizer to honour."""

    def delete(phase: str) -> Thing:
        number = NUMBER[phase]
        thing = begin(bases[number % 2], phase, f"gone-{number}", 30 + number, deletionPolicy="Invalidate")
        PHASES[phase](thing, 30 + number)
        thing.delete()
        thing.wait_gone(240)
        return thing

    with ThreadPoolExecutor(len(PHASES)) as pool:
        return dict(zip(PHASES, pool.map(delete, PHASES), strict=True))


@pytest.mark.parametrize("phase", PHASES)
def test_deletion_ends_in_every_phase(deleted: dict[str, Thing], phase: str) -> None:
    system = deleted[phase].system
    gone = f"gone_{NUMBER[phase]}"
    assert gone not in kit.finalised(system)
    assert gone not in [row[0] for row in kit.records(system)]
    assert system.rows(f"select 1 from pg_views where schemaname = 't__{gone}'") == []
    assert rows(system) == [(4, 9)]


def test_the_gateways_are_free_afterwards(deleted: dict[str, Thing], bases: list[System]) -> None:
    for system in bases:
        prod = Thing(system, "vulcanenvironments", "prod")
        assert prod.answered("run")["lastRun"]["succeeded"] is True
