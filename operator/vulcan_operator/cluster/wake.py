"""The one way into the cache: watch events, answers to own writes, lists; and who is to be looked at for it.

Called by `handlers` (events), `reconcile.execute` and `reconcile` (answers), `loop` (lists). Wakes keys through a callback;
decides nothing about objects.
"""

import dataclasses
from collections.abc import Callable, Iterable

from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.facts import (
    Environment,
    Gateway,
    Promotion,
    ending_of,
    face_of,
    gateway_of,
    hands_of,
    noted_of,
    promotable_of,
    record_of,
    source_of,
    target_of,
    waiter_of,
    waits_of,
)
from vulcan_operator.cluster.store import Entry, Place, Store
from vulcan_operator.kube import resources
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen, Sibling

Wake = Callable[[Key], None]
REFERENCE = "prod"  # the environment that others branch from
KINDS = frozenset(kind.value for kind in Kind)


def _ignore(found: JobSeen | VulcanEnvironment | VulcanPromotion) -> None:
    """Default of the callbacks."""


@dataclasses.dataclass
class Intake:
    """Puts what it is told into the cache and wakes whom it concerns."""

    cache: Cache
    install: str
    wake: Wake
    orphan: Callable[[JobSeen], None] = _ignore  # a Job whose owner is not known
    finished: Callable[[JobSeen], None] = _ignore  # a Job was seen to end
    ended: Callable[[VulcanEnvironment | VulcanPromotion], None] = _ignore  # one that is gone for ever

    def event(self, resource: Resource, raw: Raw, *, deleted: bool = False) -> None:
        """Something was seen. Old news is dropped before it is parsed."""
        meta = raw["metadata"]
        place = (meta["namespace"], meta["name"])
        if deleted:
            self._gone(resource, place, self._store(resource).bury(place, meta["uid"]))
            return
        version = _number(meta.get("resourceVersion", ""))
        if self._is_ours(meta) and self._store(resource).is_news(place, meta["uid"], version):
            self._came(resource, place, meta["uid"], version, raw)

    def live(self, resource: Resource, raw: Raw) -> None:
        """What a live read answered after a conflict: it is right whatever the cache has. After etcd was put back the
        cache is from a future that never came, where everything that is true has a lower version or was deleted."""
        meta = raw["metadata"]
        if self._is_ours(meta):
            version = _number(meta.get("resourceVersion", ""))
            self._came(resource, (meta["namespace"], meta["name"]), meta["uid"], version, raw)

    def listed(self, resource: Resource, places: set[Place], version: str) -> int:
        """A complete list ended: forget what it did not have. Returns how many."""
        store = self._store(resource)
        gone = store.absent(places, _number(version))
        for place in gone:
            self._gone(resource, place, store.drop(place))
        return len(gone)

    def newest(self, resource: Resource) -> int:
        """The highest version ever seen of a kind."""
        return self._store(resource).newest

    def missing(self, resource: Resource, places: Iterable[Place]) -> None:
        """A live read answered that these do not exist; the reader knows, so nobody is woken."""
        for place in places:
            self._store(resource).drop(place)

    def _store(
        self, resource: Resource
    ) -> "Store[Gateway] | Store[Environment] | Store[Promotion] | Store[JobSeen] | Store[PodSeen]":
        match resource:
            case resources.GATEWAYS:
                return self.cache.gateways
            case resources.ENVIRONMENTS:
                return self.cache.environments
            case resources.PROMOTIONS:
                return self.cache.promotions
            case resources.JOBS:
                return self.cache.jobs
            case resources.PODS:
                return self.cache.pods
        raise ValueError(f"{resource.plural} are not cached")

    def _is_ours(self, meta: Raw) -> bool:
        """Objects of users have no such label; what operators make has one."""
        return bool(meta.get("labels", {}).get(names.INSTALL, self.install) == self.install)

    def _came(self, resource: Resource, place: Place, uid: str, version: int, raw: Raw) -> None:
        match resource:
            case resources.JOBS:
                job = views.job(raw)
                self._job(job, self.cache.jobs.put(place, Entry(uid, version, job)))
            case resources.PODS:
                pod = views.pod(raw)
                if pod != self.cache.pods.put(place, Entry(uid, version, pod)):
                    self._wake_owner(pod.owner_uid, pod.job, pod.namespace)
            case resources.GATEWAYS:
                gateway = views.custom(Kind.GATEWAY, raw)
                assert not isinstance(gateway, (VulcanEnvironment, VulcanPromotion))
                self._gateway(place, self.cache.gateways.put(place, Entry(uid, version, gateway)), gateway)
            case resources.PROMOTIONS:
                promotion = views.custom(Kind.PROMOTION, raw)
                assert not isinstance(promotion, (VulcanGateway, VulcanEnvironment))
                self._promotion(place, self.cache.promotions.put(place, Entry(uid, version, promotion)), promotion)
            case resources.ENVIRONMENTS:
                found = views.custom(Kind.ENVIRONMENT, raw)
                assert not isinstance(found, (VulcanGateway, VulcanPromotion))
                self._environment(place, self.cache.environments.put(place, Entry(uid, version, found)), found)

    def _gone(
        self, resource: Resource, place: Place, before: Gateway | Environment | Promotion | JobSeen | PodSeen | None
    ) -> None:
        if before is None:
            return
        if isinstance(before, JobSeen):
            self._wake_owner(before.owner_uid, before.name, before.namespace)
        elif isinstance(before, PodSeen):
            self._wake_owner(before.owner_uid, before.job, before.namespace)
        elif resource is resources.GATEWAYS:
            assert not isinstance(before, (VulcanEnvironment, VulcanPromotion))
            self._gateway(place, before, None)
        elif resource is resources.PROMOTIONS:
            assert not isinstance(before, (VulcanGateway, VulcanEnvironment))
            self._promotion(place, before, None)
        else:
            assert not isinstance(before, (VulcanGateway, VulcanPromotion))
            self._environment(place, before, None)

    def _job(self, job: JobSeen, before: JobSeen | None) -> None:
        if job.state is not JobState.UNFINISHED and before is not None and before.state is JobState.UNFINISHED:
            self.finished(job)
        if job != before and not self._wake_owner(job.owner_uid, job.name, job.namespace):
            self.orphan(job)

    def _wake_owner(self, uid: str, job: str, namespace: str) -> bool:
        """By the Job's labels; of a pod whose Job is gone by its uid."""
        known = self.cache.jobs.get((namespace, job))
        key = _owner(known) if known is not None else self._owner_by_uid(uid)
        found = self.cache.custom(key) if key is not None else None
        if key is None or found is None or found.metadata.uid != uid:
            return False
        self.wake(key)
        return True

    def _owner_by_uid(self, uid: str) -> Key | None:
        for key in self.cache.all_keys():
            found = self.cache.custom(key)
            if found is not None and found.metadata.uid == uid:
                return key
        return None

    def _gateway(self, place: Place, before: Gateway | None, after: Gateway | None) -> None:
        key = Key(Kind.GATEWAY, *place)
        self.cache.crowd(place).waits(key, waiter_of(after) if isinstance(after, VulcanGateway) else None)
        self.wake(key)
        if face_of(before) != face_of(after):
            for environment in self.cache.environments.by(place):
                self.wake(_environment_key(environment))
            for promotion in self.cache.promotions.values():
                if place in map(self._home, (source_of(promotion), target_of(promotion))):
                    self.wake(_promotion_key(promotion))

    def _home(self, environment: Place) -> Place | None:
        """The gateway of an environment."""
        found = self.cache.environments.get(environment)
        return gateway_of(found) if found is not None else None

    def _environment(self, place: Place, before: Environment | None, after: Environment | None) -> None:
        key = Key(Kind.ENVIRONMENT, *place)
        self.wake(key)
        if isinstance(before, VulcanEnvironment) and (after is None or after.metadata.uid != before.metadata.uid):
            self.ended(before)
        was, is_ = record_of(before), record_of(after)
        for gateway in {gateway_of(e) for e in (before, after) if e is not None}:
            here = after if after is not None and gateway_of(after) == gateway else None
            crowd = self.cache.crowd(gateway)
            crowd.note(place, is_ if here is not None else None)
            crowd.waits(key, waiter_of(here) if isinstance(here, VulcanEnvironment) else None)
            if was != is_:
                self._tell_gateway(gateway, key, was, is_)
        if promotable_of(before) != promotable_of(after):
            for promotion in self.cache.promotions.values():
                if place in (source_of(promotion), target_of(promotion)):
                    self.wake(_promotion_key(promotion))
        elif noted_of(before) != noted_of(after):
            for promotion in self.cache.promotions.by(place):
                if promotion.metadata.finalizers:  # which waits for just that
                    self.wake(_promotion_key(promotion))

    def _promotion(self, place: Place, before: Promotion | None, after: Promotion | None) -> None:
        """It is looked at, and when it ends (or waits) its target and who queues behind it, too."""
        key = Key(Kind.PROMOTION, *place)
        self.wake(key)
        if isinstance(before, VulcanPromotion) and (after is None or after.metadata.uid != before.metadata.uid):
            self.ended(before)
        was, is_ = hands_of(before), hands_of(after)
        for gateway in {*was, *is_}:
            here, crowd = is_.get(gateway, ()), self.cache.crowd(gateway)
            crowd.waits(key, waits_of(after, here))
            crowd.holds(key, here)
            if was.get(gateway, ()) != here:
                self.wake(Key(Kind.GATEWAY, *gateway))
            if {task.job for task in was.get(gateway, ())} - {task.job for task in here}:
                self.wake_first_waiter(gateway, key)
        for target in {target_of(p) for p in (before, after) if p is not None}:
            if ending_of(before) != ending_of(after):
                self.wake(Key(Kind.ENVIRONMENT, *target))
                for other in self.cache.promotions.by(target):
                    self.wake(_promotion_key(other))

    def _tell_gateway(self, gateway: Place, key: Key, was: Sibling | None, is_: Sibling | None) -> None:
        """The gateway looks at all of it; other environments at who has their name, and whether prod is there."""
        self.wake(Key(Kind.GATEWAY, *gateway))
        came_or_went = was is None or is_ is None or was.uid != is_.uid or _claim(was) != _claim(is_)
        prod_changed = any(r is not None and r.environment == REFERENCE for r in (was, is_)) and (
            came_or_went or was is None or is_ is None or was.applied != is_.applied
        )
        if came_or_went or prod_changed:
            names_ = {r.environment for r in (was, is_) if r is not None}
            for other in self.cache.crowd(gateway).all():
                if other.environment in names_ or ((is_ is None or prod_changed) and _waits(other)):
                    self.wake(other.key)
        if was is not None and was.task_job and was.task_job != (is_.task_job if is_ else ""):
            self.wake_first_waiter(gateway, key)

    def wake_first_waiter(self, gateway: Place, but: Key | None) -> None:
        """The writer slot may be free: the first in line is to look."""
        for waiter in self.cache.waiters(gateway):
            if waiter.key != but:
                self.wake(waiter.key)
                return


def _promotion_key(promotion: Promotion) -> Key:
    return Key(Kind.PROMOTION, promotion.metadata.namespace, promotion.metadata.name)


def _claim(sibling: Sibling) -> tuple[bool, bool]:
    return sibling.deleting, sibling.refused


def _waits(sibling: Sibling) -> bool:
    return not sibling.applied or bool(sibling.failed_reason)


def _environment_key(environment: Environment) -> Key:
    return Key(Kind.ENVIRONMENT, environment.metadata.namespace, environment.metadata.name)


def _owner(job: JobSeen) -> Key | None:
    if job.owner_kind not in KINDS:
        return None
    return Key(Kind(job.owner_kind), job.owner_namespace, job.owner_name)


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
