"""Structures that several kinds share: references, conditions, tasks, failures.

Used by the modules of `api` and by the planners, which also parse durations here.
"""

import datetime as dt
import enum
import re
from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.schemas import Model, cel, listed
from vulcan_operator.api.texts import (
    DURATION,
    BriefMessage,
    LabelKey,
    LongMessage,
    Message,
    NamespaceName,
    ObjectName,
    Text16,
    Text63,
    Text64,
    Text320,
    Timestamp,
)

_UNIT = {
    "ms": dt.timedelta(milliseconds=1),
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
}


def parse_duration(text: str) -> dt.timedelta:
    """Parse `2h30m` to a timedelta; raise ValueError if invalid. Units: ms, s, m, h, d."""
    if text == "0":
        return dt.timedelta()
    if not re.fullmatch(DURATION, text, re.ASCII):
        raise ValueError(f"not a duration: {text!r} (write 90s, 15m, 2h30m or 400d)")
    return sum(
        (int(n) * _UNIT[unit] for n, unit in re.findall("([0-9]+)(ms|s|m|h|d)", text)),
        dt.timedelta(),
    )


def short_revision(revision: str) -> str:
    """Shorten a revision: 12 digits of a commit, `name@digest` of an image, else its beginning."""
    if re.fullmatch("[0-9a-f]{40,64}", revision):
        return revision[:12]
    name, at, digest = revision.rpartition("@sha256:")
    return f"{name.rsplit('/', 1)[-1][:27]}@{digest[:12]}" if at else revision[:40]


class LocalRef(Model):
    """A reference to an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object, in this namespace.")


class ObjectRef(Model):
    """A reference to an object, by default in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")
    namespace: NamespaceName | None = Field(
        None,
        description="Its namespace. Default: this object's; others need a grant of the gateway.",
    )


class LabelSelectorRequirement(Model):
    """One requirement on labels, as everywhere in Kubernetes."""

    key: LabelKey = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="In and NotIn compare with values; Exists and DoesNotExist only check the key."
    )
    values: list[Text63] = Field(
        [], max_length=64, description="Values for In and NotIn, else empty."
    )


class LabelSelector(Model):
    """Selects by labels; all requirements must be met. An empty selector matches everything."""

    match_labels: dict[str, Text63] = Field(
        {}, max_length=64, description="Labels that must be equal."
    )
    match_expressions: list[LabelSelectorRequirement] = listed(
        32,
        "Further requirements, all of which must be met.",
        cel(
            "self.all(r, (r.operator in ['In', 'NotIn']) == (has(r.values) && r.values.size() > "
            "0))",
            "operators In and NotIn need values, Exists and DoesNotExist take none",
        ),
    )

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            _holds(r, labels) for r in self.match_expressions
        )


def _holds(requirement: LabelSelectorRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


class Condition(Model):
    """A Kubernetes condition, as in metav1.Condition."""

    type: Text63 = Field(description="Condition type, CamelCase.")
    status: Annotated[str, Field(max_length=7)] = Field(
        description="True, False or Unknown.",
        json_schema_extra={"enum": ["True", "False", "Unknown"]},
    )
    reason: Text63 = Field(description="Reason for the status, as one CamelCase word.")
    message: LongMessage = Field("", description="Explanation, and what happens next.")
    observed_generation: int = Field(0, description="Generation of the spec that it is based on.")
    last_transition_time: Timestamp = Field(description="When `status` last changed.")


class ObjectMeta(Model):
    """The part of an object's metadata that the operator reads."""

    name: str
    namespace: str
    uid: str
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = Field({})
    annotations: dict[str, str] = Field({})
    finalizers: list[str] = Field([])

    @property
    def full_name(self) -> str:
        """The object as namespace/name, as in messages and status."""
        return f"{self.namespace}/{self.name}"


class TaskState(enum.StrEnum):
    """How far a task is. Started: its Job is to exist; Running: it was seen."""

    WAITING = "Waiting"
    STARTED = "Started"
    RUNNING = "Running"


class TaskStatus(Model):
    """A task in flight: written before its Job is created, removed when its result is recorded."""

    kind: Text16 = Field(
        description="What its Job does: probe, resolve, plan, apply, run, promote, rollback, "
        "audit, ..."
    )
    job: Text63 = Field(description="Name of its Job in the gateway's namespace.")
    gateway: Text320 = Field(
        "", description="VulcanGateway, as namespace/name. Empty: the object's own gateway."
    )
    inputs: Text16 = Field(description="Digest of the task's inputs.")
    attempt: int = Field(1, description="Number of this attempt at the same inputs, from 1.")
    state: Text16 = Field(
        "Started",
        description="Waiting for the writer slot, Started (its Job is being created) or Running.",
        json_schema_extra={"enum": list(TaskState)},
    )
    priority: int = Field(
        0, description="Order of the tasks that wait for the writer slot; the lowest goes first."
    )
    since: Timestamp = Field(description="When it began to wait, or was started.")
    request: Text64 | None = Field(None, description="The request annotation it answers.")
    due: Timestamp | None = Field(None, description="The due time that a run is for.")
    why: BriefMessage = Field("", description="Why it was started.")

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name of the gateway it runs on; empty for the object's own."""
        namespace, _, name = self.gateway.partition("/")
        return namespace, name


class FailureStatus(Model):
    """A failure that waits for a retry or for a user."""

    task: Text16 = Field(description="Which task failed.")
    inputs: Text16 = Field(description="Digest of the task's inputs.")
    reason: Text63 = Field(description="Reason, from docs/reference/reasons.md.")
    message: Message = Field("", description="What went wrong, scrubbed of secrets.")
    attempts: int = Field(1, description="Failed attempts in a row at the same inputs.")
    last_attempt: int = Field(1, description="Number of the last attempt, as in its Job label.")
    counted: int = Field(0, description="How many of these attempts count against retry.limit.")
    time: Timestamp = Field(description="When the last attempt ended.")
    retry: Text16 = Field("Never", description="Never, Now, Backoff, Wait or Replan.")
