"""What a planner may ask for: actions as data, and the Plan that carries them.

Built by the planners, carried out in order by `reconcile.execute`. Every action is idempotent or
fails loudly; none decides.
"""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.api.gateway import GatewayStatus, VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PromotionStatus


class Kind(enum.StrEnum):
    """The kinds we reconcile."""

    GATEWAY = "VulcanGateway"
    ENVIRONMENT = "VulcanEnvironment"
    PROMOTION = "VulcanPromotion"

    @property
    def plural(self) -> str:
        """Resource name in URLs."""
        return f"{self.value.lower()}s"


Custom = VulcanGateway | VulcanEnvironment | VulcanPromotion
"""An object of one of our kinds."""


@dataclass(frozen=True, order=True)
class Key:
    """One object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class _Named:
    namespace: str
    name: str


@dataclass(frozen=True)
class _OfJob:
    namespace: str
    job: str


@dataclass(frozen=True)
class _Slot:
    namespace: str
    gateway: str


@dataclass(frozen=True)
class CreateJob:
    """Create it, or adopt one of the same owner uid and inputs; else the attempt is taken."""

    manifest: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])


class DeleteJob(_Named):
    """Delete a Job and its pods (background propagation). Absent is success."""


class StopPods(_OfJob):
    """Delete the pods of a Job so that its runner gets SIGTERM and reports; the Job stays."""


@dataclass(frozen=True)
class KeepJob(_Named):
    """Let a recorded Job go after `seconds` (ttlSecondsAfterFinished). Absent is success."""

    seconds: int


@dataclass(frozen=True)
class WriteConfigMap:
    """Create an immutable ConfigMap; an existing one has the same content: names carry digests."""

    manifest: Mapping[str, Any]


class DeleteConfigMap(_Named):
    """Delete a ConfigMap. Absent is success."""


@dataclass(frozen=True)
class SetFinalizer:
    """Add or remove our finalizer on the object, tested against its resourceVersion."""

    key: Key
    resource_version: str
    finalizers: tuple[str, ...]  # the complete list afterwards

    @classmethod
    def ours(cls, key: Key, meta: ObjectMeta, *, there: bool) -> "SetFinalizer":
        """With ours, or without it; those of others stay."""
        others = tuple(name for name in meta.finalizers if name != names.FINALIZER)
        return cls(key, meta.resource_version, (*others, names.FINALIZER) if there else others)


@dataclass(frozen=True)
class DeleteObject:
    """Delete one of our own objects (ttlAction: Delete), with its uid as precondition."""

    key: Key
    uid: str


@dataclass(frozen=True)
class TakeSlot(_Slot):
    """Make `job` the holder of the gateway's writer Lease, or fail with SlotBusy."""

    job: str


@dataclass(frozen=True)
class ReleaseSlot(_Slot):
    """Give the writer Lease back if `job` holds it, and wake who waits for it."""

    job: str


Action = (
    CreateJob | DeleteJob | StopPods | KeepJob | WriteConfigMap | DeleteConfigMap | SetFinalizer
    | DeleteObject | TakeSlot | ReleaseSlot
)  # fmt: skip


class ReadConfigMap(_Named):
    """Content of a ConfigMap."""


class ReadSlot(_Slot):
    """Holder of the gateway's writer Lease and whether it still lives."""


class ReadJob(_OfJob):
    """A Job and its pods, into the cache: before an irreversible act the cache is not trusted."""


class ReadReport(_OfJob):
    """The report of an ended Job, from the log of its pod."""


@dataclass(frozen=True)
class ReadLabels:
    """Labels of a namespace."""

    namespace: str


Need = ReadConfigMap | ReadSlot | ReadJob | ReadReport | ReadLabels


@dataclass(frozen=True)
class AuditEntry:
    """A line of the audit log: who asked, for what, and what came of it. "": does not apply."""

    operation: str  # the kind of task, or promotion
    outcome: str
    reason: str = ""
    gateway: str = ""
    environment: str = ""
    step: str = ""
    revision: str = ""
    plan: str = ""  # digest
    job: str = ""
    why: str = ""
    asked: str = ""  # who approved it
    evidence: str = ""  # ConfigMap, as namespace/name
    sha256: str = ""  # of the evidence
    seconds: int | None = None  # of a promotion that has ended

    def fields(self) -> dict[str, str]:
        """Those that apply."""
        return {name: str(value) for name, value in vars(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class Note:
    """Something worth an Event on the object; with `audit` also a line in the audit log."""

    reason: str
    message: str
    warning: bool = False
    audit: AuditEntry | None = None


Status = TypeVar("Status", EnvironmentStatus, GatewayStatus, PromotionStatus)


@dataclass(frozen=True)
class Plan(Generic[Status]):
    """The complete new status and what is to be done.

    Order: `prepare` (what must be there, or go, before the status says so), then the status if it
    differs, then `actions` (what status announced), then `notes`, then `confirmed`: the status with
    the actions done. With `needs`, nothing is done: read those and plan again. A planner that has
    to be asked again after its own writes sets `look_again`: they do not wake their object.
    """

    status: Status
    prepare: tuple[Action, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    look_again: dt.datetime | None = None
    confirmed: Status | None = None
    needs: frozenset[Need] = field(default=frozenset())
