"""Result: what one Job found or did, from the runner to the operator.

Written by the runner's supervisor to the termination message (at most 4 KiB, the kubelet's cap),
read by the operator's planners. What the worker says in it is a claim: both sides check its bounds
and replace control characters, in `from_message`. No secret and no data value may be in it; the
supervisor scrubs before it writes. Detail that does not fit goes into the report on stdout
(`report`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from vulcan_contract import CONTRACT_VERSION, plain
from vulcan_contract.codec import Bound, ContractError, check, decode, encode, load, mapped
from vulcan_contract.reasons import ABOUT, Outcome, Reason, Retry

MAX_BYTES = 4096
MAX_MESSAGE = 700

_DEFAULT = Bound(MAX_BYTES)  # of text whose field says no more
Sha256 = Annotated[str, Bound(64)]
SourceDigest = Annotated[str, Bound(80)]
PlanId = Annotated[str, Bound(128)]
Word = Annotated[str, Bound(32)]
ModelCount = Annotated[int, Bound(highest=100_000)]
IntervalCount = Annotated[int, Bound(highest=10**12)]  # of 100,000 models, every minute for years
DayCount = Annotated[int, Bound(highest=4_000_000)]  # from year 1 to the last that has a date
Time = Annotated[str, Bound(filled=True, time=True)]  # RFC 3339


@dataclass(frozen=True)
class ModelChange:
    """A changed model of a plan. `intervals`: to compute; FULL, VIEW and SEED count once."""

    name: Annotated[str, Bound(filled=True)]
    # Added | DirectlyModified | IndirectlyModified | MetadataModified | Removed | Restated
    # | Backfilled
    change: Word
    category: Word = ""  # SQLMesh's SnapshotChangeCategory, title case: Breaking, ForwardOnly, ...
    kind: str = ""
    intervals: IntervalCount = 0
    destructive: bool = False


_PARTS = ("added", "directly_modified", "indirectly_modified", "metadata_modified", "breaking",
          "rebuilt_models", "destructive_count")  # fmt: skip


@dataclass(frozen=True)
class PlanSummary:
    """What a plan would do. `models` may be cut (see `omitted`), the counts never are."""

    target: Sha256  # sha256 of everything the resulting environment is made of
    base: Sha256  # sha256 of what the plan starts from
    base_plan_id: PlanId = ""
    has_changes: bool = False
    catch_up_intervals: IntervalCount = 0  # of a promotion: recent ones, up to what the target has
    computed: tuple[str, ...] = ()  # of a promotion: models that need more than that
    unaudited: bool = False  # the last apply is there, but its audits have not passed
    project_changed: bool = False  # its settings or materialisations, kept in the state for runs
    added: ModelCount = 0
    directly_modified: ModelCount = 0
    indirectly_modified: ModelCount = 0
    metadata_modified: ModelCount = 0
    removed: ModelCount = 0
    total_models: ModelCount = 0
    backfill_intervals: IntervalCount = 0
    rebuilt_models: ModelCount = 0
    history_days: DayCount = 0
    removed_percent: Annotated[float, Bound(highest=100)] = 0.0
    breaking: ModelCount = 0
    # For people; may be cut: what decides is the next two.
    destructive: tuple[Annotated[str, Bound(512, filled=True)], ...] = ()
    destructive_count: ModelCount = 0
    destructive_sha256: Sha256 = ""  # digest.of_names of all of them
    adopted: bool = False  # the environment was in state before its first plan by the operator
    tests_run: int = 0
    # Planning field -> "value (where it is set)".
    effective: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelChange, ...] = ()
    omitted: ModelCount = 0

    def check(self) -> None:
        """Raises ContractError for counts of models above the number of models that there are."""
        most = self.total_models + self.removed
        for name in _PARTS:
            if getattr(self, name) > most:
                raise ContractError(f"{name}: more than the {most} models before and after")


@dataclass(frozen=True)
class Failure:
    """One failed model or audit. `message` is scrubbed and cut."""

    model: str
    reason: Reason
    message: str
    interval: str = ""
    audit: str = ""


@dataclass(frozen=True)
class RollbackOption:
    """What an environment had after an earlier apply, and whether it can be swapped back to it."""

    plan_id: PlanId
    source_digest: SourceDigest = ""
    applied: Time | None = None
    replaced: Time | None = None  # when something else took its place
    # When SQLMesh's janitor may delete one of its snapshots; None: something else needs them all.
    expires: Time | None = None
    # Why not, with the first of the models whose snapshots are missing; empty: they can be.
    unavailable: Annotated[str, Bound(512)] = ""


@dataclass(frozen=True)
class Work:
    """What an apply or a run did; intervals and `next_run` are the environment's after it."""

    plan_id: PlanId = ""
    models: int = 0
    batches: int = 0
    rows: int = 0
    audits_run: int = 0
    audits_warned: int = 0
    resumed: bool = False
    next_run: Time | None = None  # None: no model is ever due
    intervals_behind: int = 0
    complete_until: Time | None = None  # where the oldest missing interval begins, if any
    blocked: int = 0  # missing intervals that a signal holds back; asked again after 5 min
    # Newest first; the oldest are cut first. None: nobody looked.
    rollback: tuple[RollbackOption, ...] | None = None


