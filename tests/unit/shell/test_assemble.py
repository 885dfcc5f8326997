"""The wiring: who hears of what, in the process as in the World."""

import datetime as dt

import pytest

from tests.builders import environment, gateway
from tests.fakes import FakeClock, FakeKube
from tests.integration.shell import stub
from tests.world import SETTINGS, World
from vulcan_operator import metrics
from vulcan_operator.assemble import assemble
from vulcan_operator.kube.resources import ENVIRONMENTS, JOBS, NAMESPACES, Raw
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.reconcile.reconcile import Planners

PROD = Key(Kind.ENVIRONMENT, "data", "prod")


def world(guarded: bool | None = True) -> World:
    """One environment whose only Job has been created."""
    made = World(Planners(stub.plan_gateway, stub.plan_environment), guarded=guarded)
    return made.apply(gateway(), environment()).settle()


def stored() -> tuple[FakeKube, Raw]:
    """An environment as an API server has it."""
    kube = FakeKube(FakeClock())
    kube.put(NAMESPACES, {"metadata": {"name": "data"}})
    return kube, kube.put(ENVIRONMENTS, environment())


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_leader_queues_what_comes_and_a_standby_knows_it(leads: bool) -> None:
    kube, raw = stored()
    parts = assemble(kube, kube.clock, SETTINGS, "me", lambda: leads)
    parts.ports.intake.event(ENVIRONMENTS, raw)
    assert parts.ports.cache.all_keys() == [PROD]
    assert parts.queue.try_get() == (PROD if leads else None)


async def test_the_first_environment_is_what_an_idle_guard_waits_for() -> None:
    kube, raw = stored()
    parts = assemble(kube, kube.clock, SETTINGS, "me", lambda: True)
    assert await parts.guard.check() is None
    parts.ports.intake.event(ENVIRONMENTS, raw)
    assert parts.guard._news.is_set()


def test_a_verdict_wakes_environments_and_is_what_their_planner_sees() -> None:
    w = world(guarded=None)
    observer = w.parts.ports.observer
    assert observer.environment(w.environment(), Live()).unguarded is None
    w.guarded = False
    assert w.queue.try_get() == PROD
    assert observer.environment(w.environment(), Live()).unguarded == ("vulcan-approvals",)


def test_a_job_of_an_unknown_owner_makes_the_collector_look() -> None:
    w = world()
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    w.parts.collector._news.clear()
    w.finish_job("plan", None)
    assert w.parts.collector._news.is_set()


async def test_a_slot_that_the_collector_frees_is_offered_to_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = world()
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    while (key := w.queue.try_get()) is not None:
        w.queue.done(key)
    waiter = Key(Kind.ENVIRONMENT, "data", "next")
    waiting = type("Waiting", (), {"key": waiter})
    monkeypatch.setattr(w.cache, "waiters", lambda place: (waiting,))
    await w.parts.collector.sweep()
    w.clock.advance(dt.timedelta(minutes=2))
    await w.parts.collector.sweep()
    assert w.kube.all(JOBS) == []
    assert w.queue.try_get() == waiter


def test_a_job_that_ends_is_measured() -> None:
    def measured() -> float:
        labels = {"task": "plan", "state": "Failed"}
        return metrics.REGISTRY.get_sample_value("vulcan_job_seconds_count", labels) or 0

    w = world()
    before = measured()
    w.clock.advance(dt.timedelta(minutes=1))
    w.finish_job("plan", None)
    assert measured() == before + 1


def test_what_planners_note_is_counted_unless_somebody_else_wants_it() -> None:
    kube = FakeKube()
    parts = assemble(kube, kube.clock, SETTINGS, "me", lambda: True)
    assert parts.ports.noted is metrics.noted
