"""Lists the API resources that the operator uses, and their URLs, for whoever makes a request.

URLs of objects are built here and nowhere else: names come from specs that anybody may have
written, and must not lead to another object than the one of that name.
"""

import urllib.parse
from dataclasses import dataclass
from typing import Any

from vulcan_operator.api import GROUP, VERSION
from vulcan_operator.kube import errors
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
        """Return the URL path of an object or collection; without namespace, of all of them.

        Raises errors.NoSuchName for what cannot be the name of an object.
        """
        path = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        if self.namespaced and (namespace is not None or name is not None):
            path += f"/namespaces/{self._segment(namespace or '')}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{self._segment(name)}"
        return f"{path}/{sub}" if sub else path

    def _segment(self, name: str) -> str:
        if not is_segment(name):
            raise errors.NoSuchName(f'no {self.plural} "{name}" can exist: this is no valid name')
        return urllib.parse.quote(name, safe="")


def is_segment(name: str) -> bool:
    """Return whether a name is one segment of a URL path, and not a way to another."""
    return name not in ("", ".", "..") and "/" not in name


CUSTOM = {kind: Resource(GROUP, VERSION, kind.plural, kind.value) for kind in Kind}
"""The kinds this operator reconciles; the gate waits for them."""
GATEWAYS, ENVIRONMENTS = CUSTOM[Kind.GATEWAY], CUSTOM[Kind.ENVIRONMENT]
PROMOTIONS = CUSTOM[Kind.PROMOTION]
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

WATCHED = (*CUSTOM.values(), JOBS, PODS)
