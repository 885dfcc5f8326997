"""The work queue's promises, one per test."""

import asyncio
import datetime as dt

import pytest

from tests.fakes import FakeClock
from tests.virtual_time import in_virtual_time, monotonic
from vulcan_operator.work_queue import WorkQueue


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> "WorkQueue[str]":
    return WorkQueue(clock.monotonic, jitter=lambda: 0.5)


def drain(queue: "WorkQueue[str]") -> list[str]:
    out = []
    while (key := queue.try_get()) is not None:
        out.append(key)
        queue.done(key)
    return out


def test_a_key_added_twice_comes_once(queue: "WorkQueue[str]") -> None:
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert drain(queue) == ["a", "b"]


def test_a_key_in_work_is_not_handed_out_again(queue: "WorkQueue[str]") -> None:
    queue.add("a")
    assert queue.try_get() == "a"
    queue.add("a")
    queue.add("a")
    assert queue.try_get() is None
    queue.done("a")
    assert drain(queue) == ["a"]


def test_the_earliest_appointment_wins(queue: "WorkQueue[str]", clock: FakeClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    assert queue.next_due() == 5
    clock.advance(dt.timedelta(seconds=5))
    assert drain(queue) == ["a"]
    clock.advance(dt.timedelta(seconds=60))
    assert drain(queue) == []


def test_retries_double_up_to_a_minute_and_start_again_after_success(queue: "WorkQueue[str]") -> None:
    delays = [queue.retry("a") for _ in range(12)]
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == 60
    queue.succeeded("a")
    assert queue.retry("a") == 0.2
    assert queue.retry("b") == 0.2


def test_clear_forgets_everything(queue: "WorkQueue[str]", clock: FakeClock) -> None:
    queue.add("a")
    queue.add_after("b", 1)
    queue.clear()
    clock.advance(dt.timedelta(seconds=5))
    assert drain(queue) == []


def test_the_slowest_worker_shows(queue: "WorkQueue[str]", clock: FakeClock) -> None:
    queue.add("a")
    queue.try_get()
    clock.advance(dt.timedelta(seconds=7))
    assert queue.longest_busy() == 7


@in_virtual_time
async def test_workers_wake_for_news_and_for_appointments() -> None:
    queue: WorkQueue[str] = WorkQueue(monotonic)
    seen: list[str] = []

    async def worker() -> None:
        while True:
            key = await queue.get()
            seen.append(key)
            queue.done(key)

    workers = [asyncio.create_task(worker()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add_after("later", 10)
    queue.add_after("soon", 2)
    for i in range(5):
        queue.add(f"now-{i}")
    await asyncio.sleep(1.9)
    assert sorted(seen) == [f"now-{i}" for i in range(5)]
    await asyncio.sleep(8)
    assert seen[5:] == ["soon"]
    await asyncio.sleep(0.2)
    assert seen[6:] == ["later"]
    for task in workers:
        task.cancel()


@in_virtual_time
async def test_one_key_is_never_worked_on_twice_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue(monotonic)
    at_work: set[str] = set()
    done = 0

    async def worker() -> None:
        nonlocal done
        while True:
            key = await queue.get()
            assert key not in at_work
            at_work.add(key)
            await asyncio.sleep(0.001)
            at_work.discard(key)
            done += 1
            queue.done(key)

    workers = [asyncio.create_task(worker()) for _ in range(8)]
    for _ in range(20):
        for name in "abc":
            queue.add(name)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in workers)
    assert done >= 20
    for task in workers:
        task.cancel()
