"""The running operator: starts, stops, leads whenever the elector says so, judges its health.

Made by `cli`, fed by `handlers`. `assemble` wires its parts; what a leader does is in `term`.
"""

import asyncio
import logging
from typing import Any

from vulcan_operator import metrics
from vulcan_operator.assemble import assemble
from vulcan_operator.config import Config
from vulcan_operator.health import HealthServer
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.leader import Elector, LeaseSettings
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.reconcile.reconcile import Planners
from vulcan_operator.term import Term

_log = logging.getLogger(__name__)


class Operator:
    """Runs one instance. `start` comes first, then events, then `stop`."""

    def __init__(self, config: Config, kube: HttpKube, planners: Planners, cluster: str) -> None:
        self._config, clock = config, Clock()
        lease = LeaseSettings(
            config.namespace, config.lease_name, config.identity,
            config.lease_duration, config.renew_deadline, config.retry_period,
        )  # fmt: skip
        self.elector = Elector(kube.unfenced(min(3.0, config.write_timeout)), clock, lease)
        kube.fence = self.elector.holds
        settings = Settings(config.install, cluster, config.runner_image, config.account)
        leads = self.elector.leading.is_set
        self.parts = assemble(kube, clock, settings, config.identity, leads, planners=planners)
        self._tasks: list[asyncio.Task[None]] = []
        self.stopped = asyncio.Event()

    def observe_event(self, resource: Resource, raw: Raw, *, deleted: bool = False) -> None:
        """Take in a watch event."""
        metrics.EVENTS_SEEN.labels(resource.plural).inc()
        self.parts.ports.intake.event(resource, raw, deleted=deleted)

    async def start(self) -> None:
        """Start the tasks that run as long as the process does. Call this before Kopf starts."""
        for work in (self.elector.run(), self._lead(), self._warm_up()):
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """End the workers first, then release the Lease: after that another instance may begin."""
        tasks, self._tasks = self._tasks, []
        try:
            await _end(tasks)
        finally:
            await self.elector.release()
            self.stopped.set()

    def add_checks(self, health: HealthServer) -> None:
        """Let the server ask why this instance may be unhealthy or not ready."""
        health.live += [self._dead_task, self._stuck, self._stale]
        health.ready.append(self._unlisted)
        health.before_metrics = self._set_gauges

    async def _warm_up(self) -> None:
        """Fill a standby's cache; an instance that leads at once has listed everything by then."""
        await asyncio.sleep(self._config.retry_period)
        await self.parts.resync.warm_up()

    async def _lead(self) -> None:
        """Be leader whenever the elector says so, and stop being it as soon as it says that."""
        term_of_office = Term(self.parts, self._config.workers, self._config.resync_interval)
        while True:
            await self.elector.leading.wait()
            metrics.LEADER.set(1)
            term = asyncio.create_task(term_of_office.run())
            lost = asyncio.create_task(self.elector.standing_by.wait())
            try:
                await asyncio.wait((term, lost), return_when=asyncio.FIRST_COMPLETED)
                broken = not lost.done()
            finally:
                await _end([term, lost])
                self.parts.queue.clear()
                metrics.LEADER.set(0)
            if broken:
                _log.error("the term ended without the loss of the Lease; a new one begins")
                await asyncio.sleep(self._config.retry_period)

    def _unlisted(self) -> str | None:
        return "the first list is not complete" if self.parts.resync.age is None else None

    def _dead_task(self) -> str | None:
        dead = [t for t in self._tasks if t.done() and (t.cancelled() or t.exception() is not None)]
        return "a task of the operator has ended" if dead else None

    def _stuck(self) -> str | None:
        busy = self.parts.queue.longest_busy()
        if busy <= self._config.stuck_after:
            return None
        return f"a worker has been at one object for {busy:.0f} s"

    def _stale(self) -> str | None:
        age = self.parts.resync.age
        if not self.elector.leading.is_set() or age is None:
            return None
        limit = 2 * self._config.resync_interval + 60
        return f"the last complete list is {age:.0f} s old" if age > limit else None

    def _set_gauges(self) -> None:
        metrics.QUEUE_DEPTH.set(len(self.parts.queue))
        metrics.QUEUE_WAIT.set(self.parts.queue.longest_wait())
        metrics.PRUNED.set(len(self.parts.ports.schema.dropped))


async def _end(tasks: list[asyncio.Task[None]] | list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            _log.error("a task of the operator ended: %s", outcome, exc_info=outcome)
