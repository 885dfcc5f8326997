"""What planners read of other objects than their own: frozen facts, and nothing else.

Made once per change by `cluster.cache`; `cluster.wake` wakes whoever reads facts that have changed.
What a planner needs of another object is added here, and only here. (Facts of promotions follow
from rules; `rules.promotion_facts` makes them.)
"""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vulcan_operator.api import GROUP
from vulcan_operator.api import environment_status as statuses
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.environment_history import PromotionItem, RollbackTargetStatus
from vulcan_operator.api.fields import Condition, ObjectMeta
from vulcan_operator.api.gateway import GatewaySpec, VulcanGateway
from vulcan_operator.api.promotion_status import PreviousStatus
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.conditions import condition

_OURS = f"{GROUP}/"


@dataclass(frozen=True, slots=True)
class Identity:
    """Metadata that others read; annotations are those of our group."""

    name: str
    namespace: str
    uid: str
    created: dt.datetime | None = None
    deleted: dt.datetime | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, meta: ObjectMeta) -> "Identity":
        """The identity of an object."""
        ours = {k: v for k, v in meta.annotations.items() if k.startswith(_OURS)}
        created, deleted = meta.creation_timestamp, meta.deletion_timestamp
        return cls(meta.name, meta.namespace, meta.uid, created, deleted, ours)

    @property
    def full_name(self) -> str:
        """namespace/name, as messages and status name objects."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ReadyFacts:
    """Condition Ready without its time."""

    status: str = ""  # "": there is none yet
    reason: str = ""
    message: str = ""
    is_current: bool = False  # judged by the spec of today

    @classmethod
    def of(cls, conditions: list[Condition], *, is_current: bool) -> "ReadyFacts":
        """Of an object's conditions."""
        ready = condition(conditions, Type.READY)
        if ready is None:
            return cls(is_current=is_current)
        return cls(ready.status, ready.reason, ready.message, is_current)


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """A gateway: not who writes or waits there, which changes all the time."""

    metadata: Identity
    spec: GatewaySpec
    sqlmesh_name: str
    ready: ReadyFacts = ReadyFacts()
    state_identity: str | None = None
    probed: dt.datetime | None = None

    @classmethod
    def of(cls, gateway: VulcanGateway) -> "GatewayFacts":
        """The facts of a gateway."""
        status = gateway.status
        current = status.observed_generation == gateway.metadata.generation
        return cls(
            metadata=Identity.of(gateway.metadata),
            spec=gateway.spec,
            sqlmesh_name=gateway.sqlmesh_name,
            ready=ReadyFacts.of(status.conditions, is_current=current),
            state_identity=status.state_identity,
            probed=status.probe.time if status.probe is not None else None,
        )


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """An environment as promotions from it and to it read it."""

    metadata: Identity
    spec: EnvironmentSpec
    sqlmesh_environment: str
    ready: ReadyFacts = ReadyFacts()
    environment: str | None = None  # the name as its own planner has noted it
    protected: bool = False
    revision: statuses.RevisionStatus | None = None
    applied: statuses.AppliedStatus | None = None
    plan: statuses.PlanStatus | None = None  # the one that it has applied
    green_runs: int = 0
    held: tuple[statuses.HeldStatus, ...] = ()
    history: tuple[statuses.HistoryItem, ...] = ()
    rollback_targets: tuple[RollbackTargetStatus, ...] = ()
    promotions: tuple[PromotionItem, ...] = ()
    suspended_since: dt.datetime | None = None

    @classmethod
    def of(cls, environment: VulcanEnvironment) -> "EnvironmentFacts":
        """The facts of an environment."""
        status = environment.status
        current = status.observed_generation == environment.metadata.generation
        applied, plan = status.applied, status.plan
        is_applied = applied is not None and plan is not None and plan.digest == applied.plan_digest
        return cls(
            metadata=Identity.of(environment.metadata),
            spec=environment.spec,
            sqlmesh_environment=environment.sqlmesh_environment,
            ready=ReadyFacts.of(status.conditions, is_current=current),
            environment=status.environment,
            protected=status.protected,
            revision=status.revision,
            applied=applied,
            plan=plan if is_applied else None,
            green_runs=status.green_runs,
            held=tuple(status.held),
            history=tuple(status.history),
            rollback_targets=tuple(status.rollback_targets),
            promotions=tuple(status.promotions),
            suspended_since=status.suspended_since,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """An environment as the others on its gateway read it: whose name it has, whether it counts."""

    key: Key
    environment: str
    created: dt.datetime | None
    protected: bool = False
    applied: bool = False
    deleting: bool = False
    refused: bool = False  # no grant allows it
    judged: bool = False  # its planner has noted whether it is protected

    @classmethod
    def of(cls, environment: VulcanEnvironment) -> "Claim":
        """The claim of an environment."""
        meta, status = environment.metadata, environment.status
        ready = condition(status.conditions, Type.READY)
        refused = ready is not None and ready.reason == Why.NOT_GRANTED
        return cls(
            Key(Kind.ENVIRONMENT, meta.namespace, meta.name), environment.sqlmesh_environment,
            meta.creation_timestamp, status.protected, status.applied is not None,
            meta.deletion_timestamp is not None, refused, status.environment is not None,
        )  # fmt: skip


@dataclass(frozen=True)
class Claims:
    """The claims of all environments of a gateway, the reader's own among them."""

    by_name: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, claims: Iterable[Claim]) -> "Claims":
        """By SQLMesh environment name."""
        found: dict[str, list[Claim]] = {}
        for claim in claims:
            found.setdefault(claim.environment, []).append(claim)
        return cls({name: tuple(same) for name, same in found.items()})

    def named(self, environment: str) -> tuple[Claim, ...]:
        """Those of one name."""
        return self.by_name.get(environment, ())

    def all(self) -> Iterator[Claim]:
        """All of them."""
        return itertools.chain.from_iterable(self.by_name.values())

    def protected(self, *, besides: Key) -> tuple[str, ...]:
        """Names of those of others that are protected, sorted."""
        found = (c.environment for c in self.all() if c.protected and c.key != besides)
        return tuple(sorted(set(found)))


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task on a gateway, of an environment or a promotion, as the gateway reads it."""

    key: Key
    uid: str
    kind: str
    job: str
    state: str
    priority: int
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """What an environment's Jobs have found of its gateway."""

    reached: dt.datetime | None = None  # when one last reached both databases
    failed_reason: str = ""
    failed_at: dt.datetime | None = None

    @classmethod
    def of(cls, environment: VulcanEnvironment) -> "Contact":
        """By its last plan, apply, run and failure."""
        status = environment.status
        times = [part.time for part in (status.plan, status.applied) if part is not None]
        if status.last_run is not None and status.last_run.succeeded:
            times.append(status.last_run.time)
        failures = [f for f in (status.failure, status.run_failure) if f is not None]
        failed = max(failures, key=lambda f: f.time, default=None)
        reached = max(times, default=None)
        return cls(reached, failed.reason, failed.time) if failed is not None else cls(reached)


@dataclass(frozen=True, slots=True)
class PromotionFacts:
    """A promotion as its target and other promotions read it. Made by `rules.promotion_facts`."""

    key: Key
    uid: str
    created: dt.datetime | None
    is_rollback: bool  # spec.rollbackTo
    takes_places: bool  # spec.queue: Supersede
    outcome: str | None = None
    is_started: bool = False
    is_deleted: bool = False
    is_inert: bool = False  # deleted, and nothing of it must still come to an end
    is_queued: bool = False
    goes_nowhere: bool = False  # stalled, or waits for what may never come
    is_changing: bool = False  # its Job may have begun to change the target, or has
    is_there: bool = False  # the target had the revision already
    superseded_by: str | None = None
    applied_plan_id: str = ""
    left: statuses.AppliedStatus | None = None  # what the target has of it, once it is over
    intervals_behind: int | None = None  # after a rollback
    held: statuses.HeldStatus | None = None  # the revision that was rolled back
    item: PromotionItem | None = None  # for the target's history, once its evidence is kept
    previous: PreviousStatus | None = None
    plan: statuses.PlanStatus | None = None  # once it is applied

    @property
    def full_name(self) -> str:
        """namespace/name."""
        return str(self.key)
