"""Knows which objects are to be reconciled, and when: client-go's work queue for asyncio.

A key is handed to one worker at a time; added while it is worked on, it comes once more afterwards.
Of several delays the earliest wins. Tenants take turns: whoever adds a thousand keys delays their
own, and everybody else's by one. Made by `assemble`, emptied by `worker` (and by the tests'
World, without waiting). It must know nothing of objects.
"""

import asyncio
import heapq
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 60.0


class WorkQueue(Generic[K]):
    """Holds keys. It is not thread-safe: everything happens in one event loop."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        tenant: Callable[[K], Hashable] = lambda key: None,
    ) -> None:
        self._monotonic, self._jitter, self._tenant = monotonic, jitter, tenant
        # By tenant, the one whose turn it is first: key -> since when.
        self._ready: OrderedDict[Hashable, OrderedDict[K, float]] = OrderedDict()
        self._busy: dict[K, float] = {}
        self._again: set[K] = set()  # added while busy
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._failures: dict[K, int] = {}
        self._getters: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return sum(map(len, self._ready.values()))

    def add(self, key: K) -> None:
        """Queue a key for the next free worker."""
        if key in self._busy:
            self._again.add(key)
            return
        ready = self._ready.setdefault(self._tenant(key), OrderedDict())
        if key not in ready:
            ready[key] = self._monotonic()
            self._notify()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key in a while; an earlier appointment stands."""
        if seconds <= 0:
            self.add(key)
            return
        when = self._monotonic() + seconds
        if when < self._due.get(key, float("inf")):
            self._due[key] = when
            self._count += 1
            heapq.heappush(self._heap, (when, self._count, key))
            self._notify()

    def retry(self, key: K) -> float:
        """Queue a key after a delay, which doubles with each failure in a row; return the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(_FIRST_DELAY * 2.0 ** min(failures, 30), _LONGEST_DELAY)
        delay *= 0.75 + 0.5 * self._jitter()
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Count the failures of a key in a row."""
        return self._failures.get(key, 0)

    def try_get(self) -> K | None:
        """Return the next key that is ready now, or None. Call `done` with it afterwards."""
        self._release_due()
        if not self._ready:
            return None
        tenant, ready = next(iter(self._ready.items()))
        key, _ = ready.popitem(last=False)
        self._ready.move_to_end(tenant)
        if not ready:
            del self._ready[tenant]
        self._busy[key] = self._monotonic()
        return key

    async def get(self) -> K:
        """Wait for the next key. Call `done` with it afterwards."""
        while True:
            key = self.try_get()
            if key is not None:
                if self._ready:
                    self._notify()
                return key
            await self._wait()

    def done(self, key: K) -> None:
        """Let a key be handed out again: its worker has finished."""
        self._busy.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def next_due(self) -> float | None:
        """Return the seconds until the next appointment (for tests and metrics)."""
        return min(self._due.values()) - self._monotonic() if self._due else None

    def longest_busy(self) -> float:
        """Return for how long the slowest worker has been at its key."""
        return max((self._monotonic() - since for since in self._busy.values()), default=0.0)

    def longest_wait(self) -> float:
        """Return for how long the first ready key has waited."""
        first = (next(iter(ready.values())) for ready in self._ready.values())
        return max((self._monotonic() - since for since in first), default=0.0)

    def clear(self) -> None:
        """Forget everything, because this instance does not lead any more."""
        for known in (self._ready, self._busy, self._again, self._due, self._heap, self._failures):
            known.clear()

    def _release_due(self) -> None:
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.add(future)
        try:
            timeout = max(self._heap[0][0] - self._monotonic(), 0.001) if self._heap else None
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            pass
        finally:
            self._getters.discard(future)

    def _notify(self) -> None:
        """Wake one idle worker, which wakes the next one."""
        while self._getters:
            future = self._getters.pop()
            if not future.done():
                future.set_result(None)
                return
