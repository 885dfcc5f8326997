"""VulcanEnvironment: one SQLMesh environment on one gateway: source, plan policy, schedule."""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.environment_history import PromotionHistory
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import ObjectMeta, ObjectRef
from vulcan_operator.api.policy import (
    MOST_VOTES,
    PLAN_SIZE_RULE,
    VOTES_RULE,
    ApprovalItem,
    ChecksSpec,
    Date,
    ModelName,
    PlanSpec,
)
from vulcan_operator.api.schemas import Model, cel, immutable, listed, rule, schema, size_of
from vulcan_operator.api.source import ProjectSource
from vulcan_operator.api.texts import (
    Cron,
    Duration,
    PositiveDuration,
    ShortText,
    Text512,
    Timestamp,
    TimeZone,
)
from vulcan_operator.api.windows import WINDOW_RULES, PromotionWindow


class OperationSpec(Model):
    """A one-time operation; each id is executed at most once."""

    id: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Id of this operation. A completed id is never executed again."
    )
    type: Literal["Restate"] = Field("Restate", description="Restate: recompute these models.")
    models: list[ModelName] = Field(
        min_length=1,
        max_length=256,
        description="Models or selectors to restate.",
        json_schema_extra=schema(maxItems=64),
    )
    start: Date | None = Field(None, description="First interval. Default: the model's start.")
    end: Date | None = Field(None, description="Last interval. Default: the time of planning.")


class CronSpec(Model):
    """A schedule that replaces the models' crons."""

    cron: Cron = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    time_zone: TimeZone = Field("UTC", description="IANA time zone, for example Europe/Berlin.")


class ScheduleSpec(Model):
    """When scheduled runs start."""

    mode: Literal["Auto", "Cron", "Manual"] = Field(
        "Auto",
        description="Auto: when a model is due by its own cron. Cron: by schedule.cron. Manual: on "
        "request only.",
    )
    cron: CronSpec | None = Field(None, description="When runs start; only with mode: Cron.")


class FreshnessSpec(Model):
    """How old data may become."""

    max_lag: PositiveDuration = Field(
        "2h", description="Condition Fresh becomes False when a due run is later than this."
    )


class RetrySpec(Model):
    """How failed attempts are retried. Outages are retried at maxBackoff and do not count."""

    limit: int = Field(
        5, ge=0, le=100, description="Retries after model, audit and crash failures."
    )
    backoff: PositiveDuration = Field("30s", description="First delay; doubles each time.")
    max_backoff: PositiveDuration = Field(
        "30m", description="Longest delay; outages are retried at this interval."
    )


class RollbackPolicy(Model):
    """For how long rollbacks are expected to be possible."""

    window: Duration = Field(
        "7d",
        description="How long a rollback to a replaced revision should remain possible. Condition "
        "RollbackExpiring warns if SQLMesh's janitor may remove it earlier, which the project's "
        "snapshot_ttl decides. 0: no expectation.",
    )


class EnvironmentRunner(Model):
    """Overrides of the gateway's runner settings."""

    image: Text512 | None = Field(
        None,
        description="Runner image; must match the gateway's allowedImages. Default: the gateway's "
        "image.",
    )


