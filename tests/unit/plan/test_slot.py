"""Whose turn it is to write."""

import datetime as dt
from dataclasses import replace

import pytest

from tests.builders import NOW
from tests.unit.plan.seen_objects import facts
from vulcan_contract.task import TaskKind
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import SlotSeen, Waiter
from vulcan_operator.plan.tasks import slot
from vulcan_operator.plan.tasks.slot import Priority

FREE = SlotSeen()


def waiter(name: str, priority: Priority = Priority.OTHER, minutes: float = 0) -> Waiter:
    """Somebody who has waited so long."""
    return Waiter(
        Key(Kind.ENVIRONMENT, "data", name), priority, NOW - dt.timedelta(minutes=minutes)
    )


ME = waiter("me")


@pytest.mark.parametrize(
    ("me", "others", "seen", "mine"),
    [
        pytest.param(ME, [], FREE, True, id="nobody else"),
        pytest.param(ME, [], SlotSeen("j"), True, id="it is mine already"),
        pytest.param(ME, [waiter("a", Priority.ROLLBACK)], SlotSeen("j", live=True), True, id="mine, whoever waits"),
        pytest.param(ME, [], SlotSeen("x", live=True), False, id="a live holder"),
        pytest.param(ME, [], SlotSeen("x"), True, id="a dead holder"),
        pytest.param(ME, [waiter("a", Priority.PROTECTED_APPLY)], FREE, False, id="a higher class waits"),
        pytest.param(ME, [waiter("a", Priority.PREVIEW)], FREE, True, id="a lower class waits"),
        pytest.param(ME, [waiter("a", minutes=1)], FREE, False, id="same class, longer"),
        pytest.param(waiter("me", minutes=2), [waiter("a", minutes=1)], FREE, True, id="same class, shorter"),
        pytest.param(ME, [waiter("a")], FREE, False, id="same moment: by name"),
        pytest.param(ME, [waiter("z")], FREE, True, id="same moment, later name"),
        pytest.param(ME, [waiter("a", Priority.PREVIEW, 9)], FREE, True, id="nine minutes raise nobody"),
        pytest.param(ME, [waiter("a", Priority.PREVIEW, 11)], FREE, False, id="ten minutes raise one class"),
        pytest.param(waiter("me", Priority.ROLLBACK), [waiter("a", Priority.PREVIEW, 9999)], FREE, True, id="not to 0"),
        pytest.param(ME, [waiter("me", Priority.ROLLBACK)], FREE, True, id="nobody waits for itself"),
    ],
)  # fmt: skip
def test_turns(me: Waiter, others: list[Waiter], seen: SlotSeen, mine: bool) -> None:
    assert slot.my_turn(me, tuple(others), seen, "j", NOW) == mine


def test_exactly_one_of_many_has_the_turn() -> None:
    many = [waiter(n, p, m) for n in "abc" for p in Priority for m in (0, 5, 25)]
    unique = {w.key: w for w in many}
    turns = [w for w in unique.values() if slot.my_turn(w, tuple(unique.values()), FREE, "j", NOW)]
    assert len(turns) == 1


def test_when_a_waiter_rises_above_a_holder() -> None:
    assert slot.rises_above(waiter("a", Priority.PROTECTED_RUN), Priority.OTHER) == NOW
    assert slot.rises_above(waiter("a"), Priority.OTHER) == NOW + dt.timedelta(minutes=10)
    assert slot.rises_above(
        waiter("a", Priority.PREVIEW), Priority.PROTECTED_APPLY
    ) == NOW + dt.timedelta(minutes=40)
    assert slot.rises_above(waiter("a"), Priority.PROTECTED_RUN) is None


@pytest.mark.parametrize(
    ("kind", "protected", "preview", "expected"),
    [
        (TaskKind.RUN, True, False, Priority.PROTECTED_RUN),
        (TaskKind.APPLY, True, True, Priority.PROTECTED_APPLY),
        (TaskKind.RUN, False, False, Priority.OTHER),
        (TaskKind.APPLY, False, True, Priority.PREVIEW),
    ],
)
def test_classes(kind: TaskKind, protected: bool, preview: bool, expected: Priority) -> None:
    assert slot.priority(kind, protected=protected, preview=preview) is expected


@pytest.mark.parametrize(
    ("kind", "engine", "needs"),
    [
        (TaskKind.APPLY, "postgres", True),
        (TaskKind.RUN, "postgres", True),
        (TaskKind.INVALIDATE, "postgres", True),
        (TaskKind.PLAN, "postgres", False),
        (TaskKind.PROBE, "postgres", False),
        (TaskKind.PLAN, "duckdb", True),
        (TaskKind.PROBE, "duckdb", True),
        (TaskKind.RESOLVE, "duckdb", False),
    ],
)
def test_who_needs_the_slot(kind: TaskKind, engine: str, needs: bool) -> None:
    assert slot.needs_slot(kind, facts(connection={"type": engine})) == needs


def test_the_first_probe_may_initialise_the_state_so_it_needs_the_slot() -> None:
    unknown = replace(facts(), state_identity=None)
    assert slot.needs_slot(TaskKind.PROBE, unknown)
