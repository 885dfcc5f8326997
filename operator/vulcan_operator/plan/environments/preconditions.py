"""Why an environment must wait or stop: an ordered chain of small checks, each a Verdict or
nothing. Pure."""

import datetime as dt
from collections.abc import Callable

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import ABOUT, Reason
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.plan.core.conditions import Verdict, condition
from vulcan_operator.plan.core.facts import Claim
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.rules import access, messages

Precondition = Callable[[Context], Verdict | None]
# What may change without an event that wakes the environment.
SOON: dict[str, dt.timedelta] = {
    Why.GATEWAY_NOT_FOUND: dt.timedelta(minutes=1),
    Reason.REFERENCE_MISSING: dt.timedelta(seconds=15),
}


def first(context: Context) -> Verdict | None:
    """The first that does not hold."""
    return next((v for check in PRECONDITIONS if (v := check(context)) is not None), None)


def suspended(context: Context) -> Verdict | None:
    """spec.suspend: Ready stays as it was, the message says since when and why."""
    if not messages.is_suspended(context.spec, context.now):
        return None
    ready = condition(context.environment.status.conditions, Type.READY)
    since = context.environment.status.suspended_since or context.now
    message = messages.suspension(context.spec, since)
    return Verdict(ready.status if ready else "Unknown", Why.SUSPENDED, message)


def gateway_missing(context: Context) -> Verdict | None:
    """The gateway does not exist (yet)."""
    if context.seen.gateway is not None:
        return None
    name = f"{context.gateway_namespace}/{context.spec.gateway_ref.name}"
    message = f"waiting for VulcanGateway {name}"
    return Verdict("False", Why.GATEWAY_NOT_FOUND, message, reconciling=True)


def not_granted(context: Context) -> Verdict | None:
    """No grant covers this namespace and name."""
    if context.access.allowed:
        return None
    meta, name = context.environment.metadata, context.environment.sqlmesh_environment
    message = (
        f"no grant of VulcanGateway {context.gateway.metadata.full_name} allows environment {name}"
        f" from namespace {meta.namespace}; add one to its spec.grants"
    )
    return Verdict("False", Why.NOT_GRANTED, message, stalled=True)


def name_taken(context: Context) -> Verdict | None:
    """The oldest object owns a SQLMesh environment name."""
    name = context.environment.sqlmesh_environment
    # Who may not use the gateway takes no name away.
    older = sorted(
        (c for c in context.siblings(name) if not c.refused and _is_older(c, context)),
        key=lambda c: (c.created or context.now, str(c.key)),
    )
    if not older:
        return None
    owner = f"VulcanEnvironment {older[0].key}"
    message = f"SQLMesh environment {name} belongs to {owner}; delete one of the two"
    return Verdict("False", Why.NAME_TAKEN, message, stalled=True)


def quota(context: Context) -> Verdict | None:
    """A grant's maxEnvironments, the oldest first."""
    grant = context.access.quota
    if grant is None or grant.max_environments is None:
        return None
    same, most = grant.namespaces.from_ == "Same", grant.max_environments
    earlier = sum(
        1
        for c in context.seen.claims.all()
        if not c.refused  # first: anybody can claim, as often as they like
        and (not same or c.key.namespace == context.gateway_namespace)
        and _is_older(c, context)
        and access.covers(grant, c.environment)
    )
    if earlier < most:
        return None
    message = f"the grant for {', '.join(grant.environments)} allows {most} environments"
    return Verdict("False", Why.QUOTA, message, stalled=True)


def _is_older(claim: Claim, context: Context) -> bool:
    mine = context.meta.creation_timestamp or context.now
    return (claim.created or context.now, str(claim.key)) < (mine, str(context.key))


def image_not_allowed(context: Context) -> Verdict | None:
    """Environments may name only images the gateway allows."""
    if not access.image_allowed(context.environment, context.gateway):
        message = f"image {context.image} is not in the gateway's runner.allowedImages"
        return Verdict("False", Why.IMAGE_NOT_ALLOWED, message, stalled=True)
    if not access.image_granted(context.image, context.access.ruling):
        where = f"spec.grants of VulcanGateway {context.gateway.metadata.full_name}"
        message = f"image {context.image} matches no minimum.runnerImages in {where}"
        return Verdict("False", Why.IMAGE_NOT_ALLOWED, message, stalled=True)
    if not context.image:
        return Verdict("False", Why.NO_IMAGE, "set runner.image on the gateway", stalled=True)
    return None


def gateway_not_ready(context: Context) -> Verdict | None:
    """While a gateway is unreachable or suspended its environments start no Jobs."""
    ready, name = context.gateway.ready, f"VulcanGateway {context.gateway.metadata.full_name}"
    if ready.status != "True" or not ready.is_current:
        why = f": {ready.reason}" if ready.status and ready.is_current else ""
        return Verdict("False", Why.GATEWAY_NOT_READY, f"waiting for {name}{why}", reconciling=True)
    if ready.reason == Why.SUSPENDED:
        return Verdict("False", Why.GATEWAY_NOT_READY, f"waiting for {name}: {ready.message}")
    return None


def reference_missing(context: Context) -> Verdict | None:
    """SQLMesh branches every environment from prod: a new one waits until prod is there, if
    somebody declares it."""
    environment = context.environment
    if environment.sqlmesh_environment == REFERENCE or environment.status.applied is not None:
        return None
    references = [c for c in context.siblings(REFERENCE) if not c.refused and not c.deleting]
    if not references or any(c.applied for c in references):
        return None
    why = ABOUT[Reason.REFERENCE_MISSING].meaning
    message = f"waiting for VulcanEnvironment {references[0].key}: {why}"
    return Verdict("False", Reason.REFERENCE_MISSING, message, reconciling=True)


PRECONDITIONS: tuple[Precondition, ...] = (
    gateway_missing,
    not_granted,  # before suspended: the others must know who may not use the gateway
    suspended,
    name_taken,
    quota,
    image_not_allowed,
    gateway_not_ready,
    reference_missing,
)
