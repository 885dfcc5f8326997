"""VulcanPromotion: promotes a tested revision to another environment through gates, or rolls back.

The object is a record: another promotion is another object. The promotion planner reads it, and
`tools.generate` builds the CRD from it. Status types are in `api.promotion_status`.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.fields import ObjectMeta, ObjectRef
from vulcan_operator.api.policy import (
    MOST_VOTES,
    VOTES_RULE,
    ApprovalItem,
    ApprovalPolicy,
    ModelName,
    SodaChecks,
)
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.api.schemas import Model, cel, immutable, listed, rule, schema, size_of
from vulcan_operator.api.texts import Duration, ObjectName

Gate = Literal["Required", "Optional", "Skip"]


class PromotionSide(Model):
    """The source or the target of a promotion."""

    environment_ref: ObjectRef = Field(description="The VulcanEnvironment.")


class DataDiffGate(Model):
    """Compares the target's data after the promotion with its current data, before any change.

    Within one system, this is SQLMesh's table diff of each model whose table changes. Across
    systems, row counts, null rates, distinct values and numeric sums of each model on both sides
    are compared; no row leaves a warehouse. Models with a time column are compared up to the time
    to which both sides are computed, others completely.
    """

    mode: Gate = Field(
        "Required",
        description="Required: a difference above the limits fails the promotion; a model that "
        "cannot be compared makes it Inconclusive. Optional: both are only reported. Skip: the "
        "gate does not run.",
    )
    models: Literal["NotDirectlyModified", "All"] = Field(
        "NotDirectlyModified",
        description="NotDirectlyModified: models whose own code is unchanged, so that their data "
        "should be, too. All: all models.",
    )
    expected_changes: list[ModelName] = Field(
        [],
        max_length=256,
        json_schema_extra=rule(
            f"self.map(m, {size_of('m')}).sum() <= 16384",
            "expectedChanges has more than 16384 bytes in all",
        ),
        description="Models whose data is expected to change, as schema.name: they are compared "
        "and reported, but cannot fail the gate. The step's evidence lists names that match no "
        "compared model as expectedNotCompared.",
    )
    max_changed_rows_percent: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Maximum share of a model's rows that may differ, in percent of the rows "
        "joined by its grain. Pairs of one removed and one added row count as differing rows; "
        "further added or removed rows count as a change of the row count. Across systems: "
        "maximum change of a column's null rate (in percentage points), and of its distinct "
        "values and its sum (in percent, beyond what the change of the row count explains).",
    )
    max_row_count_change_percent: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="Maximum change of a model's row count, in percent of the target's row count. "
        "Rows in a table that was empty exceed any limit.",
    )
    on_missing_grain: Literal["RowCounts", "Skip", "Fail"] = Field(
        "RowCounts",
        description="Within one system, for models whose rows cannot be joined because no grain "
        "is unique and non-null. RowCounts: compare only row counts. Skip: do not compare the "
        "model. Fail: fail the gate.",
    )


class PromotionChecks(Model):
    """Data quality checks of the source before the promotion."""

    mode: Gate = Field(
        "Required",
        description="Required: a failed check fails the promotion. Optional: it is only reported. "
        "Skip: the gate does not run.",
    )
    soda: SodaChecks | None = Field(None, description="Soda checks. Unset: none.")


class SoakGate(Model):
    """How long the revision must have run in the source environment."""

    duration: Duration = Field("1h", description="Minimum time since its apply there; 0: none.")
    green_runs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Minimum number of successful runs since then that computed data.",
    )


class GatesSpec(Model):
    """Gates that a revision must pass. A Required gate that fails ends the promotion."""

    tests: Gate = Field(
        "Required", description="Unit tests. Required, Optional (only reported) or Skip."
    )
    audits: Gate = Field(
        "Required", description="Audits of the source. Required, Optional (only reported) or Skip."
    )
    data_diff: DataDiffGate | None = Field(
        None, description="Comparison of the target's future and current data. Unset: none."
    )
    checks: PromotionChecks | None = Field(
        None, description="Data quality checks of the source. Unset: none."
    )
    soak: SoakGate | None = Field(
        None, description="Time and runs in the source environment. Unset: none required."
    )
    virtual_only: Literal["Required", "Optional"] = Field(
        "Required",
        description="Within one system. Required: only the catch-up of recent intervals may be "
        "computed. Optional: more may be computed, which forward-only changes need.",
    )
    max_catch_up_intervals: int = Field(
        1000,
        ge=0,
        le=100000000,
        description="Maximum number of intervals that the catch-up may compute before the swap; "
        "the promotion fails if there are more. Only with virtualOnly: Required.",
    )


class RollbackTarget(Model):
    """The revision to roll back to: exactly one of the two fields."""

    promotion: ObjectName | None = Field(
        None, description="VulcanPromotion in this namespace to undo, to its status.previous."
    )
    plan_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None,
        description="SQLMesh plan id of an earlier apply, from the environment's "
        "status.rollbackTargets.",
    )


class RollbackSpec(Model):
    """How to roll back."""

    data: Literal["SwapThenRun", "CatchUpThenSwap"] = Field(
        "SwapThenRun",
        description="SwapThenRun: the views change at once and missing intervals are computed "
        "afterwards. CatchUpThenSwap: missing intervals are computed first; slower, but readers "
        "never see stale data.",
    )


class PromotionSpec(Model):
    """What is promoted, from where to where, through which gates. Immutable but for approvals."""

    from_: PromotionSide | None = Field(
        None, alias="from", description="Where the revision comes from."
    )
    to: PromotionSide = Field(description="The environment that is changed.")
    revision: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None,
        description="Revision to promote, which `from` must have applied: its "
        "status.applied.revision, or its sourceDigest, which also pins the files of a ConfigMap. "
        "Default: the applied revision of `from`.",
    )
    gates: GatesSpec = Field(GatesSpec(), description="Gates that the revision must pass.")
    approval: ApprovalPolicy | None = Field(
        None,
        description="When the promotion needs approval. The target environment's plan.approval "
        "applies in any case; the stricter of the two counts. Default: that of the target.",
    )
    approvals: list[ApprovalItem] = listed(
        MOST_VOTES,
        "Approvals and rejections of this promotion's plan. The message of "
        "AwaitingApproval is the command to add one.",
        VOTES_RULE,
        key="plan by",
    )
    queue: Literal["Wait", "Supersede"] = Field(
        "Wait",
        description="What happens to older promotions to the same environment that have not "
        "changed it yet. Wait: they run first. Supersede: this one replaces them, and they end as "
        "Superseded.",
    )
    on_failure: Literal["Hold", "Rollback"] = Field(
        "Rollback",
        description="What happens when step Verify fails after the swap. Rollback: the views are "
        "rolled back. Hold: they stay changed until a user decides.",
    )
    rollback_to: RollbackTarget | None = Field(
        None,
        description="Instead of from and revision: roll back the environment in `to`.",
        json_schema_extra=rule(
            "has(self.promotion) != has(self.planId)",
            "exactly one of promotion, planId must be set in rollbackTo",
        ),
    )
    rollback: RollbackSpec = Field(
        RollbackSpec(), description="How to roll back, with rollbackTo or after a failure."
    )


_RECORD = "a promotion is a record; create another VulcanPromotion"
_IMMUTABLE = (
    "from",
    "to",
    "revision",
    "gates",
    "approval",
    "queue",
    "onFailure",
    "rollbackTo",
    "rollback",
)


class VulcanPromotion(Model):
    """Promotes a tested revision to another environment through gates, or rolls one back."""

    metadata: ObjectMeta
    spec: PromotionSpec = Field(
        json_schema_extra=schema(
            cel(
                "has(self.from) != has(self.rollbackTo)",
                "exactly one of from, rollbackTo must be set",
            ),
            cel(
                "!has(self.revision) || has(self.from)",
                "revision needs from; remove it with rollbackTo",
            ),
            cel(
                "!has(self.from) || self.from.environmentRef.name != self.to.environmentRef.name ||"
                " has(self.from.environmentRef.__namespace__) != "
                "has(self.to.environmentRef.__namespace__) ||"
                " (has(self.to.environmentRef.__namespace__) &&"
                " self.from.environmentRef.__namespace__ != self.to.environmentRef.__namespace__)",
                "from and to must be different environments",
            ),
            *(immutable(name, _RECORD) for name in _IMMUTABLE),
        )
    )
    status: PromotionStatus = PromotionStatus()