@dataclass(frozen=True)
class Probe:
    """What a probe saw. `state_identity`: the same for a state, by whatever name it is reached."""

    warehouse: bool = False
    state: bool = False
    state_identity: Annotated[str, Bound(512)] = ""
    initialised: bool = False
    versions: Annotated[Mapping[str, str], Bound(128, most=16)] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a task ended. `reason` decides retries (`reasons.ABOUT`).

    `retry` overrides the table where the runner knows better (a model that failed for a lost
    connection).
    """

    task: str
    reason: Reason
    message: str = ""
    retry: Retry | None = None
    commit: Sha256 | None = None  # resolve: the commit a ref names
    digest: SourceDigest | None = None  # resolve: the source digest of what was got
    summary: PlanSummary | None = None
    report_sha256: Sha256 | None = None
    report_omitted: int = 0
    work: Work | None = None
    probe: Probe | None = None
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    contract: int = CONTRACT_VERSION

    @property
    def outcome(self) -> Outcome:
        """What the reason means for the task."""
        return ABOUT[self.reason].outcome

    @property
    def retries(self) -> Retry:
        """When the same task may be tried again."""
        return self.retry or ABOUT[self.reason].retry

    def to_json(self) -> str:
        """JSON of any length: what the worker hands to the supervisor."""
        return _dump(replace(self, message=_cut(self.message, MAX_MESSAGE)))

    def to_message(self) -> str:
        """JSON of at most MAX_BYTES: models, failures and the message are cut until it fits."""
        result = replace(self, message=_cut(self.message, MAX_MESSAGE))
        while len((text := _dump(result)).encode()) > MAX_BYTES:
            result = _smaller(result)
        return text

    @classmethod
    def from_message(cls, text: str) -> "Result":
        """Inverse of `to_message` and `to_json`; raises ContractError for anything else: after a
        crash, or if project code wrote it. Control characters are replaced (`plain`)."""
        result: Result = mapped(decode(cls, load(text)), plain.line)
        result.check()
        return result

    def check(self) -> None:
        """Raises ContractError for values outside their bounds. Project code can write the file as
        well, and what is read from it goes into objects with a strict schema."""
        check(self, _DEFAULT)
        if self.summary is not None:
            self.summary.check()


def _dump(result: Result) -> str:
    text = json.dumps(encode(result), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Half of a surrogate pair (from a broken file name) has no bytes.
    return text.encode(errors="replace").decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _smaller(result: Result) -> Result:
    summary = result.summary
    if summary is not None and summary.models:
        kept = summary.models[: len(summary.models) * 2 // 3]
        omitted = summary.omitted + len(summary.models) - len(kept)
        return replace(result, summary=replace(summary, models=kept, omitted=omitted))
    if summary is not None and len(summary.effective) > 0:
        return replace(result, summary=replace(summary, effective={}))
    if result.work is not None and len(result.work.rollback or ()) > 1:
        return _fewer_rollback_options(result)
    if len(result.failures) > 1:
        return replace(result, failures=result.failures[:-1])
    if result.seconds:
        return replace(result, seconds={})
    if len(result.message) > 40:
        return replace(result, message=_cut(result.message, len(result.message) * 2 // 3))
    if result.failures and len(result.failures[0].message) > 40:
        first = result.failures[0]
        shorter = replace(first, message=_cut(first.message, len(first.message) * 2 // 3))
        return replace(result, failures=(shorter,))
    if result.failures:
        return replace(result, failures=())
    if summary is not None and len(summary.destructive) > 1:
        named = summary.destructive[: len(summary.destructive) * 2 // 3]
        return replace(result, summary=replace(summary, destructive=named))
    if result.work is not None and result.work.rollback:
        return _fewer_rollback_options(result)
    raise ContractError("the result does not fit into a termination message")


def _fewer_rollback_options(result: Result) -> Result:
    assert result.work is not None and result.work.rollback
    work = replace(result.work, rollback=result.work.rollback[:-1])
    return replace(result, work=work)
