"""What the operator reports about an environment.

Written by the planner; read by users and GitOps tools. Used by `api.environment`, and its plan part
by `api.promotion`. Fields hold what was observed, never the position of the code.
"""

import enum
from typing import Annotated

from pydantic import Field, computed_field

from vulcan_operator.api.environment_history import (
    MOST_PROMOTIONS,
    MOST_TARGETS,
    PromotionItem,
    RollbackTargetStatus,
)
from vulcan_operator.api.fields import Condition, FailureStatus, TaskStatus, short_revision
from vulcan_operator.api.policy import ModelName
from vulcan_operator.api.rules import EffectiveRules
from vulcan_operator.api.schemas import Model, listed
from vulcan_operator.api.source import Origin
from vulcan_operator.api.texts import (
    LongMessage,
    Message,
    Name,
    ShortText,
    Text16,
    Text32,
    Text40,
    Text63,
    Text64,
    Text128,
    Text320,
    Text512,
    Timestamp,
)

Digest = Annotated[str, Field(max_length=80)]
Revision = ShortText
MOST_HISTORY, MOST_HELD = 10, 16


class RevisionStatus(Model):
    """The resolved source."""

    resolved: Revision = Field(description="Commit, ConfigMap name or image with its digest.")
    digest: Digest = Field(description="Source digest: digest of the project's files.")
    inputs: Text16 = Field(description="Digest of the spec.project fields that were resolved.")
    time: Timestamp | None = Field(None, description="When it was resolved.")
    request: Text64 | None = Field(
        None, description="The plan-requested-at annotation that it answers."
    )


class PlanModelStatus(Model):
    """One changed model."""

    name: ModelName = Field(description="Name of the model.")
    change: Text32 = Field(description="What happens to it: Added, Modified, Removed, ...")
    category: Text32 = Field("", description="Breaking, NonBreaking, ForwardOnly, ...")
    intervals: int = Field(0, description="Intervals to compute.")
    destructive: bool = Field(False, description="Whether data or columns are lost.")
    source_category: Text32 = Field(
        "", description="In promotions across systems: the category that the source's system chose."
    )


class PlanSummaryStatus(Model):
    """What the plan would do."""

    text: Message = Field(
        "", description="One line: 1 added, 2 modified (1 breaking), 14 intervals to compute."
    )
    added: int = Field(0, description="New models.")
    directly_modified: int = Field(0, description="Changed models.")
    indirectly_modified: int = Field(0, description="Models downstream of changed ones.")
    metadata_modified: int = Field(0, description="Models whose metadata changed.")
    removed: int = Field(0, description="Removed models.")
    total_models: int = Field(0, description="Models after the plan.")
    backfill_intervals: int = Field(0, description="Intervals to compute.")
    rebuilt_models: int = Field(0, description="Models to rebuild.")
    history_days: int = Field(0, description="How far back the backfill reaches, in days.")
    breaking: int = Field(0, description="Breaking changes.")
    catch_up_intervals: int = Field(
        0, description="In promotions: recent intervals to compute before the views change."
    )
    tests_run: int = Field(0, description="Number of unit tests that ran.")
    destructive: list[ModelName] = Field(
        [], max_length=256, description="The first models with destructive changes."
    )
    destructive_count: int = Field(0, description="Number of models with destructive changes.")
    destructive_sha256: Text64 = Field(
        "", description="Digest of the names of all of them, which the apply compares."
    )
    models: list[PlanModelStatus] = listed(20, "The first changed models.")
    omitted: int = Field(0, description="Changed models not shown here; see the report.")


class ReportRef(Model):
    """The full report of the plan."""

    name: Name = Field(description="ConfigMap in this namespace: key report.json.gz.")
    sha256: Text64 = Field(description="sha256 of the gzipped report.")


class PlanState(enum.StrEnum):
    """What became of a plan. Outdated: it changed between decision and apply."""

    PENDING = "Pending"
    REJECTED = "Rejected"
    NO_CHANGES = "NoChanges"
    APPLIED = "Applied"
    OUTDATED = "Outdated"


# Plans that people may still answer, and plans after which the environment has their revision.
OPEN_PLANS = (PlanState.PENDING, PlanState.REJECTED)
DONE_PLANS = (PlanState.APPLIED, PlanState.NO_CHANGES)


