"""What the operator reports about a promotion: its steps with evidence, what the target had before, how it ended.

Used by `api.promotion`; written by the promotion planner. A step's state is what was observed, not where the code was.
"""

import enum
from typing import Annotated

from pydantic import Field, computed_field

from vulcan_operator.api.environment_status import Digest, PlanStatus, ReportRef, Revision
from vulcan_operator.api.fields import (
    Condition,
    FailureStatus,
    Message,
    Model,
    TaskStatus,
    Timestamp,
    schema,
    short_revision,
)
from vulcan_operator.api.source import Origin


class StepName(enum.StrEnum):
    """The steps, in their order."""

    RESOLVE = "Resolve"
    PLAN = "Plan"
    TESTS = "Tests"
    AUDITS = "Audits"
    DIFF = "Diff"
    CHECKS = "Checks"
    SOAK = "Soak"
    APPROVAL = "Approval"
    CATCH_UP = "CatchUp"
    APPLY = "Apply"
    VERIFY = "Verify"
    ROLLBACK = "Rollback"


class StepState(enum.StrEnum):
    """How far a step is; from Succeeded on it has ended."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    ERRORED = "Errored"
    INCONCLUSIVE = "Inconclusive"


class Outcome(enum.StrEnum):
    """How a promotion ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERRORED = "Errored"
    INCONCLUSIVE = "Inconclusive"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"


class Relation(enum.StrEnum):
    """Whether both environments are on one gateway."""

    SAME = "SameSystem"
    ACROSS = "AcrossSystems"


class RollbackState(enum.StrEnum):
    """How far a rollback is."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNAVAILABLE = "Unavailable"


MOST_VOTES, MOST_IMAGES = 64, 8
SOURCE_REPORT, TARGET_REPORT = "sourceReport", "targetReport"  # evidence of Diff until it is judged: ConfigMaps

StepField = Annotated[str, Field(max_length=16, json_schema_extra={"enum": list(StepName)})]


class StepStatus(Model):
    """One step of a promotion."""

    name: StepField = Field(description="Which step.")
    state: str = Field(
        "Pending",
        max_length=63,
        description="Failed: a no for reasons of content. Errored: machinery. Inconclusive: a human must look.",
        json_schema_extra={"enum": list(StepState)},
    )
    started_at: Timestamp | None = Field(None, description="When it began.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    reason: Annotated[str, Field(max_length=63)] = Field("", description="While it waits: what for, as one word.")
    message: Message = Field("", description="How it went, in a sentence.")
    evidence: dict[str, Annotated[str, Field(max_length=1024)]] = Field(
        default={}, max_length=32, description="What the judgement rests on: Jobs, counts, digests, differences."
    )
    job: Annotated[str, Field(max_length=63)] = Field("", description="Its last Job in the gateway's namespace.")
    task: TaskStatus | None = Field(
        None, description="Its task in hand. Gates that do not need each other have theirs at once."
    )
    failure: FailureStatus | None = Field(None, description="Its failure that waits for another attempt.")
    touched: bool = Field(
        False, description="An attempt may have changed some of the views: that is brought to an end whatever is shut."
    )

    @property
    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state not in (StepState.PENDING, StepState.RUNNING, StepState.WAITING)


class VoteStatus(Model):
    """Somebody's vote on a plan of the promotion, as the operator has recorded it."""

    plan: Digest = Field(description="The plan it is on.")
    by: Annotated[str, Field(max_length=512)] = Field(description="Who said it.")
    decision: Annotated[str, Field(max_length=16)] = Field(description="Approve or Reject.")
    comment: Message = Field("", description="Why, in their own words.")
    time: Timestamp = Field(description="When the operator first saw it.")


class SideStatus(Model):
    """One end of the promotion as it was found."""

    environment: Annotated[str, Field(max_length=40)] = Field(description="SQLMesh environment name.")
    gateway: Annotated[str, Field(max_length=320)] = Field(description="Its VulcanGateway, as namespace/name.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id it had.")
    revision: Revision = Field("", description="The revision it had.")


class PreviousStatus(Model):
    """What the target had before; the way back."""

    revision: Revision = Field(description="The resolved source.")
    source_digest: Digest = Field("", description="Digest of the source's files.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id.")
    time: Timestamp | None = Field(None, description="When it had been applied.")
    tests_run: int = Field(-1, description="Unit tests that ran when it was planned; -1: unknown, or skipped.")
    origin: Origin | None = Field(None, description="Where its files are, if a promotion gave it.")


class RollbackStatus(Model):
    """A way back that was taken or is wanted."""

    state: str = Field(
        "Running",
        max_length=63,
        description="Running, Succeeded, Failed or Unavailable (a snapshot is missing or cannot be restored).",
        json_schema_extra={"enum": list(RollbackState)},
    )
    reason: Annotated[str, Field(max_length=63)] = Field("", description="Why it was taken.")
    message: Message = Field("", description="In a sentence, with the age of the data.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id gone back to.")
    revision: Revision = Field("", description="Revision gone back to.")
    time: Timestamp | None = Field(None, description="When the views were swapped back.")
    intervals_behind: int = Field(
        0, description="Intervals that were missing then; the run that follows computes them."
    )
    complete_until: Timestamp | None = Field(
        None, description="The age of the data: nothing was missing before this time. Unset: nothing at all was."
    )


