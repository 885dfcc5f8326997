"""What the data diff gate makes of what the runner has counted."""

import dataclasses
import gzip
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulcan_contract.codec import encode
from vulcan_contract.diff_report import (
    MAX_UNPACKED,
    ColumnStatistics,
    DiffReport,
    ModelDiff,
    ModelStatistics,
)
from vulcan_operator.api.promotion import DataDiffGate
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.promotions.data_diff import compare, ends_to_ask, judge, read

DAY, NEXT = "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"
EQUAL = ModelDiff("s.same", before=10, after=10, joined=10, equal=10)
COUNTS = st.integers(0, 2**63 - 1)


def gate(**spec: Any) -> DataDiffGate:
    """As in a spec."""
    return DataDiffGate.model_validate(spec)


def same_system(*models: ModelDiff, **fields: Any) -> DiffReport:
    """A report of what was compared."""
    return DiffReport(False, "prod", "p1", "staging", "p2", models=models, **fields)


def rows(before: int, after: int, joined: int, equal: int, **fields: Any) -> ModelDiff:
    """A model whose rows were joined."""
    return ModelDiff("s.a", before=before, after=after, joined=joined, equal=equal, **fields)


def counts(before: int, after: int) -> ModelDiff:
    """A model without a grain."""
    return ModelDiff("s.a", "RowCounts", "it has no grain", before=before, after=after)


def state(model: ModelDiff, **spec: Any) -> str:
    """The verdict on one model and one that is the same."""
    return judge(gate(**spec), same_system(model, EQUAL)).state


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        (rows(100, 100, 100, 100), "Succeeded"),
        (rows(100, 100, 100, 99), "Succeeded"),
        (rows(100, 100, 100, 98), "Failed"),
        (rows(100, 105, 100, 100), "Succeeded"),
        (rows(100, 106, 100, 100), "Failed"),
        (rows(100, 95, 95, 95), "Succeeded"),
        (rows(100, 94, 94, 94), "Failed"),
        (rows(100, 100, 98, 98), "Failed"),  # two went, two came
        (rows(100, 100, 0, 0), "Failed"),
        (rows(0, 0, 0, 0), "Succeeded"),
        (rows(0, 1, 0, 0), "Failed"),
        (rows(1, 0, 0, 0), "Failed"),
        (counts(100, 105), "Succeeded"),
        (counts(100, 94), "Failed"),
        (counts(0, 0), "Succeeded"),
        (counts(0, 1), "Failed"),
        (rows(10, 10, 11, 11), "Inconclusive"),
        (rows(10, 10, 9, 10), "Inconclusive"),
        (rows(10, 10, 10, 10, columns_lost=("c",)), "Inconclusive"),
        (rows(10, 10, 10, 9, columns_lost=("c",)), "Failed"),
        (rows(10, 10, 10, 10, columns_added=("c",)), "Succeeded"),
        (ModelDiff("s.a", "", "no right"), "Inconclusive"),
        (ModelDiff("s.a", "Guessed"), "Inconclusive"),
    ],
)
def test_a_model_by_the_limits(model: ModelDiff, verdict: str) -> None:
    assert state(model) == verdict
    assert state(dataclasses.replace(model, name="s.b"), expectedChanges=["s.a"]) == verdict
    assert state(model, mode="Optional") == ("Succeeded" if verdict == "Succeeded" else "Skipped")
    assert state(model, mode="Skip") == "Skipped"
    if verdict == "Failed":
        assert state(model, expectedChanges=["s.a"]) == "Succeeded"


@pytest.mark.parametrize(
    ("say", "verdict"), [("RowCounts", "Succeeded"), ("Skip", "Succeeded"), ("Fail", "Failed")]
)
def test_a_model_without_a_grain(say: str, verdict: str) -> None:
    assert state(counts(100, 100), onMissingGrain=say) == verdict


