"""Builds what a planner sees, from the cache and from live reads.

Called by `reconcile`. It reads and decides nothing; what does not exist is None.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from vulcan_contract.task import Owner
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import TaskState
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.places import gateway_of, place_of, source_of, target_of
from vulcan_operator.cluster.store import Place
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import GatewayFacts
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import PodSeen, Settings, Waiter
from vulcan_operator.plan.core.world import EnvironmentSeen, GatewaySeen, PromotionSeen


@dataclass(frozen=True)
class Observer:
    """Builds what planners see."""

    cache: Cache
    settings: Settings
    unguarded: Callable[[], tuple[str, ...] | None] = lambda: None

    def gateway(self, gateway: VulcanGateway, live: Live) -> GatewaySeen:
        """Return what `plan_gateway` sees."""
        place = self.cache.home(gateway)
        index = self.cache.at_gateway(place)
        return GatewaySeen(
            gateway, self.settings, live, self.cache.jobs_of(gateway), self.cache.pods_of(gateway),
            contacts=index.contacts.all(), tasks=index.tasks.all(),
            writer_pods=self._writer_pods(place), waiters=self.cache.waiters(place),
            claims=index.claims.all(), taken_over=self._taken_over(place),
        )  # fmt: skip

    def environment(self, environment: VulcanEnvironment, live: Live) -> EnvironmentSeen:
        """Return what `plan_environment` sees."""
        place, meta = self.cache.home(environment), environment.metadata
        index, me = self.cache.at_gateway(place), Key(Kind.ENVIRONMENT, meta.namespace, meta.name)
        return EnvironmentSeen(
            environment, self.settings, self.cache.gateway_facts(place), live,
            self.cache.jobs_of(environment), self.cache.pods_of(environment),
            claims=index.claims.all(), waiters=self._other_waiters(place, me),
            tasks=index.tasks.all(), promotions=self.cache.promotion_facts("target", place_of(me)),
            unguarded=self.unguarded(),
        )  # fmt: skip

    def promotion(self, promotion: VulcanPromotion, live: Live) -> PromotionSeen:
        """Return what `plan_promotion` sees."""
        place, meta = self.cache.home(promotion), promotion.metadata
        me = Key(Kind.PROMOTION, meta.namespace, meta.name)
        to, from_ = target_of(promotion), source_of(promotion)
        source = self.cache.environment(from_)
        there = gateway_of(source) if source is not None else place
        rivals = self.cache.promotion_facts("target", to)
        return PromotionSeen(
            promotion, self.settings, live,
            source=self.cache.environment_facts(from_), target=self.cache.environment_facts(to),
            source_gateway=self._gateway(from_), gateway=self._gateway(to),
            rivals=tuple(p for p in rivals if p.uid != meta.uid),
            upstream=self.cache.promotion_facts("target", from_),
            jobs=self.cache.jobs_of(promotion), pods=self.cache.pods_of(promotion),
            waiters=self._other_waiters(place, me), source_waiters=self._other_waiters(there, me),
            tasks=self.cache.at_gateway(place).tasks.all(), unguarded=self.unguarded(),
            source_tasks=self.cache.at_gateway(there).tasks.all(),
        )  # fmt: skip

    def _gateway(self, environment: Place) -> GatewayFacts | None:
        found = self.cache.environment(environment)
        return self.cache.gateway_facts(gateway_of(found)) if found is not None else None

    def _taken_over(self, place: Place) -> dt.datetime | None:
        """Return when a gateway was last probed that has this one's state by its takeover."""
        me = str(Owner(self.settings.cluster, *place))
        others = map(self.cache.gateway_facts, self.cache.takers(place))
        probed = [o.probed for o in others if o is not None and o.spec.takeover == me]
        return max((time for time in probed if time is not None), default=None)

    def _other_waiters(self, gateway: Place, me: Key) -> tuple[Waiter, ...]:
        return tuple(w for w in self.cache.waiters(gateway) if w.key != me)

    def _writer_pods(self, place: Place) -> tuple[PodSeen, ...]:
        """Return the pods of writers. They matter only while a task waits for the slot."""
        if not self.cache.waiters(place):
            return ()
        active = [
            t for t in self.cache.at_gateway(place).tasks.all() if t.state == TaskState.RUNNING
        ]
        pods = self.cache.pods
        return tuple(p for t in active for p in pods.by("owner", t.uid) if p.job == t.job)
