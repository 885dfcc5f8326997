"""What the operator reports about a promotion: steps with evidence, previous revision, outcome.

Used by `api.promotion`; written by the promotion planner. A step's state is what was observed,
never the position of the code.
"""

import enum
from typing import Annotated

from pydantic import Field, computed_field

from vulcan_operator.api.environment_status import Digest, PlanStatus, ReportRef, Revision
from vulcan_operator.api.fields import Condition, FailureStatus, TaskStatus, short_revision
from vulcan_operator.api.schemas import Model, listed
from vulcan_operator.api.source import Origin
from vulcan_operator.api.texts import (
    Message,
    ShortText,
    Text16,
    Text40,
    Text63,
    Text128,
    Text320,
    Text512,
    Timestamp,
)


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
# ConfigMaps in the evidence of Diff until it is judged
SOURCE_REPORT, TARGET_REPORT = "sourceReport", "targetReport"

StepField = Annotated[str, Field(max_length=16, json_schema_extra={"enum": list(StepName)})]


class StepStatus(Model):
    """One step of a promotion."""

    name: StepField = Field(description="Name of the step.")
    state: str = Field(
        "Pending",
        max_length=63,
        description="Failed: because of the revision or its data. Errored: for infrastructure "
        "reasons. Inconclusive: it could not be judged, so a user has to decide.",
        json_schema_extra={"enum": list(StepState)},
    )
    started_at: Timestamp | None = Field(None, description="When it began.")
    finished_at: Timestamp | None = Field(None, description="When it ended.")
    reason: Text63 | None = Field(
        None, description="While it waits: what for, as a CamelCase word."
    )
    message: Message = Field("", description="Its progress or result, as a sentence.")
    evidence: dict[str, ShortText] = Field(
        {},
        max_length=32,
        description="What the result is based on: Jobs, counts, digests, differences.",
    )
    job: Text63 = Field("", description="Name of its last Job, in the gateway's namespace.")
    task: TaskStatus | None = Field(
        None, description="Its current task. Independent gates have their tasks at the same time."
    )
    failure: FailureStatus | None = Field(None, description="Its failure that waits for a retry.")
    touched: bool = Field(
        False,
        description="Whether an attempt may have changed some views: it is then completed despite "
        "windows and freezes.",
    )

    @property
    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state not in (StepState.PENDING, StepState.RUNNING, StepState.WAITING)


class VoteStatus(Model):
    """A vote on a plan of the promotion, as the operator recorded it."""

    plan: Digest = Field(description="Digest of the plan.")
    by: Text512 = Field(description="Name of the user.")
    decision: Text16 = Field(description="Approve or Reject.")
    comment: Message = Field("", description="The comment of the vote.")
    time: Timestamp = Field(description="When the operator first observed it.")


class SideStatus(Model):
    """The source or the target of the promotion, as it was observed."""

    environment: Text40 = Field(description="SQLMesh environment name.")
    gateway: Text320 = Field(description="Its VulcanGateway, as namespace/name.")
    plan_id: Text128 = Field("", description="SQLMesh's plan id of the environment.")
    revision: Revision = Field("", description="The revision of the environment.")


class PreviousStatus(Model):
    """The target's previous revision, which a rollback restores."""

    revision: Revision = Field(description="The resolved source.")
    source_digest: Digest = Field("", description="Digest of the source's files.")
    plan_id: Text128 = Field("", description="SQLMesh's plan id.")
    time: Timestamp | None = Field(None, description="When it was applied.")
    tests_run: int = Field(
        -1, description="Number of unit tests that ran when it was planned; -1: unknown or skipped."
    )
    origin: Origin | None = Field(None, description="Where the files of a promoted revision are.")


class RollbackStatus(Model):
    """A rollback, in progress or ended."""

    state: str = Field(
        "Running",
        max_length=63,
        description="Running, Succeeded, Failed or Unavailable (a snapshot is missing or cannot be "
        "restored).",
        json_schema_extra={"enum": list(RollbackState)},
    )
    reason: Text63 = Field("", description="Why it was started.")
    message: Message = Field("", description="Its result as a sentence, with the age of the data.")
    plan_id: Text128 = Field("", description="SQLMesh's plan id of the revision rolled back to.")
    revision: Revision = Field("", description="The revision rolled back to.")
    time: Timestamp | None = Field(None, description="When the views were swapped back.")
    intervals_behind: int = Field(
        0, description="Number of intervals missing at that time; the following run computes them."
    )
    complete_until: Timestamp | None = Field(
        None, description="Age of the data: complete up to this time. Unset: nothing was missing."
    )


