"""Lists the API resources that the operator uses, and their URLs, for whoever makes a request."""

from dataclasses import dataclass
from typing import Any

from vulcan_operator.api import GROUP, VERSION
from vulcan_operator.plan.core.actions import Kind

Raw = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """Describes one kind of object as the API server serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return the apiVersion, such as `apps/v1` or `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, sub: str = "") -> str:
        """Return the URL path of an object or collection; without namespace, of all of them."""
        place = ("namespaces", namespace) if namespace and self.namespaced else ()
        parts = ("/apis" if self.group else "/api", self.api_version, *place)
        return "/".join((*parts, *(part for part in (self.plural, name, sub) if part)))


GATEWAYS = Resource(GROUP, VERSION, Kind.GATEWAY.plural, Kind.GATEWAY.value)
ENVIRONMENTS = Resource(GROUP, VERSION, Kind.ENVIRONMENT.plural, Kind.ENVIRONMENT.value)
PROMOTIONS = Resource(GROUP, VERSION, Kind.PROMOTION.plural, Kind.PROMOTION.value)
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
USER_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False
)
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False
)
_ADMISSION, _POLICY = "admissionregistration.k8s.io", "ValidatingAdmissionPolicy"
POLICIES = Resource(_ADMISSION, "v1", "validatingadmissionpolicies", _POLICY, False)
POLICY_BINDINGS = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", f"{_POLICY}Binding", False
)

CUSTOM: dict[Kind, Resource] = {
    Kind.GATEWAY: GATEWAYS,
    Kind.ENVIRONMENT: ENVIRONMENTS,
    Kind.PROMOTION: PROMOTIONS,
}
"""The kinds this operator reconciles; the gate waits for them."""

WATCHED = (*CUSTOM.values(), JOBS, PODS)
