"""The complete lists: what is forgotten, what is retried, and an etcd restored from a backup."""

import asyncio
import datetime as dt

import pytest

from tests.builders import environment, gateway
from tests.integration.shell import stub
from tests.world import World
from vulcan_operator import resync
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import PODS
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.reconcile.reconcile import Planners
from vulcan_operator.term import Term


def world() -> World:
    made = World(Planners(stub.plan_gateway, stub.plan_environment))
    return made.apply(gateway(), environment()).settle()


async def test_what_went_while_the_watch_was_away_is_forgotten() -> None:
    w = world()
    w.kube.watchers.clear()
    w.delete("venv/prod")
    assert w.cache.environment(("data", "prod")) is not None
    await w.parts.resync.once()
    assert w.cache.environment(("data", "prod")) is None


async def test_a_list_of_the_past_ends_the_process() -> None:
    w = world()
    await w.parts.resync.once()
    assert not w.parts.resync.restored.is_set()
    w.kube._version = 1
    with pytest.raises(errors.KubeError, match="etcd was put back"):
        await w.parts.resync.once()
    assert w.parts.resync.restored.is_set()


async def test_it_is_tried_again_until_everything_was_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resync, "_PAUSE", 0)
    w = world()
    w.clock.advance(dt.timedelta(seconds=90))
    w.kube.fail("list-pods", errors.Unavailable("away", status=503), times=3)
    assert w.parts.resync.age == 90
    await w.parts.resync.until_done()
    assert w.parts.resync.age == 0


async def test_a_standby_lists_once() -> None:
    w = world()
    w.kube.fail(f"list-{PODS.plural}", errors.Unavailable("away", status=503), times=-1)
    await asyncio.wait_for(w.parts.resync.warm_up(), 1)


async def test_a_term_looks_at_everything_that_there_is() -> None:
    w = world()
    w.queue.clear()
    term = asyncio.create_task(Term(w.parts, workers=0, resync_interval=600).run())
    assert await asyncio.wait_for(w.queue.get(), 1) == Key(Kind.GATEWAY, "data", "warehouse")
    assert await asyncio.wait_for(w.queue.get(), 1) == Key(Kind.ENVIRONMENT, "data", "prod")
    term.cancel()
    with pytest.raises(asyncio.CancelledError):
        await term
