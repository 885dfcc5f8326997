"""What the operator reports about an environment. Written by the planner, read by people, GitOps tools and tests.

Used by `api.environment` (and the plan part by `api.promotion`). Facts that were observed, never where the code was.
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
from vulcan_operator.api.fields import (
    Condition,
    FailureStatus,
    LongMessage,
    Message,
    Model,
    Name,
    TaskStatus,
    Timestamp,
    schema,
    short_revision,
)
from vulcan_operator.api.policy import ModelName
from vulcan_operator.api.source import Origin

Digest = Annotated[str, Field(max_length=80)]
Revision = Annotated[str, Field(max_length=1024)]
MOST_HISTORY, MOST_HELD = 10, 16


class RevisionStatus(Model):
    """The source as it was resolved."""

    resolved: Revision = Field(description="Commit, ConfigMap name or image with its digest.")
    digest: Digest = Field(description="Digest of the files.")
    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of the project fields it comes from.")
    time: Timestamp | None = Field(None, description="When it was resolved.")
    request: Annotated[str, Field(max_length=64)] | None = Field(None, description="The plan request it answers.")


class PlanModelStatus(Model):
    """One changed model."""

    name: ModelName = Field(description="Name of the model.")
    change: Annotated[str, Field(max_length=32)] = Field(
        description="What happens to it: Added, Modified, Removed, ..."
    )
    category: Annotated[str, Field(max_length=32)] = Field("", description="Breaking, NonBreaking, ForwardOnly, ...")
    intervals: int = Field(0, description="Intervals to compute.")
    destructive: bool = Field(False, description="Whether data or columns go away.")
    source_category: Annotated[str, Field(max_length=32)] = Field(
        "", description="Of a promotion across systems: the category that was chosen in the source's system."
    )


class PlanSummaryStatus(Model):
    """What the plan would do."""

    text: Message = Field("", description="One line: 1 added, 2 modified (1 breaking), 14 intervals to compute.")
    added: int = Field(0, description="New models.")
    directly_modified: int = Field(0, description="Changed models.")
    indirectly_modified: int = Field(0, description="Models below changed ones.")
    metadata_modified: int = Field(0, description="Models whose metadata changed.")
    removed: int = Field(0, description="Models that go away.")
    total_models: int = Field(0, description="Models afterwards.")
    backfill_intervals: int = Field(0, description="Intervals to compute.")
    rebuilt_models: int = Field(0, description="Models to rebuild.")
    history_days: int = Field(0, description="How far back the backfill reaches, in days.")
    breaking: int = Field(0, description="Breaking changes.")
    catch_up_intervals: int = Field(
        0, description="Of a promotion: recent intervals to compute before the views change."
    )
    tests_run: int = Field(0, description="Unit tests run.")
    destructive: list[ModelName] = Field(
        default=[], max_length=256, description="Models with destructive changes, the first of them."
    )
    destructive_count: int = Field(0, description="How many models have destructive changes.")
    destructive_sha256: Annotated[str, Field(max_length=64)] = Field(
        "", description="Digest of the names of all of them: what an apply compares."
    )
    models: list[PlanModelStatus] = Field(
        default=[], max_length=20, description="The first changed models.", json_schema_extra=schema(list_type="atomic")
    )
    omitted: int = Field(0, description="Changed models not shown here; see the report.")


class ReportRef(Model):
    """The full report of the plan."""

    name: Name = Field(description="ConfigMap in this namespace: key report.json.gz.")
    sha256: Annotated[str, Field(max_length=64)] = Field(description="sha256 of the gzipped report.")


class PlanState(enum.StrEnum):
    """What became of a plan. Outdated: it changed between decision and apply."""

    PENDING = "Pending"
    REJECTED = "Rejected"
    NO_CHANGES = "NoChanges"
    APPLIED = "Applied"
    OUTDATED = "Outdated"


class PlanStatus(Model):
    """The plan in question: pending, rejected, applied or without changes."""

    digest: Digest = Field(description="What an approval names.")
    state: Annotated[str, Field(max_length=16)] = Field(
        description="Pending, Rejected, NoChanges, Applied or Outdated.",
        json_schema_extra={"enum": list(PlanState)},
    )
    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of what it was planned from.")
    target: Annotated[str, Field(max_length=64)] = Field(description="sha256 of what the environment becomes.")
    base: Annotated[str, Field(max_length=64)] = Field(description="sha256 of what it starts from.")
    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field(description="Digest of the source's files.")
    time: Timestamp = Field(description="When it was planned.")
    adopted: bool = Field(False, description="The environment was in state before the operator's first plan.")
    changed: int = Field(0, description="How often the plan changed between decision and apply at this source.")
    why: Message = Field("", description="Why it needs a human, or why not.")
    approved_by: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[], max_length=64, description="Who had approved it when its apply was started."
    )
    operations: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=32, description="Ids of the operations in it."
    )
    summary: PlanSummaryStatus = Field(default=PlanSummaryStatus(), description="What it would do.")
    report_ref: ReportRef | None = Field(None, description="The full report.")


class AppliedStatus(Model):
    """What the environment has."""

    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field(description="Digest of the source's files.")
    inputs: Annotated[str, Field(max_length=16)] = Field(description="Digest of what it was planned from.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id.")
    plan_digest: Digest = Field("", description="The plan that was applied.")
    report: Annotated[str, Field(max_length=253)] = Field(
        "", description="ConfigMap in this namespace with the report of that plan."
    )
    time: Timestamp = Field(description="When it was applied.")
    tests_run: int = Field(-1, description="Unit tests that ran when it was planned; -1: unknown, or skipped.")
    partial: bool = Field(False, description="Whether selectModels left models out.")
    complete_until: Timestamp | None = Field(
        None, description="After a rollback, until a run has succeeded: data is missing from this time on."
    )
    as_of: Timestamp | None = Field(
        None, description="End of a later promotion that found it there and told more of it; unset: none did."
    )
    verification: str = Field(
        "",
        max_length=63,
        description="Of a revision that a promotion gave: what its step Verify said. Empty: it was not asked.",
        json_schema_extra={"enum": ["", "Passed", "Failed", "Unknown"]},
    )
    verification_message: Message = Field("", description="The same in a sentence.")
    origin: Origin | None = Field(None, description="Of a revision that a promotion gave: where its files are.")
    approved_by: list[Annotated[str, Field(max_length=512)]] = Field(
        default=[], max_length=64, description="Who approved it."
    )

    @computed_field(description="The revision as a column shows it.")  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def short_revision(self) -> Annotated[str, Field(max_length=40)]:
        """The revision as a column shows it."""
        return short_revision(self.revision)


class RunStatus(Model):
    """The last scheduled run."""

    time: Timestamp = Field(description="When it ended.")
    due: Timestamp | None = Field(None, description="When it was due.")
    succeeded: bool = Field(True, description="Whether it succeeded.")
    reason: Annotated[str, Field(max_length=63)] = Field(description="How it ended.")
    message: Message = Field("", description="How it ended, in a sentence.")
    models: int = Field(0, description="Models computed.")
    rows: int = Field(0, description="Rows written, as far as the engine tells.")
    job: Annotated[str, Field(max_length=63)] = Field("", description="Its Job.")


class ChecksStatus(Model):
    """Soda checks that passed."""

    inputs: Annotated[str, Field(max_length=64)] = Field(description="Digest of what was checked: files and plan.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id of what was checked.")
    time: Timestamp = Field(description="When they ended.")
    checks: int = Field(0, description="How many checks there are.")
    warned: int = Field(0, description="How many of them warned.")


class HistoryItem(Model):
    """One earlier apply."""

    revision: Revision = Field(description="The resolved source: commit, ConfigMap name or image.")
    source_digest: Digest = Field("", description="Digest of the source's files.")
    plan_id: Annotated[str, Field(max_length=128)] = Field("", description="SQLMesh's plan id.")
    plan_digest: Digest = Field("", description="Digest of the plan.")
    time: Timestamp = Field(description="When it was applied.")


class HeldStatus(Model):
    """A revision that did not stand its test."""

    id: Annotated[str, Field(min_length=1, max_length=16)] = Field(
        description="What annotation vulcan.dev/hold-lifted must name to let it be tried again."
    )
    revision: Revision = Field(description="The resolved source.")
    source_digest: Digest = Field("", description="Digest of its files.")
    promotion: Annotated[str, Field(max_length=320)] = Field(description="The promotion that was rolled back.")
    time: Timestamp = Field(description="When the views were swapped back.")
    message: Message = Field("", description="Why it was taken back.")


class StandingStatus(Model):
    """What Ready says of the change while a run is in flight: why it waits, or how it failed."""

    status: Annotated[str, Field(max_length=7)] = Field(description="Status of condition Ready.")
    reason: Annotated[str, Field(max_length=63)] = Field(description="Its reason.")
    message: LongMessage = Field("", description="Its message.")
    reconciling: bool = Field(False, description="Whether the operator goes on by itself.")
    stalled: bool = Field(False, description="Whether it needs a human or a change.")


class EnvironmentStatus(Model):
    """Observed state of one SQLMesh environment."""

    observed_generation: int = Field(-1, description="Generation of the spec that was last handled.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Ready, Reconciling, Stalled, Applied, AwaitingApproval, RunSucceeded, Fresh, Drifted, "
        "Verified, PlanReadOnly, RollbackExpiring, ChangesAllowed.",
        json_schema_extra=schema(list_type="map", list_keys=["type"]),
    )
    environment: Annotated[str, Field(max_length=40)] | None = Field(None, description="SQLMesh environment name.")
    protected: bool = Field(False, description="Whether a grant of the gateway protects it.")
    revision: RevisionStatus | None = Field(None, description="The source as it was resolved.")
    plan: PlanStatus | None = Field(None, description="The plan in question: the one an approval would be for.")
    applied: AppliedStatus | None = Field(None, description="What the environment has.")
    task: TaskStatus | None = Field(None, description="The task in hand.")
    failure: FailureStatus | None = Field(None, description="The failure that waits for another attempt or somebody.")
    standing: StandingStatus | None = Field(None, description="Why the change to the environment waits, while it does.")
    run_failure: FailureStatus | None = Field(None, description="The same for scheduled runs.")
    checks: ChecksStatus | None = Field(None, description="The last Soda checks that passed.")
    last_run: RunStatus | None = Field(None, description="The last scheduled run.")
    green_runs: int = Field(0, description="Successful scheduled runs since the last apply that computed something.")
    promotion: Annotated[str, Field(max_length=320)] | None = Field(
        None, description="VulcanPromotion that gave it its revision, as namespace/name."
    )
    held: list[HeldStatus] = Field(
        default=[],
        max_length=MOST_HELD,
        description="Revisions that were rolled back: no promotion tries them again until somebody lifts the hold.",
        json_schema_extra=schema(list_type="map", list_keys=["id"]),
    )
    next_run_time: Timestamp | None = Field(None, description="When the next run is due.")
    schedule: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="The schedule that nextRunTime was set by: Auto, Manual, or the cron and its time zone."
    )
    next_opening_time: Timestamp | None = Field(
        None,
        description="When its views may be changed again, by promotionWindows and the gateway's freeze. Unset: they may "
        "now, or nobody knows.",
    )
    next_attempt_time: Timestamp | None = Field(None, description="When a failed task is tried again.")
    suspended_since: Timestamp | None = Field(
        None, description="When the operator first saw that it is suspended. Unset: it is not."
    )
    observed_plan_id: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="SQLMesh's plan id of the environment at the last look; another than applied.planId is drift."
    )
    intervals_behind: int | None = Field(None, description="Missing intervals at the last look.")
    operations_done: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=1024, description="Ids of the operations that were done; they are not done again."
    )
    history: list[HistoryItem] = Field(
        default=[],
        max_length=MOST_HISTORY,
        description="Earlier applies, newest first.",
        json_schema_extra=schema(list_type="atomic"),
    )
    rollback_targets: list[RollbackTargetStatus] = Field(
        default=[],
        max_length=MOST_TARGETS,
        description="Earlier revisions, newest first, and whether a VulcanPromotion could swap the views back to them.",
        json_schema_extra=schema(list_type="atomic"),
    )
    promotions: list[PromotionItem] = Field(
        default=[],
        max_length=MOST_PROMOTIONS,
        description="Promotions to it that have ended, newest first, as far as promotionHistory keeps them.",
        json_schema_extra=schema(list_type="atomic"),
    )
    last_handled_plan_requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="The last vulcan.dev/plan-requested-at that was answered."
    )
    last_handled_run_requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="The last vulcan.dev/run-requested-at that was answered."
    )
