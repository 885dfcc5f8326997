"""Why a promotion must wait before any step: an ordered chain of small checks, each a Verdict or nothing. Pure."""

from collections.abc import Callable

from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core import decision
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions.context import PromotionContext, must_end
from vulcan_operator.plan.rules import access, messages

_REFUSALS = {
    Why.NOT_GRANTED, Why.NAME_TAKEN, Why.QUOTA, Why.IMAGE_NOT_ALLOWED, Why.NO_IMAGE, Why.INVALID, Why.NOT_AUTHORIZED,
    Why.GATEWAY_NOT_FOUND,
}  # fmt: skip
Gate = Callable[[PromotionStatus, PromotionContext], Verdict | None]


def first(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """The first gate that is shut. Once views were changed, or may be half changed, only what a Job needs is asked for:
    it must come to an end."""
    gates = LATE if must_end(state) else GATES
    return next((v for gate in gates if (v := gate(state, context)) is not None), None)


def needs_labels(context: PromotionContext) -> bool:
    """Whether grants by labels may be asked for the promotion's own namespace."""
    mine = context.key.namespace
    sides = ((context.seen.target, context.seen.gateway), (context.seen.source, context.seen.source_gateway))
    return any(
        e is not None and g is not None and e.metadata.namespace != mine and access.needs_labels(g, e) for e, g in sides
    )


def environments_missing(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """Both environments must be there."""
    spec, seen = context.promotion.spec, context.seen
    sides = [("to", spec.to, seen.target)]
    sides += [("from", spec.from_, seen.source)] if spec.from_ is not None and not must_end(state) else []
    for name, side, found in sides:
        if found is None or found.metadata.deletion_timestamp is not None:
            where = side.environment_ref.namespace or context.key.namespace
            message = f"{name}: waiting for VulcanEnvironment {where}/{side.environment_ref.name}"
            return Verdict("False", Why.ENVIRONMENT_NOT_FOUND, message, reconciling=True)
    return None


def gateway_missing(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """The target's gateway must be there and Ready, and not suspended."""
    return _unready(context.seen.gateway, context.target)


def source_gateway_missing(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """So must the source's: its gates run there."""
    if context.promotion.spec.from_ is None:
        return None
    return _unready(context.seen.source_gateway, context.source)


def _unready(gateway: VulcanGateway | None, environment: VulcanEnvironment) -> Verdict | None:
    if gateway is None:
        named = environment.spec.gateway_ref
        name = f"{named.namespace or environment.metadata.namespace}/{named.name}"
        return Verdict("False", Why.GATEWAY_NOT_FOUND, f"waiting for VulcanGateway {name}", reconciling=True)
    ready = decision.condition(gateway.status.conditions, Type.READY)
    name = gateway.metadata.full_name
    current = gateway.status.observed_generation == gateway.metadata.generation
    if ready is None or ready.status != "True" or ready.reason == Why.SUSPENDED or not current:
        why = f": {ready.reason}" if ready is not None else ""
        return Verdict("False", Why.GATEWAY_NOT_READY, f"waiting for VulcanGateway {name}{why}", reconciling=True)
    return None


def not_granted(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """From another namespace, a grant of the environment's gateway must allow promotions."""
    seen, mine = context.seen, context.key.namespace
    sides = [(seen.target, seen.gateway), (seen.source, seen.source_gateway)]
    for environment, gateway in sides:
        if environment is None or gateway is None or environment.metadata.namespace == mine:
            continue
        if not access.promotion_allowed(gateway, environment, mine, seen.namespace_labels):
            meta = environment.metadata
            name = meta.full_name
            where = f"VulcanGateway {gateway.metadata.full_name}"
            message = (
                f"namespace {mine} may not promote {name}: add a grant with promotions: true for it to spec.grants of"
                f" {where}, or create the promotion in namespace {meta.namespace}"
            )
            return Verdict("False", Why.PROMOTION_NOT_GRANTED, message, stalled=True)
    return None


def target_refused(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """What the target's own planner has against it (no grant, a name or an image that is not its own) stands against
    promotions to it as well; it must have looked at the environment as it is now."""
    target = context.target
    name = f"VulcanEnvironment {target.metadata.full_name}"
    ready = decision.condition(target.status.conditions, Type.READY)
    if ready is None or target.status.observed_generation != target.metadata.generation:
        return Verdict("False", Why.TARGET_REFUSED, f"waiting for {name} to be looked at", reconciling=True)
    granted = access.needs_labels(context.gateway, target) or context.access.allowed
    if granted and ready.reason not in _REFUSALS and target.status.environment == target.sqlmesh_environment:
        return None
    return Verdict(
        "False", Why.TARGET_REFUSED, f"{name} is refused itself: {ready.reason}: {ready.message}"[:1000], stalled=True
    )


def not_managed(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """An environment with a project of its own would plan it back."""
    if context.target.spec.revision_from == "Promotion":
        return None
    meta = context.target.metadata
    name = f"VulcanEnvironment {meta.full_name}"
    message = f"{name} takes its revision from its project; set revisionFrom: Promotion"
    return Verdict("False", Why.TARGET_NOT_MANAGED, message, stalled=True)


def suspended(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """A suspended target is not changed; what is being taken back is past this."""
    spec = context.target.spec
    if not spec.suspend or (spec.suspend_until is not None and spec.suspend_until <= context.now):
        return None
    ready = decision.condition(context.promotion.status.conditions, Type.READY)
    said = messages.suspension(spec.suspend_reason, spec.suspend_until, ready, context.now)
    return Verdict("False", Why.SUSPENDED, f"{said} (the target)")


def queued(state: PromotionStatus, context: PromotionContext) -> Verdict | None:
    """One promotion to an environment at a time, the oldest first; a way back waits for none."""
    ahead = context.ahead()
    if ahead is None or context.promotion.spec.rollback_to is not None:
        return None
    message = f"waiting for VulcanPromotion {ahead.metadata.full_name} to the same environment"
    return Verdict("False", Why.QUEUED, message, reconciling=True)


GATES: tuple[Gate, ...] = (
    environments_missing,
    gateway_missing,
    source_gateway_missing,
    not_granted,
    not_managed,
    suspended,
    target_refused,
    queued,
)
LATE: tuple[Gate, ...] = (environments_missing, gateway_missing)
