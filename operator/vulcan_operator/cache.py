"""What the operator knows of the cluster: one store per kind, with the indexes that decisions need.

Filled by `intake` (watch events, own writes, lists), read by `kube.observe` and the metrics. No I/O and no rules about
who is to be woken.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.kube.views import MODELS, Unparsable
from vulcan_operator.plan.actions import Key, Kind
from vulcan_operator.plan.seen import JobSeen, PodSeen, Sibling, TaskSeen, Waiter

T = TypeVar("T")
Place = tuple[str, str]  # namespace, name
_TOMBSTONES = 2000


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One object; `version` is its resourceVersion as a number (they only grow within one etcd)."""

    uid: str
    version: int
    value: T


class Store(Generic[T]):
    """Objects of one kind by namespace and name, and by one index."""

    def __init__(self, index: Callable[[T], Hashable] | None = None) -> None:
        self._entries: dict[Place, Entry[T]] = {}
        self._index = index
        self._by: dict[Hashable, dict[Place, T]] = {}
        self._dead: dict[str, None] = {}  # uids seen deleted: a late answer to a write must not bring them back
        self.listed_at = 0
        self.newest = 0  # the highest version ever seen

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, place: Place) -> T | None:
        """The object, or None."""
        entry = self._entries.get(place)
        return entry.value if entry else None

    def version(self, place: Place) -> int:
        """Its resourceVersion, 0 when absent."""
        entry = self._entries.get(place)
        return entry.version if entry else 0

    def values(self) -> Iterator[T]:
        """All objects."""
        return (entry.value for entry in self._entries.values())

    def places(self) -> list[Place]:
        """Where all objects are."""
        return list(self._entries)

    def by(self, value: Hashable) -> tuple[T, ...]:
        """All objects whose index is this."""
        return tuple(self._by.get(value, {}).values())

    def is_news(self, place: Place, uid: str, version: int) -> bool:
        """Whether this version would change anything (asked before the object is parsed)."""
        entry = self._entries.get(place)
        return uid not in self._dead and (entry is None or version > entry.version)

    def put(self, place: Place, entry: Entry[T]) -> T | None:
        """Store it, whatever was there; returns what was there."""
        before = self.drop(place)
        self._entries[place] = entry
        self._dead.pop(entry.uid, None)
        self.newest = max(self.newest, entry.version)
        if self._index is not None:
            self._by.setdefault(self._index(entry.value), {})[place] = entry.value
        return before

    def drop(self, place: Place) -> T | None:
        """Forget it; returns what was there."""
        entry = self._entries.pop(place, None)
        if entry is None:
            return None
        if self._index is not None:
            key = self._index(entry.value)
            group = self._by[key]
            group.pop(place, None)
            if not group:
                del self._by[key]
        return entry.value

    def bury(self, place: Place, uid: str) -> T | None:
        """A deletion was seen: drop it, unless another object has the name by now."""
        self._dead[uid] = None
        if len(self._dead) > _TOMBSTONES:
            del self._dead[next(iter(self._dead))]
        entry = self._entries.get(place)
        return self.drop(place) if entry is not None and entry.uid == uid else None

    def absent(self, listed: set[Place], version: int) -> list[Place]:
        """After a complete list of that version: what is not there any more.

        What is newer than the list came after it. When versions went backwards (a restored etcd), nothing is newer.
        """
        backwards = version < self.listed_at
        self.listed_at = version
        self.newest = max(self.newest, version)
        return [
            place for place, entry in self._entries.items()
            if place not in listed and (backwards or entry.version <= version)
        ]  # fmt: skip


Gateway = VulcanGateway | Unparsable
Environment = VulcanEnvironment | Unparsable
Promotion = VulcanPromotion | Unparsable