class PlanStatus(Model):
    """The current plan: pending, rejected, applied, outdated or without changes."""

    digest: Digest = Field(description="Plan digest: what an approval names.")
    number: int = Field(
        0,
        description="Number of the plan: no two plans of an object have the same. 0: planned by an "
        "earlier release.",
    )
    ordered: Timestamp | None = Field(
        None, description="When its task was ordered; with number, no other plan has the same."
    )
    image: Text512 = Field(
        "", description="Runner image of the plan's Job, by digest where its node reported one."
    )
    state: Text16 = Field(
        description="Pending, Rejected, NoChanges, Applied or Outdated.",
        json_schema_extra={"enum": list(PlanState)},
    )
    inputs: Text16 = Field(description="Digest of the plan inputs.")
    target: Text64 = Field(description="sha256 of the planned result.")
    base: Text64 = Field(description="sha256 of the starting point.")
    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field(description="Digest of the source's files.")
    time: Timestamp = Field(description="When it was planned.")
    adopted: bool = Field(
        False, description="Whether the environment existed before the operator's first plan."
    )
    changed: int = Field(
        0, description="How often the plan changed between decision and apply at this source."
    )
    why: Message = Field("", description="Why it needs approval, or why not.")
    reason: Text63 | None = Field(
        None, description="While it waits for users: what for. Unset: it does not."
    )
    approved_by: list[Text512] = Field(
        [], max_length=64, description="Who had approved it when its apply started."
    )
    operations: list[Text64] = Field(
        [], max_length=32, description="Ids of the operations that it contains."
    )
    summary: PlanSummaryStatus = Field(PlanSummaryStatus(), description="What it would do.")
    report_ref: ReportRef | None = Field(None, description="The full report.")
    tampered: bool = Field(
        False, description="Whether its report was once replaced: approvals of it do not count."
    )


class AppliedStatus(Model):
    """The revision that the environment has."""

    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field(description="Digest of the source's files.")
    inputs: Text16 = Field(description="Digest of the plan inputs.")
    image: Text512 = Field(
        "",
        description="Runner image that applied it, by digest where its node reported one. Runs and "
        "rollbacks use it, too, where the spec names an image. Empty: unknown.",
    )
    plan_id: Text128 = Field("", description="SQLMesh's plan id.")
    plan_digest: Digest = Field("", description="Digest of the plan that was applied.")
    report: Annotated[str, Field(max_length=253)] = Field(
        "", description="ConfigMap in this namespace with the report of that plan."
    )
    time: Timestamp = Field(description="When it was applied.")
    tests_run: int = Field(
        -1, description="Number of unit tests that ran when it was planned; -1: unknown or skipped."
    )
    partial: bool = Field(False, description="Whether selectModels excluded models.")
    complete_until: Timestamp | None = Field(
        None, description="After a rollback: data after this time is missing until a run succeeds."
    )
    as_of: Timestamp | None = Field(
        None, description="End of a later promotion of the same revision, if one updated this."
    )
    verification: str = Field(
        "",
        max_length=63,
        description="For promoted revisions: the result of step Verify. Empty: it did not run.",
        json_schema_extra={"enum": ["", "Passed", "Failed", "Unknown"]},
    )
    verification_message: Message = Field("", description="The same as a sentence.")
    origin: Origin | None = Field(None, description="Where the files of a promoted revision are.")
    approved_by: list[Text512] = Field([], max_length=64, description="Who approved it.")

    @computed_field(description="The revision, shortened for columns.")  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def short_revision(self) -> Text40:
        """The revision, shortened for columns."""
        return short_revision(self.revision)


class RunStatus(Model):
    """The last scheduled run."""

    time: Timestamp = Field(description="When it ended.")
    due: Timestamp | None = Field(None, description="When it was due.")
    succeeded: bool = Field(True, description="Whether it succeeded.")
    reason: Text63 = Field(description="How it ended.")
    message: Message = Field("", description="How it ended, as a sentence.")
    models: int = Field(0, description="Models computed.")
    rows: int = Field(0, description="Rows written, as far as the engine reports them.")
    job: Text63 = Field("", description="Name of its Job.")


class ChecksStatus(Model):
    """The last Soda checks that passed."""

    inputs: Text64 = Field(description="Digest of the check files and the plan that was checked.")
    plan_id: Text128 = Field("", description="SQLMesh's plan id of the revision that was checked.")
    time: Timestamp = Field(description="When they ended.")
    checks: int = Field(0, description="Number of checks.")
    warned: int = Field(0, description="Number of checks with a warning.")


class HistoryItem(Model):
    """One earlier apply."""

    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field("", description="Digest of the source's files.")
    plan_id: Text128 = Field("", description="SQLMesh's plan id.")
    plan_digest: Digest = Field("", description="Digest of the plan.")
    time: Timestamp = Field(description="When it was applied.")


