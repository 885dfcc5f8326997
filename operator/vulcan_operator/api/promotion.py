"""VulcanPromotion: moves one tested revision from one environment to another, through gates; or takes one back.

A record: whoever wants another promotion creates another object. Used by the promotion planner; `tools.generate`
makes the
CRD from it. Status types are in `api.promotion_status`.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.fields import Duration, Model, Name, ObjectMeta, ObjectRef, cel, immutable, schema
from vulcan_operator.api.policy import ApprovalItem, ApprovalPolicy, ModelName, SodaChecks
from vulcan_operator.api.promotion_status import PreviousStatus, PromotionStatus, RollbackStatus, SideStatus, StepStatus

__all__ = [
    "DataDiffGate", "GatesSpec", "PreviousStatus", "PromotionChecks", "PromotionSide", "PromotionSpec",
    "PromotionStatus",
    "RollbackSpec", "RollbackStatus", "RollbackTarget", "SideStatus", "SoakGate", "StepStatus", "VulcanPromotion",
]  # fmt: skip


Gate = Literal["Required", "Optional", "Skip"]


class PromotionSide(Model):
    """One end of a promotion."""

    environment_ref: ObjectRef = Field(description="The VulcanEnvironment.")


class DataDiffGate(Model):
    """Compares the data that the target would show with what it shows now, before anything is changed.

    Within one system: SQLMesh's table diff of each model whose table changes. Across systems: row counts, null rates,
    distinct values and numeric sums of each model on both sides; no row leaves a warehouse. Models with a time column are
    compared up to the end that both sides are computed to, others as a whole.
    """

    mode: Gate = Field(
        "Required",
        description="Required: a difference above the limits ends the promotion, and a model that could not be compared "
        "asks a human. Optional: both are shown only. Skip: not run.",
    )
    models: Literal["NotDirectlyModified", "All"] = Field(
        "NotDirectlyModified",
        description="Which models: those whose own code did not change (their data should not, either), or All.",
    )
    expected_changes: list[ModelName] = Field(
        default=[],
        max_length=256,
        description="Models whose data is meant to change, as schema.name: compared and shown, but not judged. Names "
        "that nothing was compared for are listed in the step's evidence, as expectedNotCompared.",
    )
    max_changed_rows_percent: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Largest share of a model's rows that may differ, in percent of the rows that its grain joins. Rows "
        "that went while others came count as different rows; what came or went in excess of that is a change of the "
        "number of rows. Across systems: largest change of a column's null rate (in percentage points), of its distinct "
        "values and of its sum (in percent, as far as the change of the number of rows does not explain it).",
    )
    max_row_count_change_percent: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="Largest change of a model's number of rows, in percent of what the target has. Rows where there "
        "were none are above any limit.",
    )
    on_missing_grain: Literal["RowCounts", "Skip", "Fail"] = Field(
        "RowCounts",
        description="Within one system, for models without a grain that is unique and never null, whose rows cannot be "
        "joined. RowCounts: compare the number of rows only. Skip: compare nothing. Fail: end the promotion.",
    )


class PromotionChecks(Model):
    """Data quality checks of the source before it moves."""

    mode: Gate = Field(
        "Required",
        description="Required: a failed check ends the promotion. Optional: it is shown only. Skip: not run.",
    )
    soda: SodaChecks | None = Field(None, description="Soda checks. Unset: none.")


class SoakGate(Model):
    """How long the revision must have been well in the source environment."""

    duration: Duration = Field("1h", description="Shortest time since it was applied there; 0: none.")
    green_runs: int = Field(
        0, ge=0, le=1000, description="Successful scheduled runs there since then that computed something."
    )


class GatesSpec(Model):
    """What a revision must pass. A gate that says Required ends the promotion when it says no."""

    tests: Gate = Field(
        "Required",
        description="Unit tests of the project. Required, Optional (shown only) or Skip.",
    )
    audits: Gate = Field(
        "Required",
        description="Audits of the source's models. Required, Optional (shown only) or Skip.",
    )
    data_diff: DataDiffGate | None = Field(
        None, description="Comparison of what the target would show with what it shows now. Unset: none."
    )
    checks: PromotionChecks | None = Field(
        None,
        description="Data quality checks of the source. Unset: none.",
    )
    soak: SoakGate | None = Field(
        None, description="Time and runs in the source environment. Unset: none are asked for."
    )
    virtual_only: Literal["Required", "Optional"] = Field(
        "Required",
        description="Within one system. Required: nothing is computed but the catch-up of recent intervals. Optional: "
        "the "
        "target may compute, which forward-only changes need.",
    )
    max_catch_up_intervals: int = Field(
        1000,
        ge=0,
        le=100000000,
        description="Most intervals the catch-up may compute before the swap; more is a no. Only with virtualOnly: "
        "Required.",
    )


class RollbackTarget(Model):
    """What to go back to: exactly one of the two."""

    promotion: Name | None = Field(
        None, description="VulcanPromotion in this namespace to undo: back to its status.previous."
    )
    plan_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="SQLMesh plan id of an earlier apply, from the environment's status.rollbackTargets."
    )


class RollbackSpec(Model):
    """How to go back."""

    data: Literal["SwapThenRun", "CatchUpThenSwap"] = Field(
        "SwapThenRun",
        description="SwapThenRun: views change at once, missing intervals are computed afterwards. CatchUpThenSwap: "
        "the "
        "other way round; slower, and nobody sees stale data.",
    )


class PromotionSpec(Model):
    """What is promoted from where to where, and what it must pass. Immutable but for approvals."""

    from_: PromotionSide | None = Field(None, alias="from", description="Where the revision comes from.")
    to: PromotionSide = Field(description="The environment that is changed.")
    revision: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None,
        description="Revision to promote; it must be what `from` has: its status.applied.revision, or the sourceDigest "
        "there, which pins the files of a ConfigMap, too. Default: what `from` has applied.",
    )
    gates: GatesSpec = Field(default=GatesSpec(), description="What the revision must pass.")
    approval: ApprovalPolicy | None = Field(
        None,
        description="When the promotion needs a human. Default: the target environment's plan.approval, which holds "
        "in any "
        "case: of both, the stricter one counts.",
    )
    approvals: list[ApprovalItem] = Field(
        default=[],
        max_length=64,
        description="Words on this promotion's plan. The message of AwaitingApproval is the command that adds one.",
        json_schema_extra=schema(list_type="map", list_keys=["plan", "by"]),
    )
    queue: Literal["Wait", "Supersede"] = Field(
        "Wait",
        description="What becomes of older promotions to the same environment that have not changed it yet. Wait: they go "
        "first. Supersede: this one takes their place, and they end as Superseded.",
    )
    on_failure: Literal["Hold", "Rollback"] = Field(
        "Rollback",
        description="When the target fails its verification after the swap. Rollback: back to what it had. Hold: "
        "stay, and "
        "wait for a human.",
    )
    rollback_to: RollbackTarget | None = Field(
        None,
        description="Instead of from and revision: take the environment in `to` back.",
        json_schema_extra=schema(
            cel("has(self.promotion) != has(self.planId)", "exactly one of promotion, planId must be set in rollbackTo")
        ),
    )
    rollback: RollbackSpec = Field(default=RollbackSpec(), description="How to go back, here or after a failure.")


_RECORD = "a promotion is a record; create another VulcanPromotion"
_IMMUTABLE = ("from", "to", "revision", "gates", "approval", "queue", "onFailure", "rollbackTo", "rollback")


class VulcanPromotion(Model):
    """Moves one tested revision from one environment to another, through gates; or takes one back."""

    metadata: ObjectMeta
    spec: PromotionSpec = Field(
        json_schema_extra=schema(
            cel("has(self.from) != has(self.rollbackTo)", "exactly one of from, rollbackTo must be set"),
            cel("!has(self.revision) || has(self.from)", "revision goes with from; leave it out with rollbackTo"),
            cel(
                "!has(self.from) || self.from.environmentRef.name != self.to.environmentRef.name ||"
                " has(self.from.environmentRef.__namespace__) != has(self.to.environmentRef.__namespace__) ||"
                " (has(self.to.environmentRef.__namespace__) &&"
                " self.from.environmentRef.__namespace__ != self.to.environmentRef.__namespace__)",
                "from and to must be two environments",
            ),
            *(immutable(name, _RECORD) for name in _IMMUTABLE),
        )
    )
    status: PromotionStatus = PromotionStatus()
