"""Holds what goes on at one gateway: claims, contacts and tasks of its objects, the writer queue.

Kept up to date by `wake`, because collecting it for each pass over each of a thousand environments
would cost more than everything else. Read through `cache`.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from vulcan_operator.plan.core.actions import Key
from vulcan_operator.plan.core.facts import Claim, Claims, Contact, TaskFacts
from vulcan_operator.plan.core.seen import Waiter

V = TypeVar("V")
R = TypeVar("R")


class _Kept(Generic[V, R]):
    """Holds values by object, and what is computed from all of them when it is asked for."""

    def __init__(self, make: Callable[[dict[Key, V]], R]) -> None:
        self.values: dict[Key, V] = {}
        self._make = make
        self._made: R | None = None

    def put(self, key: Key, value: V | None) -> bool:
        """Set the value of an object, or remove it (None). Return whether that changes anything."""
        if self.values.get(key) == value:
            return False
        if value is None:
            del self.values[key]
        else:
            self.values[key] = value
        self._made = None
        return True

    def all(self) -> R:
        """Return what is computed from all values."""
        if self._made is None:
            self._made = self._make(self.values)
        return self._made


class GatewayIndex:
    """Holds what goes on at one gateway."""

    def __init__(self) -> None:
        self.claims: _Kept[Claim, Claims] = _Kept(lambda v: Claims.of(v.values()))
        self.contacts: _Kept[Contact, tuple[Contact, ...]] = _Kept(lambda v: tuple(v.values()))
        self.waiting: _Kept[Waiter, tuple[Waiter, ...]] = _Kept(
            lambda v: tuple(sorted(v.values(), key=lambda w: (w.priority, w.since, w.key)))
        )
        self.tasks: _Kept[tuple[TaskFacts, ...], tuple[TaskFacts, ...]] = _Kept(
            lambda v: tuple(task for tasks in v.values() for task in tasks)
        )

    def intends(self, job: str) -> bool:
        """Return whether a status names this Job as a current task here."""
        return any(task.job == job for task in self.tasks.all())
