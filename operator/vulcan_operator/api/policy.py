"""What a plan may do without a human, and a human's word on it. Shared by environments and promotions.

Used by `api.environment` and `api.promotion`. Deciding is the planner's business; who may write approvals or weaken a
policy is guarded by the admission policies in `deploy/policies.yaml`, which name these fields.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.fields import (
    Duration,
    LocalRef,
    Model,
    PositiveDuration,
    ShortText,
    cel,
    schema,
)

ModelName = Annotated[str, Field(min_length=1, max_length=512)]
Date = Annotated[
    str,
    Field(
        max_length=32,
        json_schema_extra=schema(
            cel(
                "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
                "(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$')",
                "a date is absolute: 2026-11-22 or 2026-11-22T10:00:00Z",
            )
        ),
    ),
]
DIGEST_RULE = cel(
    "self.matches('^(sha256:)?[0-9a-f]{64}$')",
    "plan is the whole digest of the plan meant, as shown in status.plan.digest",
)


class ApprovalPolicy(Model):
    """When a plan needs a human."""

    mode: Literal["Never", "OnRisk", "Always"] = Field(
        "OnRisk",
        description="Never: limits still hold. OnRisk: when the plan has one of risks. Always: every plan with "
        "changes.",
    )
    risks: list[Literal["Breaking", "Destructive", "Backfill"]] = Field(
        default=["Breaking", "Destructive"],
        max_length=3,
        description="For OnRisk: which properties of a plan ask for a human. Default: Breaking and Destructive.",
        json_schema_extra=schema(list_type="set"),
    )
    count: int = Field(1, ge=1, le=10, description="How many different people must approve.")
    expire_after: PositiveDuration = Field(
        "72h", description="A plan that waited longer for its approval is planned again."
    )
    exclude_author: bool = Field(
        False,
        description="true: approvals by who created the object (annotation vulcan.dev/created-by) do not count. Default: "
        "false.",
    )


class PlanLimits(Model):
    """What is above needs an approval, whatever the mode. FULL, VIEW and SEED models count one interval."""

    max_backfill_intervals: int | None = Field(
        5000, ge=0, le=100000000, description="Most intervals a plan may compute unasked."
    )
    max_rebuilt_models: int | None = Field(
        None, ge=0, le=100000, description="Most models a plan may rebuild unasked. Unset: any number."
    )
    max_history: Duration | None = Field(
        None, description="How far back a backfill may reach unasked, for example 400d. Unset: any time."
    )
    max_removed_percent: int | None = Field(
        20, ge=0, le=100, description="Largest share of the models that may go away unasked, in percent."
    )


class PlanSpec(Model):
    """How plans are built and who lets them through. Unset SQLMesh options: the project's configuration decides."""

    approval: ApprovalPolicy = Field(default=ApprovalPolicy(), description="When a plan needs a human.")
    limits: PlanLimits = Field(default=PlanLimits(), description="What is above them needs a human, whatever the mode.")
    categorization: Literal["Project", "Auto", "Breaking"] = Field(
        "Project",
        description="Project: its own auto_categorize_changes. Auto: SQLMesh's categoriser, FULL. Breaking: every "
        "change is.",
    )
    categories: dict[str, Literal["Breaking", "NonBreaking"]] = Field(
        default={}, max_length=256, description="Model -> Breaking or NonBreaking, for directly modified models."
    )
    forward_only: bool | None = Field(None, description="SQLMesh --forward-only.")
    effective_from: Date | None = Field(None, description="SQLMesh --effective-from; goes with forward-only plans.")
    select_models: list[ModelName] = Field(
        default=[], max_length=256, description="SQLMesh --select-model; what it leaves out stays as it is."
    )
    allow_destructive_models: list[ModelName] = Field(
        default=[], max_length=256, description="SQLMesh --allow-destructive-model; shown in the plan."
    )
    allow_additive_models: list[ModelName] = Field(
        default=[], max_length=256, description="SQLMesh --allow-additive-model; shown in the plan."
    )
    no_gaps: bool | None = Field(None, description="SQLMesh --no-gaps.")
    start: Date | None = Field(None, description="SQLMesh --start; not for environment prod.")
    dev_start: Date | None = Field(None, description="How far back previews of forward-only changes go.")
    skip_tests: bool = Field(False, description="true: plan although unit tests fail; shown in the plan.")
    skip_linter: bool = Field(False, description="true: plan although the linter reports errors; shown in the plan.")


class ApprovalItem(Model):
    """Somebody's word on one plan. The API server lets a user write only in the own name."""

    plan: Annotated[str, Field(min_length=1, max_length=80)] = Field(
        description="status.plan.digest of the plan meant.", json_schema_extra=schema(DIGEST_RULE)
    )
    by: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="User name, as the API server knows it (kubectl auth whoami)."
    )
    decision: Literal["Approve", "Reject"] = Field(
        "Approve",
        description="Approve lets the plan through, Reject stops it. Default: Approve.",
    )
    comment: ShortText | None = Field(None, description="Why; shown in the audit log.")


class SodaChecks(Model):
    """Soda checks in a ConfigMap of this namespace. PostgreSQL and DuckDB only: elsewhere they are not evaluated."""

    config_map_ref: LocalRef = Field(
        description="ConfigMap with SodaCL files: every key that ends in .yml or .yaml. They may use ${environment}, "
        "${schema_suffix} and ${table_suffix}."
    )


class ChecksSpec(Model):
    """What is checked after an apply."""

    audits: bool = Field(True, description="true: audits of the environment's models run after an apply.")
    soda: SodaChecks | None = Field(
        None,
        description="Soda checks of what was applied. One that fails, or cannot be evaluated, shows in Ready. Unset: none.",
    )
