"""Resolves references of our objects to (namespace, name). Pure; used by the indexes of `kinds`."""

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import ObjectRef
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.store import Place
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.plan.core.actions import Custom as Custom
from vulcan_operator.plan.core.actions import Key

Watched = Custom | Unparsable
NOWHERE: Place = ("", "")


def place_of(key: Key) -> Place:
    """Return namespace and name of a key."""
    return (key.namespace, key.name)


def gateway_of(environment: Watched | None) -> Place:
    """Return the gateway of an environment."""
    if not isinstance(environment, VulcanEnvironment):
        return NOWHERE
    return _resolve(environment.spec.gateway_ref, environment)


def taken_from(gateway: Watched) -> Place:
    """Return the gateway whose state this one takes over, if takeover names one."""
    if not isinstance(gateway, VulcanGateway):
        return NOWHERE
    _cluster, _, owner = (gateway.spec.takeover or "").partition("/")
    namespace, _, name = owner.partition("/")
    return (namespace, name)


def target_of(promotion: Watched) -> Place:
    """Return the environment that a promotion changes."""
    if not isinstance(promotion, VulcanPromotion):
        return NOWHERE
    return _resolve(promotion.spec.to.environment_ref, promotion)


def source_of(promotion: Watched) -> Place:
    """Return the environment that a promotion takes its revision from; NOWHERE for a rollback."""
    if not isinstance(promotion, VulcanPromotion) or promotion.spec.from_ is None:
        return NOWHERE
    return _resolve(promotion.spec.from_.environment_ref, promotion)


def _resolve(reference: ObjectRef, found: Custom) -> Place:
    return (reference.namespace or found.metadata.namespace, reference.name)