def test_nothing_to_compare_passes_and_nothing_that_could_be_compared_does_not() -> None:
    assert judge(gate(), same_system(identical=3, left_alone=1)).state == "Succeeded"
    assert judge(gate(onMissingGrain="Skip"), same_system(counts(5, 5))).state == "Skipped"
    assert judge(gate(), same_system(ModelDiff("s.a", "", "no right"))).state == "Inconclusive"
    assert judge(gate(), same_system(EQUAL, omitted=1)).state == "Inconclusive"
    assert judge(gate(), None).state == judge(gate(), counted({})).state == "Inconclusive"
    assert judge(gate(mode="Optional"), None).state == "Skipped"


def test_the_message_names_the_worst_and_by_how_much() -> None:
    models = [
        dataclasses.replace(rows(1000, 1000, 1000, 1000 - 11 * i), name=f"s.m{i}")
        for i in range(40)
    ]
    judged = judge(gate(), same_system(*models))
    assert judged.message.startswith(
        "39 of 40 compared models differ by more than allowed: s.m39 (42.9 % of the rows"
    )
    assert "and 36 more" in judged.message
    assert judged.evidence["aboveLimits"] == "39" and judged.evidence["equal"] == "1"
    assert judged.evidence["model s.m39"] == "above a limit: 42.9 % of the rows differ"
    assert len(judged.evidence) == 32


@given(st.lists(st.builds(ModelDiff, st.text(max_size=300), st.sampled_from(["Rows", "RowCounts", "", "x"]),
       st.text(max_size=300), st.booleans(), COUNTS, COUNTS, COUNTS, COUNTS), max_size=60))  # fmt: skip
def test_whatever_is_counted_the_verdict_fits_and_an_unknown_never_passes(
    models: list[ModelDiff],
) -> None:
    judged = judge(gate(), same_system(*models))
    fits(judged)
    if any(m.method not in ("Rows", "RowCounts") for m in models):
        assert judged.state in ("Failed", "Inconclusive")


def fits(judged: Done) -> None:
    """Into a step of the status."""
    assert judged.state in ("Succeeded", "Skipped", "Failed", "Inconclusive")
    assert len(judged.message) <= 1024 and len(judged.evidence) <= 32
    assert all(len(text) <= 1024 for text in judged.evidence.values())


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_before_and_after_may_be_swapped_for_rows_that_differ(
    joined: int, differ: int, exchanged: int
) -> None:
    """Only the number of rows has a direction."""
    equal = max(joined - differ, 0)
    model = rows(joined + exchanged, joined + exchanged, joined, equal)
    share = 100 * (joined - equal + exchanged) / (joined + exchanged)
    assert (state(model) == "Failed") == (share > 1)


def test_a_report_comes_back_as_it_was() -> None:
    report = same_system(
        rows(1, 2, 1, 1, columns={"c": 0.5}, end=DAY),
        identical=2,
        omitted=1,
        omitted_models=("s.z",),
    )
    assert read(gzip.compress(json.dumps(encode(report)).encode())) == report


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"statistics":false}', '{"statistics":0,"environment":"prod"}',
     '{"statistics":false,"environment":"prod","identical":-1}', '{"statistics":false,"environment":"prod","added":NaN}',
     '{"statistics":false,"environment":"prod","identical":9223372036854775808}',
     '{"statistics":false,"environment":"prod","models":[{"name":"a","columns":{"c":1e999}}]}',
     '{"statistics":false,"environment":"prod","models":[{"name":"a","end":"soon"}]}',
     '{"statistics":false,"environment":"prod","models":[{"name":"a","end":"2026-01-01"}]}',
     '{"statistics":false,"environment":"prod","plan_id":"\\ud800"}',
     '{"statistics":false,"environment":"prod","models":[' + ",".join(['{"name":"a"}'] * 301) + "]}",
     '{"statistics":false,"environment":"' + "p" * 2000 + '"}'],
)  # fmt: skip
def test_what_is_no_report_is_none(text: str) -> None:
    assert read(gzip.compress(text.encode())) is None


def test_a_report_that_is_too_big_or_broken_is_none() -> None:
    good = json.dumps(encode(same_system())).encode()
    assert read(gzip.compress(good)) is not None
    assert read(gzip.compress(good + b" " * MAX_UNPACKED)) is None
    assert read(gzip.compress(good)[:-9]) is None
    assert read(None) is None and read(b"") is None and read(b"\x1f\x8b") is None


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_none(data: bytes) -> None:
    assert read(data) is None


