"""Builds what a planner sees from the cache and from what was read live.

Called by `reconcile`. Reads and decides nothing; what does not exist is None.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.facts import gateway_of, key_of, source_of, target_of
from vulcan_operator.cluster.store import Place
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.seen import EnvironmentSeen, GatewaySeen, PodSeen, PromotionSeen, Settings
from vulcan_operator.reconcile.reads import Reads


@dataclass(frozen=True)
class Observer:
    """What planners see."""

    cache: Cache
    settings: Settings
    unguarded: Callable[[], tuple[str, ...] | None] = lambda: None

    def gateway(self, gateway: VulcanGateway, reads: Reads) -> GatewaySeen:
        """What `plan_gateway` sees."""
        place = self.cache.home(gateway)
        return GatewaySeen(
            gateway=gateway, settings=self.settings, jobs=self.cache.jobs_of(gateway), pods=self.cache.pods_of(gateway),
            environments=self.cache.crowd(place).all(), tasks=self.cache.crowd(place).tasks(),
            writer_pods=self._writer_pods(place), slot=reads.slot,
            waiters=self.cache.waiters(place),
            job_is_live=Need.JOB in reads.done, denied=reads.denied,
        )  # fmt: skip

    def environment(self, environment: VulcanEnvironment, reads: Reads) -> EnvironmentSeen:
        """What `plan_environment` sees."""
        place = self.cache.home(environment)
        me = key_of(environment)
        return EnvironmentSeen(
            environment=environment, settings=self.settings,
            gateway=self.cache.gateway(place),
            jobs=self.cache.jobs_of(environment), pods=self.cache.pods_of(environment),
            siblings=self.cache.crowd(place).others((me.namespace, me.name)), slot=reads.slot,
            promotions=tuple(self.cache.promotions_to((me.namespace, me.name))),
            waiters=tuple(w for w in self.cache.waiters(place) if w.key != me),
            namespace_labels=reads.namespace_labels, config_map=reads.config_map, checks=reads.checks,
            reports=reads.reports,
            report_kept=reads.report_kept,
            unguarded=self.unguarded(), job_is_live=Need.JOB in reads.done, denied=reads.denied,
        )  # fmt: skip

    def promotion(self, promotion: VulcanPromotion, reads: Reads) -> PromotionSeen:
        """What `plan_promotion` sees."""
        me, place = key_of(promotion), self.cache.home(promotion)
        target, source = self.cache.environment(target_of(promotion)), self.cache.environment(source_of(promotion))
        there = gateway_of(source) if source is not None else place
        return PromotionSeen(
            promotion=promotion, settings=self.settings, source=source, target=target,
            source_gateway=self._gateway(source), gateway=self._gateway(target),
            rivals=tuple(p for p in self.cache.promotions_to(target_of(promotion)) if key_of(p) != me),
            upstream=tuple(self.cache.promotions_to(source_of(promotion))),
            jobs=self.cache.jobs_of(promotion), pods=self.cache.pods_of(promotion),
            slot=reads.slot, waiters=tuple(w for w in self.cache.waiters(place) if w.key != me),
            source_slot=reads.source_slot, source_waiters=tuple(w for w in self.cache.waiters(there) if w.key != me),
            source_files=reads.source_files, namespace_labels=reads.namespace_labels, checks=reads.checks,
            reports=reads.reports, left=reads.left, report_kept=reads.report_kept,
            unguarded=self.unguarded(), job_is_live=Need.JOB in reads.done, denied=reads.denied,
        )  # fmt: skip

    def _gateway(self, environment: VulcanEnvironment | None) -> VulcanGateway | None:
        return self.cache.gateway(gateway_of(environment)) if environment is not None else None

    def _writer_pods(self, place: Place) -> tuple[PodSeen, ...]:
        """Only while somebody waits for the slot; nobody else asks."""
        if not self.cache.waiters(place):
            return ()
        active = [task for task in self.cache.crowd(place).tasks() if task.state == "Running"]
        return tuple(p for task in active for p in self.cache.pods.by(task.uid) if p.job == task.job)
