"""The rules of an environment that a gateway's grant may make stricter, and what is in force.

`Minimum` is part of a grant (`api.gateway`), `EffectiveRules` of an environment's status. Which of
two values is the stricter one is decided by `plan.rules.strict`, field by field.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.environment_history import MOST_PROMOTIONS
from vulcan_operator.api.schemas import Model, schema
from vulcan_operator.api.texts import Duration, PositiveDuration, Text16, Text32, Text63, Text512


class MinimumApproval(Model):
    """The weakest approval rule that environments of a grant may have."""

    mode: Literal["Never", "OnRisk", "Always"] | None = Field(
        None,
        description="The weakest mode: Never, OnRisk or Always. Default: Always where the grant is "
        "protected, else none.",
    )
    risks: list[Literal["Breaking", "Destructive", "Backfill"]] = Field(
        [],
        max_length=3,
        description="Risks that count besides those of the environment.",
        json_schema_extra=schema(list_type="set"),
    )
    count: int | None = Field(None, ge=1, le=10, description="The fewest users who must approve.")
    expire_after: PositiveDuration | None = Field(
        None, description="The longest time that a plan may wait for approval."
    )
    exclude_author: bool | None = Field(
        None, description="true: approvals by the user who created the object do not count."
    )


class MinimumLimits(Model):
    """The highest limits that environments of a grant may have."""

    max_backfill_intervals: int | None = Field(
        None, ge=0, le=100000000, description="Maximum intervals to compute without approval."
    )
    max_rebuilt_models: int | None = Field(
        None, ge=0, le=100000, description="Maximum models to rebuild without approval."
    )
    max_history: Duration | None = Field(
        None, description="Maximum reach of a backfill without approval, for example 400d."
    )
    max_removed_percent: int | None = Field(
        None, ge=0, le=100, description="Maximum percentage of models to remove without approval."
    )


class MinimumChecks(Model):
    """The checks that environments of a grant must have."""

    audits: bool | None = Field(None, description="true: audits run after each apply.")


class MinimumHistory(Model):
    """What environments of a grant must keep of ended promotions."""

    limit: int | None = Field(
        None, ge=1, le=MOST_PROMOTIONS, description="The fewest promotions that are kept."
    )
    max_age: PositiveDuration | None = Field(
        None, description="The shortest time that they are kept."
    )


class Minimum(Model):
    """The weakest rules that environments of a grant may have. Of an environment's own rules and
    these, the stricter one is in force, field by field."""

    approval: MinimumApproval = Field(
        MinimumApproval(), description="The weakest spec.plan.approval."
    )
    limits: MinimumLimits = Field(MinimumLimits(), description="The highest spec.plan.limits.")
    checks: MinimumChecks = Field(MinimumChecks(), description="The weakest spec.checks.")
    promotion_history: MinimumHistory = Field(
        MinimumHistory(), description="The shortest spec.promotionHistory."
    )
    runner_images: list[Annotated[Text512, Field(min_length=1)]] = Field(
        [],
        max_length=32,
        description="Patterns (* and ?) of the runner images that environments may use, one of "
        "which must match. Default: every image that the gateway allows.",
        json_schema_extra=schema(list_type="set"),
    )


class ApprovalInForce(Model):
    """When a plan needs approval."""

    mode: Text16 = Field(description="Never, OnRisk or Always.")
    risks: list[Text32] = Field([], max_length=16, description="For OnRisk: which risks count.")
    count: int = Field(1, description="How many different users must approve.")
    expire_after: Text32 = Field("", description="How long a plan may wait for approval.")
    exclude_author: bool = Field(
        False, description="Whether approvals by the object's creator do not count."
    )


class LimitsInForce(Model):
    """Plans above these limits need approval in every mode. Unset: no limit."""

    max_backfill_intervals: int | None = Field(None, description="Intervals to compute.")
    max_rebuilt_models: int | None = Field(None, description="Models to rebuild.")
    max_history: Text32 | None = Field(None, description="Reach of a backfill.")
    max_removed_percent: int | None = Field(None, description="Percentage of removed models.")


class HistoryInForce(Model):
    """Which ended promotions are kept."""

    limit: int = Field(0, description="Maximum number of promotions.")
    max_age: Text32 = Field("", description="How long they are kept.")


class EffectiveRules(Model):
    """The rules in force: of the environment's spec and its grants' minimum, the stricter ones."""

    approval: ApprovalInForce = Field(description="When a plan needs approval.")
    limits: LimitsInForce = Field(
        LimitsInForce(), description="Plans above these limits need approval in every mode."
    )
    audits: bool = Field(True, description="Whether audits run after each apply.")
    promotion_history: HistoryInForce = Field(
        HistoryInForce(), description="Which ended promotions are kept."
    )
    from_grant: list[Text63] = Field(
        [],
        max_length=16,
        description="Rules that the gateway's grants make stricter than the environment's spec, "
        "for example approval.mode. All others are those of the spec.",
    )
