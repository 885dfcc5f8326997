"""Task: what one Job is to do, from the operator to the runner.

Built by the operator's planners, read by `vulcan_runner`. It holds no secret: credentials are named
(Secret, key) and reach the pod as files. All times are RFC 3339 strings in UTC.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vulcan_contract import CONTRACT_VERSION
from vulcan_contract.codec import ContractError, decode, encode, load
from vulcan_contract.limits import Limits as Limits  # what exceeds them is decided there
from vulcan_contract.tasks import TaskKind as TaskKind  # what a kind is: the table beside it


class SecretForm(enum.StrEnum):
    """How a Secret's value becomes a connection field: as text, as a file's path or as JSON."""

    VALUE = "Value"
    PATH = "Path"
    JSON = "JSON"


class SourceKind(enum.StrEnum):
    """Where the SQLMesh project comes from."""

    GIT = "git"
    CONFIG_MAP = "configMap"
    IMAGE = "image"


@dataclass(frozen=True)
class SecretRef:
    """One key of a Secret in the gateway's namespace; its file: `$VULCAN_SECRETS/<name>/<key>`."""

    name: str
    key: str
    form: SecretForm = SecretForm.VALUE


@dataclass(frozen=True)
class Connection:
    """A connection: `type` and `options` as SQLMesh names them, secret fields by reference."""

    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedConnection:
    """A further warehouse of the same project."""

    sqlmesh_name: str
    connection: Connection


@dataclass(frozen=True)
class Owner:
    """Who owns a state database: the cluster (uid of kube-system) and the gateway object in it."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Gateway:
    """One isolated system as the runner needs it.

    `state_identity` is what the last probe saw (None: never probed); another or an empty state is
    then an error. `takeover` names the owner (`Owner.__str__`) whose marker may be replaced, or
    "empty" for a lost state.
    """

    sqlmesh_name: str
    connection: Connection
    owner: Owner
    state_connection: Connection | None = None
    state_schema: str = "sqlmesh"
    additional: tuple[NamedConnection, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    state_identity: str | None = None
    takeover: str | None = None


@dataclass(frozen=True)
class Source:
    """A project source. `commit` is set once resolved; `digest` is what the runner must find."""

    kind: SourceKind
    url: str = ""
    ref: str = ""
    path: str = "."
    commit: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class PlanOptions:
    """Planning fields in SQLMesh's own words. None: the project's configuration decides."""

    categorization: str = "Project"  # Project | Auto | Breaking
    categories: Mapping[str, str] = field(default_factory=dict)  # model -> Breaking | NonBreaking
    forward_only: bool | None = None
    effective_from: str | None = None
    select_models: tuple[str, ...] = ()
    allow_destructive_models: tuple[str, ...] = ()
    allow_additive_models: tuple[str, ...] = ()
    no_gaps: bool | None = None
    start: str | None = None
    dev_start: str | None = None
    skip_tests: bool = False
    skip_linter: bool = False


@dataclass(frozen=True)
class Operation:
    """A one-shot that becomes part of the plan; its dates are absolute (RFC 3339)."""

    id: str
    type: str  # Restate
    models: tuple[str, ...]
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class Approved:
    """The decision that an apply carries: the plan it was made for and how much work it covers.

    The rebuilt plan must equal `target`, and `base` unless the state holds this token's own record
    (a killed apply resumes). It is PlanChanged when there is more work than `backfill_intervals`
    and the time since `planned_at` explain, or when other models than those of `destructive_sha256`
    are destructive. `destructive` may have been cut.
    """

    token: str
    target: str
    base: str
    planned_at: str
    backfill_intervals: int = 0
    destructive: tuple[str, ...] = ()
    destructive_sha256: str = ""
    by_human: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Promotion:
    """What an earlier apply left in the state and the task's environment is to get, without a
    project: the snapshots of plan `plan_id` of `environment`.

    `virtual_only`: nothing may be computed but a catch-up of at most `max_catch_up` recent
    intervals. `catch_up`: these are computed, as far as the target is; otherwise views change at
    once and the next run computes what is missing (rollback). `expected`: the plan id that the
    target must still have when it is rolled back.
    """

    environment: str
    plan_id: str
    virtual_only: bool = True
    max_catch_up: int = 1000
    catch_up: bool = True
    expected: str = ""


@dataclass(frozen=True)
class Diff:
    """What a diff compares; its report is a `diff_report.DiffReport`.

    Within one system, `task.environment` as it is now is compared with what plan `plan_id` of
    `environment` would make of it. `models`: All, or NotDirectlyModified, which skips those whose
    own code differs. With `statistics` (across systems), `task.environment` alone is counted, up to
    `ends` (model -> RFC 3339) where a model is in it, else as far as it is computed; the operator
    compares what both sides have counted.
    """

    environment: str = ""
    plan_id: str = ""
    models: str = "NotDirectlyModified"
    statistics: bool = False
    ends: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checks:
    """SodaCL files, in the pod as `$VULCAN_CHECKS`; the runner must find `digest` there."""

    digest: str


@dataclass(frozen=True)
class Task:
    """What one Job does. `nonce` marks the report on stdout, where project code prints, too."""

    kind: TaskKind
    job: str
    nonce: str
    gateway: Gateway
    environment: str = ""
    protected: bool = False
    source: Source | None = None
    plan: PlanOptions = field(default_factory=PlanOptions)
    operations: tuple[Operation, ...] = ()
    approved: Approved | None = None
    promotion: Promotion | None = None
    diff: Diff | None = None
    checks: Checks | None = None
    expires: bool = False  # SQLMesh's own environment TTL applies (deletionPolicy Expire)
    audits: bool = True  # audit the environment after an apply
    image: str = ""  # runner image; part of the plan's target digest
    protected_environments: tuple[str, ...] = ()  # an unprotected run leaves their snapshots alone
    secret_env: tuple[str, ...] = ()  # variables of the pod that come from Secrets, and
    secret_paths: tuple[str, ...] = ()  # folders that do: scrubbed like the connections' own
    checked: str = ""  # name of the lost Job whose append-only batches a human has looked at
    contract: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """One line of JSON; deterministic."""
        data = {**encode(self), "contract": self.contract}
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Task":
        """Raises ContractError when the text is not a task of this contract version."""
        data = load(text)
        version = data.get("contract") if isinstance(data, dict) else None
        if version != CONTRACT_VERSION:
            message = f"contract version {version}, this runner speaks {CONTRACT_VERSION}"
            raise ContractError(message)
        task: Task = decode(cls, data)
        return task
