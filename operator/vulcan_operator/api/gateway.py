"""VulcanGateway: one isolated system, references to its credentials, and who may use it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vulcan_operator.api.connection import (
    SECRET_FIELDS,
    SQLMESH_NAME_RULE,
    AdditionalConnection,
    Connection,
    GrantConnections,
    PlanningConnections,
    SecretKeyRef,
    StateConnection,
)
from vulcan_operator.api.fields import (
    Condition,
    FailureStatus,
    LabelSelector,
    LocalRef,
    ObjectMeta,
    TaskStatus,
)
from vulcan_operator.api.gateway_runner import RunnerSpec
from vulcan_operator.api.rules import Minimum
from vulcan_operator.api.schemas import Model, cel, immutable, listed, rule, schema
from vulcan_operator.api.texts import (
    Cron,
    Duration,
    FreeDict,
    ShortText,
    Text16,
    Text63,
    Text64,
    Text128,
    Text512,
    Timestamp,
)
from vulcan_operator.api.windows import FreezeSpec

__all__ = [
    "SECRET_FIELDS", "ActiveWriter", "AdditionalConnection", "Connection", "FreezeSpec",
    "GatewaySpec", "GatewayStatus", "GitCredential", "Grant", "JanitorSpec", "NamespaceGrant",
    "PlanningConnections", "ProbeSpec", "ProbeStatus", "RunnerSpec", "SecretKeyRef",
    "StateConnection", "VulcanGateway", "WaitingWriter",
]  # fmt: skip


class GitCredential(Model):
    """Credentials for git URLs below a prefix; the longest match wins."""

    url_prefix: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="URL prefix, matched by parsed scheme, host and whole path segments.",
        json_schema_extra=schema(
            cel(
                "self.matches('^(https?|ssh)://[^ ?#]+$')", "urlPrefix is an https, http or ssh URL"
            ),
            cel(
                "!self.matches('^https?://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/]*@')",
                "urlPrefix must not contain credentials: put them into the Secret that secretRef "
                "names",
                reason="FieldValueForbidden",
            ),
        ),
    )
    secret_ref: LocalRef = Field(
        description="Secret in this namespace with Flux's key names: username and password, or "
        "bearerToken, or identity and known_hosts; ca.crt if needed."
    )


class NamespaceGrant(Model):
    """The namespaces that a grant applies to."""

    from_: Literal["Same", "All", "Selector"] = Field(
        "Same",
        alias="from",
        description="Same: the gateway's namespace. All: every namespace. Selector: those whose "
        "labels match selector.",
    )
    selector: LabelSelector | None = Field(
        None, description="Labels of the namespaces; only with from: Selector."
    )


class Grant(Model):
    """Who may create environments on this gateway. What no grant allows is refused."""

    model_config = ConfigDict(
        json_schema_extra=rule(
            "!has(self.connections) || !has(self.namespaces) || !has(self.namespaces.from) || "
            "self.namespaces.from != 'Selector'",
            "connections need namespaces.from Same or All: promotions do not know the labels of "
            "their target's namespace",
        )
    )

    namespaces: NamespaceGrant = Field(
        NamespaceGrant(),
        description="Namespaces whose environments may use this gateway. Default: this namespace.",
        json_schema_extra=rule(
            "(has(self.from) && self.from == 'Selector') == has(self.selector)",
            "selector is required with from: Selector, and allowed only with it",
        ),
    )
    environments: list[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=40,
                json_schema_extra=rule(
                    "self.matches('^[a-z0-9_*?]+$')",
                    "environment names have lower-case letters, digits and _; * and ? are "
                    "wildcards",
                ),
            ),
        ]
    ] = Field(
        ["*"],
        max_length=64,
        description="SQLMesh environment names; * and ? are wildcards. Default: every name.",
        json_schema_extra=schema(list_type="set"),
    )
    protected: bool = Field(
        False,
        description="true: environments of this grant are protected. They are never invalidated, "
        "are retained on deletion, every plan needs approval unless minimum.approval.mode says "
        "otherwise, and nothing is applied to them unless the admission policies are in force.",
    )
    minimum: Minimum = Field(
        Minimum(),
        description="The weakest rules that environments of this grant may have; their own can "
        "only be stricter. Where several grants apply, so does the strictest of each.",
    )
    connections: GrantConnections | None = Field(
        None,
        description="Connections of these environments' Jobs, for every task, instead of the "
        "gateway's (and its planning): what can be written with them is all that their authors can "
        "write (additionalConnections stay the gateway's). Of several grants that apply, the "
        "first that has them counts.",
    )
    max_environments: int | None = Field(
        None, ge=0, le=10000, description="Maximum number of environments. Default: no limit."
    )
    promotions: bool = Field(
        False,
        description="true: promotions in the namespaces of this grant may take revisions from its "
        "environments, and promote to them.",
    )


class ProbeSpec(Model):
    """When the connections are tested without a request."""

    interval: Duration = Field(
        "0",
        description="Time between probes; any other Job counts as one. 0: only after changes and "
        "failures, and on request.",
    )


class JanitorSpec(Model):
    """When SQLMesh's janitor runs. Not implemented yet: run `sqlmesh janitor` yourself."""

    schedule: Cron = Field(
        "17 3 * * *", description="Cron, in UTC. Not implemented yet: it has no effect."
    )


