"""What a pass over one environment knows, gathered once: the seen objects and what follows from
them. Pure."""

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import ABOUT, Reason, Side
from vulcan_operator.api import names
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import FailureStatus, ObjectMeta, parse_duration
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.facts import Claim, GatewayFacts
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.plan.rules import access, approval, schedule, strict
from vulcan_operator.plan.tasks import life

_OUTAGE = tuple(r for r in Reason if ABOUT[r].side in (Side.DATABASE, Side.SECRET))
_GATEWAYS_OWN = tuple(
    r for r in Reason if ABOUT[r].side in (Side.SETTINGS, Side.STATE, Side.VERSION)
)


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
    def meta(self) -> ObjectMeta:
        """Its metadata."""
        return self.seen.environment.metadata

    @property
    def spec(self) -> EnvironmentSpec:
        """Its spec."""
        return self.seen.environment.spec

    @property
    def live(self) -> Live:
        """What was read live."""
        return self.seen.live

    @property
    def gateway(self) -> GatewayFacts:
        """Its gateway; only asked for behind the precondition that it exists."""
        assert self.seen.gateway is not None
        return self.seen.gateway

    @functools.cached_property
    def key(self) -> Key:
        """Its key."""
        return Key(Kind.ENVIRONMENT, self.meta.namespace, self.meta.name)

    @property
    def gateway_namespace(self) -> str:
        """Where its Jobs run."""
        return self.spec.gateway_ref.namespace or self.meta.namespace

    @functools.cached_property
    def site(self) -> Site | None:
        """Where its Jobs run, with what image; None without a gateway."""
        gateway = self.seen.gateway
        if gateway is None:
            return None
        own = access.connections(self.access.matching)
        return Site(gateway, self.image, self.seen.waiters, self.seen.tasks, own)

    @functools.cached_property
    def mine(self) -> life.Pass:
        """What this pass knows of its tasks."""
        seen = self.seen
        return life.Pass(
            self.key, self.meta, seen.settings, seen.jobs, seen.pods, seen.live, self.now
        )

    @functools.cached_property
    def labels(self) -> Mapping[str, str]:
        """Labels of its namespace, where a grant asks for them."""
        asks = self.seen.gateway is not None and access.needs_labels(self.gateway, self.environment)
        return self.live.labels(self.meta.namespace) if asks else {}

    @functools.cached_property
    def access(self) -> access.Access:
        """What the grants say."""
        return access.access(self.gateway, self.environment, self.labels)

    @property
    def may_use_gateway(self) -> bool:
        """Whether there is a gateway, and a grant of it for this environment."""
        return self.seen.gateway is not None and self.access.allowed

    @property
    def protected(self) -> bool:
        """Whether the gateway protects it."""
        return self.seen.gateway is not None and self.access.protected

    @functools.cached_property
    def in_force(self) -> strict.InForce:
        """The rules of its spec, or stricter ones of the grants."""
        grants = self.access.ruling if self.seen.gateway is not None else ()
        return strict.in_force(self.spec, strict.floor(grants))

    @functools.cached_property
    def rules(self) -> EnvironmentSpec:
        """Its spec with the rules that are in force."""
        return strict.with_rules(self.spec, self.in_force)

    @property
    def author(self) -> str | None:
        """Who created it; None when that is not known."""
        return approval.author(self.meta)

    @property
    def deletion_policy(self) -> str:
        """Retain, Expire or Invalidate."""
        return access.deletion_policy(self.environment, self.protected)

    @property
    def image(self) -> str:
        """Runner image of its Jobs."""
        return access.runner_image(self.environment, self.gateway, self.seen.settings.runner_image)

    def siblings(self, environment: str) -> list[Claim]:
        """Claims of the others on the gateway to a SQLMesh environment name."""
        return [c for c in self.seen.claims.named(environment) if c.key != self.key]

    def request(self, kind: str, status: EnvironmentStatus) -> str | None:
        """A request annotation (`plan` or `run`) that was not answered yet."""
        name = names.RUN_REQUESTED if kind == "run" else names.PLAN_REQUESTED
        asked = self.meta.annotations.get(name, "")[:64]
        handled = getattr(status, f"last_handled_{kind}_requested_at")
        return asked if asked and asked != handled else None

    def expired_at(self, status: EnvironmentStatus) -> dt.datetime | None:
        """When spec.ttl is over, counted from the last apply or else from creation."""
        ttl, applied = self.spec.ttl, status.applied
        start = applied.time if applied is not None else self.meta.creation_timestamp
        return start + parse_duration(ttl) if ttl is not None and start is not None else None

    def retry_at(self, failure: FailureStatus) -> dt.datetime | None:
        """When a failure may be tried again; sooner when what it waited for has come.

        An outage: the gateway has answered a probe since. A fault of the gateway's: the same, but
        with a pause, for its probe may be content with what this environment is not. A missing
        prod: it is there.
        """
        policy, gateway = self.spec.retry, self.seen.gateway
        last = gateway.probed if gateway is not None else None
        probed = last is not None and last > failure.time
        if probed and failure.reason in _OUTAGE and failure.attempts <= 3:
            return self.now
        if probed and failure.reason in _GATEWAYS_OWN:
            return failure.time + schedule.backoff(failure.attempts, policy)
        is_missing = failure.reason == Reason.REFERENCE_MISSING and failure.attempts <= 3
        if is_missing and any(claim.applied for claim in self.siblings(REFERENCE)):
            return self.now
        return schedule.retry_time(failure, policy)