class EnvironmentSpec(Model):
    """Desired state of one SQLMesh environment."""

    gateway_ref: ObjectRef = Field(description="VulcanGateway of the environment. Immutable.")
    environment: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        None,
        description="SQLMesh environment name. Default: metadata.name with _ for -. Immutable.",
        json_schema_extra=rule(
            "self.matches('^[a-z0-9_]+$')", "environment has lower-case letters, digits and _ only"
        ),
    )
    revision_from: Literal["Source", "Promotion"] = Field(
        "Source", description="Source: from project. Promotion: only from a VulcanPromotion."
    )
    project: ProjectSource | None = Field(
        None,
        description="The SQLMesh project. Required with revisionFrom: Source, else forbidden.",
        json_schema_extra=rule(
            "[has(self.git), has(self.configMap), has(self.image)].filter(x, x).size() == 1",
            "exactly one of git, configMap, image must be set",
        ),
    )
    plan: PlanSpec = Field(
        PlanSpec(),
        description="How plans are built and when they need approval.",
        json_schema_extra=schema(
            cel(
                "!has(self.effectiveFrom) || !has(self.forwardOnly) || self.forwardOnly",
                "plan.effectiveFrom needs a forward-only plan; remove it or set forwardOnly: true",
            ),
            PLAN_SIZE_RULE,
        ),
    )
    operations: list[OperationSpec] = listed(
        16,
        "One-time operations; they are part of the plan that is approved.",
        cel(
            "self.all(o, !has(o.start) || !has(o.end) || o.start <= o.end)",
            "an operation's start must not be after its end",
        ),
        cel(
            f"self.map(o, o.models.map(m, {size_of('m')}).sum()).sum() <= 6144",
            "operations name models with more than 6144 bytes in all: use selectors with *",
        ),
        key="id",
        read=32,
    )
    approvals: list[ApprovalItem] = listed(
        MOST_VOTES,
        "Approvals and rejections of plans. The message of AwaitingApproval is the command to add "
        "one.",
        VOTES_RULE,
        key="plan by",
    )
    schedule: ScheduleSpec = Field(
        ScheduleSpec(),
        description="When scheduled runs start.",
        json_schema_extra=rule(
            "(has(self.mode) && self.mode == 'Cron') == has(self.cron)",
            "schedule.cron is required with mode: Cron, and allowed only with it",
        ),
    )
    promotion_windows: list[PromotionWindow] = listed(
        16,
        "When promotions may change its views; rollbacks are always allowed. Only "
        "with revisionFrom: Promotion. Default: at any time.",
        *WINDOW_RULES,
        key="name",
    )
    checks: ChecksSpec = Field(ChecksSpec(), description="Checks that run after an apply.")
    freshness: FreshnessSpec = Field(FreshnessSpec(), description="How old data may become.")
    retry: RetrySpec = Field(RetrySpec(), description="How failed attempts are retried.")
    rollback: RollbackPolicy = Field(
        RollbackPolicy(), description="For how long rollbacks are expected to be possible."
    )
    promotion_history: PromotionHistory = Field(
        PromotionHistory(), description="Which ended promotions are kept."
    )
    deletion_policy: Literal["Retain", "Expire", "Invalidate"] | None = Field(
        None,
        description="What happens to the SQLMesh environment when this object is deleted. Retain: "
        "nothing. Expire: SQLMesh's janitor removes it later (the operator does not run it yet: "
        "run `sqlmesh janitor` yourself). Invalidate: its views and its record are dropped at "
        "once; not allowed for prod. Default: Retain for prod, else Expire; a protected "
        "environment is always retained.",
    )
    ttl: PositiveDuration | None = Field(
        None,
        description="For previews: time after the last apply (or the creation) from which on "
        "nothing more is applied. Unset: no limit.",
    )
    ttl_action: Literal["Keep", "Delete"] = Field(
        "Keep",
        description="What happens when ttl has elapsed. Keep: this object remains, as Expired. "
        "Delete: it is deleted, and deletionPolicy applies.",
    )
    runner: EnvironmentRunner = Field(
        EnvironmentRunner(), description="Overrides of the gateway's runner settings."
    )
    suspend: bool = Field(False, description="true: no Job is started; a running one completes.")
    suspend_reason: ShortText | None = Field(
        None, description="Why it is suspended; shown in status."
    )
    suspend_until: Timestamp | None = Field(
        None, description="When the suspension ends automatically. Unset: never."
    )


class VulcanEnvironment(Model):
    """One SQLMesh environment on one gateway: project source, plan policy, schedule."""

    metadata: ObjectMeta
    spec: EnvironmentSpec = Field(
        json_schema_extra=schema(
            immutable("gatewayRef", "its data would stay behind; create another VulcanEnvironment"),
            immutable(
                "environment", "SQLMesh's state refers to it; create another VulcanEnvironment"
            ),
            cel(
                "!(has(self.ttl) && has(self.deletionPolicy) && self.deletionPolicy == 'Retain')",
                "ttl cannot be combined with deletionPolicy: Retain; choose Expire or Invalidate",
            ),
            cel(
                "!has(self.project) || !has(self.project.image) || !has(self.runner) || "
                "!has(self.runner.image)",
                "runner.image cannot be combined with project.image, which is the runner image",
            ),
            cel(
                "(has(self.revisionFrom) && self.revisionFrom == 'Promotion') != has(self.project)",
                "project is required with revisionFrom: Source and forbidden with revisionFrom: "
                "Promotion",
            ),
            cel(
                "!has(self.promotionWindows) || self.promotionWindows.size() == 0 ||"
                " (has(self.revisionFrom) && self.revisionFrom == 'Promotion')",
                "promotionWindows apply to promotions only, not to a project: set revisionFrom: "
                "Promotion",
            ),
        )
    )
    status: EnvironmentStatus = EnvironmentStatus()

    @property
    def sqlmesh_environment(self) -> str:
        """SQLMesh's name of the environment."""
        return self.spec.environment or self.metadata.name.replace("-", "_").replace(".", "_")
