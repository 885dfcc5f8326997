"""What a pass over one promotion knows, gathered once: the seen objects and what follows from them. Pure."""

import datetime as dt
import functools
from dataclasses import dataclass

from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.policy import ApprovalPolicy
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan import access, jobs, slot
from vulcan_operator.plan.actions import Key, Kind
from vulcan_operator.plan.seen import PromotionSeen
from vulcan_operator.plan.status import condition, holds

_STRICT = ("Never", "OnRisk", "Always")


def _reason(promotion: VulcanPromotion) -> str:
    ready = condition(promotion.status.conditions, Type.READY)
    return ready.reason if ready is not None else ""


@dataclass(frozen=True)
class PromotionContext:
    """One promotion, its two environments, the target's gateway and the time."""

    seen: PromotionSeen
    now: dt.datetime

    @property
    def promotion(self) -> VulcanPromotion:
        """The object."""
        return self.seen.promotion

    @property
    def key(self) -> Key:
        """Its key."""
        meta = self.promotion.metadata
        return Key(Kind.PROMOTION, meta.namespace, meta.name)

    @property
    def source(self) -> VulcanEnvironment:
        """Where the revision comes from; asked for behind the gate that it exists."""
        assert self.seen.source is not None
        return self.seen.source

    @property
    def target(self) -> VulcanEnvironment:
        """What is changed; asked for behind the gate that it exists."""
        assert self.seen.target is not None
        return self.seen.target

    @property
    def gateway(self) -> VulcanGateway:
        """The target's; asked for behind the gate that it exists."""
        assert self.seen.gateway is not None
        return self.seen.gateway

    @functools.cached_property
    def access(self) -> access.Access:
        """What the grants say of the target."""
        return access.access(self.gateway, self.target, {})

    @property
    def protected(self) -> bool:
        """Whether the gateway protects the target; also before the environment's own planner has said so."""
        if self.seen.gateway is None or self.seen.target is None:
            return False
        return self.target.status.protected or self.access.protected

    @property
    def image(self) -> str:
        """Runner image of its Jobs: the target's."""
        return access.runner_image(self.target, self.gateway, self.seen.settings.runner_image)

    def terms(self, kind: str = "", job: str = "") -> jobs.Terms:
        """What the specs of today mean for a Job of this promotion."""
        if self.seen.gateway is None or self.seen.target is None:
            return jobs.Terms()
        return slot.terms(self.gateway, self.image, kind, job)

    @property
    def policy(self) -> ApprovalPolicy:
        """Of the target's rule and its own, the stricter one."""
        theirs, own = self.target.spec.plan.approval, self.promotion.spec.approval
        if own is None:
            return theirs
        mode = max(theirs.mode, own.mode, key=_STRICT.index)
        risks = sorted({*theirs.risks, *own.risks}) if theirs.mode == own.mode == "OnRisk" else own.risks
        if mode != own.mode:
            risks = theirs.risks
        return own.model_copy(update={"mode": mode, "risks": risks, "count": max(theirs.count, own.count)})

    @functools.cached_property
    def rules(self) -> EnvironmentSpec:
        """The target's rules with this promotion's words, under the stricter of both policies."""
        spec = self.target.spec
        plan = spec.plan.model_copy(update={"approval": self.policy})
        return spec.model_copy(update={"plan": plan, "approvals": self.promotion.spec.approvals})

    def ahead(self) -> VulcanPromotion | None:
        """An older promotion to the same target that has not ended: it goes first, unless it can go nowhere."""
        mine = (self.promotion.metadata.creation_timestamp or self.now, str(self.key))
        older = [
            p
            for p in self.seen.rivals
            if p.status.outcome is None
            and p.metadata.deletion_timestamp is None
            and not holds(p.status.conditions, Type.STALLED)
            and not (p.status.started_at is None and _reason(p) == Why.ENVIRONMENT_NOT_FOUND)
            and (p.metadata.creation_timestamp or self.now, f"{p.metadata.namespace}/{p.metadata.name}") < mine
        ]
        return min(older, key=lambda p: (p.metadata.creation_timestamp or self.now, p.metadata.name), default=None)
