"""VulcanEnvironment: one SQLMesh environment on one gateway: source, plan policy, schedule."""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.environment_history import MOST_PROMOTIONS
from vulcan_operator.api.environment_status import (
    AppliedStatus,
    EnvironmentStatus,
    HistoryItem,
    PlanModelStatus,
    PlanStatus,
    PlanSummaryStatus,
    ReportRef,
    RevisionStatus,
    RunStatus,
)
from vulcan_operator.api.fields import (
    Cron,
    Duration,
    Model,
    ObjectMeta,
    ObjectRef,
    PositiveDuration,
    ShortText,
    Timestamp,
    TimeZone,
    cel,
    immutable,
    schema,
)
from vulcan_operator.api.policy import (
    ApprovalItem,
    ApprovalPolicy,
    ChecksSpec,
    Date,
    ModelName,
    PlanLimits,
    PlanSpec,
    SodaChecks,
)
from vulcan_operator.api.source import ConfigMapItem, ConfigMapSource, GitSource, ProjectSource
from vulcan_operator.api.windows import WINDOW_RULES, PromotionWindow

__all__ = [
    "AppliedStatus",
    "ApprovalItem",
    "ApprovalPolicy",
    "ChecksSpec",
    "ConfigMapItem",
    "ConfigMapSource",
    "CronSpec",
    "Date",
    "EnvironmentRunner",
    "EnvironmentSpec",
    "EnvironmentStatus",
    "FreshnessSpec",
    "GitSource",
    "HistoryItem",
    "ModelName",
    "OperationSpec",
    "PlanLimits",
    "PlanModelStatus",
    "PlanSpec",
    "PlanStatus",
    "PlanSummaryStatus",
    "ProjectSource",
    "PromotionHistory",
    "PromotionWindow",
    "ReportRef",
    "RetrySpec",
    "RevisionStatus",
    "RollbackPolicy",
    "RunStatus",
    "ScheduleSpec",
    "SodaChecks",
    "VulcanEnvironment",
]  # fmt: skip


class OperationSpec(Model):
    """A one-shot, done at most once for its id."""

    id: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Name of this one-shot, for ever: a done id is not done again."
    )
    type: Literal["Restate"] = Field(
        "Restate",
        description="Restate: compute these models anew. Default: Restate.",
    )
    models: list[ModelName] = Field(min_length=1, max_length=256, description="Models or selectors to restate.")
    start: Date | None = Field(None, description="First interval. Default: the model's start.")
    end: Date | None = Field(None, description="Last interval. Default: now, made absolute when it is planned.")


class CronSpec(Model):
    """An own schedule instead of the models' crons."""

    cron: Cron = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    time_zone: TimeZone = Field("UTC", description="IANA time zone, for example Europe/Berlin.")


class ScheduleSpec(Model):
    """When scheduled runs start."""

    mode: Literal["Auto", "Cron", "Manual"] = Field(
        "Auto",
        description="Auto: when a model is due by its own cron. Cron: by schedule.cron. Manual: on request only.",
    )
    cron: CronSpec | None = Field(None, description="When runs start; only with mode: Cron.")


class FreshnessSpec(Model):
    """How late data may be."""

    max_lag: PositiveDuration = Field(
        "2h", description="Condition Fresh becomes False when a due run is later than this."
    )


class RetrySpec(Model):
    """How failed attempts are repeated. Outages wait at maxBackoff without limit and are not counted."""

    limit: int = Field(5, ge=0, le=100, description="Attempts after the first for model, audit and crash failures.")
    backoff: PositiveDuration = Field("30s", description="Wait after the first failure; doubles each time.")
    max_backoff: PositiveDuration = Field("30m", description="Longest wait; outages are retried at this pace.")


class RollbackPolicy(Model):
    """What is expected of the way back."""

    window: Duration = Field(
        "7d",
        description="How long a revision that was replaced is meant to stay a view swap away. Condition "
        "RollbackExpiring tells when SQLMesh's janitor may take it earlier: the project's snapshot_ttl decides that. "
        "0: nothing is expected.",
    )


class PromotionHistory(Model):
    """What is kept of promotions to this environment: their items in status and their evidence."""

    limit: int = Field(50, ge=1, le=MOST_PROMOTIONS, description="How many promotions, the newest first.")
    max_age: PositiveDuration = Field(
        "365d", description="For how long after their end. What falls out loses its evidence, too."
    )


class EnvironmentRunner(Model):
    """Deviations from the gateway's runner."""

    image: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Runner image; must match the gateway's allowedImages. Default: the gateway's image."
    )


