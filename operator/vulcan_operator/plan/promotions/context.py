"""What a pass over one promotion knows, gathered once: the seen objects and what follows from them. Pure."""

import dataclasses
import datetime as dt
import functools
from dataclasses import dataclass

from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.policy import ApprovalPolicy
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PromotionStatus, StepStatus
from vulcan_operator.plan.core.actions import Key, Kind, Need
from vulcan_operator.plan.core.decision import condition, holds
from vulcan_operator.plan.core.seen import PromotionSeen, SlotSeen, Waiter
from vulcan_operator.plan.rules import access, approval, promoted_revision
from vulcan_operator.plan.tasks import jobs, slot

_STRICT = ("Never", "OnRisk", "Always")
ACROSS, SAME = "AcrossSystems", "SameSystem"
MOVES = (TaskKind.PROMOTE, TaskKind.APPLY)  # tasks that give the target the revision: within one system, across
UNTOUCHED = (Reason.CANCELLED, Reason.PREEMPTED)  # a task that was told to stop never does so between two views
# Ends without a word, or with one that only comes in the middle. Others mostly come before anything was begun.
TOUCHING = (Reason.LOST, Reason.RUNNER_CRASHED, Reason.DEADLINE_EXCEEDED, Reason.UNFINALIZED)
CHANGES = ("CatchUp", "Apply", "Rollback")  # steps whose Job may change the target


@dataclass(frozen=True)
class Site:
    """Where Jobs run: an environment's gateway, its writer slot and who waits for that."""

    environment: VulcanEnvironment
    gateway: VulcanGateway
    image: str
    slot: SlotSeen | None
    need: Need
    waiters: tuple[Waiter, ...]

    @property
    def name(self) -> str:
        """Of its gateway."""
        return self.gateway.metadata.full_name


@dataclass(frozen=True)
class PromotionContext:
    """One promotion, its two environments, their gateways and the time."""

    seen: PromotionSeen
    now: dt.datetime

    @property
    def promotion(self) -> VulcanPromotion:
        """The object."""
        return self.seen.promotion

    def having(self, status: PromotionStatus) -> "PromotionContext":
        """The same with what this pass has settled already."""
        promotion = self.promotion.but(status=status)
        return PromotionContext(dataclasses.replace(self.seen, promotion=promotion), self.now)

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

    @property
    def relation(self) -> str:
        """Whether both ends are on one gateway. What was found when it began stands."""
        known, source, target = self.promotion.status.relation, self.seen.source_gateway, self.seen.gateway
        if known is not None:
            return known
        two = source is not None and target is not None and source.metadata.uid != target.metadata.uid
        return ACROSS if two else SAME

    @functools.cached_property
    def to(self) -> Site | None:
        """The target's end."""
        if self.seen.target is None or self.seen.gateway is None:
            return None
        return Site(self.seen.target, self.seen.gateway, self.image, self.seen.slot, Need.SLOT, self.seen.waiters)

    @functools.cached_property
    def origin(self) -> Site | None:
        """The source's end; within one system its Jobs run where the target's do, with the same image."""
        seen = self.seen
        if seen.source is None or self.to is None:
            return None
        if self.relation == SAME:
            return Site(seen.source, self.to.gateway, self.image, seen.slot, Need.SLOT, seen.waiters)
        if seen.source_gateway is None:
            return None
        image = access.runner_image(seen.source, seen.source_gateway, seen.settings.runner_image)
        return Site(seen.source, seen.source_gateway, image, seen.source_slot, Need.SOURCE_SLOT, seen.source_waiters)

    def site(self, gateway: str) -> Site | None:
        """The end on a gateway, by namespace/name."""
        return next((s for s in (self.to, self.origin) if s is not None and s.name == gateway), None)

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
    def author(self) -> str | None:
        """Who created the promotion; None when nobody knows."""
        return approval.author(self.promotion.metadata)

    @property
    def image(self) -> str:
        """Runner image of its Jobs on the target's gateway; a project image is the runner image with the project."""
        origin = self.promotion.status.origin
        if origin is not None and origin.image and self.relation == ACROSS:
            return origin.image
        return access.runner_image(self.target, self.gateway, self.seen.settings.runner_image)

    def terms(self, gateway: str, kind: str = "", job: str = "") -> jobs.Terms:
        """What the specs of today mean for a Job of this promotion."""
        site = self.site(gateway)
        return slot.terms(site.gateway, site.image, kind, job) if site is not None else jobs.Terms()

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
        return ApprovalPolicy(
            mode=mode,
            risks=risks,
            count=max(theirs.count, own.count),
            expire_after=min(theirs.expire_after, own.expire_after, key=parse_duration),
            exclude_author=theirs.exclude_author or own.exclude_author,
        )

    @functools.cached_property
    def rules(self) -> EnvironmentSpec:
        """The target's rules with this promotion's words, under the stricter of both policies."""
        spec = self.target.spec
        plan = spec.plan.but(approval=self.policy)
        return spec.but(plan=plan, approvals=self.promotion.spec.approvals)

    @property
    def way_back(self) -> str:
        """What somebody writes to take the target back to what it had last."""
        newest = next((t for t in self.target.status.rollback_targets if t.state == "Available"), None)
        plan = newest.plan_id if newest is not None else "<of the environment's status.rollbackTargets>"
        return f"rollbackTo: {{planId: {plan}}}"

    def has_moved(self, status: PromotionStatus) -> bool:
        """Whether the target was changed since the first step looked at it; a way back waits for no queue."""
        had, last = self.target.status.applied, promoted_revision.last_given(self.seen.rivals)
        untold = last is not None and not promoted_revision.is_taken(had, last)
        return untold or (
            status.target is not None and (had.plan_id if had is not None else "") != status.target.plan_id
        )

    def ahead(self) -> VulcanPromotion | None:
        """An older promotion to the same target that has not ended: it goes first, unless it can go nowhere."""
        older = [p for p in self.seen.rivals if p.status.outcome is None and self._age(p) < self._age(self.promotion)]
        able = [p for p in older if p.metadata.deletion_timestamp is None or _is_kept(p)]
        waiting = [p for p in able if is_changing(p.status) or not _goes_nowhere(p)]
        return min(waiting, key=self._age, default=None)

    def successor(self) -> VulcanPromotion | None:
        """The newest promotion that takes the place of this one; it must have been let in itself."""
        newer = [
            p
            for p in self.seen.rivals
            if p.spec.queue == "Supersede"
            and p.spec.rollback_to is None
            and p.status.outcome is None
            and p.metadata.deletion_timestamp is None
            and self._age(p) > self._age(self.promotion)
            and (p.status.started_at is not None or _reason(p) == Why.QUEUED)
        ]
        return max(newer, key=self._age, default=None)

    def _age(self, promotion: VulcanPromotion) -> tuple[dt.datetime, str]:
        meta = promotion.metadata
        return (meta.creation_timestamp or self.now, meta.full_name)


