"""Stores the objects of one kind as they were last seen, by namespace and name and by indexes.

Used by `cache`, filled by `cluster.wake`. Knows versions and deletions, but not what objects mean.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Place = tuple[str, str]  # namespace, name
_TOMBSTONES = 2000


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """Holds one object; `version`, its resourceVersion as a number, only grows within one etcd."""

    uid: str
    version: int
    value: T


class Store(Generic[T]):
    """Stores objects of one kind by namespace and name, and by indexes."""

    def __init__(self, indexes: Mapping[str, Callable[[T], Hashable]] | None = None) -> None:
        self._entries: dict[Place, Entry[T]] = {}
        self._indexes = dict(indexes or {})
        self._by: dict[tuple[str, Hashable], dict[Place, T]] = {}
        self._dead: dict[str, None] = {}  # uids seen deleted, against late answers to writes
        self.listed_at = 0
        self.newest = 0  # the highest version ever seen

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, place: Place) -> T | None:
        """Return an object, or None."""
        entry = self._entries.get(place)
        return entry.value if entry else None

    def version(self, place: Place) -> int:
        """Return the resourceVersion of an object; 0 if it is absent."""
        entry = self._entries.get(place)
        return entry.version if entry else 0

    def values(self) -> Iterator[T]:
        """Return all objects."""
        return (entry.value for entry in self._entries.values())

    def places(self) -> list[Place]:
        """Return the places of all objects."""
        return list(self._entries)

    def by(self, index: str, value: Hashable) -> tuple[T, ...]:
        """Return the objects that an index has under this value."""
        return tuple(self._by.get((index, value), {}).values())

    def places_by(self, index: str, value: Hashable) -> tuple[Place, ...]:
        """Return the places of the objects that an index has under this value."""
        return tuple(self._by.get((index, value), {}))

    def is_news(self, place: Place, uid: str, version: int) -> bool:
        """Return whether this version is new; asked before the object is parsed."""
        entry = self._entries.get(place)
        return uid not in self._dead and (entry is None or version > entry.version)

    def put(self, place: Place, entry: Entry[T]) -> T | None:
        """Store an object, and return the one that was there."""
        before = self.drop(place)
        self._entries[place] = entry
        self._dead.pop(entry.uid, None)
        self.newest = max(self.newest, entry.version)
        for name, index in self._indexes.items():
            self._by.setdefault((name, index(entry.value)), {})[place] = entry.value
        return before

    def drop(self, place: Place) -> T | None:
        """Forget an object, and return it."""
        entry = self._entries.pop(place, None)
        if entry is None:
            return None
        for name, index in self._indexes.items():
            key = (name, index(entry.value))
            group = self._by[key]
            group.pop(place, None)
            if not group:
                del self._by[key]
        return entry.value

    def bury(self, place: Place, uid: str) -> T | None:
        """Drop an object whose deletion was seen, unless another one has the name by now."""
        self._dead[uid] = None
        if len(self._dead) > _TOMBSTONES:
            del self._dead[next(iter(self._dead))]
        entry = self._entries.get(place)
        return self.drop(place) if entry is not None and entry.uid == uid else None

    def absent(self, listed: set[Place], version: int) -> list[Place]:
        """Return the places of objects that a complete list of that version did not contain.

        What is newer was created after it; after versions went backwards (etcd restored), none.
        """
        backwards = version < self.listed_at
        self.listed_at = version
        self.newest = max(self.newest, version)
        return [
            place for place, entry in self._entries.items()
            if place not in listed and (backwards or entry.version <= version)
        ]  # fmt: skip