class PromotionStatus(Model):
    """Observed state of one promotion."""

    observed_generation: int = Field(-1, description="Generation of the spec that was last handled.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Ready, Reconciling, Stalled, AwaitingApproval.",
        json_schema_extra=schema(list_type="map", list_keys=["type"]),
    )
    step: StepField | None = Field(None, description="Current step, or the last one.")
    steps: list[StepStatus] = Field(
        default=[],
        max_length=16,
        description="All steps in their order, each with its evidence.",
        json_schema_extra=schema(list_type="map", list_keys=["name"]),
    )
    outcome: str | None = Field(
        None,
        max_length=63,
        description="How it ended. Failed: a no for reasons of content. Errored: machinery. Inconclusive: a human "
        "must look. Superseded: a newer promotion took its place. Cancelled: it was deleted while it was under way.",
        json_schema_extra={"enum": list(Outcome)},
    )
    relation: str | None = Field(
        None,
        max_length=63,
        description="SameSystem: views are swapped, nothing is computed twice. AcrossSystems: planned and computed "
        "anew.",
        json_schema_extra={"enum": list(Relation)},
    )
    revision: Revision | None = Field(None, description="The resolved revision that moves.")
    source_digest: Digest | None = Field(None, description="Digest of its files.")
    source: SideStatus | None = Field(None, description="The environment it comes from.")
    target: SideStatus | None = Field(None, description="The environment it goes to.")
    plans: int = Field(0, description="How often it was planned again because the target had moved.")
    plan: PlanStatus | None = Field(None, description="The plan for the target: what an approval is for.")
    applied_plan_id: Annotated[str, Field(max_length=128)] = Field(
        "", description="SQLMesh's plan id of the target once its views were swapped."
    )
    approved_by: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[], max_length=64, description="Who approved it.", json_schema_extra=schema(list_type="atomic")
    )
    approvals: list[VoteStatus] = Field(
        default=[],
        max_length=MOST_VOTES,
        description="All votes on its plans, also those on earlier plans and those withdrawn, with times.",
        json_schema_extra=schema(list_type="atomic"),
    )
    runner_images: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[],
        max_length=MOST_IMAGES,
        description="Images of its Jobs as the nodes report them, by digest.",
        json_schema_extra=schema(list_type="atomic"),
    )
    previous: PreviousStatus | None = Field(None, description="What the target had before.")
    rollback: RollbackStatus | None = Field(None, description="The way back, if one was wanted.")
    evidence_ref: ReportRef | None = Field(
        None,
        description="ConfigMap in this namespace, key evidence.json: all of this once it is over. It outlives the "
        "promotion; the target's promotionHistory says how long.",
    )
    origin: Origin | None = Field(
        None, description="Where the revision's files are; across systems it is computed from them."
    )
    superseded_by: Annotated[str, Field(max_length=320)] | None = Field(
        None, description="The newer promotion that took its place, as namespace/name."
    )
    supersedes: list[Annotated[str, Field(max_length=320)]] = Field(
        default=[],
        max_length=64,
        description="Older promotions whose place it took, as namespace/name.",
        json_schema_extra=schema(list_type="atomic"),
    )
    next_opening_time: Timestamp | None = Field(
        None,
        description="When it goes on, while it waits for a window or the end of a freeze. Unset: it does not, or nobody "
        "knows.",
    )
    next_attempt_time: Timestamp | None = Field(None, description="When a failed task is tried again.")
    started_at: Timestamp | None = Field(None, description="When the first step began.")
    finished_at: Timestamp | None = Field(None, description="When the last step ended.")

    @property
    def tasks(self) -> list[TaskStatus]:
        """All tasks in hand."""
        return [step.task for step in self.steps if step.task is not None]

    @property
    def is_there(self) -> bool:
        """Whether its plan has found that the target has all of it already."""
        return self.plan is not None and self.plan.state == "NoChanges"

    @property
    def went_back(self) -> bool:
        """Whether a way back was gone to its end."""
        return self.rollback is not None and self.rollback.state == "Succeeded"

    @property
    def reports(self) -> list[str]:
        """ConfigMaps that the step Diff has left, which are of no use once it is judged."""
        evidence = (step.evidence for step in self.steps if step.name == "Diff")
        return [name for found in evidence for key, name in found.items() if key in (SOURCE_REPORT, TARGET_REPORT)]

    def find(self, name: str) -> StepStatus | None:
        """One step, if it was begun."""
        return next((step for step in self.steps if step.name == name), None)

    @computed_field(description="The revision as a column shows it.")  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def short_revision(self) -> Annotated[str, Field(max_length=40)] | None:
        """The revision as a column shows it."""
        return short_revision(self.revision) if self.revision else None
