"""A result that is too big for the termination message is cut, but not what decisions are made of."""

from vulcan_contract import digest
from vulcan_contract.reasons import Reason
from vulcan_contract.result import MAX_BYTES, Failure, PlanSummary, Result, RollbackOption, Work

NAMES = tuple(f"some_schema.a_rather_long_model_name_{i:04}" for i in range(900))


def test_names_are_cut_their_number_and_digest_are_not() -> None:
    summary = PlanSummary("t" * 64, "b" * 64, destructive=NAMES, destructive_count=900, total_models=900,
                          destructive_sha256=digest.of_names(NAMES))  # fmt: skip
    text = Result("plan", Reason.SUCCEEDED, summary=summary).to_message()
    assert len(text.encode()) <= MAX_BYTES
    read = Result.from_message(text).summary
    assert read is not None and 0 < len(read.destructive) < 900
    assert (read.destructive_count, read.destructive_sha256) == (900, digest.of_names(reversed(NAMES)))


def test_the_digest_of_no_names_is_none() -> None:
    assert digest.of_names(()) == ""
    assert digest.of_names(("a", "a")) == digest.of_names(("a",)) != digest.of_names(("a", "b"))


def test_the_oldest_rollback_options_are_cut_before_failures() -> None:
    time = "2026-11-26T12:00:00Z"
    options = tuple(
        RollbackOption(f"{i:032}", "sha256:" + "d" * 64, time, time, time, "w" * 512 if i else "") for i in range(5)
    )
    failures = tuple(Failure(f"s.model_{i}", Reason.MODEL_FAILED, "f" * 300) for i in range(5))
    text = Result("run", Reason.MODEL_FAILED, "m", work=Work(rollback=options), failures=failures).to_message()
    assert len(text.encode()) <= MAX_BYTES
    read = Result.from_message(text)
    assert read.work is not None and read.work.rollback is not None
    assert read.work.rollback == options[: len(read.work.rollback)] and len(read.work.rollback) < 5
    assert len(read.failures) == 5
    assert Result.from_message(Result("run", Reason.SUCCEEDED, work=Work(rollback=())).to_message()).work == Work(
        rollback=()
    )