class Crowd:
    """The environments of one gateway as others see them, and who waits for its writer slot. Kept up to date, because
    making it anew for each look at each of a thousand environments would cost more than everything else."""

    def __init__(self) -> None:
        self._records: dict[Place, Sibling] = {}
        self._waiting: dict[Key, Waiter] = {}
        self._hands: dict[Key, tuple[TaskSeen, ...]] = {}  # what promotions have in hand here
        self._all: tuple[Sibling, ...] | None = None
        self._positions: dict[Place, int] = {}
        self._line: tuple[Waiter, ...] | None = None

    def note(self, place: Place, record: Sibling | None) -> None:
        """An environment came, changed or went."""
        if record is None:
            self._records.pop(place, None)
        else:
            self._records[place] = record
        self._all = None

    def waits(self, key: Key, waiter: Waiter | None) -> None:
        """An object joined or left the line."""
        if waiter is None and key not in self._waiting:
            return
        if waiter is None:
            del self._waiting[key]
        else:
            self._waiting[key] = waiter
        self._line = None

    def holds(self, key: Key, tasks: tuple[TaskSeen, ...]) -> None:
        """What a promotion has in hand here."""
        if tasks:
            self._hands[key] = tasks
        else:
            self._hands.pop(key, None)

    def intends(self, job: str) -> bool:
        """Whether a status of an environment or promotion names this Job as a task in hand."""
        if any(record.task_job == job for record in self.all()):
            return True
        return any(task.job == job for tasks in self._hands.values() for task in tasks)

    def tasks(self) -> tuple[TaskSeen, ...]:
        """What environments and promotions have in hand here."""
        own = (
            TaskSeen(s.key, s.uid, s.task_kind, s.task_job, s.task_state, s.task_priority, s.task_since)
            for s in self.all()
            if s.task_job and s.task_since is not None
        )
        return (*own, *(task for tasks in self._hands.values() for task in tasks))

    def all(self) -> tuple[Sibling, ...]:
        """All environments."""
        if self._all is None:
            self._all = tuple(self._records.values())
            self._positions = {place: i for i, place in enumerate(self._records)}
        return self._all

    def others(self, place: Place) -> tuple[Sibling, ...]:
        """All but one."""
        everybody, at = self.all(), self._positions.get(place)
        return everybody if at is None else everybody[:at] + everybody[at + 1 :]

    def line(self) -> tuple[Waiter, ...]:
        """Who waits, the first in line first."""
        if self._line is None:
            self._line = tuple(sorted(self._waiting.values(), key=lambda w: (w.priority, w.since, w.key)))
        return self._line


class Cache:
    """All stores."""

    def __init__(self) -> None:
        self.gateways: Store[Gateway] = Store()
        self.environments: Store[Environment] = Store(gateway_of)
        self.promotions: Store[Promotion] = Store(target_of)
        self.jobs: Store[JobSeen] = Store(lambda job: job.owner_uid)
        self.pods: Store[PodSeen] = Store(lambda pod: pod.owner_uid)
        self._crowds: dict[Place, Crowd] = {}

    def custom(self, key: Key) -> Gateway | Environment | Promotion | None:
        """One of our objects."""
        match key.kind:
            case Kind.GATEWAY:
                return self.gateways.get((key.namespace, key.name))
            case Kind.ENVIRONMENT:
                return self.environments.get((key.namespace, key.name))
            case Kind.PROMOTION:
                return self.promotions.get((key.namespace, key.name))

    def all_keys(self) -> list[Key]:
        """All our objects, gateways first."""
        stores = (
            (Kind.GATEWAY, self.gateways.places()),
            (Kind.ENVIRONMENT, self.environments.places()),
            (Kind.PROMOTION, self.promotions.places()),
        )
        return [Key(kind, *place) for kind, places in stores for place in places]

    def all_gateways(self) -> list[VulcanGateway]:
        """All that can be read."""
        return [g for g in self.gateways.values() if isinstance(g, VulcanGateway)]

    def all_environments(self) -> list[VulcanEnvironment]:
        """All that can be read."""
        return [e for e in self.environments.values() if isinstance(e, VulcanEnvironment)]

    def all_promotions(self) -> list[VulcanPromotion]:
        """All that can be read."""
        return [p for p in self.promotions.values() if isinstance(p, VulcanPromotion)]

    def promotions_to(self, target: Place) -> list[VulcanPromotion]:
        """All to an environment that can be read."""
        return [p for p in self.promotions.by(target) if isinstance(p, VulcanPromotion)]

    def crowd(self, gateway: Place) -> Crowd:
        """The environments of a gateway."""
        return self._crowds.setdefault(gateway, Crowd())

    def waiters(self, gateway: Place) -> tuple[Waiter, ...]:
        """Who waits for the gateway's writer slot, the first in line first."""
        return self.crowd(gateway).line()

    def intends(self, gateway: Place, job: str) -> bool:
        """Whether a status names this Job as the task in hand."""
        found = self.gateways.get(gateway)
        if isinstance(found, VulcanGateway) and found.status.task is not None and found.status.task.job == job:
            return True
        if isinstance(found, Unparsable) and (found.status.get("task") or {}).get("job") == job:
            return True
        return self.crowd(gateway).intends(job)


