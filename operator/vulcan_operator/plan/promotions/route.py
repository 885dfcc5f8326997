"""What one pass knows of a promotion: the `Case`, and behind the preconditions its `Route`. Pure.

A Case may lack anything but the promotion; whatever has to work without its environments takes one.
A Route has a target on a gateway, so that steps need not ask. Neither holds a status: steps get the
one that this pass has drafted so far, beside the Route.
"""

import datetime as dt
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from vulcan_operator.api.environment import EnvironmentSpec
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.api.policy import ApprovalPolicy
from vulcan_operator.api.promotion import GatesSpec, VulcanPromotion
from vulcan_operator.api.promotion_status import PromotionStatus, Relation
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts, PromotionFacts
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.world import PromotionSeen
from vulcan_operator.plan.rules import access, approval, promoted_revision, strict
from vulcan_operator.plan.rules.promotion_facts import promotion_facts


@dataclass(frozen=True)
class Case:
    """A promotion as one pass sees it, and the time."""

    seen: PromotionSeen
    now: dt.datetime

    @property
    def promotion(self) -> VulcanPromotion:
        """The object; its status is the one that was observed."""
        return self.seen.promotion

    @property
    def meta(self) -> ObjectMeta:
        """Its metadata."""
        return self.seen.promotion.metadata

    @property
    def key(self) -> Key:
        """Its key."""
        return Key(Kind.PROMOTION, self.meta.namespace, self.meta.name)

    @property
    def gates(self) -> GatesSpec:
        """The gates of its spec."""
        return self.promotion.spec.gates

    @property
    def live(self) -> Live:
        """What was read in this pass."""
        return self.seen.live

    @property
    def is_back(self) -> bool:
        """Whether it is a rollback by hand: spec.rollbackTo."""
        return self.promotion.spec.rollback_to is not None

    @functools.cached_property
    def facts(self) -> PromotionFacts:
        """How others see it, as it was observed."""
        return promotion_facts(self.promotion)

    @property
    def rollback_hint(self) -> str:
        """What to write to take the target back to what it had last."""
        known = self.seen.target.rollback_targets if self.seen.target is not None else ()
        newest = next((t for t in known if t.state == "Available"), None)
        unknown = "<of the environment's status.rollbackTargets>"
        plan = newest.plan_id if newest is not None else unknown
        return f"rollbackTo: {{planId: {plan}}}"

    def ahead(self) -> PromotionFacts | None:
        """An older promotion to the target: it goes first, unless it is over or can go nowhere."""
        mine = self._age(self.facts)
        older = (p for p in self.seen.rivals if p.outcome is None and self._age(p) < mine)
        waiting = (p for p in older if not p.is_inert and (p.is_changing or not p.goes_nowhere))
        return min(waiting, key=self._age, default=None)

    def successor(self) -> PromotionFacts | None:
        """The newest promotion that takes the place of this one; it must have been let in."""
        mine = self._age(self.facts)
        forward = (p for p in self.seen.rivals if p.takes_places and not p.is_rollback)
        open_ = (p for p in forward if p.outcome is None and not p.is_deleted)
        newer = (p for p in open_ if (p.is_started or p.is_queued) and self._age(p) > mine)
        return max(newer, key=self._age, default=None)

    def unadopted(self) -> PromotionFacts | None:
        """The last promotion that changed the views, while the target does not know of it."""
        last = promoted_revision.last_given(self.seen.rivals)
        if last is None or last.left is None or self.seen.target is None:
            return None
        return None if promoted_revision.is_adopted(self.seen.target.applied, last.left) else last

    def _age(self, promotion: PromotionFacts) -> tuple[dt.datetime, str]:
        return (promotion.created or self.now, promotion.full_name)

    def route(self, status: PromotionStatus) -> "Route | None":
        """The way that the status says it goes; None while the target or its gateway is gone."""
        seen, target, gateway = self.seen, self.seen.target, self.seen.gateway
        if target is None or gateway is None:
            return None
        relation, files = self._relation(status), status.origin
        image = access.runner_image(target, gateway, seen.settings.runner_image)
        if relation is Relation.ACROSS and files is not None and files.image:
            image = files.image  # a project image is the runner image with the project in it
        own = access.connections(access.access(gateway, target, {}).matching)
        to_site = Site(gateway, image, seen.waiters, seen.tasks, own)
        return Route(seen, self.now, target, to_site, relation, self._from_site(to_site, relation))

    def _relation(self, status: PromotionStatus) -> Relation:
        """What was found when it began stands."""
        gateways = (self.seen.source_gateway, self.seen.gateway)
        two = len({g.metadata.uid for g in gateways if g is not None}) > 1
        across = two if status.relation is None else status.relation == Relation.ACROSS
        return Relation.ACROSS if across else Relation.SAME

    def _from_site(self, to_site: Site, relation: Relation) -> Site | None:
        """Within one system its Jobs run where the target's do, with the same image."""
        seen, source, gateway = self.seen, self.seen.source, self.seen.source_gateway
        if source is None or relation is Relation.SAME:
            return to_site if source is not None else None
        if gateway is None:
            return None
        image = access.runner_image(source, gateway, seen.settings.runner_image)
        own = access.connections(access.access(gateway, source, {}).matching)
        return Site(gateway, image, seen.source_waiters, seen.source_tasks, own)