class GatewaySpec(Model):
    """Desired state of one isolated system."""

    sqlmesh_name: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None,
        description="The gateway's name in SQLMesh (@gateway); may contain single underscores. "
        "Default: metadata.name. Immutable.",
        json_schema_extra=schema(SQLMESH_NAME_RULE),
    )
    connection: Connection = Field(description="The warehouse.")
    state_connection: StateConnection = Field(
        description="SQLMesh's state, in a separate database that no other gateway may use."
    )
    planning: PlanningConnections | None = Field(
        None,
        description="Credentials with fewer permissions for Jobs that must not write (plan, Soda "
        "checks). Unset: these Jobs get the ones above, and protected environments show condition "
        "PlanReadOnly as False.",
    )
    additional_connections: list[AdditionalConnection] = listed(
        8,
        "Additional warehouses of the same project, for models with their own gateway.",
        key="sqlmeshName",
    )
    git_credentials: list[GitCredential] = listed(
        32,
        "Credentials by URL prefix; only the fetch container of a Job gets them.",
        key="urlPrefix",
    )
    variables: FreeDict = Field(
        {}, description="SQLMesh gateway variables. They are stored in the state: no secrets."
    )
    grants: list[Grant] = listed(
        32,
        "Who may use this gateway. Empty: this namespace, with every environment name, nothing "
        "protected.",
    )
    runner: RunnerSpec = Field(RunnerSpec(), description="How Jobs run.")
    probe: ProbeSpec = Field(ProbeSpec(), description="When the connections are tested.")
    janitor: JanitorSpec = Field(
        JanitorSpec(), description="Cleanup of expired snapshots. Not implemented yet."
    )
    takeover: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None,
        description="Take over the state from this owner, as shown in the message of "
        "StateOwnershipConflict; or `empty`: start with an empty state after StateLost.",
    )
    freeze: FreezeSpec | None = Field(
        None,
        description="Freeze: until it ends, no promotion and no apply changes the views of any "
        "environment. Runs, plans, gates, approvals and rollbacks continue. Unset: no freeze.",
    )
    suspend: bool = Field(False, description="true: no new Jobs; running ones complete.")
    suspend_reason: ShortText | None = Field(
        None, description="Why it is suspended; shown in status."
    )
    suspend_until: Timestamp | None = Field(
        None, description="When the suspension ends automatically. Unset: never."
    )


class ActiveWriter(Model):
    """The holder of the writer slot."""

    job: Text63 = Field(description="Name of its Job.")
    task: Text16 = Field("", description="Kind of the task: apply, run, promote, ...")
    environment: Annotated[str, Field(max_length=300)] = Field(
        "", description="Object that it works for, as namespace/name."
    )
    since: Timestamp | None = Field(None, description="When it got the writer slot.")


class WaitingWriter(Model):
    """A task that waits for the writer slot."""

    environment: Annotated[str, Field(max_length=300)] = Field(
        description="Object that it works for, as namespace/name."
    )
    task: Text16 = Field(description="Kind of the task.")
    since: Timestamp = Field(description="When it began to wait.")


class ProbeStatus(Model):
    """The last finished probe."""

    inputs: Text16 = Field(description="Digest of the connections.")
    time: Timestamp = Field(description="When it ended.")


class GatewayStatus(Model):
    """Observed state of one isolated system."""

    observed_generation: int = Field(
        -1, description="Generation of the spec that was last handled."
    )
    conditions: list[Condition] = listed(
        16,
        "Ready, Reconciling, Stalled, WarehouseReachable, StateReachable, ChangesAllowed, "
        "CredentialsShared.",
        key="type",
    )
    versions: dict[str, Text128] = Field(
        {}, max_length=16, description="Versions of SQLMesh, its schema and the engines."
    )
    state_identity: Text512 | None = Field(
        None, description="Identity of the state database, independent of its address."
    )
    active_writer: ActiveWriter | None = Field(None, description="Holder of the writer slot.")
    waiting: list[WaitingWriter] = listed(
        32, "Tasks that wait for the writer slot, in the order in which they get it."
    )
    probe: ProbeStatus | None = Field(None, description="The last successful probe.")
    task: TaskStatus | None = Field(None, description="The probe in flight.")
    failure: FailureStatus | None = Field(
        None, description="The last failed probe, until one succeeds."
    )
    next_attempt_time: Timestamp | None = Field(None, description="When a failed probe is retried.")
    suspended_since: Timestamp | None = Field(
        None, description="When the operator first observed the suspension. Unset: not suspended."
    )
    last_contact_time: Timestamp | None = Field(
        None, description="When a Job last reached warehouse and state."
    )
    last_handled_probe_requested_at: Text64 | None = Field(
        None, description="The last vulcan.dev/probe-requested-at that was handled."
    )


class VulcanGateway(Model):
    """One isolated system: warehouse, its own SQLMesh state, credentials, and who may use it."""

    metadata: ObjectMeta
    spec: GatewaySpec = Field(
        json_schema_extra=schema(
            immutable("sqlmeshName", "SQLMesh's state refers to it; create another VulcanGateway"),
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
        """The gateway's name in SQLMesh."""
        return self.spec.sqlmesh_name or self.metadata.name
