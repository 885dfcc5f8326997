"""When a plan needs approval, and the votes on it. Shared by environments and promotions.

Used by `api.environment` and `api.promotion`; `plan.approval` evaluates it. The admission policies
in `deploy/policies.yaml`, which name these fields, say who may write approvals or weaken a policy.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from vulcan_contract.limits import MAX_BACKFILL_INTERVALS, MAX_REMOVED_PERCENT
from vulcan_operator.api.fields import LocalRef
from vulcan_operator.api.schemas import Model, cel, rule, schema, size_of
from vulcan_operator.api.texts import Duration, PositiveDuration, ShortText

ModelName = Annotated[str, Field(min_length=1, max_length=512)]
Date = Annotated[
    str,
    Field(
        max_length=32,
        json_schema_extra=rule(
            "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
            "(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$')",
            "a date must be absolute: 2026-11-22 or 2026-11-22T10:00:00Z",
        ),
    ),
]
DIGEST_RULE = cel(
    "self.matches('^(sha256:)?[0-9a-f]{64}$')",
    "plan must be the complete digest of the plan, as shown in status.plan.digest",
)


MOST_VOTES = 64
_VOTE_BYTES = 6144
VOTES_RULE = cel(
    f"self.map(a, {size_of('a.by', 'a.comment')}).sum() <= {_VOTE_BYTES}",
    f"names and comments in approvals have more than {_VOTE_BYTES} bytes in all: remove those of "
    "old plans",
)
_MODELS_OF_PLANS = ("categories", "selectModels", "allowDestructiveModels", "allowAdditiveModels")
PLAN_SIZE_RULE = cel(
    " + ".join(
        f"(has(self.{name}) ? self.{name}.map(m, {size_of('m')}).sum() : 0)"
        for name in _MODELS_OF_PLANS
    )
    + " <= 8192",
    f"{', '.join(_MODELS_OF_PLANS)} have more than 8192 bytes in all: use selectors with *",
)


class ApprovalPolicy(Model):
    """When a plan needs approval."""

    mode: Literal["Never", "OnRisk", "Always"] = Field(
        "OnRisk",
        description="Never: only plans above the limits need approval. OnRisk: also plans with "
        "one of the risks. Always: every plan with changes.",
    )
    risks: list[Literal["Breaking", "Destructive", "Backfill"]] = Field(
        ["Breaking", "Destructive"],
        max_length=3,
        description="For OnRisk: which properties of a plan make it need approval. Default: "
        "Breaking and Destructive.",
        json_schema_extra=schema(list_type="set"),
    )
    count: int = Field(1, ge=1, le=10, description="How many different users must approve.")
    expire_after: PositiveDuration = Field(
        "72h", description="How long a plan may wait for approval before it is planned again."
    )
    exclude_author: bool = Field(
        False,
        description="true: approvals by the user who created the object (annotation "
        "vulcan.dev/created-by) do not count. Default: false.",
    )


class PlanLimits(Model):
    """Plans above a limit always need approval. FULL, VIEW, SEED models count as one interval."""

    max_backfill_intervals: int | None = Field(
        MAX_BACKFILL_INTERVALS,
        ge=0,
        le=100000000,
        description="Maximum intervals to compute without approval.",
    )
    max_rebuilt_models: int | None = Field(
        None,
        ge=0,
        le=100000,
        description="Maximum models to rebuild without approval. Unset: no limit.",
    )
    max_history: Duration | None = Field(
        None,
        description="Maximum reach of a backfill without approval, for example 400d. Unset: no "
        "limit.",
    )
    max_removed_percent: int | None = Field(
        MAX_REMOVED_PERCENT,
        ge=0,
        le=100,
        description="Maximum percentage of models to remove without approval.",
    )


class PlanSpec(Model):
    """How plans are built and when they need approval.

    The project's configuration decides SQLMesh options that are unset here.
    """

    approval: ApprovalPolicy = Field(ApprovalPolicy(), description="When a plan needs approval.")
    limits: PlanLimits = Field(
        PlanLimits(), description="Plans above these limits need approval in every mode."
    )
    categorization: Literal["Project", "Auto", "Breaking"] = Field(
        "Project",
        description="Project: as its auto_categorize_changes says. Auto: SQLMesh's categorizer in "
        "mode FULL. Breaking: every change is breaking.",
    )
    categories: dict[str, Literal["Breaking", "NonBreaking"]] = Field(
        {},
        max_length=256,
        description="Category of directly modified models, by model name: Breaking or NonBreaking.",
        json_schema_extra=schema(maxProperties=128),
    )
    forward_only: bool | None = Field(None, description="SQLMesh --forward-only.")
    effective_from: Date | None = Field(
        None, description="SQLMesh --effective-from; for forward-only plans."
    )
    select_models: list[ModelName] = Field(
        [],
        max_length=256,
        description="SQLMesh --select-model; models that it excludes stay unchanged.",
        json_schema_extra=schema(maxItems=128),
    )
    allow_destructive_models: list[ModelName] = Field(
        [],
        max_length=256,
        description="SQLMesh --allow-destructive-model; shown in the plan.",
        json_schema_extra=schema(maxItems=128),
    )
    allow_additive_models: list[ModelName] = Field(
        [],
        max_length=256,
        description="SQLMesh --allow-additive-model; shown in the plan.",
        json_schema_extra=schema(maxItems=128),
    )
    no_gaps: bool | None = Field(None, description="SQLMesh --no-gaps.")
    start: Date | None = Field(None, description="SQLMesh --start; not for environment prod.")
    dev_start: Date | None = Field(None, description="How far back forward-only previews reach.")
    skip_tests: bool = Field(False, description="true: plan even if tests fail; shown in the plan.")
    skip_linter: bool = Field(
        False, description="true: plan even if the linter reports errors; shown in the plan."
    )


class ApprovalItem(Model):
    """A vote on one plan. The API server lets users vote only under their own user name."""

    plan: Annotated[str, Field(min_length=1, max_length=80)] = Field(
        description="status.plan.digest of the plan.", json_schema_extra=schema(DIGEST_RULE)
    )
    by: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Name of the user, as the API server knows it (kubectl auth whoami)."
    )
    decision: Literal["Approve", "Reject"] = Field(
        "Approve", description="Approve or Reject. One rejection stops the plan."
    )
    comment: ShortText | None = Field(None, description="The reason; shown in the audit log.")


def has_room(votes: Sequence[ApprovalItem]) -> bool:
    """Tell whether the API server takes another vote, with a name of any length."""
    size = sum(len(f"{vote.by}{vote.comment or ''}".encode()) for vote in votes)
    return len(votes) < MOST_VOTES and size + 4 * 512 <= _VOTE_BYTES


class SodaChecks(Model):
    """Soda checks in a ConfigMap of this namespace, for PostgreSQL and DuckDB only."""

    config_map_ref: LocalRef = Field(
        description="ConfigMap with SodaCL files: every key that ends in .yml or .yaml. They may "
        "use ${environment}, "
        "${schema_suffix} and ${table_suffix}."
    )


class ChecksSpec(Model):
    """Checks that run after an apply."""

    audits: bool = Field(True, description="true: run the audits of the environment's models.")
    soda: SodaChecks | None = Field(
        None,
        description="Soda checks of the applied revision. Ready shows failed checks and checks "
        "that cannot be evaluated. Unset: none.",
    )
