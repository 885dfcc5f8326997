"""Decides who outside the pod may read /metrics: whoever the API server lets `get` that URL.

Asked by `health`, which knows nothing of the API server. As in controller-runtime, a TokenReview
says whose bearer token it is and a SubjectAccessReview what that account may do. Metrics name the
objects of all namespaces. No token is logged or kept, only its hash, and only for a minute.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.resources import ACCESS_REVIEWS, TOKEN_REVIEWS, Raw, Resource

_log = logging.getLogger(__name__)
_PATH = "/metrics"
_REMEMBERED = 60.0  # seconds; as long as controller-runtime believes a review
_MOST_REMEMBERED = 64
_MOST_AT_ONCE = 4  # whoever sends many wrong tokens makes no more requests to the API server


@dataclass(frozen=True)
class Refusal:
    """What a request is answered that may not read the metrics."""

    status: int
    text: str


_NO_TOKEN = Refusal(401, "send the bearer token of an account that may get /metrics")
_UNKNOWN = Refusal(401, "the API server does not know this token")
_BUSY = Refusal(429, "too many tokens are being reviewed; try again")


class MetricsAccess:
    """Asks the API server about bearer tokens, and remembers the answers for a while."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._clock = kube, clock
        self._known: dict[bytes, tuple[float, Refusal | None]] = {}
        self._asking = 0

    async def refusal(self, header: str) -> Refusal | None:
        """Return why a request with this Authorization header is refused; None: it is not."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return _NO_TOKEN
        key, now = hashlib.sha256(token.encode()).digest(), self._clock()
        until, answer = self._known.get(key, (0.0, None))
        if now < until:
            return answer
        if self._asking >= _MOST_AT_ONCE:
            return _BUSY
        self._asking += 1
        try:
            answer = await self._review(token.strip())
        except errors.KubeError as error:
            _log.warning("could not review a token for %s: %s", _PATH, error.message)
            return _trouble(error)
        finally:
            self._asking -= 1
        self._remember(key, now, answer)
        return answer

    def _remember(self, key: bytes, now: float, answer: Refusal | None) -> None:
        self._known.pop(key, None)
        while len(self._known) >= _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = (now + _REMEMBERED, answer)

    async def _review(self, token: str) -> Refusal | None:
        said = await self._ask(TOKEN_REVIEWS, {"token": token})
        if not said.get("authenticated"):
            return _UNKNOWN
        user: dict[str, Any] = said["user"]
        who = {"user": user["username"], "groups": user.get("groups", []), "uid": user.get("uid")}
        wanted = {"nonResourceAttributes": {"path": _PATH, "verb": "get"}}
        said = await self._ask(ACCESS_REVIEWS, {**who, "extra": user.get("extra", {}), **wanted})
        if said.get("allowed"):
            return None
        needs = "bind ClusterRole vulcan-metrics-reader to it"
        return Refusal(403, f'user "{user["username"]}" may not get {_PATH}: {needs}')

    async def _ask(self, resource: Resource, spec: Raw) -> Raw:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        answer = await self._kube.create(resource, "", body)
        return dict(answer.get("status") or {})


def _trouble(error: errors.KubeError) -> Refusal:
    if isinstance(error, errors.Forbidden):
        return Refusal(500, "the operator may not review tokens: apply deploy/rbac.yaml")
    return Refusal(503, "the API server did not review the token; try again")