def key_of(found: VulcanGateway | VulcanEnvironment | VulcanPromotion) -> Key:
    """The key of a parsed object."""
    kind = next(kind for kind, model in MODELS.items() if isinstance(found, model))
    return Key(kind, found.metadata.namespace, found.metadata.name)


def target_of(promotion: Promotion) -> Place:
    """Where the environment is that a promotion changes."""
    if isinstance(promotion, Unparsable):
        return ("", "")
    reference = promotion.spec.to.environment_ref
    return (reference.namespace or promotion.metadata.namespace, reference.name)


def source_of(promotion: Promotion) -> Place:
    """Where the environment is that a promotion takes its revision from; nowhere for a way back."""
    if isinstance(promotion, Unparsable) or promotion.spec.from_ is None:
        return ("", "")
    reference = promotion.spec.from_.environment_ref
    return (reference.namespace or promotion.metadata.namespace, reference.name)


def gateway_of(environment: Environment) -> Place:
    """Where an environment's gateway is."""
    if isinstance(environment, Unparsable):
        return ("", "")
    reference = environment.spec.gateway_ref
    return (reference.namespace or environment.metadata.namespace, reference.name)


def sibling_of(environment: VulcanEnvironment) -> Sibling:
    """What others need to know of an environment."""
    status = environment.status
    contacts = [t for t in (status.plan and status.plan.time, status.applied and status.applied.time) if t]
    if status.last_run is not None and status.last_run.succeeded:
        contacts.append(status.last_run.time)
    failures = [f for f in (status.failure, status.run_failure) if f is not None]
    failed = max(failures, key=lambda f: f.time, default=None)
    refused = any(c.type == Type.READY and c.reason == Why.NOT_GRANTED for c in status.conditions)
    return Sibling(
        key=key_of(environment), uid=environment.metadata.uid, created=environment.metadata.creation_timestamp,
        environment=environment.sqlmesh_environment, protected=status.protected, applied=status.applied is not None,
        deleting=environment.metadata.deletion_timestamp is not None,
        refused=refused, failed_reason=failed.reason if failed else "", failed_at=failed.time if failed else None,
        contact=max(contacts, default=None),
        task_job=status.task.job if status.task else "", task_kind=status.task.kind if status.task else "",
        task_state=status.task.state if status.task else "", task_since=status.task.since if status.task else None,
        task_priority=status.task.priority if status.task else 0,
    )  # fmt: skip


def waiter_of(found: VulcanGateway | VulcanEnvironment) -> Waiter | None:
    """Its place in the line for the writer slot."""
    task = found.status.task
    if task is None or task.state != "Waiting":
        return None
    if found.metadata.deletion_timestamp is not None and task.kind != TaskKind.INVALIDATE:
        return None
    return Waiter(key_of(found), task.priority, task.since)


def hands_of(promotion: Promotion | None) -> dict[Place, tuple[TaskSeen, ...]]:
    """Its tasks in hand, by the gateway that they run on."""
    if not isinstance(promotion, VulcanPromotion):
        return {}
    found: dict[Place, tuple[TaskSeen, ...]] = {}
    for t in promotion.status.tasks:
        seen = TaskSeen(key_of(promotion), promotion.metadata.uid, t.kind, t.job, t.state, t.priority, t.since)
        found[t.place] = (*found.get(t.place, ()), seen)
    return found


def waits_of(promotion: Promotion | None, tasks: tuple[TaskSeen, ...]) -> Waiter | None:
    """A promotion's place in the line of one gateway."""
    waiting = next((task for task in tasks if task.state == "Waiting"), None)
    if promotion is None or waiting is None or promotion.metadata.deletion_timestamp is not None:
        return None
    return Waiter(waiting.key, waiting.priority, waiting.since)
