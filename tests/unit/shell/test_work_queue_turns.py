"""Tenants take turns: nobody's keys wait for all of somebody else's."""

from tests.fakes import FakeClock
from vulcan_operator.work_queue import WorkQueue


def queue() -> "WorkQueue[str]":
    return WorkQueue(FakeClock().monotonic, lambda: 0.5, lambda key: key.partition("/")[0])


def drain(queue: "WorkQueue[str]") -> list[str]:
    out = []
    while (key := queue.try_get()) is not None:
        out.append(key)
        queue.done(key)
    return out


def test_a_tenant_with_many_keys_delays_another_by_one() -> None:
    turns = queue()
    for number in range(1000):
        turns.add(f"many/{number}")
    turns.add("few/0")
    turns.add("few/1")
    assert len(turns) == 1002
    assert drain(turns)[:5] == ["many/0", "few/0", "many/1", "few/1", "many/2"]


def test_who_comes_again_and_again_waits_for_the_others() -> None:
    turns = queue()
    for key in ("a/0", "a/1", "b/0"):
        turns.add(key)
    assert turns.try_get() == "a/0"
    turns.done("a/0")
    turns.add("a/0")
    assert drain(turns) == ["b/0", "a/1", "a/0"]


def test_one_tenant_keeps_its_order() -> None:
    turns = queue()
    for key in ("a/2", "a/0", "a/1"):
        turns.add(key)
    assert drain(turns) == ["a/2", "a/0", "a/1"]
    assert turns.longest_wait() == 0.0
