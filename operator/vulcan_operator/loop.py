"""The running operator: cache, queue and workers; what happens on becoming leader and on losing it.

Made by `cli`, fed by `handlers`. Decides nothing about objects: see `reconcile` and the planners.
"""

import asyncio
import datetime as dt
import itertools
import logging
from collections.abc import Coroutine
from typing import Any

from vulcan_operator import logs, metrics
from vulcan_operator.api import names
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.collect import Collector
from vulcan_operator.config import Config
from vulcan_operator.guard import Guard
from vulcan_operator.health import HealthServer
from vulcan_operator.kube import errors, resources
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.events import Recorder
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.leader import Elector, Terms
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobSeen, Settings
from vulcan_operator.reconcile.execute import Executor
from vulcan_operator.reconcile.observe import Observer
from vulcan_operator.reconcile.reads import Reader
from vulcan_operator.reconcile.reconcile import Next, Planners, Ports, reconcile
from vulcan_operator.reconcile.schema import StatusSchema
from vulcan_operator.work_queue import WorkQueue

_log = logging.getLogger(__name__)
_LABELLED = (resources.JOBS, resources.PODS)
SELECTOR = f"{names.MANAGED}=true"
_ids = itertools.count(1)


class Operator:
    """One instance. `start`, then events, then `stop`."""

    def __init__(
        self, config: Config, kube: HttpKube, planners: Planners, cluster: str, clock: Clock | None = None
    ) -> None:
        self._config, self._kube, self._clock = config, kube, clock or Clock()
        terms = Terms(
            config.namespace, config.lease_name, config.identity, config.lease_duration, config.renew_deadline,
            config.retry_period,
        )  # fmt: skip
        self.elector = Elector(kube.unfenced(min(3.0, config.write_timeout)), self._clock, terms)
        kube.fence = self.elector.holds
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(self._clock.monotonic)
        self.collector = Collector(kube, self.cache, self._clock, lambda: self.intake, config.install)
        self.guard = Guard(kube, self.cache, config.account, self._wake_environments)
        self.intake = Intake(
            self.cache, config.install, self._wake, self._orphan, metrics.job_finished, self.collector.inherit
        )
        self._ports = self._make_ports(planners, cluster)
        self._tasks: list[asyncio.Task[None]] = []
        self._resynced_at: float | None = None
        self._syncing = asyncio.Lock()
        self.stopped = asyncio.Event()
        self.overtaken = False

    def _make_ports(self, planners: Planners, cluster: str) -> Ports:
        config, kube = self._config, self._kube
        settings = Settings(config.install, cluster, config.runner_image, config.account)
        return Ports(
            kube=kube, cache=self.cache, intake=self.intake, clock=self._clock, planners=planners,
            reader=Reader(kube, self.cache, self.intake, self._clock),
            observer=Observer(self.cache, settings, lambda: self.guard.unguarded),
            executor=Executor(kube, self.cache, self.intake, self._clock), schema=StatusSchema(),
            recorder=Recorder(kube, self._clock, config.identity), noted=metrics.noted,
        )  # fmt: skip

    def now(self) -> dt.datetime:
        """The operator's clock."""
        return self._clock.now()

    def seen(self, resource: Resource, raw: Raw, *, deleted: bool = False) -> None:
        """A watch event."""
        metrics.EVENTS_SEEN.labels(resource.plural).inc()
        self.intake.event(resource, raw, deleted=deleted)

    async def start(self) -> None:
        """Start the tasks that run for the whole life of the process. Call before Kopf starts."""
        for work in (self.elector.run(), self._rule(), self._sync_later()):
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Workers first, then the Lease: after that another instance may begin."""
        tasks, self._tasks = self._tasks, []
        try:
            await _end(tasks)
        finally:
            await self.elector.release()
            self.stopped.set()

    def add_checks(self, health: HealthServer) -> None:
        """Why this instance may be unhealthy or not ready."""
        health.live += [self._dead_task, self._stuck, self._stale]
        health.ready.append(lambda: None if self._resynced_at is not None else "the first list is not complete")
        health.before_metrics = self._gauges

    async def resync(self) -> None:
        """List everything: watches lose deletions over an outage, and a new leader must not act on old news."""
        drift = 0
        for resource in resources.WATCHED:
            drift += await self._list(resource)
        await self._ports.schema.read(self._kube)
        first, self._resynced_at = self._resynced_at is None, self._clock.monotonic()
        metrics.RESYNCS.labels("ok").inc()
        metrics.RESYNC_TIME.set_to_current_time()
        if not first:
            metrics.DRIFT.inc(drift)

    async def _list(self, resource: Resource) -> int:
        places, version, newest = set(), "", self.intake.newest(resource)
        async for page in self._kube.pages(resource, labels=SELECTOR if resource in _LABELLED else ""):
            self._check_time(page.version, newest)
            for raw in page.items:
                places.add((raw["metadata"]["namespace"], raw["metadata"]["name"]))
                self.intake.event(resource, raw)
            version = page.version
        return self.intake.listed(resource, places, version)

    def _check_time(self, listed: str, newest: int) -> None:
        """A list that is older than what was seen before it: etcd was put back. Our cache and watches are from a future
        that never came and would ignore everything until then, so this process ends; the next one lists anew."""
        if listed.isdigit() and int(listed) < newest:
            self.overtaken = True
            self.stopped.set()
            raise errors.KubeError(f"etcd was put back from version {newest} to {listed}: this process ends")

    async def _sync_later(self) -> None:
        """A standby is warm, too; an instance that leads at once has listed everything by then."""
        await asyncio.sleep(self._config.retry_period)
        async with self._syncing:
            if self._resynced_at is None:
                await self._resync_until_done()

    async def _resync_until_done(self) -> None:
        while True:
            try:
                return await self.resync()
            except errors.KubeError as error:
                metrics.RESYNCS.labels("error").inc()
                _log.warning("resync: %s", error.message)
                await asyncio.sleep(2)

    async def _rule(self) -> None:
        """Be leader whenever the elector says so, and stop being it at once when it says that."""
        while True:
            await self.elector.leading.wait()
            metrics.LEADER.set(1)
            term = asyncio.create_task(self._term())
            lost = asyncio.create_task(self.elector.standing_by.wait())
            try:
                await asyncio.wait((term, lost), return_when=asyncio.FIRST_COMPLETED)
                broken = not lost.done()
            finally:
                await _end([term, lost])
                self.queue.clear()
                metrics.LEADER.set(0)
            if broken:
                _log.error("the term ended without the loss of the Lease; a new one begins")
                await asyncio.sleep(self._config.retry_period)

    async def _term(self) -> None:
        """One time in office."""
        async with self._syncing:
            await self._resync_until_done()
        for key in self.cache.all_keys():
            self.queue.add(key)
        self.collector.look()
        work: list[Coroutine[Any, Any, None]] = [self._worker() for _ in range(self._config.workers)]
        work += [self._ports.recorder.run(), self.collector.run(), self.guard.run(), self._resync_regularly()]
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)

    async def _resync_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._config.resync_interval)
            await self._resync_until_done()
            self.collector.look()
            for key in self.cache.all_keys():
                self.queue.add(key)

    async def _worker(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._look_at(key)
            finally:
                self.queue.done(key)

    async def _look_at(self, key: Key) -> None:
        began, result = self._clock.monotonic(), "ok"
        with logs.bind(object=str(key), kind=key.kind.value, reconcile=str(next(_ids))):
            try:
                after = await reconcile(self._ports, key)
                schedule(self.queue, key, after, self._clock)
                result = "retry" if after.retry else result
            except errors.NotLeader as error:
                _log.info("%s", error)
                result = "not-leader"
            except errors.KubeError as error:
                _log.warning("%s; again in %.1f s", error.message, self.queue.retry(key))
                result = "error"
            except Exception:  # noqa: BLE001 - the edge of the process: a bug in one object's pass must not end the others'
                _log.exception("bug; again in %.1f s", self.queue.retry(key))
                result = "bug"
        metrics.reconciled(key, result, self._clock.monotonic() - began)

    def _wake(self, key: Key) -> None:
        if not self.elector.leading.is_set():
            return  # a standby only keeps its cache; the new leader looks at everything
        self.queue.add(key)
        if key.kind is Kind.ENVIRONMENT:
            self.guard.poke()

    def _orphan(self, job: JobSeen) -> None:
        self.collector.look()

    def _wake_environments(self) -> None:
        for key in self.cache.all_keys():
            if key.kind is Kind.ENVIRONMENT:
                self._wake(key)

    def _dead_task(self) -> str | None:
        dead = [t for t in self._tasks if t.done() and (t.cancelled() or t.exception() is not None)]
        return "a task of the operator has ended" if dead else None

    def _stuck(self) -> str | None:
        busy = self.queue.longest_busy()
        return f"a worker has been at one object for {busy:.0f} s" if busy > self._config.stuck_after else None

    def _stale(self) -> str | None:
        if not self.elector.leading.is_set() or self._resynced_at is None:
            return None
        age = self._clock.monotonic() - self._resynced_at
        limit = 2 * self._config.resync_interval + 60
        return f"the last complete list is {age:.0f} s old" if age > limit else None

    def _gauges(self) -> None:
        metrics.QUEUE_DEPTH.set(len(self.queue))
        metrics.QUEUE_WAIT.set(self.queue.longest_wait())
        metrics.PRUNED.set(len(self._ports.schema.dropped))


def schedule(queue: WorkQueue[Key], key: Key, after: Next, clock: Clock) -> None:
    """Put what reconcile said into the queue."""
    if after.retry:
        _log.info("%s; again in %.1f s", after.retry, queue.retry(key))
        return
    if after.now:
        # At once the first time; when it goes on, others write the object all the time.
        if queue.failures(key) == 0:
            queue.add(key)
        queue.retry(key)
        return
    queue.succeeded(key)
    if after.at is not None:
        queue.add_after(key, (after.at - clock.now()).total_seconds())


async def _end(tasks: list[asyncio.Task[None]] | list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            _log.error("a task of the operator ended: %s", outcome, exc_info=outcome)
