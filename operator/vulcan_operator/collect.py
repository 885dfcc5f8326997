"""Collects Jobs whose owner is gone.

Jobs have no ownerReferences, because a foreground delete would kill a running apply.

Run by `term`, after a resync and when a Job names an unknown owner. An orphan is a Job of our
install whose owner a live GET answers with 404 or another uid, twice, a minute apart. Readers are
deleted; writers run to their end first, then their slot is freed. Anybody who may create Jobs may
give them our labels, so a Job costs two GETs and one DELETE at most, and a namespace where this
account may not delete is left alone for an hour. Copies of a project or of SodaCL
files in another namespace's gateway have no owner there that the garbage collector knows: they go
with the object that they were made for, too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from vulcan_contract.tasks import TaskKind
from vulcan_operator import metrics
from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.kinds import KINDS
from vulcan_operator.cluster.places import gateway_of
from vulcan_operator.cluster.store import Place
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube, exists
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import CONFIG_MAPS, JOBS
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobSeen, JobState
from vulcan_operator.plan.tasks import checks, retention
from vulcan_operator.reconcile import slots

_log = logging.getLogger(__name__)
APART = 60.0
_CLOSED = 3600.0  # how long Jobs stay alone where this account may not delete them
_MOST_COPIES = 1000
_KNOWN = frozenset(k.value for k in TaskKind)
_READERS = frozenset(k.value for k in TaskKind if not k.traits.ends_by_itself)


def _copies_of(found: VulcanEnvironment | VulcanPromotion) -> Iterator[Place]:
    if isinstance(found, VulcanEnvironment):
        for name in retention.copy_names(found, found.status):
            yield gateway_of(found)[0], name
        return
    for task in found.status.tasks:  # one that may have more copies has a finalizer
        if task.kind == TaskKind.CHECKS:
            yield task.place[0], checks.copy_name(found.metadata, task.inputs)


class Collector:
    """Looks for orphans whenever it is told to; `wake` queues who may take a slot that it freed."""

    def __init__(
        self, kube: Kube, cache: Cache, clock: Clock, wake: Callable[[Key], None], install: str
    ) -> None:  # fmt: skip
        self._kube, self._cache, self._clock = kube, cache, clock
        self._wake, self._install = wake, install
        self._suspects: dict[str, float] = {}  # Job uid -> when its owner was first found gone
        self._closed: dict[str, float] = {}  # namespace -> when a DELETE was refused there
        self._copies: dict[Place, str] = {}  # place of a ConfigMap -> uid of the owner that is gone
        self._news = asyncio.Event()

    def look(self) -> None:
        """Look for orphans soon."""
        self._news.set()

    def suspect(self, job: JobSeen) -> None:
        """Look for orphans, because this Job's owner is unknown."""
        self.look()

    def inherit(self, found: VulcanEnvironment | VulcanPromotion) -> None:
        """Take over what an object that is gone has left where no garbage collector sees it."""
        for namespace, name in _copies_of(found):
            if namespace != found.metadata.namespace:
                self._copies[namespace, name] = found.metadata.uid
        while len(self._copies) > _MOST_COPIES:  # of a standby: the leader has deleted the oldest
            del self._copies[next(iter(self._copies))]
        self._news.set()

    async def run(self) -> None:
        """Sweep until cancelled: when told to, and again a minute after a first finding.

        It begins with what was left behind while no instance led.
        """
        await self._find_copies()
        while True:
            waits = [at + APART - self._clock.monotonic() for at in self._suspects.values()]
            due = [wait for wait in waits if wait > 0]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(due) + 0.1 if due else None)
            self._news.clear()
            try:
                await self.sweep()
            except (errors.KubeError, errors.NotLeader) as error:
                _log.warning("orphaned Jobs were not collected: %s", error)
                await asyncio.sleep(10)
                self._news.set()

    async def sweep(self) -> None:
        """Check all Jobs without a known owner once."""
        now = self._clock.monotonic()
        self._closed = {space: at for space, at in self._closed.items() if now - at < _CLOSED}
        orphans = [job for job in self._cache.jobs.values() if self._is_orphan(job)]
        for uid in self._suspects.keys() - {job.uid for job in orphans}:
            del self._suspects[uid]
        for job in orphans:
            first = self._suspects.get(job.uid)
            if job.namespace in self._closed or (
                first is not None and not self._may_go(job, first)
            ):
                continue
            if await self._owner_exists(job):
                self._suspects.pop(job.uid, None)
            elif first is None:
                self._suspects[job.uid] = now
            else:
                await self._collect(job)
        await self._clear_copies()

    async def _find_copies(self) -> None:
        """Find copies whose owner is gone, in the namespaces of all gateways."""
        owners = (self._cache.custom(key) for key in self._cache.all_keys())
        known = {owner.metadata.uid for owner in owners if owner is not None}
        ours = f"{names.MANAGED}=true,{names.INSTALL}={self._install}"
        for namespace in sorted({g.metadata.namespace for g in self._cache.all_gateways()}):
            with contextlib.suppress(errors.KubeError, errors.NotLeader):
                async for page in self._kube.pages(CONFIG_MAPS, namespace, ours):
                    for raw in page.items:
                        uid = raw["metadata"]["labels"].get(names.OWNER_UID, "")
                        if uid not in known:
                            self._copies[namespace, raw["metadata"]["name"]] = uid
        if self._copies:
            self._news.set()

    async def _clear_copies(self) -> None:
        """Delete the copies that no unfinished Job may still mount."""
        jobs = self._cache.jobs.values()
        used = {job.owner_uid for job in jobs if job.state is JobState.UNFINISHED}
        for place in [place for place, uid in self._copies.items() if uid not in used]:
            with contextlib.suppress(errors.NotFound, errors.Forbidden):
                await self._kube.delete(CONFIG_MAPS, *place)
            self._copies.pop(place, None)

    def _is_orphan(self, job: JobSeen) -> bool:
        ours = job.install == self._install and job.task in _KNOWN
        return ours and not self._owner_known(job)

    def _may_go(self, job: JobSeen, first: float) -> bool:
        """Return whether it is time; the end of a writer is an event and brings us here again."""
        ends_first = job.task not in _READERS and job.state is JobState.UNFINISHED
        return self._clock.monotonic() - first >= APART and not ends_first

    def _owner_known(self, job: JobSeen) -> bool:
        if job.owner_kind not in frozenset(Kind):
            return False
        found = self._cache.custom(Key(Kind(job.owner_kind), job.owner_namespace, job.owner_name))
        return found is not None and found.metadata.uid == job.owner_uid

    async def _owner_exists(self, job: JobSeen) -> bool:
        if job.owner_kind not in frozenset(Kind):
            return False
        kind = KINDS[Kind(job.owner_kind)].resource
        raw = await exists(self._kube, kind, job.owner_namespace, job.owner_name)
        return raw is not None and raw["metadata"]["uid"] == job.owner_uid

    async def _collect(self, job: JobSeen) -> None:
        what, owner = f"{job.namespace}/{job.name}", f"{job.owner_kind} {job.owner_name}"
        _log.info("collecting Job %s: its owner %s is gone", what, owner)
        try:
            await slots.release(self._kube, self._clock, job.namespace, job.gateway, job.name)
            await self._kube.delete(JOBS, job.namespace, job.name, job.uid)
        except (errors.NotFound, errors.Conflict):
            pass
        except errors.Forbidden as error:
            _log.warning("orphaned Jobs in %s stay: %s", job.namespace, error.message)
            self._closed[job.namespace] = self._clock.monotonic()
            return
        metrics.ORPHANS.inc()
        for waiter in self._cache.waiters((job.namespace, job.gateway))[:1]:
            self._wake(waiter.key)