class EnvironmentSpec(Model):
    """Desired state of one SQLMesh environment."""

    gateway_ref: ObjectRef = Field(description="The VulcanGateway it lives on. Immutable.")
    environment: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        None,
        description="SQLMesh environment name; default metadata.name with _ for -. Immutable.",
        json_schema_extra=schema(
            cel("self.matches('^[a-z0-9_]+$')", "environment has lower-case letters, digits and _ only")
        ),
    )
    revision_from: Literal["Source", "Promotion"] = Field(
        "Source",
        description="Source: from project. Promotion: only a VulcanPromotion gives it a revision.",
    )
    project: ProjectSource | None = Field(
        None,
        description="Where the SQLMesh project comes from. Required with revisionFrom: Source, and only there.",
        json_schema_extra=schema(
            cel(
                "[has(self.git), has(self.configMap), has(self.image)].filter(x, x).size() == 1",
                "exactly one of git, configMap, image must be set",
            )
        ),
    )
    plan: PlanSpec = Field(
        default=PlanSpec(),
        description="How plans are built and who lets them through.",
        json_schema_extra=schema(
            cel(
                "!has(self.effectiveFrom) || !has(self.forwardOnly) || self.forwardOnly",
                "plan.effectiveFrom goes with forward-only plans; leave it out or set forwardOnly: true",
            )
        ),
    )
    operations: list[OperationSpec] = Field(
        default=[],
        max_length=32,
        description="One-shots; each id is done at most once, and is part of the plan that is approved.",
        json_schema_extra=schema(
            cel(
                "self.all(o, !has(o.start) || !has(o.end) || o.start <= o.end)",
                "an operation's start must not be after its end",
            ),
            list_type="map",
            list_keys=["id"],
        ),
    )
    approvals: list[ApprovalItem] = Field(
        default=[],
        max_length=64,
        description="Words on plans. The message of AwaitingApproval is the command that adds one.",
        json_schema_extra=schema(list_type="map", list_keys=["plan", "by"]),
    )
    schedule: ScheduleSpec = Field(
        default=ScheduleSpec(),
        description="When scheduled runs start.",
        json_schema_extra=schema(
            cel(
                "(has(self.mode) && self.mode == 'Cron') == has(self.cron)",
                "schedule.cron goes with mode: Cron, and only with it",
            )
        ),
    )
    promotion_windows: list[PromotionWindow] = Field(
        default=[],
        max_length=16,
        description="When promotions may change its views; rollbacks may always. With revisionFrom: Promotion only. "
        "Default: at any time.",
        json_schema_extra=schema(*WINDOW_RULES, list_type="map", list_keys=["name"]),
    )
    checks: ChecksSpec = Field(default=ChecksSpec(), description="What is checked after an apply.")
    freshness: FreshnessSpec = Field(default=FreshnessSpec(), description="How late data may be.")
    retry: RetrySpec = Field(default=RetrySpec(), description="How failed attempts are repeated.")
    rollback: RollbackPolicy = Field(default=RollbackPolicy(), description="What is expected of the way back.")
    promotion_history: PromotionHistory = Field(
        default=PromotionHistory(), description="What is kept of promotions to this environment."
    )
    deletion_policy: Literal["Retain", "Expire", "Invalidate"] | None = Field(
        None,
        description="When this object is deleted. Retain: nothing happens. Expire: SQLMesh's janitor removes it in "
        "time (nothing runs it yet: run `sqlmesh janitor` yourself). "
        "Invalidate: views and record are dropped at once; never for prod. Default: Retain for prod, else Expire; a "
        "protected environment is always kept.",
    )
    ttl: PositiveDuration | None = Field(
        None,
        description="For previews: after this time since the last apply (or creation) nothing is applied any more. Unset: "
        "never.",
    )
    ttl_action: Literal["Keep", "Delete"] = Field(
        "Keep",
        description="When ttl is over. Keep: this object stays, as Expired. Delete: it is deleted, and deletionPolicy "
        "applies.",
    )
    runner: EnvironmentRunner = Field(default=EnvironmentRunner(), description="Deviations from the gateway's runner.")
    suspend: bool = Field(False, description="true: no Job starts; a running one ends by itself.")
    suspend_reason: ShortText | None = Field(None, description="Why it is suspended; shown in status.")
    suspend_until: Timestamp | None = Field(None, description="When the suspension ends by itself. Unset: never.")


class VulcanEnvironment(Model):
    """One SQLMesh environment on one gateway: project source, plan policy, schedule."""

    metadata: ObjectMeta
    spec: EnvironmentSpec = Field(
        json_schema_extra=schema(
            immutable("gatewayRef", "data does not move along; create another VulcanEnvironment"),
            immutable("environment", "SQLMesh's state is bound to it; create another VulcanEnvironment"),
            cel(
                "!(has(self.ttl) && has(self.deletionPolicy) && self.deletionPolicy == 'Retain')",
                "ttl does not go with deletionPolicy: Retain; choose Expire or Invalidate",
            ),
            cel(
                "!has(self.project) || !has(self.project.image) || !has(self.runner) || !has(self.runner.image)",
                "runner.image does not go with project.image: the project's image is the runner's",
            ),
            cel(
                "(has(self.revisionFrom) && self.revisionFrom == 'Promotion') != has(self.project)",
                "project is required with revisionFrom: Source; with revisionFrom: Promotion leave it out",
            ),
            cel(
                "!has(self.promotionWindows) || self.promotionWindows.size() == 0 ||"
                " (has(self.revisionFrom) && self.revisionFrom == 'Promotion')",
                "promotionWindows hold promotions only, not applies of an own project: set revisionFrom: Promotion",
            ),
        )
    )
    status: EnvironmentStatus = EnvironmentStatus()

    @property
    def sqlmesh_environment(self) -> str:
        """SQLMesh's name of the environment."""
        return self.spec.environment or self.metadata.name.replace("-", "_").replace(".", "_")
