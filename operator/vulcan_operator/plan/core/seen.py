"""What was observed, as frozen values. Absent is None. Made by `reconcile.observe`, read by the planners."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import Key

_DEAD_AFTER = dt.timedelta(minutes=2)  # past the grace period


@dataclass(frozen=True)
class Settings:
    """What the planners need of the operator's configuration."""

    install: str  # id of this installation, a label value
    cluster: str  # uid of the namespace kube-system: part of the owner marker
    runner_image: str
    operator_account: str = "system:serviceaccount:vulcan-system:vulcan-operator"


class JobState(enum.StrEnum):
    """A Job by its conditions: FAILED and COMPLETE only when the last pod has ended."""

    UNFINISHED = "Unfinished"
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class JobSeen:
    """One of our Jobs, reduced to what decisions need (labels parsed)."""

    namespace: str
    name: str
    uid: str
    owner_kind: str
    owner_namespace: str
    owner_name: str
    owner_uid: str
    task: str
    inputs: str
    attempt: int
    gateway: str
    install: str
    state: JobState
    reason: str = ""  # of the Failed condition
    message: str = ""
    created: dt.datetime | None = None
    finished: dt.datetime | None = None
    ttl: int | None = None
    runner: str = ""  # digest of the runner settings it was made with; "" of an older operator


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod of one of our Jobs."""

    namespace: str
    name: str
    uid: str
    job: str
    owner_uid: str
    phase: str
    created: dt.datetime | None = None
    started: bool = False  # one of its containers has run
    waiting: str = ""  # reason a container waits, e.g. ErrImagePull
    waiting_message: str = ""
    termination: str = ""  # termination message of main, or of fetch if that failed
    exit_code: int | None = None
    exit_reason: str = ""  # OOMKilled, Error, DeadlineExceeded (the pod's), Evicted
    deleted: dt.datetime | None = None  # when its grace period ends, once somebody has deleted it
    nonce: str = ""
    image_id: str = ""  # the runner's image as the node reports it, by digest

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def deleting(self) -> bool:
        """Whether it was told to stop."""
        return self.deleted is not None

    @property
    def given_up_at(self) -> dt.datetime | None:
        """When it counts as being on a dead node: a node that lives has ended it long before."""
        return None if self.ended or self.deleted is None else self.deleted + _DEAD_AFTER

    def is_on_dead_node(self, now: dt.datetime) -> bool:
        """Whether nobody knows if it still runs, and nobody will tell."""
        return self.given_up_at is not None and self.given_up_at <= now


@dataclass(frozen=True)
class SlotSeen:
    """The gateway's writer Lease: its holder's Job, and whether that may still write."""

    holder: str | None = None
    live: bool = False
    detail: str = ""  # of a live holder: since when, which pod


@dataclass(frozen=True)
class Waiter:
    """An object that waits for the writer slot; the lowest (priority, since, key) goes first."""

    key: Key
    priority: int
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task in hand on a gateway, of an environment or a promotion."""

    key: Key
    uid: str
    kind: str
    job: str
    state: str
    priority: int
    since: dt.datetime


@dataclass(frozen=True)
class Sibling:
    """Another environment on the same gateway."""

    key: Key
    uid: str
    created: dt.datetime | None
    environment: str
    protected: bool
    applied: bool
    deleting: bool = False
    refused: bool = False  # no grant allows it
    failed_reason: str = ""  # reason and time of its failure, for the gateway's planner
    failed_at: dt.datetime | None = None
    contact: dt.datetime | None = None  # when one of its Jobs last reached both databases
    task_job: str = ""
    task_kind: str = ""
    task_state: str = ""
    task_priority: int = 0
    task_since: dt.datetime | None = None


@dataclass(frozen=True)
class ConfigMapSeen:
    """A ConfigMap that people write; `files` is None when it does not exist, or lacks keys that `items` name."""

    files: Mapping[str, bytes] | None
    missing_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportSeen:
    """The report of a finished plan Job: gzipped JSON, or None when the log has none that fits the Result."""

    packed: bytes | None


@dataclass(frozen=True)
class GatewaySeen:
    """Everything `plan_gateway` looks at."""

    gateway: VulcanGateway
    settings: Settings
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    environments: tuple[Sibling, ...] = ()
    tasks: tuple[TaskSeen, ...] = ()  # of its environments, and of promotions that run here
    writer_pods: tuple[PodSeen, ...] = ()  # of those that run, while others wait for the writer slot
    slot: SlotSeen | None = None  # None: not read (Need.SLOT)
    waiters: tuple[Waiter, ...] = ()
    job_is_live: bool = False  # jobs and pods were read live (Need.JOB)
    denied: str | None = None  # the API server's refusal of our last action, when it was one


@dataclass(frozen=True)
class EnvironmentSeen:
    """Everything `plan_environment` looks at."""

    environment: VulcanEnvironment
    settings: Settings
    gateway: VulcanGateway | None = None
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    siblings: tuple[Sibling, ...] = ()  # all others on the gateway, any namespace
    slot: SlotSeen | None = None
    waiters: tuple[Waiter, ...] = ()  # others only
    namespace_labels: Mapping[str, str] | None = None
    config_map: ConfigMapSeen | None = None
    checks: ConfigMapSeen | None = None  # None: not read (Need.CHECKS)
    reports: Mapping[str, ReportSeen] | None = None  # of ended Jobs, by Job; None: not read (Need.REPORT)
    report_kept: bool | None = None  # None: not read (Need.KEPT)
    promotions: tuple[VulcanPromotion, ...] = ()  # all to it
    unguarded: tuple[str, ...] | None = None  # admission policies that do not hold; None: not judged yet
    job_is_live: bool = False
    denied: str | None = None


@dataclass(frozen=True)
class PromotionSeen:
    """Everything `plan_promotion` looks at."""

    promotion: VulcanPromotion
    settings: Settings
    source: VulcanEnvironment | None = None
    target: VulcanEnvironment | None = None
    source_gateway: VulcanGateway | None = None
    gateway: VulcanGateway | None = None  # the target's
    rivals: tuple[VulcanPromotion, ...] = ()  # all others to the same target
    upstream: tuple[VulcanPromotion, ...] = ()  # all to the source
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    slot: SlotSeen | None = None  # of the target's gateway
    source_slot: SlotSeen | None = None  # of the source's, where that is another
    waiters: tuple[Waiter, ...] = ()  # others only, at the target's gateway
    source_waiters: tuple[Waiter, ...] = ()  # the same at the source's
    namespace_labels: Mapping[str, str] | None = None  # of the promotion's namespace
    checks: ConfigMapSeen | None = None  # None: not read (Need.CHECKS)
    source_files: ConfigMapSeen | None = None  # of the copy that its origin names
    reports: Mapping[str, ReportSeen] | None = None
    left: Mapping[str, bytes] | None = None  # reports that its steps have left, by ConfigMap; None: not read
    report_kept: bool | None = None
    unguarded: tuple[str, ...] | None = None
    job_is_live: bool = False
    denied: str | None = None