class HeldStatus(Model):
    """A held revision: it was rolled back, and promotions of it are refused."""

    id: Annotated[str, Field(min_length=1, max_length=16)] = Field(
        description="Id for annotation vulcan.dev/hold-lifted, which allows promotions of it again."
    )
    revision: Revision = Field(description="The resolved source.")
    source_digest: Digest = Field("", description="Digest of its files.")
    promotion: Text320 = Field(description="The promotion that was rolled back.")
    time: Timestamp = Field(description="When the views were swapped back.")
    message: Message = Field("", description="Why it was rolled back.")


class StandingStatus(Model):
    """What Ready says of the change while a run is in flight: why it waits, or how it failed."""

    status: Annotated[str, Field(max_length=7)] = Field(description="Status of condition Ready.")
    reason: Text63 = Field(description="Its reason.")
    message: LongMessage = Field("", description="Its message.")
    reconciling: bool = Field(False, description="Whether the operator goes on by itself.")
    stalled: bool = Field(False, description="Whether it needs a human or a change.")


class EnvironmentStatus(Model):
    """Observed state of one SQLMesh environment."""

    observed_generation: int = Field(
        -1, description="Generation of the spec that was last handled."
    )
    conditions: list[Condition] = listed(
        16,
        "Ready, Reconciling, Stalled, Applied, AwaitingApproval, RunSucceeded, Fresh, Drifted, "
        "Verified, PlanReadOnly, RollbackExpiring, ChangesAllowed.",
        key="type",
    )
    environment: Text40 | None = Field(None, description="SQLMesh environment name.")
    protected: bool = Field(False, description="Whether a grant of the gateway protects it.")
    revision: RevisionStatus | None = Field(None, description="The resolved source.")
    rules: EffectiveRules | None = Field(
        None, description="The rules in force: the stricter ones of spec and grants."
    )
    plan_number: int = Field(0, description="Number of its last plan.")
    plan: PlanStatus | None = Field(None, description="The current plan, which approvals refer to.")
    applied: AppliedStatus | None = Field(None, description="The applied revision.")
    task: TaskStatus | None = Field(None, description="The current task.")
    failure: FailureStatus | None = Field(
        None, description="Failure that waits for a retry or a user."
    )
    standing: StandingStatus | None = Field(
        None, description="Why the change to the environment waits or failed, while it does."
    )
    run_failure: FailureStatus | None = Field(None, description="The same for scheduled runs.")
    checks: ChecksStatus | None = Field(None, description="The last Soda checks that passed.")
    last_run: RunStatus | None = Field(None, description="The last scheduled run.")
    green_runs: int = Field(
        0, description="Successful scheduled runs since the last apply that computed something."
    )
    promotion: Text320 | None = Field(
        None, description="VulcanPromotion that delivered its revision, as namespace/name."
    )
    held: list[HeldStatus] = listed(
        MOST_HELD,
        "Held revisions: promotions of them are refused until a user lifts the hold.",
        key="id",
    )
    next_run_time: Timestamp | None = Field(None, description="When the next run is due.")
    schedule: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="Schedule of nextRunTime: Auto, Manual, or the cron with its time zone."
    )
    next_opening_time: Timestamp | None = Field(
        None,
        description="When promotionWindows and the gateway's freeze next permit changes to its "
        "views. Unset: they do now, or the time is unknown.",
    )
    next_attempt_time: Timestamp | None = Field(None, description="When a failed task is retried.")
    suspended_since: Timestamp | None = Field(
        None, description="When the operator first observed the suspension. Unset: not suspended."
    )
    observed_plan_id: Text128 | None = Field(
        None,
        description="SQLMesh's plan id as last observed. If it differs from applied.planId, the "
        "environment drifted.",
    )
    intervals_behind: int | None = Field(None, description="Missing intervals when last observed.")
    operations_done: list[Text64] = Field(
        [], max_length=1024, description="Ids of completed operations."
    )
    history: list[HistoryItem] = listed(MOST_HISTORY, "Earlier applies, newest first.")
    rollback_targets: list[RollbackTargetStatus] = listed(
        MOST_TARGETS, "Earlier revisions, newest first, and whether a rollback to them is possible."
    )
    promotions: list[PromotionItem] = listed(
        MOST_PROMOTIONS,
        "Ended promotions to it, newest first, as far as promotionHistory keeps them.",
    )
    last_handled_plan_requested_at: Text64 | None = Field(
        None, description="The last vulcan.dev/plan-requested-at that was handled."
    )
    last_handled_run_requested_at: Text64 | None = Field(
        None, description="The last vulcan.dev/run-requested-at that was handled."
    )
