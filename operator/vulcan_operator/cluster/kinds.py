"""Lists the kinds of objects that the operator reconciles: a row each.

Read by `cache` (stores, indexes and facts), `wake` (facts) and `reconcile`, whose table of
planners has the same keys.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vulcan_operator.cluster.places import gateway_of, source_of, taken_from, target_of
from vulcan_operator.kube import resources
from vulcan_operator.kube.resources import Resource
from vulcan_operator.plan.core.actions import Kind
from vulcan_operator.plan.core.facts import EnvironmentFacts, GatewayFacts
from vulcan_operator.plan.rules.promotion_facts import promotion_facts

Index = Callable[[Any], Hashable]


@dataclass(frozen=True)
class KindSpec:
    """Describes one of our kinds."""

    resource: Resource
    facts: Callable[[Any], Any]  # what others read of a parsed object
    indexes: Mapping[str, Index] = field(default_factory=dict)  # how others find it


_OF_GATEWAYS: dict[str, Index] = {"takeover": taken_from}
_OF_ENVIRONMENTS: dict[str, Index] = {"gateway": gateway_of}
_OF_PROMOTIONS: dict[str, Index] = {"target": target_of, "source": source_of}
KINDS: dict[Kind, KindSpec] = {
    Kind.GATEWAY: KindSpec(resources.GATEWAYS, GatewayFacts.of, _OF_GATEWAYS),
    Kind.ENVIRONMENT: KindSpec(resources.ENVIRONMENTS, EnvironmentFacts.of, _OF_ENVIRONMENTS),
    Kind.PROMOTION: KindSpec(resources.PROMOTIONS, promotion_facts, _OF_PROMOTIONS),
}
BY_RESOURCE = {spec.resource: kind for kind, spec in KINDS.items()}
