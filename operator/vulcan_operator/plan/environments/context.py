"""What a pass over one environment knows, gathered once: the seen objects and what follows from them. Pure."""

import datetime as dt
import functools
from dataclasses import dataclass

from vulcan_contract.reasons import Reason
from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import FailureStatus, parse_duration
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import EnvironmentSeen
from vulcan_operator.plan.rules import access, approval, schedule
from vulcan_operator.plan.tasks import jobs, slot

_OUTAGE = {
    Reason.WAREHOUSE_UNREACHABLE,
    Reason.STATE_UNREACHABLE,
    Reason.AUTH_FAILED,
    Reason.SECRET_MISSING,
    Reason.SECRET_KEY_MISSING,
}
_GATEWAYS_OWN = {
    Reason.CONFIG_INVALID,
    Reason.STATE_OWNERSHIP,
    Reason.STATE_LOST,
    Reason.STATE_IDENTITY,
    Reason.STATE_MIGRATION,
    Reason.RUNNER_OUTDATED,
}


@dataclass(frozen=True)
class Context:
    """One environment, its gateway and the time."""

    seen: EnvironmentSeen
    now: dt.datetime

    @property
    def environment(self) -> VulcanEnvironment:
        """The object."""
        return self.seen.environment

    @property
    def gateway(self) -> VulcanGateway:
        """Its gateway; only asked for behind the gate that it exists."""
        assert self.seen.gateway is not None
        return self.seen.gateway

    @property
    def key(self) -> Key:
        """Its key."""
        meta = self.environment.metadata
        return Key(Kind.ENVIRONMENT, meta.namespace, meta.name)

    @property
    def gateway_namespace(self) -> str:
        """Where its Jobs run."""
        return self.environment.spec.gateway_ref.namespace or self.environment.metadata.namespace

    @functools.cached_property
    def access(self) -> access.Access:
        """What the grants say."""
        return access.access(self.gateway, self.environment, self.seen.namespace_labels)

    @property
    def protected(self) -> bool:
        """Whether the gateway protects it."""
        return self.seen.gateway is not None and self.access.protected

    @property
    def author(self) -> str | None:
        """Who created it; None when nobody knows."""
        return approval.author(self.environment.metadata)

    @property
    def deletion_policy(self) -> str:
        """Retain, Expire or Invalidate."""
        return access.deletion_policy(self.environment, self.protected)

    @property
    def image(self) -> str:
        """Runner image of its Jobs."""
        return access.runner_image(self.environment, self.gateway, self.seen.settings.runner_image)

    def request(self, kind: str, status: EnvironmentStatus) -> str | None:
        """A request annotation (`plan` or `run`) that was not answered yet."""
        name = names.RUN_REQUESTED if kind == "run" else names.PLAN_REQUESTED
        asked = self.environment.metadata.annotations.get(name, "")[:64]
        return asked if asked and asked != getattr(status, f"last_handled_{kind}_requested_at") else None

    def expired_at(self, status: EnvironmentStatus) -> dt.datetime | None:
        """When spec.ttl is over, counted from the last apply or else from creation."""
        ttl = self.environment.spec.ttl
        applied = status.applied
        start = applied.time if applied is not None else self.environment.metadata.creation_timestamp
        return start + parse_duration(ttl) if ttl is not None and start is not None else None

    def retry_at(self, failure: FailureStatus) -> dt.datetime | None:
        """When a failure may be tried again; sooner when what it waited for has come.

        An outage: the gateway has answered a probe since. A fault of the gateway's: the same, but with a pause, for
        its probe may be content with what this environment is not. A missing prod: it is there.
        """
        policy = self.environment.spec.retry
        probe = self.seen.gateway.status.probe if self.seen.gateway is not None else None
        probed = probe is not None and probe.time > failure.time
        if probed and failure.reason in _OUTAGE and failure.attempts <= 3:
            return self.now
        if probed and failure.reason in _GATEWAYS_OWN:
            return failure.time + schedule.backoff(failure.attempts, policy)
        if failure.reason == Reason.REFERENCE_MISSING and failure.attempts <= 3 and self.reference_applied:
            return self.now
        return schedule.retry_time(failure, policy)

    @property
    def reference_applied(self) -> bool:
        """Whether another environment of the gateway is an applied prod."""
        return any(s.environment == "prod" and s.applied for s in self.seen.siblings)

    def terms(self, kind: str = "", job: str = "") -> jobs.Terms:
        """What the specs of today mean for a Job of this environment."""
        gateway = self.seen.gateway
        return slot.terms(gateway, self.image, kind, job) if gateway is not None else jobs.Terms()
