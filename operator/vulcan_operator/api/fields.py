"""Field types that the three kinds share, and their base model: camelCase, lenient parsing."""

import datetime as dt
import enum
import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

NAME_MAX = 40
IDENTIFIER = "^[A-Za-z_][A-Za-z0-9_]*$"


def cel(rule: str, message: str, **more: str) -> dict[str, str]:
    """Build one `x-kubernetes-validations` entry. The message says what to do."""
    return {"rule": rule, "message": message, **more}


def schema(*rules: dict[str, str], **extra: Any) -> dict[str, Any]:
    """Build `json_schema_extra` with CEL rules; `list_type` and `list_keys` mark keyed lists."""
    out: dict[str, Any] = {}
    if rules:
        out["x-kubernetes-validations"] = list(rules)
    if "list_type" in extra:
        out["x-kubernetes-list-type"] = extra.pop("list_type")
    if "list_keys" in extra:
        out["x-kubernetes-list-map-keys"] = extra.pop("list_keys")
    return {**out, **extra}


def immutable(field: str, hint: str) -> dict[str, str]:
    """Build a rule for the parent object: a field may not change, be added or be removed."""
    return cel(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} is immutable: {hint}",
    )


class Model(BaseModel):
    """Frozen, with camelCase names in JSON.

    Ignores unknown fields: an older operator must work with a newer CRD. Choices in `spec` are
    Literals: an object with an unknown choice does not parse at all, because an unknown approval
    mode must not count as "needs no approval". Choices in `status` are plain text, so that a status
    always parses.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )
    checks_changes: ClassVar[bool] = False  # whether `but` validates: twice the time of a pass

    def to_json(self) -> dict[str, Any]:
        """Dump for the API server: camelCase, without nulls, times in RFC 3339."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def but(self, **changes: Any) -> Self:
        """A copy with these fields changed. Raises TypeError for a name that is no field: a misspelt
        status field would otherwise be dropped in silence. Tests check the values, too.
        """
        unknown = changes.keys() - type(self).model_fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        if self.checks_changes:
            type(self).model_validate({**self.__dict__, **changes})
        return self.model_copy(update=changes)


def _cut(limit: int) -> BeforeValidator:
    """Truncate to the CRD's limit: a long error message must not make a status write fail."""
    return BeforeValidator(
        lambda text: (
            f"{text[: limit - 1]}…" if isinstance(text, str) and len(text) > limit else text
        )
    )


_DURATION = "^([0-9]{1,5}(ms|s|m|h|d)){1,5}$"
_DURATION_RULE = cel(
    f"self.matches('{_DURATION}') || self == '0'",
    "a duration is written like 90s, 15m, 2h30m or 400d",
)

Name = Annotated[str, Field(min_length=1, max_length=253)]
ShortText = Annotated[str, Field(max_length=1024)]
Message = Annotated[str, _cut(1024), Field(max_length=1024)]
LongMessage = Annotated[str, _cut(4096), Field(max_length=4096)]
FreeDict = Annotated[
    dict[str, Any],
    Field(max_length=128, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]
Duration = Annotated[str, Field(max_length=32, json_schema_extra=schema(_DURATION_RULE))]
PositiveDuration = Annotated[
    str,
    Field(
        max_length=32,
        json_schema_extra=schema(
            _DURATION_RULE, cel("self.matches('[1-9]')", "this duration must be longer than 0")
        ),
    ),
]
_CRON_FIELD = "[0-9A-Za-z*,/?#L-]+"
Cron = Annotated[
    str,
    Field(
        min_length=9,
        max_length=128,
        json_schema_extra=schema(
            cel(
                f"self.matches('^{_CRON_FIELD}( +{_CRON_FIELD}){{4}}$')",
                "a cron has five fields: minute, hour, day of month, month, day of week (for example 17 3 * * *)",
            )
        ),
    ),
]
TimeZone = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra=schema(
            cel(
                "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')",
                "timeZone is an IANA time zone, for example Europe/Berlin",
            )
        ),
    ),
]
Timestamp = Annotated[
    dt.datetime,
    # Whole seconds, as everywhere in Kubernetes; kubectl prints them in columns.
    PlainSerializer(
        lambda t: t.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), when_used="json"
    ),
]

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
    if not re.fullmatch(_DURATION, text, re.ASCII):
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

    name: Name = Field(description="Name of the object, in this namespace.")


