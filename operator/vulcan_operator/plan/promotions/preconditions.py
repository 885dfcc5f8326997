"""Why a promotion must wait before any step: a chain of checks, each a Verdict or nothing. Pure."""

from collections.abc import Callable

from vulcan_operator.api.conditions import Why
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.rules import access, messages
from vulcan_operator.plan.rules.promotion_changes import must_end

_REFUSALS = {
    Why.NOT_GRANTED, Why.NAME_TAKEN, Why.QUOTA, Why.IMAGE_NOT_ALLOWED, Why.NO_IMAGE, Why.INVALID,
    Why.NOT_AUTHORIZED, Why.GATEWAY_NOT_FOUND,
}  # fmt: skip
Check = Callable[[Route], Verdict | None]


def check(status: PromotionStatus, case: Case) -> Route | Verdict:
    """The way it goes, or why it must wait. Once views were changed, or may be half changed, only
    what a Job needs is asked for: it must come to an end."""
    absent, route = _absent(status, case), case.route(status)
    if absent is not None:
        return absent
    assert route is not None
    checks = () if must_end(status) else CHECKS
    return next((verdict for check in checks if (verdict := check(route)) is not None), route)


def _absent(status: PromotionStatus, case: Case) -> Verdict | None:
    """Both environments must be there, and the target's gateway."""
    spec, seen = case.promotion.spec, case.seen
    sides = [("to", spec.to, seen.target)]
    if spec.from_ is not None and not must_end(status):
        sides.append(("from", spec.from_, seen.source))
    for name, side, found in sides:
        if found is None or found.metadata.deleted is not None:
            where = side.environment_ref.namespace or case.key.namespace
            message = f"{name}: waiting for VulcanEnvironment {where}/{side.environment_ref.name}"
            return Verdict("False", Why.ENVIRONMENT_NOT_FOUND, message, reconciling=True)
    return _unready(seen.gateway, seen.target)


def source_gateway_missing(route: Route) -> Verdict | None:
    """The source's gateway must be there, too: gates look at the source on it."""
    return _unready(route.seen.source_gateway, route.source) if not route.is_back else None


def _unready(gateway: GatewayFacts | None, environment: EnvironmentFacts | None) -> Verdict | None:
    """The gateway of an environment must be there and Ready, and not suspended."""
    if environment is None:
        return None
    if gateway is None:
        named = environment.spec.gateway_ref
        name = f"{named.namespace or environment.metadata.namespace}/{named.name}"
        message = f"waiting for VulcanGateway {name}"
        return Verdict("False", Why.GATEWAY_NOT_FOUND, message, reconciling=True)
    ready, name = gateway.ready, gateway.metadata.full_name
    if ready.status == "True" and ready.reason != Why.SUSPENDED and ready.is_current:
        return None
    message = f"waiting for VulcanGateway {name}" + (f": {ready.reason}" if ready.reason else "")
    return Verdict("False", Why.GATEWAY_NOT_READY, message, reconciling=True)


def not_granted(route: Route) -> Verdict | None:
    """From another namespace, a grant of the environment's gateway must allow promotions."""
    mine, seen = route.key.namespace, route.seen
    for environment, gateway in ((seen.target, seen.gateway), (seen.source, seen.source_gateway)):
        if environment is None or gateway is None or environment.metadata.namespace == mine:
            continue
        labels = route.live.labels(mine) if access.needs_labels(gateway, environment) else {}
        if access.promotion_allowed(gateway, environment, mine, labels):
            continue
        meta, where = environment.metadata, gateway.metadata.full_name
        message = (
            f"namespace {mine} may not promote {meta.full_name}: add a grant with promotions: true"
            f" for it to spec.grants of VulcanGateway {where}, or create the promotion in namespace"
            f" {meta.namespace}"
        )
        return Verdict("False", Why.PROMOTION_NOT_GRANTED, message, stalled=True)
    return None


def not_managed(route: Route) -> Verdict | None:
    """An environment with a project of its own would plan the promoted revision back."""
    if route.target.spec.revision_from == "Promotion":
        return None
    name = f"VulcanEnvironment {route.target.metadata.full_name}"
    message = f"{name} takes its revision from its project; set revisionFrom: Promotion"
    return Verdict("False", Why.TARGET_NOT_MANAGED, message, stalled=True)


def suspended(route: Route) -> Verdict | None:
    """A suspended target is not changed; what is being rolled back is past this."""
    if not messages.is_suspended(route.target.spec, route.now):
        return None
    said = messages.suspension(route.target.spec, route.target.suspended_since)
    return Verdict("False", Why.SUSPENDED, f"{said} (the target)")


def target_refused(route: Route) -> Verdict | None:
    """What the target's own planner has against it (no grant, a name or an image that is not its
    own) stands against promotions to it as well; it must have judged the target as it is now."""
    target, ready = route.target, route.target.ready
    name = f"VulcanEnvironment {target.metadata.full_name}"
    if not ready.status or not ready.is_current:
        message = f"waiting until the operator has looked at {name}"
        return Verdict("False", Why.TARGET_REFUSED, message, reconciling=True)
    is_named = target.environment == target.sqlmesh_environment
    if route.access.allowed and ready.reason not in _REFUSALS and is_named:
        return None
    message = f"{name} is refused itself: {ready.reason}: {ready.message}"
    return Verdict("False", Why.TARGET_REFUSED, message[:1000], stalled=True)


def image_not_allowed(route: Route) -> Verdict | None:
    """Across systems the source's project image runs at the target, whose grants must accept it."""
    image = route.to_site.image
    if access.image_granted(image, route.access.ruling):
        return None
    where = f"spec.grants of VulcanGateway {route.gateway.metadata.full_name}"
    message = f"image {image} matches no minimum.runnerImages in {where}"
    return Verdict("False", Why.IMAGE_NOT_ALLOWED, message, stalled=True)


def queued(route: Route) -> Verdict | None:
    """One promotion to an environment at a time, the oldest first; a rollback waits for none."""
    ahead = route.ahead()
    if ahead is None or route.is_back:
        return None
    message = f"waiting for VulcanPromotion {ahead.full_name} to the same environment"
    return Verdict("False", Why.QUEUED, message, reconciling=True)


CHECKS: tuple[Check, ...] = (
    source_gateway_missing,
    not_granted,
    not_managed,
    suspended,
    target_refused,
    image_not_allowed,
    queued,
)
