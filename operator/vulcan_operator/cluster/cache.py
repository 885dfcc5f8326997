"""What the operator knows of the cluster: one store per kind, with the indexes that decisions need.

Filled by `cluster.wake` (watch events, own writes, lists), read by `reconcile.observe` and the
metrics. No I/O and no rules about who is to be woken.
"""

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.facts import Custom, Environment, Gateway, Promotion, gateway_of, source_of, target_of
from vulcan_operator.cluster.store import Place, Store
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobSeen, PodSeen, Sibling, TaskSeen, Waiter


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

    def environment(self, place: Place) -> VulcanEnvironment | None:
        """One that can be read."""
        found = self.environments.get(place)
        return found if isinstance(found, VulcanEnvironment) else None

    def gateway(self, place: Place) -> VulcanGateway | None:
        """One that can be read."""
        found = self.gateways.get(place)
        return found if isinstance(found, VulcanGateway) else None

    def home(self, found: Custom) -> Place:
        """The gateway an object belongs to; its Jobs are in that namespace. A promotion's is that of its target."""
        if isinstance(found, VulcanPromotion):
            target = self.environments.get(target_of(found))
            known = found.status.target.gateway.partition("/") if found.status.target is not None else ("", "", "")
            return gateway_of(target) if target is not None else (known[0], known[2])
        if isinstance(found, VulcanEnvironment):
            return gateway_of(found)
        return (found.metadata.namespace, found.metadata.name)

    def jobs_of(self, found: Custom) -> tuple[JobSeen, ...]:
        """An object's Jobs."""
        places = self._namespaces(found)
        return tuple(j for j in self.jobs.by(found.metadata.uid) if j.namespace in places)

    def pods_of(self, found: Custom) -> tuple[PodSeen, ...]:
        """Their pods, by the owner's uid, which is on every pod: it is in the Job's template."""
        places = self._namespaces(found)
        return tuple(p for p in self.pods.by(found.metadata.uid) if p.namespace in places)

    def _namespaces(self, found: Custom) -> set[str]:
        """Where its Jobs may be: with its gateway, and with that of what a promotion comes from."""
        places = {self.home(found)[0]}
        if isinstance(found, VulcanPromotion):
            source = self.environment(source_of(found))
            places |= {gateway_of(source)[0]} if source is not None else set()
            places |= {task.place[0] for task in found.status.tasks}
        return places

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