class ObjectRef(Model):
    """A reference to an object, by default in the same namespace."""

    name: Name = Field(description="Name of the object.")
    namespace: Name | None = Field(
        None,
        description="Its namespace. Default: this object's; others need a grant of the gateway.",
    )


class LabelSelectorRequirement(Model):
    """One requirement on labels, as everywhere in Kubernetes."""

    key: Name = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="In and NotIn compare with values; Exists and DoesNotExist only check the key."
    )
    values: list[Annotated[str, Field(max_length=63)]] = Field(
        default=[], max_length=64, description="Values for In and NotIn, else empty."
    )


class LabelSelector(Model):
    """Selects by labels; all requirements must be met. An empty selector matches everything."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default={}, max_length=64, description="Labels that must be equal."
    )
    match_expressions: list[LabelSelectorRequirement] = Field(
        default=[],
        max_length=32,
        description="Further requirements, all of which must be met.",
        json_schema_extra=schema(
            cel(
                "self.all(r, (r.operator in ['In', 'NotIn']) == (has(r.values) && r.values.size() > 0))",
                "operators In and NotIn need values, Exists and DoesNotExist take none",
            ),
            list_type="atomic",
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

    type: Annotated[str, Field(max_length=63)] = Field(description="Condition type, CamelCase.")
    status: Annotated[str, Field(max_length=7)] = Field(
        description="True, False or Unknown.",
        json_schema_extra={"enum": ["True", "False", "Unknown"]},
    )
    reason: Annotated[str, Field(max_length=63)] = Field(
        description="Reason for the status, as one CamelCase word."
    )
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
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []

    @property
    def full_name(self) -> str:
        """The object as namespace/name, as in messages and status."""
        return f"{self.namespace}/{self.name}"


class TaskState(enum.StrEnum):
    """How far a task is. Waiting for the writer slot; Started: its Job is to exist; Running: it was seen."""

    WAITING = "Waiting"
    STARTED = "Started"
    RUNNING = "Running"


class TaskStatus(Model):
    """A task in flight: written before its Job is created, removed when its result is recorded."""

    kind: Annotated[str, Field(max_length=16)] = Field(
        description="What its Job does: probe, resolve, plan, apply, run, promote, rollback, audit, ..."
    )
    job: Annotated[str, Field(max_length=63)] = Field(
        description="Name of its Job in the gateway's namespace."
    )
    gateway: Annotated[str, Field(max_length=320)] = Field(
        "", description="VulcanGateway, as namespace/name. Empty: the object's own gateway."
    )
    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of the task's inputs.")
    attempt: int = Field(1, description="Number of this attempt at the same inputs, from 1.")
    state: Annotated[str, Field(max_length=16)] = Field(
        "Started",
        description="Waiting for the writer slot, Started (its Job is being created) or Running.",
        json_schema_extra={"enum": list(TaskState)},
    )
    priority: int = Field(
        0, description="Order of the tasks that wait for the writer slot; the lowest goes first."
    )
    since: Timestamp = Field(description="When it began to wait, or was started.")
    request: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="The request annotation it answers."
    )
    due: Timestamp | None = Field(None, description="The due time that a run is for.")
    why: Annotated[str, _cut(256), Field(max_length=256)] = Field(
        "", description="Why it was started."
    )

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name of the gateway it runs on; empty for the object's own."""
        namespace, _, name = self.gateway.partition("/")
        return namespace, name


class FailureStatus(Model):
    """A failure that waits for a retry or for a user."""

    task: Annotated[str, Field(max_length=16)] = Field(description="Which task failed.")
    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of the task's inputs.")
    reason: Annotated[str, Field(max_length=63)] = Field(
        description="Reason, from docs/reference/reasons.md."
    )
    message: Message = Field("", description="What went wrong, scrubbed of secrets.")
    attempts: int = Field(1, description="Failed attempts in a row at the same inputs.")
    last_attempt: int = Field(1, description="Number of the last attempt, as in its Job label.")
    counted: int = Field(0, description="How many of these attempts count against retry.limit.")
    time: Timestamp = Field(description="When the last attempt ended.")
    retry: Annotated[str, Field(max_length=16)] = Field(
        "Never", description="Never, Now, Backoff, Wait or Replan."
    )
