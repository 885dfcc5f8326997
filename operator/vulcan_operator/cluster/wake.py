"""Puts watch events, answers and lists into the cache, and wakes the objects that each concerns.

Called by `handlers` (events), `reconcile` (answers to writes and reads), `resync` (lists). An
object is woken when it changes itself, when one of its Jobs or pods does, and when facts that it
reads have changed: those of its gateway, of an environment or promotion that it refers to, and the
claims of others on its gateway. Decides nothing about objects.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vulcan_contract import REFERENCE
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import TaskState, TaskStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.kinds import BY_RESOURCE, KINDS
from vulcan_operator.cluster.places import (
    NOWHERE,
    Watched,
    gateway_of,
    place_of,
    taken_from,
    target_of,
)
from vulcan_operator.cluster.store import Entry, Place
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.kube import resources
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import Claim, Contact, TaskFacts
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen, Waiter
from vulcan_operator.plan.rules.access import has_quota
from vulcan_operator.plan.tasks import jobs

Wake = Callable[[Key], None]


def _ignore(found: Any) -> None:
    """Do nothing: the default of the callbacks."""


@dataclasses.dataclass
class Intake:
    """Puts observations into the cache and wakes the objects that they concern."""

    cache: Cache
    install: str
    wake: Wake
    orphan: Callable[[JobSeen], None] = _ignore  # a Job whose owner is not known
    finished: Callable[[JobSeen], None] = _ignore  # a Job was seen to end
    ended: Callable[[VulcanEnvironment | VulcanPromotion], None] = _ignore  # one is gone for good

    def event(
        self, resource: Resource, raw: Raw, *, deleted: bool = False, by: Key | None = None
    ) -> None:
        """Take in an observation, unless it is old; `by`, whose pass wrote it, is not woken."""
        meta, store = raw["metadata"], self.cache.store(resource)
        place = (meta["namespace"], meta["name"])
        if deleted:
            before = store.bury(place, meta["uid"])
            self._wake(self._changed(resource, place, before, None), by)
            return
        version = _number(meta.get("resourceVersion", ""))
        if self._is_ours(resource, meta) and store.is_news(place, meta["uid"], version):
            self._wake(self._put(resource, place, version, raw), by)

    def live(self, resource: Resource, raw: Raw) -> None:
        """Take in what a live read answered after a conflict: it is right whatever the cache has.

        After etcd was restored the cache is from a future that never came, where everything that is
        true has a lower version or was deleted.
        """
        meta = raw["metadata"]
        if self._is_ours(resource, meta):
            version = _number(meta.get("resourceVersion", ""))
            self._wake(self._put(resource, (meta["namespace"], meta["name"]), version, raw))

    def listed(self, resource: Resource, places: set[Place], version: str) -> int:
        """Forget the objects that a complete list did not contain. Return how many there were."""
        store = self.cache.store(resource)
        gone = store.absent(places, _number(version))
        for place in gone:
            self._wake(self._changed(resource, place, store.drop(place), None))
        return len(gone)

    def newest(self, resource: Resource) -> int:
        """Return the highest version ever seen of a kind."""
        return self.cache.store(resource).newest

    def missing(self, resource: Resource, places: Iterable[Place]) -> None:
        """Forget what a live read did not find. Nobody is woken: the object that reads knows."""
        for place in places:
            self.cache.store(resource).drop(place)

    def wake_first_waiter(self, gateway: Place, but: Key | None) -> None:
        """Wake the first in the queue, because the writer slot may be free."""
        self._wake(self._first_waiter(gateway, but))

    def _first_waiter(self, gateway: Place, but: Key | None) -> Iterator[Key]:
        others = (w.key for w in self.cache.waiters(gateway) if w.key != but)
        yield from itertools.islice(others, 1)

    def _wake(self, concerned: Iterable[Key], by: Key | None = None) -> None:
        """Wake the objects that a change concerns, except the one whose pass has made it."""
        for key in concerned:
            if key != by:
                self.wake(key)

    def _is_ours(self, resource: Resource, meta: Raw) -> bool:
        """Return whether it concerns this installation.

        The label selects Jobs and pods, which operators create. On objects of users it means
        nothing: whoever may label one could otherwise hide it from the operator.
        """
        if resource in BY_RESOURCE:
            return True
        return bool(meta.get("labels", {}).get(names.INSTALL, self.install) == self.install)

    def _put(self, resource: Resource, place: Place, version: int, raw: Raw) -> Iterator[Key]:
        after: Any
        if resource == resources.JOBS:
            after = views.job(raw)
        elif resource == resources.PODS:
            after = views.pod(raw)
        else:
            after = views.custom(BY_RESOURCE[resource], raw)
        entry = Entry(raw["metadata"]["uid"], version, after)
        before = self.cache.store(resource).put(place, entry)
        yield from self._changed(resource, place, before, after)

    def _changed(self, resource: Resource, place: Place, before: Any, after: Any) -> Iterator[Key]:
        """Take in a change, and yield the objects that it concerns."""
        if resource == resources.JOBS:
            yield from self._job(before, after)
        elif resource == resources.PODS:
            pod = after or before
            if _pod_facts(before) != _pod_facts(after):
                owner = self._owner_of(pod.owner_uid, pod.job, pod.namespace)
                yield from [owner] if owner is not None else []
        elif before is not None or after is not None:
            yield from self._custom(Key(BY_RESOURCE[resource], *place), before, after)

    def _job(self, before: JobSeen | None, after: JobSeen | None) -> Iterator[Key]:
        job = after or before
        if job is None or before == after:
            return
        was_open = before is not None and before.state is JobState.UNFINISHED
        owner = self._owner_of(job.owner_uid, job.name, job.namespace)
        if owner is not None:
            if was_open and after is not None and after.state is not JobState.UNFINISHED:
                self.finished(job)
            yield owner
        elif after is not None:
            self.orphan(job)

    def _owner_of(self, uid: str, job: str, namespace: str) -> Key | None:
        """Return the owner of a Job if it exists, by the Job's labels or else by uid.

        Anybody can give a Job these labels: it is one of the owner's only where those are.
        """
        known = self.cache.jobs.get((namespace, job))
        key = _owner(known) if known is not None else self._owner_by_uid(uid)
        found = self.cache.custom(key) if key is not None else None
        if found is None or found.metadata.uid != uid:
            return None
        return key if self.cache.may_have_jobs(found, namespace) else None

    def _owner_by_uid(self, uid: str) -> Key | None:
        for key in self.cache.all_keys():
            found = self.cache.custom(key)
            if found is not None and found.metadata.uid == uid:
                return key
        return None

    def _custom(self, key: Key, before: Watched | None, after: Watched | None) -> Iterator[Key]:
        """Take in that one of our objects was created, has changed or was deleted."""
        yield key
        goes = before is not None and (after is None or after.metadata.uid != before.metadata.uid)
        if goes and isinstance(before, VulcanEnvironment | VulcanPromotion):
            self.ended(before)
        known = self.cache.forget_facts(key)
        readers = dict.fromkeys((*self._readers(key, before), *self._readers(key, after)))
        if readers and self._facts_differ(key, known, before):
            yield from readers
        yield from self._at_gateways(key, before, after)

    def _facts_differ(self, key: Key, known: Any, before: Watched | None) -> bool:
        if known is None and before is not None and not isinstance(before, Unparsable):
            known = KINDS[key.kind].facts(before)
        return bool(known != self.cache.facts(key))

    def _readers(self, key: Key, found: Watched | None) -> Iterator[Key]:
        """Return the objects that read the facts of an object."""
        promotions, place = self.cache.customs[Kind.PROMOTION], place_of(key)
        if key.kind is Kind.GATEWAY:
            for environment in self.cache.customs[Kind.ENVIRONMENT].places_by("gateway", place):
                yield Key(Kind.ENVIRONMENT, *environment)
                yield from self._promotions(environment)
            if found is not None and (former := taken_from(found)) not in (NOWHERE, place):
                yield Key(Kind.GATEWAY, *former)
        elif key.kind is Kind.ENVIRONMENT:
            yield from self._promotions(place)
        elif isinstance(found, VulcanPromotion):
            target = target_of(found)
            yield Key(Kind.ENVIRONMENT, *target)
            for index in ("target", "source"):
                others = promotions.places_by(index, target)
                yield from (_promotion(other) for other in others if other != place)

    def _promotions(self, environment: Place) -> Iterator[Key]:
        """Return the promotions from and to an environment that still read it.

        One that has ended does while it has a finalizer: it waits for the environment's history.
        """
        store = self.cache.customs[Kind.PROMOTION]
        for index in ("source", "target"):
            for place in store.places_by(index, environment):
                found = store.get(place)
                if found is not None and (_goes_on(found) or found.metadata.finalizers):
                    yield _promotion(place)

    def _at_gateways(
        self, key: Key, before: Watched | None, after: Watched | None
    ) -> Iterator[Key]:
        """Update an object's share of what goes on at gateways: claim, contact, tasks, turn."""
        was, is_ = tasks_of(key, before), tasks_of(key, after)
        homes = [gateway_of(e) for e in (before, after) if isinstance(e, VulcanEnvironment)]
        for gateway in dict.fromkeys((*was, *is_, *homes)):
            index, tasks = self.cache.at_gateway(gateway), is_.get(gateway, ())
            claim = contact = None
            if isinstance(after, VulcanEnvironment) and gateway_of(after) == gateway:
                claim, contact = Claim.of(after), Contact.of(after)
            yield from self._claims(gateway, key, claim)
            news = [index.contacts.put(key, contact)]
            index.waiting.put(key, _waiter(after, tasks))
            if key.kind is not Kind.GATEWAY:  # its own task is in its own status
                news.append(index.tasks.put(key, tasks or None))
                if any(news):
                    yield Key(Kind.GATEWAY, *gateway)
            if {t.job for t in was.get(gateway, ())} - {t.job for t in tasks}:
                yield from self._first_waiter(gateway, key)

    def _claims(self, gateway: Place, key: Key, after: Claim | None) -> Iterator[Key]:
        """Update a claim, and wake those who read it: for their name, for prod, or for quotas."""
        # Not those who may not use the gateway: a thousand of them would wake each other.
        index = self.cache.at_gateway(gateway)
        before = index.claims.values.get(key)
        if not index.claims.put(key, after):
            return
        both = [claim for claim in (before, after) if claim is not None]
        claims = index.claims.all()
        shares = [(c.environment, c.protected, c.judged, c.refused) for c in both]
        if len(set(shares)) != 1 or len(both) == 1:
            yield Key(Kind.GATEWAY, *gateway)
        named = (c for name in {b.environment for b in both} for c in claims.named(name))
        concerned = {c.key for c in named if not c.refused}
        grants = self.cache.gateway(gateway)
        if before is None or after is None or before.refused != after.refused:
            limited = grants is not None and has_quota(grants.spec.grants)
            concerned |= {c.key for c in claims.all() if limited and not c.refused}
        if any(claim.environment == REFERENCE for claim in both):
            every = (c for c in claims.all() if not c.refused)
            concerned |= {c.key for c in every if not c.applied or _has_failed(self.cache, c.key)}
        yield from sorted(concerned - {key})