@dataclass(frozen=True)
class Route(Case):
    """From where to where it goes. Made by `Case.route` only."""

    target: EnvironmentFacts
    to_site: Site
    relation: Relation
    from_site: Site | None  # None: the source or its gateway is gone, or it is a rollback

    @property
    def source(self) -> EnvironmentFacts | None:
        """Where the revision comes from. It may go once its revision is known."""
        return self.seen.source

    @property
    def gateway(self) -> GatewayFacts:
        """The target's."""
        return self.to_site.gateway

    @property
    def is_across(self) -> bool:
        """Whether the revision goes to another system, where it is computed again."""
        return self.relation is Relation.ACROSS

    @property
    def sites(self) -> Iterator[Site]:
        """Where its Jobs run, each once."""
        yield self.to_site
        if self.from_site is not None and self.from_site.name != self.to_site.name:
            yield self.from_site

    def site(self, gateway: str) -> Site | None:
        """The site on a gateway, by namespace/name."""
        return next((site for site in self.sites if site.name == gateway), None)

    @functools.cached_property
    def access(self) -> access.Access:
        """What the grants say of the target."""
        asks = access.needs_labels(self.gateway, self.target)
        labels = self.live.labels(self.target.metadata.namespace) if asks else {}
        return access.access(self.gateway, self.target, labels)

    @property
    def protected(self) -> bool:
        """Whether the gateway protects the target, which its own planner may not have noted yet."""
        return self.target.protected or self.access.protected

    @property
    def policy(self) -> ApprovalPolicy:
        """Of the target's rule and its own, the stricter one."""
        theirs, own = self._theirs.plan.approval, self.promotion.spec.approval
        return strict.stricter_policy(theirs, own) if own is not None else theirs

    @functools.cached_property
    def rules(self) -> EnvironmentSpec:
        """The target's rules with this promotion's votes, under the stricter of both policies."""
        plan = self._theirs.plan.but(approval=self.policy)
        return self._theirs.but(plan=plan, approvals=self.promotion.spec.approvals)

    @functools.cached_property
    def _theirs(self) -> EnvironmentSpec:
        """The target's spec with the rules in force there."""
        spec = self.target.spec
        return strict.with_rules(spec, strict.in_force(spec, strict.floor(self.access.ruling)))

    @property
    def author(self) -> str | None:
        """Who created the promotion; None when nobody knows."""
        return approval.author(self.meta)

    def has_moved(self, status: PromotionStatus) -> bool:
        """Whether the target was changed since Resolve looked: a rollback waits for no queue."""
        had, known = self.target.applied, status.target
        plan_id = had.plan_id if had is not None else ""
        return (known is not None and plan_id != known.plan_id) or self.unadopted() is not None
