"""Jobs, pods and the writer slot as `cluster.views` has observed them. Frozen; absent is None."""

import datetime as dt
import enum
from dataclasses import dataclass

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


Jobs = tuple[JobSeen, ...]
Pods = tuple[PodSeen, ...]


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