def tasks_of(key: Key, found: Watched | None) -> dict[Place, tuple[TaskFacts, ...]]:
    """Return the current tasks of an object, by the gateway that they run on."""
    if found is None or isinstance(found, Unparsable):
        return {}
    home = place_of(key) if key.kind is Kind.GATEWAY else gateway_of(found)
    tasks: Iterable[TaskStatus]
    if isinstance(found, VulcanPromotion):
        tasks = found.status.tasks
    else:
        tasks = [found.status.task] if found.status.task is not None else []
    out: dict[Place, tuple[TaskFacts, ...]] = {}
    for t in tasks:
        facts = TaskFacts(key, found.metadata.uid, t.kind, t.job, t.state, t.priority, t.since)
        place = t.place if t.gateway else home
        out[place] = (*out.get(place, ()), facts)
    return out


def _waiter(found: Watched | None, tasks: tuple[TaskFacts, ...]) -> Waiter | None:
    """Return an object's place in the queue of one gateway.

    An object that is being deleted only waits for tasks that must be completed.
    """
    waiting = next((task for task in tasks if task.state == TaskState.WAITING), None)
    if found is None or waiting is None:
        return None
    if found.metadata.deletion_timestamp is not None:
        if isinstance(found, VulcanPromotion) and not TaskKind(waiting.kind).writes:
            return None
        if not isinstance(found, VulcanPromotion) and waiting.kind != TaskKind.INVALIDATE:
            return None
    return Waiter(waiting.key, waiting.priority, waiting.since)


def _pod_facts(pod: PodSeen | None) -> Any:
    """Return what planners read of a pod that changes; one on its way to its start is no news."""
    return jobs.pod_facts(pod) if pod is not None else jobs.NO_POD


def _goes_on(promotion: Watched) -> bool:
    return not isinstance(promotion, VulcanPromotion) or promotion.status.outcome is None


def _has_failed(cache: Cache, key: Key) -> bool:
    found = cache.environment(place_of(key))
    return found is not None and bool(found.status.failure or found.status.run_failure)


def _promotion(place: Place) -> Key:
    return Key(Kind.PROMOTION, *place)


def _owner(job: JobSeen) -> Key | None:
    if job.owner_kind not in frozenset(Kind):
        return None
    return Key(Kind(job.owner_kind), job.owner_namespace, job.owner_name)


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