def is_changing(status: PromotionStatus) -> bool:
    """Whether its Job may have begun to change the target, or has: from then on it must come to an end."""
    return has_changed(status) or any((step := status.find(name)) is not None and step.job for name in CHANGES)


def half_done(status: PromotionStatus) -> StepStatus | None:
    """The step whose Job may have left the views half changed."""
    steps = (step for name in CHANGES if (step := status.find(name)) is not None)
    return next((step for step in steps if step.finished_at is None and _may_be_half_done(step)), None)


def _may_be_half_done(step: StepStatus) -> bool:
    """By an attempt that ended without saying that it had changed nothing, or by one that may be at it."""
    waits = step.task is not None and step.task.state == "Waiting" and step.failure is None
    stopped = step.failure is not None and step.failure.reason in UNTOUCHED
    return step.touched or (bool(step.job) and not stopped and not waits)


def is_touched(status: PromotionStatus) -> bool:
    """Whether an attempt is known to have died where it may have changed some of the views."""
    return any(step.touched for step in status.steps if step.name in CHANGES)


def must_end(status: PromotionStatus) -> bool:
    """Whether views were changed, or are likely half changed: it goes on whatever else is shut."""
    return has_changed(status) or is_touched(status)


def has_changed(status: PromotionStatus) -> bool:
    """Whether views were changed, or are being put back."""
    return bool(status.applied_plan_id) or status.rollback is not None


def _is_kept(promotion: VulcanPromotion) -> bool:
    """Deleted, but brought to an end first. Whom only others hold does nothing any more."""
    return is_changing(promotion.status) and names.FINALIZER in promotion.metadata.finalizers


def _goes_nowhere(promotion: VulcanPromotion) -> bool:
    never_began = promotion.status.started_at is None and _reason(promotion) == Why.ENVIRONMENT_NOT_FOUND
    lacks_checks = _reason(promotion) == Why.CONFIG_MAP_MISSING
    return never_began or lacks_checks or holds(promotion.status.conditions, Type.STALLED)


def _reason(promotion: VulcanPromotion) -> str:
    ready = condition(promotion.status.conditions, Type.READY)
    return ready.reason if ready is not None else ""
