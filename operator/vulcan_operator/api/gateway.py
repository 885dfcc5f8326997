"""VulcanGateway: one isolated system, its credentials by reference, and who may use it."""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.connection import (
    SECRET_FIELDS,
    SQLMESH_NAME_RULE,
    AdditionalConnection,
    Connection,
    PlanningConnections,
    SecretKeyRef,
    StateConnection,
)
from vulcan_operator.api.fields import (
    Condition,
    Cron,
    Duration,
    FailureStatus,
    FreeDict,
    LabelSelector,
    LocalRef,
    Model,
    ObjectMeta,
    ShortText,
    TaskStatus,
    Timestamp,
    cel,
    immutable,
    schema,
)
from vulcan_operator.api.gateway_runner import RunnerSpec
from vulcan_operator.api.windows import FreezeSpec

__all__ = [
    "SECRET_FIELDS", "ActiveWriter", "AdditionalConnection", "Connection", "FreezeSpec", "GatewaySpec", "GatewayStatus",
    "GitCredential", "Grant", "JanitorSpec", "NamespaceGrant", "PlanningConnections", "ProbeSpec", "ProbeStatus",
    "RunnerSpec", "SecretKeyRef", "StateConnection", "VulcanGateway", "WaitingWriter",
]  # fmt: skip


class GitCredential(Model):
    """Credentials for git URLs below a prefix; the longest match wins."""

    url_prefix: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="URL prefix, matched by parsed scheme, host and whole path segments.",
        json_schema_extra=schema(
            cel("self.matches('^(https?|ssh)://[^ ?#]+$')", "urlPrefix is an https, http or ssh URL"),
            cel(
                "!self.matches('^https?://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/]*@')",
                "urlPrefix must hold no credentials: they belong into the Secret named by secretRef",
                reason="FieldValueForbidden",
            ),
        ),
    )
    secret_ref: LocalRef = Field(
        description="Secret in this namespace with Flux's key names: username and password, or bearerToken, or "
        "identity "
        "and known_hosts; ca.crt if needed."
    )


class NamespaceGrant(Model):
    """Which namespaces a grant is for."""

    from_: Literal["Same", "All", "Selector"] = Field(
        "Same",
        alias="from",
        description="Same: the gateway's own. All: every one. Selector: those whose labels match selector.",
    )
    selector: LabelSelector | None = Field(None, description="Labels of the namespaces; only with from: Selector.")


class Grant(Model):
    """Who may put environments on this gateway. What no grant allows is refused."""

    namespaces: NamespaceGrant = Field(
        default=NamespaceGrant(),
        description="Namespaces whose VulcanEnvironments may name this gateway. Default: this namespace.",
        json_schema_extra=schema(
            cel(
                "(has(self.from) && self.from == 'Selector') == has(self.selector)",
                "selector goes with from: Selector, and only with it",
            )
        ),
    )
    environments: list[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=40,
                json_schema_extra=schema(
                    cel(
                        "self.matches('^[a-z0-9_*?]+$')",
                        "environment names have lower-case letters, digits and _; * and ? are wildcards",
                    )
                ),
            ),
        ]
    ] = Field(
        default=["*"],
        max_length=64,
        description="SQLMesh environment names; * and ? are wildcards. Default: every name.",
        json_schema_extra=schema(list_type="set"),
    )
    protected: bool = Field(
        False,
        description="Environments of this grant are protected: never invalidated, kept on deletion, and nothing is "
        "applied "
        "while approvals are not guarded by the admission policy.",
    )
    max_environments: int | None = Field(
        None, ge=0, le=10000, description="At most so many environments by this grant. Default: no limit."
    )
    promotions: bool = Field(
        False,
        description="Promotions in the namespaces of this grant may take revisions from its environments, and give them "
        "some.",
    )


class ProbeSpec(Model):
    """When to test both connections without being asked."""

    interval: Duration = Field(
        "0", description="0: only after changes, failures and on request; any Job that ran counts as a probe."
    )


class JanitorSpec(Model):
    """When SQLMesh's janitor removes expired snapshots. Nothing runs it yet: run `sqlmesh janitor` yourself."""

    schedule: Cron = Field(
        "17 3 * * *",
        description="Five-field cron, UTC. Not available yet: nothing runs the janitor, so it has no effect.",
    )


