"""History of an environment: earlier revisions to roll back to, ended promotions, what is kept.

Used by `api.environment_status` and `api.environment`; written by
`plan.environments.rollback_targets` and `plan.rules.promotion_history`.
"""

from typing import Annotated

from pydantic import Field

from vulcan_operator.api.schemas import Model
from vulcan_operator.api.texts import (
    Message,
    Name,
    PositiveDuration,
    ShortText,
    Text63,
    Text64,
    Text128,
    Timestamp,
)

MOST_TARGETS = 10
MOST_PROMOTIONS = 100


class RollbackTargetStatus(Model):
    """An earlier revision of the environment, as the last Job that checked it reported it."""

    plan_id: Text128 = Field(
        description="SQLMesh's plan id; the value for rollbackTo.planId of a VulcanPromotion."
    )
    revision: ShortText = Field(
        "", description="The resolved source. Empty: only the state database has a record of it."
    )
    source_digest: Annotated[str, Field(max_length=80)] = Field(
        "", description="Digest of the source's files."
    )
    time: Timestamp | None = Field(None, description="When it was applied.")
    replaced_time: Timestamp | None = Field(
        None, description="When another revision replaced it: the start of rollback.window."
    )
    expires: Timestamp | None = Field(
        None,
        description="When SQLMesh's janitor may remove one of its snapshots, if it is run. Unset: "
        "environments still use all of them.",
    )
    state: str = Field(
        "Available",
        max_length=63,
        description="Available: a view swap can restore it. Held: the same, but it was rolled "
        "back, see held. Unavailable: snapshots are missing, or their tables were altered.",
        json_schema_extra={"enum": ["Available", "Held", "Unavailable"]},
    )
    message: Message = Field("", description="Why it is unavailable, with the models.")


class EvidenceRef(Model):
    """Reference to the evidence of a promotion."""

    name: Name = Field(description="ConfigMap in the promotion's namespace: key evidence.json.")
    sha256: Text64 = Field(description="sha256 of its content.")


class PromotionItem(Model):
    """One promotion to the environment that has ended."""

    namespace: Text63 = Field(description="Its namespace.")
    name: Annotated[str, Field(max_length=253)] = Field(
        description="Name of the promotion, which may have been deleted."
    )
    uid: Text64 = Field(description="Uid of the promotion.")
    outcome: Text63 = Field(description="How it ended.")
    revision: ShortText = Field("", description="Promoted revision.")
    finished_at: Timestamp = Field(description="When it ended.")
    evidence: EvidenceRef = Field(description="The evidence that it left.")


class PromotionHistory(Model):
    """Which ended promotions to this environment are kept, in its status and as evidence."""

    limit: int = Field(50, ge=1, le=MOST_PROMOTIONS, description="Maximum number of promotions.")
    max_age: PositiveDuration = Field(
        "365d", description="How long they are kept. Their evidence is deleted with them."
    )
