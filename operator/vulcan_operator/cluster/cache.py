"""Holds what the operator knows of the cluster: a store per kind of object, and the facts of each.

Filled by `wake` (watch events, own writes, lists), read by `reconcile.observe`, `collect`, `guard`
and the metrics. Does no I/O and has no rules about who is to be woken.
"""

from collections.abc import Iterable
from typing import Any, cast

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.gateway_index import GatewayIndex
from vulcan_operator.cluster.kinds import KINDS
from vulcan_operator.cluster.places import (
    Custom,
    Watched,
    gateway_of,
    place_of,
    source_of,
    target_of,
)
from vulcan_operator.cluster.store import Place, Store
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.kube import resources
from vulcan_operator.kube.resources import Resource
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts, PromotionFacts
from vulcan_operator.plan.core.seen import JobSeen, PodSeen, Waiter


class Cache:
    """Holds all stores, facts and what goes on at gateways."""

    def __init__(self) -> None:
        self.customs: dict[Kind, Store[Watched]] = {k: Store(s.indexes) for k, s in KINDS.items()}
        self.jobs: Store[JobSeen] = Store({"owner": lambda job: job.owner_uid})
        self.pods: Store[PodSeen] = Store({"owner": lambda pod: pod.owner_uid})
        self._stores: dict[Resource, Store[Any]] = {
            resources.JOBS: self.jobs,
            resources.PODS: self.pods,
            **{spec.resource: self.customs[kind] for kind, spec in KINDS.items()},
        }
        self._gateway_indexes: dict[Place, GatewayIndex] = {}
        self._facts: dict[Key, Any] = {}

    def store(self, resource: Resource) -> Store[Any]:
        """Return the store of a watched resource."""
        return self._stores[resource]

    def custom(self, key: Key) -> Watched | None:
        """Return one of our objects, or None."""
        return self.customs[key.kind].get(place_of(key))

    def all_keys(self) -> list[Key]:
        """Return the keys of all our objects, gateways first."""
        return [Key(kind, *place) for kind, s in self.customs.items() for place in s.places()]

    def facts(self, key: Key) -> Any:
        """Return the facts of an object; None if it does not exist or could not be parsed."""
        if key not in self._facts:
            found = self.custom(key)
            if found is None or isinstance(found, Unparsable):
                return None
            self._facts[key] = KINDS[key.kind].facts(found)
        return self._facts[key]

    def forget_facts(self, key: Key) -> Any:
        """Drop the facts of an object that changes. Return them if they had been computed."""
        return self._facts.pop(key, None)

    def gateway_facts(self, place: Place) -> GatewayFacts | None:
        """Return the facts of a gateway."""
        return cast("GatewayFacts | None", self.facts(Key(Kind.GATEWAY, *place)))

    def environment_facts(self, place: Place) -> EnvironmentFacts | None:
        """Return the facts of an environment."""
        return cast("EnvironmentFacts | None", self.facts(Key(Kind.ENVIRONMENT, *place)))

    def promotion_facts(self, index: str, environment: Place) -> tuple[PromotionFacts, ...]:
        """Return the facts of the promotions with the environment as `index` (source or target)."""
        places = self.customs[Kind.PROMOTION].places_by(index, environment)
        found = (self.facts(Key(Kind.PROMOTION, *place)) for place in places)
        return tuple(facts for facts in found if facts is not None)

    def all_gateways(self) -> list[VulcanGateway]:
        """Return all gateways that could be parsed."""
        return _readable(self.customs[Kind.GATEWAY].values(), VulcanGateway)

    def all_environments(self) -> list[VulcanEnvironment]:
        """Return all environments that could be parsed."""
        return _readable(self.customs[Kind.ENVIRONMENT].values(), VulcanEnvironment)

    def all_promotions(self) -> list[VulcanPromotion]:
        """Return all promotions that could be parsed."""
        return _readable(self.customs[Kind.PROMOTION].values(), VulcanPromotion)

    def environment(self, place: Place) -> VulcanEnvironment | None:
        """Return an environment; None if it does not exist or could not be parsed."""
        found = self.customs[Kind.ENVIRONMENT].get(place)
        return found if isinstance(found, VulcanEnvironment) else None

    def gateway(self, place: Place) -> VulcanGateway | None:
        """Return a gateway; None if it does not exist or could not be parsed."""
        found = self.customs[Kind.GATEWAY].get(place)
        return found if isinstance(found, VulcanGateway) else None

    def home(self, found: Custom) -> Place:
        """Return the gateway where an object's Jobs are; for a promotion that of its target."""
        if isinstance(found, VulcanGateway):
            return (found.metadata.namespace, found.metadata.name)
        if not isinstance(found, VulcanPromotion):
            return gateway_of(found)
        target = self.environment(target_of(found))
        if target is not None or found.status.target is None:
            return gateway_of(target)
        namespace, _, name = found.status.target.gateway.partition("/")
        return (namespace, name)

    def jobs_of(self, found: Custom) -> tuple[JobSeen, ...]:
        """Return the Jobs of an object."""
        places = self._namespaces(found)
        return tuple(j for j in self.jobs.by("owner", found.metadata.uid) if j.namespace in places)

    def pods_of(self, found: Custom) -> tuple[PodSeen, ...]:
        """Return the pods of an object's Jobs, by the owner's uid, which is a label of theirs."""
        places = self._namespaces(found)
        return tuple(p for p in self.pods.by("owner", found.metadata.uid) if p.namespace in places)

    def may_have_jobs(self, found: Watched, namespace: str) -> bool:
        """Return whether Jobs of an object may be in a namespace; unknown if it does not parse."""
        return isinstance(found, Unparsable) or namespace in self._namespaces(found)

    def _namespaces(self, found: Custom) -> set[str]:
        """Return where its Jobs may be: with its gateway, a promotion's also with its source's."""
        places = {self.home(found)[0]}
        if isinstance(found, VulcanPromotion):
            source = self.environment(source_of(found))
            places |= {gateway_of(source)[0]} if source is not None else set()
            places |= {task.place[0] for task in found.status.tasks}
        return places

    def at_gateway(self, gateway: Place) -> GatewayIndex:
        """Return what goes on at a gateway."""
        return self._gateway_indexes.setdefault(gateway, GatewayIndex())

    def takers(self, gateway: Place) -> list[Place]:
        """Return the gateways whose takeover may name this one, of this cluster or another."""
        others = self.customs[Kind.GATEWAY].places_by("takeover", gateway)
        return [place for place in others if place != gateway]

    def waiters(self, gateway: Place) -> tuple[Waiter, ...]:
        """Return the queue for the gateway's writer slot, the first waiter first."""
        return self.at_gateway(gateway).waiting.all()

    def intends(self, gateway: Place, job: str) -> bool:
        """Return whether a status names this Job as a current task."""
        found, probe = self.customs[Kind.GATEWAY].get(gateway), None
        if isinstance(found, VulcanGateway) and found.status.task is not None:
            probe = found.status.task.job
        elif isinstance(found, Unparsable):
            probe = (found.status.get("task") or {}).get("job")
        return probe == job or self.at_gateway(gateway).intends(job)


def _readable(found: Iterable[Watched], kind: type[Any]) -> list[Any]:
    return [item for item in found if isinstance(item, kind)]
