"""A Job's process is killed: at every step of an apply, in the middle of a backfill, in a run. It goes on where it was."""

import dataclasses
from typing import Any

import pytest

from tests.integration import crash_kit as kit
from tests.integration.conftest import Systems
from tests.integration.harness import System, Thing

DATA = [(f"2026-01-0{day}", 1) for day in range(1, 5)]
PATIENT: dict[str, Any] = {"schedule": {"mode": "Manual"}, "retry": {"limit": 50, "backoff": "2s", "maxBackoff": "2s"}}
# What a crash there leaves: the apply's record, snapshots, batches, the environment's record, the view, finalised.
POINTS = {
    "before the apply record": ("apply:plan", ("", 0, 0, 0, 0, False)),
    "after the record, before anything else": ("apply:apply", ("started", 0, 0, 0, 0, False)),
    "after the new snapshots are recorded": ("apply:BackfillStage", ("started", 1, 0, 0, 0, False)),
    "after the backfill": ("apply:EnvironmentRecordUpdateStage", ("started", 1, 4, 0, 0, False)),
    "after the environment's record, before the views": (
        "apply:VirtualLayerUpdateStage", ("started", 1, 4, 1, 0, False),
    ),
    "after the views, before it is finalised": ("apply:FinalizeEnvironmentStage", ("started", 1, 4, 1, 1, False)),
    "after it is finalised, before the audits": ("apply:audit", ("started", 1, 4, 1, 1, True)),
    "after everything, before the result": ("apply:end", ("done", 1, 4, 1, 1, True)),
}  # fmt: skip
Left = tuple[str, int, int, int, int, bool]


def data(system: System) -> list[tuple[str, int]]:
    """What the warehouse shows."""
    return [(str(day), n) for day, n in system.rows("select day, n from t.days order by 1")]


@dataclasses.dataclass
class Killed:
    """An environment whose apply crashed at every point, one attempt after the other, and then went through."""

    thing: Thing
    digest: str
    left: dict[str, Left]


@pytest.fixture(scope="module")
def killed(module_systems: Systems) -> Killed:
    """Approved by alice once, before the first attempt."""
    points = {name: point for name, (point, _) in POINTS.items()}
    system = kit.crashing(module_systems("killed"), next(iter(points.values())))
    thing = system.environment(project=kit.days(), approval="Always", **PATIENT)
    killed = Killed(thing, thing.wait_plan(120), {})
    assert thing.approve("alice", killed.digest) is None
    for attempt, (name, following) in enumerate(zip(points, [*list(points.values())[1:], ""], strict=True), 1):
        kit.wait_started(thing, "apply", attempt)
        kit.next_point(system, following)
        thing.wait(lambda s, n=attempt: (s.get("failure") or {}).get("attempts") == n, f"crash {name} is recorded", 90)
        killed.left[name] = left(system)
    kit.settle(thing)
    return killed


def left(system: System) -> Left:
    """What is in the databases after a crash."""
    phase = [row[2] for row in kit.records(system)]
    snapshots = system.rows("select name from sqlmesh._snapshots", "state")
    environments = kit.finalised(system)
    views = system.rows("select 1 from pg_views where schemaname = 't' and viewname = 'days'")
    done = any(finalised for _, finalised in environments.values())
    return ("".join(phase), len(snapshots), kit.batches(system).total(), len(environments), len(views), done)


@pytest.fixture(scope="module")
def twin(module_systems: Systems) -> System:
    """The same, undisturbed."""
    system = kit.prepare(module_systems("twin"))
    kit.settle(system.environment(project=kit.days(), **kit.MANUAL))
    return system


@pytest.mark.parametrize("point", POINTS)
def test_the_apply_was_killed(killed: Killed, point: str) -> None:
    assert killed.left[point] == POINTS[point][1]