def counted(models: dict[str, ModelStatistics], **fields: Any) -> DiffReport:
    """A report of one side."""
    named = tuple(dataclasses.replace(m, name=name) for name, m in models.items())
    return dataclasses.replace(DiffReport(True, "prod", "p1", counted=named), **fields)


def model(
    number: int = 100, code: str = "c", end: str = "", **columns: ColumnStatistics
) -> ModelStatistics:
    """One model's statistics."""
    return ModelStatistics("", code, rows=number, end=end, restricted=bool(end), columns=columns)


def across(before: ModelStatistics, after: ModelStatistics, **spec: Any) -> str:
    """The verdict on one model."""
    return compare(gate(**spec), counted({"s.a": after}), counted({"s.a": before})).state


def column(
    nulls: int = 0, distinct: int | None = None, total: str | None = None
) -> ColumnStatistics:
    """One column's statistics."""
    return ColumnStatistics(nulls, distinct, total)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (model(x=column(3, 7, "12.5")), model(x=column(3, 7, "12.50")), "Succeeded"),
        (model(x=column(3)), model(x=column(4)), "Succeeded"),
        (model(x=column(3)), model(x=column(5)), "Failed"),
        (model(x=column(0, 100)), model(x=column(0, 98)), "Failed"),
        (model(x=column(0, 100, "1000")), model(103, x=column(0, 103, "1030")), "Succeeded"),  # 3 % more of the same
        (model(x=column(0, 100, "1000")), model(103, x=column(0, 100, "1000")), "Succeeded"),
        (model(x=column(0, 100, "1000")), model(103, x=column(0, 103, "980")), "Failed"),
        (model(x=column(0, 100, "1000")), model(103, x=column(0, 103, "1045")), "Failed"),
        (model(x=column(total="-1000")), model(103, x=column(total="-1030")), "Succeeded"),
        (model(x=column(total="-1000")), model(x=column(total="1000")), "Failed"),
        (model(x=column(total="0")), model(x=column(total="0.0")), "Succeeded"),
        (model(x=column(total="0")), model(x=column(total="1")), "Failed"),
        (model(x=column(total="NaN")), model(x=column(total="nan")), "Succeeded"),
        (model(x=column(total="NaN")), model(x=column(total="1")), "Failed"),
        (model(x=column(total="Infinity")), model(x=column(total="inf")), "Succeeded"),
        (model(x=column(total="Infinity")), model(x=column(total="-inf")), "Failed"),
        (model(x=column(total="1")), model(x=column(total="inf")), "Failed"),
        (model(x=column(total="1")), model(x=column(total="1e999999999")), "Failed"),
        (model(x=column(total="1")), model(x=column(total="one")), "Inconclusive"),
        (model(x=column(nulls=1)), model(x=column(nulls=101)), "Inconclusive"),
        (model(), model(106), "Failed"),
        (model(0), model(0), "Succeeded"),
        (model(0), model(1), "Failed"),
        (model(1), model(0), "Failed"),
        (model(x=column()), model(), "Inconclusive"),
        (model(x=column(0, 1, "1")), model(x=column(0, 1)), "Inconclusive"),
        (model(), model(x=column()), "Succeeded"),
        (model(code="c"), model(1, code="d"), "Succeeded"),
        (model(code=""), model(1, code="d"), "Failed"),
        (model(end=DAY), model(end=DAY), "Succeeded"),
        (model(end=DAY), model(end=NEXT), "Inconclusive"),
        (model(), model(end=NEXT), "Inconclusive"),
        (dataclasses.replace(model(), why="no right"), model(), "Inconclusive"),
        (dataclasses.replace(model(), columns_omitted=1), model(), "Inconclusive"),
    ],
)  # fmt: skip
def test_two_systems_by_the_limits(
    before: ModelStatistics, after: ModelStatistics, verdict: str
) -> None:
    assert across(before, after) == verdict
    assert across(before, after, mode="Optional") == (
        "Succeeded" if verdict == "Succeeded" else "Skipped"
    )


def test_of_two_systems_other_code_is_looked_at_when_all_models_are() -> None:
    assert across(model(code="c"), model(50, code="d"), models="All") == "Failed"
    assert (
        across(model(code="c"), model(50, code="d"), models="All", expectedChanges=["s.a"])
        == "Succeeded"
    )