class PromotionStatus(Model):
    """Observed state of one promotion."""

    observed_generation: int = Field(
        -1, description="Generation of the spec that was last handled."
    )
    conditions: list[Condition] = listed(
        16, "Ready, Reconciling, Stalled, AwaitingApproval.", key="type"
    )
    step: StepField | None = Field(None, description="Current step, or the last one.")
    steps: list[StepStatus] = listed(16, "All steps in order, each with its evidence.", key="name")
    outcome: str | None = Field(
        None,
        max_length=63,
        description="How it ended. Failed: because of the revision or its data. Errored: for "
        "infrastructure reasons. Inconclusive: a gate could not be judged, so a user has to "
        "decide. Superseded: a newer promotion replaced it. Cancelled: it was deleted in progress.",
        json_schema_extra={"enum": list(Outcome)},
    )
    relation: str | None = Field(
        None,
        max_length=63,
        description="SameSystem: views are swapped and existing tables reused. AcrossSystems: the "
        "revision is planned and computed again on the target's system.",
        json_schema_extra={"enum": list(Relation)},
    )
    revision: Revision | None = Field(None, description="The resolved revision that is promoted.")
    source_digest: Digest | None = Field(None, description="Source digest: digest of its files.")
    source: SideStatus | None = Field(None, description="The source environment.")
    target: SideStatus | None = Field(None, description="The target environment.")
    plans: int = Field(0, description="How often it was replanned because the target changed.")
    plan: PlanStatus | None = Field(None, description="The plan that approvals refer to.")
    applied_plan_id: Text128 = Field(
        "", description="SQLMesh's plan id of the target after its views were swapped."
    )
    approved_by: list[Text512] = listed(64, "Who approved it.")
    approvals: list[VoteStatus] = listed(
        MOST_VOTES,
        "All votes on its plans with their times, including votes on earlier plans and withdrawn "
        "ones.",
    )
    runner_images: list[Text512] = listed(
        MOST_IMAGES, "Images of its Jobs with their digests, as the nodes report them."
    )
    previous: PreviousStatus | None = Field(None, description="The target's previous revision.")
    rollback: RollbackStatus | None = Field(None, description="The rollback, if there was one.")
    evidence_ref: ReportRef | None = Field(
        None,
        description="Once it has ended: ConfigMap in this namespace whose key evidence.json "
        "records it. It outlives the promotion for as long as the target's promotionHistory says.",
    )
    origin: Origin | None = Field(
        None, description="Where the revision's files are, for promotions across systems."
    )
    superseded_by: Text320 | None = Field(
        None, description="The newer promotion that replaced it, as namespace/name."
    )
    supersedes: list[Text320] = listed(64, "Older promotions that it replaced, as namespace/name.")
    next_opening_time: Timestamp | None = Field(
        None,
        description="While it waits for a window or the end of a freeze: when it continues. "
        "Unset: it does not wait, or the time is unknown.",
    )
    next_attempt_time: Timestamp | None = Field(None, description="When a failed task is retried.")
    started_at: Timestamp | None = Field(None, description="When the first step began.")
    finished_at: Timestamp | None = Field(None, description="When the last step ended.")

    @property
    def tasks(self) -> list[TaskStatus]:
        """All tasks in flight."""
        return [step.task for step in self.steps if step.task is not None]

    @property
    def is_there(self) -> bool:
        """Whether its plan found that the target has the revision already."""
        return self.plan is not None and self.plan.state == "NoChanges"

    @property
    def went_back(self) -> bool:
        """Whether a rollback succeeded."""
        return self.rollback is not None and self.rollback.state == "Succeeded"

    @property
    def reports(self) -> list[str]:
        """ConfigMaps of step Diff, which are not needed any more once it is judged."""
        evidence = (step.evidence for step in self.steps if step.name == "Diff")
        return [
            name
            for found in evidence
            for key, name in found.items()
            if key in (SOURCE_REPORT, TARGET_REPORT)
        ]

    def find(self, name: str) -> StepStatus | None:
        """One step, or None if it was not begun."""
        return next((step for step in self.steps if step.name == name), None)

    @computed_field(description="The revision, shortened for columns.")  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def short_revision(self) -> Text40 | None:
        """The revision, shortened for columns."""
        return short_revision(self.revision) if self.revision else None