def test_it_resumed_and_computed_nothing_twice(killed: Killed, twin: System) -> None:
    system, status = killed.thing.system, killed.thing.status()
    assert kit.outcomes(killed.thing, "apply")[len(POINTS) + 1] == "Complete"
    assert max(kit.outcomes(killed.thing, "apply")) == len(POINTS) + 1
    assert data(system) == data(twin) == DATA
    assert kit.batches(system) == kit.batches(twin) == kit.each_once(1)
    assert kit.records(system) == [("prod", killed.digest, "done")]
    assert kit.finalised(system) == {"prod": (status["applied"]["planId"], True)}


def test_nobody_was_asked_again(killed: Killed) -> None:
    thing, status = killed.thing, killed.thing.status()
    assert (status["plan"]["digest"], status["plan"]["state"]) == (killed.digest, "Applied")
    assert status["applied"]["approvedBy"] == ["alice"]
    assert len(status["history"]) == 1
    assert kit.outcomes(thing, "plan") == {1: "Complete"}
    found = thing.get()
    assert found is not None
    assert [item["plan"] for item in found["spec"]["approvals"]] == [killed.digest]


def test_an_apply_killed_in_its_backfill_goes_on_there(systems: Systems) -> None:
    system = kit.prepare(systems("backfill"))
    thing = system.environment(project=kit.days(pause=0.7), approval="Always", **kit.MANUAL)
    digest = thing.wait_plan(120)
    assert thing.approve("alice", digest) is None
    job = kit.in_hand(thing, "apply")
    kit.wait_batches(thing, 2)
    kit.kill_pod(thing, job)
    thing.wait(lambda s: "RunnerCrashed" in str(s.get("failure")), "the crash is recorded")
    status = kit.settle(thing)
    assert kit.outcomes(thing, "apply") == {1: "Failed", 2: "Complete"}
    assert kit.outcomes(thing, "plan") == {1: "Complete"}
    assert status["applied"]["planDigest"] == digest
    assert data(system) == DATA
    assert kit.batches(system) == kit.each_once(1)


def test_a_killed_run_goes_on_where_it_was(systems: Systems) -> None:
    system = kit.prepare(systems("run"))
    thing = system.environment(project=kit.days(pause=0.7), **kit.MANUAL)
    kit.settle(thing)
    kit.forget_intervals(system)
    asked = thing.request("run")
    job = kit.in_hand(thing, "run")
    kit.wait_batches(thing, 4 + 2)
    kit.kill_pod(thing, job)
    thing.wait(lambda s: "RunnerCrashed" in str(s.get("runFailure")), "the crash is recorded")
    status = kit.settle(thing)
    assert status["lastHandledRunRequestedAt"] == asked
    assert status["lastRun"]["succeeded"] is True
    assert data(system) == DATA
    assert kit.batches(system) == kit.each_once(1, times=2)


def test_an_append_only_model_waits_for_a_human(systems: Systems) -> None:
    system = kit.prepare(systems("append"))
    thing = system.environment(project=kit.appended(pause=2), **kit.MANUAL)
    job = kit.in_hand(thing, "apply")
    thing.stage.wait_for(
        lambda: _in_flight(system),
        lambda: f"a batch in flight; {thing.tell()} {thing.job_logs('apply')} {kit.batches(system)}",
        30,
    )
    kit.kill_pod(thing, job)
    message = thing.wait_reason("ManualCheckRequired")
    assert "sqlmesh__t.t__appended__" in message
    assert "2026-01-01T00:00:00Z to 2026-01-05T00:00:00Z" in message
    assert thing.conditions()["Stalled"]["status"] == "True"
    thing.stage.throughout(lambda: len(thing.jobs("apply")) == 2, "no attempt by itself", 4)
    assert kit.batches(system).total() == 0
    thing.request("plan", checked=job)
    kit.settle(thing)
    assert system.rows("select count(*) from t.appended") == [(1,)]
    assert kit.batches(system).total() == 1


def _in_flight(system: System) -> bool:
    tables = system.rows("select 1 from pg_tables where tablename = '_vulcan_inflight'", "state")
    return bool(tables and system.rows("select 1 from sqlmesh._vulcan_inflight", "state"))
