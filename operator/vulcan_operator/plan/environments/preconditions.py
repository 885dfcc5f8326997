"""Why an environment must wait or stop: an ordered chain of small checks, each a Verdict or nothing. Pure."""

from collections.abc import Callable

from vulcan_contract.reasons import ABOUT, Reason
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.plan.core import decision
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.rules import access, messages

Gate = Callable[[Context], Verdict | None]
REFERENCE_MISSING = str(Reason.REFERENCE_MISSING)
_REFERENCE = "prod"


def first(context: Context) -> Verdict | None:
    """The first gate that is shut."""
    return next((v for gate in GATES if (v := gate(context)) is not None), None)


def suspended(context: Context) -> Verdict | None:
    """spec.suspend: Ready stays as it was, the message says since when and why."""
    spec = context.environment.spec
    if not spec.suspend or (spec.suspend_until is not None and spec.suspend_until <= context.now):
        return None
    ready = decision.condition(context.environment.status.conditions, Type.READY)
    message = messages.suspension(spec.suspend_reason, spec.suspend_until, ready, context.now)
    return Verdict(ready.status if ready else "Unknown", Why.SUSPENDED, message)


def gateway_missing(context: Context) -> Verdict | None:
    """The gateway does not exist (yet)."""
    if context.seen.gateway is not None:
        return None
    name = f"{context.gateway_namespace}/{context.environment.spec.gateway_ref.name}"
    return Verdict("False", Why.GATEWAY_NOT_FOUND, f"waiting for VulcanGateway {name}", reconciling=True)


def not_granted(context: Context) -> Verdict | None:
    """No grant covers this namespace and name."""
    if context.access.allowed:
        return None
    meta, name = context.environment.metadata, context.environment.sqlmesh_environment
    message = (
        f"no grant of VulcanGateway {context.gateway_namespace}/{context.gateway.metadata.name} allows environment"
        f" {name} from namespace {meta.namespace}; add one to its spec.grants"
    )
    return Verdict("False", Why.NOT_GRANTED, message, stalled=True)


def name_taken(context: Context) -> Verdict | None:
    """The oldest object owns a SQLMesh environment name."""
    mine = (context.environment.metadata.creation_timestamp, str(context.key))
    name = context.environment.sqlmesh_environment
    older = [
        s
        for s in context.seen.siblings
        if s.environment == name
        and not s.refused  # who may not use the gateway takes no name away
        and (s.created or context.now, str(s.key)) < (mine[0] or context.now, mine[1])
    ]
    if not older:
        return None
    message = f"SQLMesh environment {name} belongs to VulcanEnvironment {older[0].key}; delete one of the two"
    return Verdict("False", Why.NAME_TAKEN, message, stalled=True)


def quota(context: Context) -> Verdict | None:
    """A grant's maxEnvironments, the oldest first."""
    grant = context.access.quota
    if grant is None or grant.max_environments is None:
        return None
    mine = context.environment.metadata.creation_timestamp or context.now
    same, most = grant.namespaces.from_ == "Same", grant.max_environments
    earlier = sum(
        1
        for s in context.seen.siblings
        if access.names(grant, s.environment)
        and not s.refused
        and (not same or s.key.namespace == context.gateway_namespace)
        and ((s.created or context.now), str(s.key)) < (mine, str(context.key))
    )
    if earlier < most:
        return None
    names = ", ".join(grant.environments)
    return Verdict("False", Why.QUOTA, f"the grant for {names} allows {most} environments", stalled=True)


def image_not_allowed(context: Context) -> Verdict | None:
    """Environments may name only images the gateway allows."""
    if not access.image_allowed(context.environment, context.gateway):
        message = f"image {context.image} is not in the gateway's runner.allowedImages"
        return Verdict("False", Why.IMAGE_NOT_ALLOWED, message, stalled=True)
    if not context.image:
        return Verdict("False", Why.NO_IMAGE, "set runner.image on the gateway", stalled=True)
    return None


def gateway_not_ready(context: Context) -> Verdict | None:
    """While a gateway is unreachable or suspended its environments start no Jobs."""
    gateway = context.gateway
    ready = decision.condition(gateway.status.conditions, Type.READY)
    name = f"VulcanGateway {context.gateway_namespace}/{gateway.metadata.name}"
    current = gateway.status.observed_generation == gateway.metadata.generation
    if ready is None or ready.status != "True" or not current:
        why = f": {ready.reason}" if ready is not None and current else ""
        return Verdict("False", Why.GATEWAY_NOT_READY, f"waiting for {name}{why}", reconciling=True)
    if ready.reason == Why.SUSPENDED:
        return Verdict("False", Why.GATEWAY_NOT_READY, f"waiting for {name}: {ready.message}")
    return None


def reference_missing(context: Context) -> Verdict | None:
    """SQLMesh branches every environment from prod: a new one waits until prod is there, if somebody makes it."""
    if context.environment.sqlmesh_environment == _REFERENCE or context.environment.status.applied is not None:
        return None
    references = [s for s in context.seen.siblings if s.environment == _REFERENCE and not s.refused and not s.deleting]
    if not references or any(s.applied for s in references):
        return None
    message = f"waiting for VulcanEnvironment {references[0].key}: {ABOUT[Reason.REFERENCE_MISSING].meaning}"
    return Verdict("False", REFERENCE_MISSING, message, reconciling=True)


GATES: tuple[Gate, ...] = (
    gateway_missing,
    not_granted,  # before suspended: who may not use the gateway must be known as such to the others
    suspended,
    name_taken,
    quota,
    image_not_allowed,
    gateway_not_ready,
    reference_missing,
)
