"""Lists everything that is watched, so that the cache has what the API server has and no more.

Watches lose deletions over an outage, and a new leader must not act on old news. Used by `term` (at
its start and regularly), by `loop` for a standby and by the tests' World. What was listed goes into
`cluster.wake`; no object is queued here, and nothing is decided about objects.
"""

import asyncio
import logging

from vulcan_operator import metrics
from vulcan_operator.api import names
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube import errors, resources
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import Resource
from vulcan_operator.reconcile.schema import StatusSchema

_log = logging.getLogger(__name__)
_PAUSE = 2.0
_LABELLED = (resources.JOBS, resources.PODS)
SELECTOR = f"{names.MANAGED}=true"
"""Jobs and pods that are watched and listed; of our own kinds it is all objects."""


class Resync:
    """Makes complete lists and knows when the last one was finished."""

    def __init__(self, kube: Kube, intake: Intake, schema: StatusSchema, clock: Clock) -> None:
        self._kube, self._intake, self._schema, self._clock = kube, intake, schema, clock
        self._done_at: float | None = None
        self._busy = asyncio.Lock()
        self.restored = asyncio.Event()
        """Set when etcd was restored from a backup: this process has to end."""

    @property
    def age(self) -> float | None:
        """How many seconds ago everything was listed; None before the first time."""
        return None if self._done_at is None else self._clock.monotonic() - self._done_at

    async def warm_up(self) -> None:
        """List everything unless that has been done before."""
        async with self._busy:
            if self._done_at is None:
                await self._retry()

    async def until_done(self) -> None:
        """List everything, and try again until the API server has answered all of it."""
        async with self._busy:
            await self._retry()

    async def once(self) -> None:
        """List everything and read the schemas. Raises errors.KubeError."""
        drift = 0
        for resource in resources.WATCHED:
            drift += await self._list(resource)
        await self._schema.read(self._kube)
        first, self._done_at = self._done_at is None, self._clock.monotonic()
        metrics.RESYNCS.labels("ok").inc()
        metrics.RESYNC_TIME.set_to_current_time()
        if not first:
            metrics.DRIFT.inc(drift)

    async def _retry(self) -> None:
        while True:
            try:
                return await self.once()
            except errors.KubeError as error:
                metrics.RESYNCS.labels("error").inc()
                _log.warning("resync: %s", error.message)
                await asyncio.sleep(_PAUSE)

    async def _list(self, resource: Resource) -> int:
        """List one kind and forget what is gone. Returns how many objects were."""
        places, version, newest = set(), "", self._intake.newest(resource)
        labels = SELECTOR if resource in _LABELLED else ""
        async for page in self._kube.pages(resource, labels=labels):
            self._require_newer(page.version, newest)
            for raw in page.items:
                places.add((raw["metadata"]["namespace"], raw["metadata"]["name"]))
                self._intake.event(resource, raw)
            version = page.version
        return self._intake.listed(resource, places, version)

    def _require_newer(self, listed: str, newest: int) -> None:
        """Refuse a list that is older than what was seen before it, which a restored etcd answers.

        Cache and watches are then from a future that never came and would ignore everything until
        it does, so this process ends; the next one lists everything.
        """
        if listed.isdigit() and int(listed) < newest:
            self.restored.set()
            problem = f"etcd was put back from version {newest} to {listed}: this process ends"
            raise errors.KubeError(problem)