def test_models_of_one_side_only_are_counted_and_not_judged() -> None:
    judged = compare(
        gate(),
        counted({"s.a": model(), "s.new": model()}),
        counted({"s.a": model(), "s.old": model()}),
    )
    assert judged.state == "Succeeded"
    assert (judged.evidence["added"], judged.evidence["removed"], judged.evidence["compared"]) == (
        "1",
        "1",
        "1",
    )


def test_a_side_that_is_missing() -> None:
    there = counted({"s.a": model()})
    assert (
        compare(gate(), None, there).state == compare(gate(), there, None).state == "Inconclusive"
    )
    assert compare(gate(), there, same_system(EQUAL)).state == "Inconclusive"
    assert compare(gate(), counted({}, plan_id=""), there).state == "Inconclusive"
    assert (
        compare(gate(), there, counted({}, plan_id="")).state == "Succeeded"
    )  # the first promotion
    assert compare(gate(), there, dataclasses.replace(there, omitted=1)).state == "Inconclusive"


def test_no_sum_is_in_words() -> None:
    before, after = model(x=column(3, 77, "123456")), model(x=column(3, 77, "654321"))
    judged = compare(gate(), counted({"s.a": after}), counted({"s.a": before}))
    assert judged.state == "Failed" and "sum of x off by 430" in judged.message
    assert not any(value in str(judged) for value in ("123456", "654321", "77"))


NUMBERS = (
    st.none()
    | st.decimals(allow_nan=True, allow_infinity=True).map(str)
    | st.floats().map(str)
    | st.text()
)
COLUMNS = st.builds(ColumnStatistics, COUNTS, st.none() | COUNTS, NUMBERS)
MODELS = st.builds(
    ModelStatistics, st.just("s.a"), st.sampled_from(["", "c", "d"]), st.sampled_from(["", "no right"]), COUNTS,
    st.sampled_from([DAY, NEXT]), st.booleans(), st.dictionaries(st.sampled_from("{xy"), COLUMNS),
)  # fmt: skip


@given(MODELS, MODELS)
def test_whatever_two_sides_say_there_is_a_verdict(
    before: ModelStatistics, after: ModelStatistics
) -> None:
    fits(compare(gate(models="All"), counted({"s.a": after}), counted({"s.a": before})))
    judged = compare(gate(), counted({"s.a": before}), counted({"s.a": before}))
    assert judged.state in ("Succeeded", "Inconclusive")  # nothing differs from itself


@given(st.floats(-1e12, 1e12), st.floats(0, 1), st.integers(1, 10**9))
def test_the_order_in_which_an_engine_adds_up_is_no_difference(
    total: float, noise: float, number: int
) -> None:
    before = model(number, x=column(total=str(total)))
    after = model(
        number, x=column(total=str(math.nextafter(total, math.inf) if noise > 0.5 else total))
    )
    if abs(total) > 1e-3:
        assert across(before, after, maxChangedRowsPercent=0) == "Succeeded"


def test_the_earlier_end_is_asked_for() -> None:
    source = counted(
        {"s.a": model(end=NEXT), "s.b": model(end=DAY), "s.c": model(), "s.d": model(end=DAY)}
    )
    target = counted(
        {"s.a": model(end=DAY), "s.b": model(end=DAY), "s.c": model(), "s.e": model(end=DAY)}
    )
    assert ends_to_ask(source, target) == ends_to_ask(target, source) == {"s.a": DAY}
    assert ends_to_ask(source, source) == ends_to_ask(None, source) == {}
    whole = counted({"s.a": model(end=DAY)})
    unknown = counted({"s.a": dataclasses.replace(model(end=NEXT), why="no right")})
    assert ends_to_ask(whole, unknown) == {}


def test_sides_without_a_model_in_common_are_not_the_same() -> None:
    sides = [
        DiffReport(True, "e", "p", counted=(ModelStatistics(name, rows=1),))
        for name in ("s.a", "s.b")
    ]
    assert compare(DataDiffGate(), *sides).state == "Inconclusive"
