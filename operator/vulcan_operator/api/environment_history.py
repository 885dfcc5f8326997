"""What the operator remembers of an environment beyond today: earlier revisions it can have again, promotions to it.

Used by `api.environment_status`; written by `plan.environments.rollback_targets` and `plan.rules.promotion_history`.
"""

from typing import Annotated

from pydantic import Field

from vulcan_operator.api.fields import Message, Model, Name, Timestamp

MOST_TARGETS = 10
MOST_PROMOTIONS = 100


class RollbackTargetStatus(Model):
    """An earlier revision of the environment, as the last Job that looked has found it."""

    plan_id: Annotated[str, Field(max_length=128)] = Field(
        description="SQLMesh's plan id of its apply: what a VulcanPromotion's rollbackTo.planId names."
    )
    revision: Annotated[str, Field(max_length=1024)] = Field(
        "", description="The resolved source; empty when only the state remembers it."
    )
    source_digest: Annotated[str, Field(max_length=80)] = Field("", description="Digest of the source's files.")
    time: Timestamp | None = Field(None, description="When it was applied.")
    replaced_time: Timestamp | None = Field(
        None, description="When another took its place. From then on rollback.window counts."
    )
    expires: Timestamp | None = Field(
        None,
        description="When SQLMesh's janitor may take one of its snapshots away, wherever it is run. Unset: "
        "environments need all of them.",
    )
    state: str = Field(
        "Available",
        max_length=63,
        description="Available: a view swap away. Held: the same, but it was rolled back, see held. Unavailable: "
        "snapshots are missing, or their tables were altered.",
        json_schema_extra={"enum": ["Available", "Held", "Unavailable"]},
    )
    message: Message = Field("", description="Why it is unavailable, with models.")


class EvidenceRef(Model):
    """Where a promotion's evidence is."""

    name: Name = Field(description="ConfigMap in the promotion's namespace: key evidence.json.")
    sha256: Annotated[str, Field(max_length=64)] = Field(description="sha256 of that text.")


class PromotionItem(Model):
    """One promotion to the environment that has ended."""

    namespace: Annotated[str, Field(max_length=63)] = Field(description="Its namespace.")
    name: Annotated[str, Field(max_length=253)] = Field(description="Its name; the object may be gone.")
    uid: Annotated[str, Field(max_length=64)] = Field(description="Its uid.")
    outcome: Annotated[str, Field(max_length=63)] = Field(description="How it ended.")
    revision: Annotated[str, Field(max_length=1024)] = Field("", description="The revision that moved.")
    finished_at: Timestamp = Field(description="When it ended.")
    evidence: EvidenceRef = Field(description="What it has left.")