class GatewaySpec(Model):
    """Desired state of one isolated system."""

    sqlmesh_name: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None,
        description="What @gateway and SQLMesh see; may contain single underscores. Default: metadata.name. Immutable.",
        json_schema_extra=schema(SQLMESH_NAME_RULE),
    )
    connection: Connection = Field(description="The warehouse.")
    state_connection: StateConnection = Field(
        description="SQLMesh's state, in a database of its own; never shared with another gateway."
    )
    planning: PlanningConnections | None = Field(
        None,
        description="Weaker credentials for Jobs that must not write (plan, Soda checks). Unset: they get the ones above, "
        "and plans of protected environments say so.",
    )
    additional_connections: list[AdditionalConnection] = Field(
        default=[],
        max_length=8,
        description="Further warehouses of the same project, for models with a gateway of their own.",
        json_schema_extra=schema(list_type="map", list_keys=["sqlmeshName"]),
    )
    git_credentials: list[GitCredential] = Field(
        default=[],
        max_length=32,
        description="Credentials by URL prefix; only the fetch container of a Job gets them.",
        json_schema_extra=schema(list_type="map", list_keys=["urlPrefix"]),
    )
    variables: FreeDict = Field(default={}, description="SQLMesh gateway variables. Stored in state: never a secret.")
    grants: list[Grant] = Field(
        default=[],
        max_length=32,
        description="Who may use this gateway. None: this namespace, every environment name, nothing protected.",
        json_schema_extra=schema(list_type="atomic"),
    )
    runner: RunnerSpec = Field(default=RunnerSpec(), description="How Jobs run.")
    probe: ProbeSpec = Field(default=ProbeSpec(), description="When to test the connections.")
    janitor: JanitorSpec = Field(
        default=JanitorSpec(), description="When to clean up expired snapshots. Not available yet."
    )
    takeover: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None,
        description="Owner (as shown in the message of StateOwnershipConflict) to take the state from; or `empty` to "
        "start "
        "anew with an empty state after StateLost.",
    )
    freeze: FreezeSpec | None = Field(
        None,
        description="Stop-the-line: while it is there and not over, no promotion and no apply changes the views of any "
        "environment; runs, plans, gates, approvals and rollbacks go on. Unset: no freeze.",
    )
    suspend: bool = Field(False, description="true: no Job of any environment starts; running ones end by themselves.")
    suspend_reason: ShortText | None = Field(None, description="Why it is suspended; shown in status.")
    suspend_until: Timestamp | None = Field(None, description="When the suspension ends by itself. Unset: never.")


class ActiveWriter(Model):
    """Who writes now."""

    job: Annotated[str, Field(max_length=63)] = Field(description="Its Job.")
    task: Annotated[str, Field(max_length=16)] = Field("", description="What it does: apply, run, promote, ...")
    environment: Annotated[str, Field(max_length=300)] = Field("", description="For which object, as namespace/name.")
    since: Timestamp | None = Field(None, description="Since when it has the writer slot.")


class WaitingWriter(Model):
    """Who waits to write."""

    environment: Annotated[str, Field(max_length=300)] = Field(description="Which object, as namespace/name.")
    task: Annotated[str, Field(max_length=16)] = Field(description="What it wants to do.")
    since: Timestamp = Field(description="Since when it waits.")


class ProbeStatus(Model):
    """The last finished probe."""

    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of the connections it tested.")
    time: Timestamp = Field(description="When it ended.")


class GatewayStatus(Model):
    """Observed state of one isolated system."""

    observed_generation: int = Field(-1, description="Generation of the spec that was last handled.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Ready, Reconciling, Stalled, WarehouseReachable, StateReachable, ChangesAllowed.",
        json_schema_extra=schema(list_type="map", list_keys=["type"]),
    )
    versions: dict[str, Annotated[str, Field(max_length=128)]] = Field(
        default={}, max_length=16, description="SQLMesh and schema versions, engine versions."
    )
    state_identity: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Identity of the state database, the same under any name."
    )
    active_writer: ActiveWriter | None = Field(None, description="Holder of the writer slot.")
    waiting: list[WaitingWriter] = Field(
        default=[],
        max_length=32,
        description="Who waits for the writer slot, in the order in which they get it.",
        json_schema_extra=schema(list_type="atomic"),
    )
    probe: ProbeStatus | None = Field(None, description="The last successful probe.")
    task: TaskStatus | None = Field(None, description="The probe in hand.")
    failure: FailureStatus | None = Field(None, description="The last failed probe, until one succeeds.")
    next_attempt_time: Timestamp | None = Field(None, description="When a failed probe is tried again.")
    suspended_since: Timestamp | None = Field(
        None, description="When the operator first saw that it is suspended. Unset: it is not."
    )
    last_contact_time: Timestamp | None = Field(None, description="When a Job last reached warehouse and state.")
    last_handled_probe_requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="The last vulcan.dev/probe-requested-at that was answered."
    )


class VulcanGateway(Model):
    """One isolated system: a warehouse and its own SQLMesh state, credentials by reference, and who may use it."""

    metadata: ObjectMeta
    spec: GatewaySpec = Field(
        json_schema_extra=schema(
            immutable("sqlmeshName", "SQLMesh's state is bound to it; create another VulcanGateway"),
            cel(
                "!has(self.sqlmeshName) || !has(self.additionalConnections) ||"
                " !self.additionalConnections.exists(c, c.sqlmeshName == self.sqlmeshName)",
                "additionalConnections need names other than sqlmeshName",
            ),
        )
    )
    status: GatewayStatus = GatewayStatus()

    @property
    def sqlmesh_name(self) -> str:
        """What SQLMesh calls this gateway."""
        return self.spec.sqlmesh_name or self.metadata.name
