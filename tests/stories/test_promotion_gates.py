"""The gates of a promotion that look at data: the diff within one system and across systems, and Soda checks."""

import dataclasses
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import MINUTE, managed
from tests.stories.sqlmesh import SqlMesh
from tests.stories.test_promotion import outcome, promote, steps
from tests.stories.test_promotion_ways import ACROSS, two
from vulcan_contract.diff_report import ColumnStatistics, ModelDiff, ModelStatistics
from vulcan_contract.reasons import Reason
from vulcan_operator.plan.core.seen import JobState

DIFF: dict[str, Any] = {"dataDiff": {"maxChangedRowsPercent": 1}}
EARLY, LATE = "2026-11-20T00:00:00+00:00", "2026-11-22T00:00:00+00:00"
SODA = {"checks": {"soda": {"configMapRef": {"name": "quality"}}}}
FILES = builders.config_map("quality", **{"orders.yml": "checks for orders:\n  - row_count > 0\n"})


def found(sqlmesh: SqlMesh, step: str, name: str = "to-prod") -> dict[str, Any]:
    """A step of a promotion."""
    return next(s for s in sqlmesh.world.raw(f"vpromo/{name}")["status"]["steps"] if s["name"] == step)


def counted(rows: int, end: str = LATE, amount: int = 100) -> ModelStatistics:
    """One model on one side."""
    return ModelStatistics(
        "s.a", "code", rows=rows, end=end, restricted=True, columns={"x": ColumnStatistics(0, rows, str(amount))}
    )


def left(sqlmesh: SqlMesh) -> list[str]:
    """ConfigMaps that a promotion's gates have made."""
    names = [name for kind, _, name in sqlmesh.world.kube.objects if kind == "configmaps"]
    return [name for name in names if "-diff-" in name or "-checks-" in name]


def test_data_that_is_the_same_lets_it_pass_with_the_numbers() -> None:
    sqlmesh = promote(managed(), gates=DIFF)
    assert (outcome(sqlmesh), steps(sqlmesh)["Diff"]) == ("Succeeded", "Succeeded")
    assert found(sqlmesh, "Diff")["evidence"]["compared"] == "1"


@pytest.mark.parametrize(("mode", "ends"), [("Required", "Failed"), ("Optional", "Succeeded")])
def test_data_that_differs_stops_it_where_the_gate_is_required(mode: str, ends: str) -> None:
    sqlmesh = managed()
    sqlmesh.models["warehouse"] = ModelDiff("s.a", before=100, after=100, joined=100, equal=90)
    promote(sqlmesh, gates={"dataDiff": {"mode": mode}})
    assert outcome(sqlmesh) == ends
    assert "10" in found(sqlmesh, "Diff")["message"]
    assert ("promote warehouse/prod" in sqlmesh.done) == (ends == "Succeeded")


def test_what_could_not_be_compared_asks_a_human_and_does_not_pass() -> None:
    sqlmesh = managed()
    sqlmesh.models["warehouse"] = ModelDiff("s.a", method="Empty", why="no right to read it")
    promote(sqlmesh, gates=DIFF)
    assert (outcome(sqlmesh), "no right" in found(sqlmesh, "Diff")["message"]) == ("Inconclusive", True)


def test_a_diff_that_crashes_is_tried_again_and_then_asks_a_human() -> None:
    sqlmesh = managed(retry={"limit": 1})
    sqlmesh.fails["diff"] = [builders.failed("diff", Reason.RUNNER_CRASHED) for _ in range(9)]
    promote(sqlmesh, gates=DIFF)
    sqlmesh.live(60 * MINUTE)
    assert (outcome(sqlmesh), len(sqlmesh.fails["diff"])) == ("Inconclusive", 7)


def test_across_systems_both_sides_are_counted_where_they_are_and_compared_here() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    moved(sqlmesh)
    promote(sqlmesh, gates=DIFF, **ACROSS)
    assert (outcome(sqlmesh), steps(sqlmesh)["Diff"]) == ("Succeeded", "Succeeded")
    jobs = [(j.namespace, j.gateway) for j in sqlmesh.world.jobs("diff")]
    assert jobs == [("live", "production"), ("data", "warehouse")]
    assert sqlmesh.asked[1].diff is not None and sqlmesh.asked[1].diff.ends == {"s.a": LATE}
    assert left(sqlmesh) == []


def test_across_systems_other_numbers_stop_it_and_sums_are_not_told() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100, amount=123456), "production": counted(100, amount=654321)}
    moved(sqlmesh)
    promote(sqlmesh, gates=DIFF, **ACROSS)
    assert outcome(sqlmesh) == "Failed"
    assert "sum of x off by" in found(sqlmesh, "Diff")["message"]
    everything = str(sqlmesh.world.raw("vpromo/to-prod")) + str([note.message for _, note in sqlmesh.world.notes])
    assert "123456" not in everything and "654321" not in everything


def test_a_target_that_is_ahead_is_counted_again_up_to_where_the_source_is() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100, EARLY), "production": counted(100, LATE)}
    moved(sqlmesh)
    behind(sqlmesh)
    promote(sqlmesh, gates=DIFF, **ACROSS)
    assert (outcome(sqlmesh), len(sqlmesh.world.jobs("diff"))) == ("Succeeded", 3)
    assert sqlmesh.asked[2].diff is not None and sqlmesh.asked[2].diff.ends == {"s.a": EARLY}
    assert left(sqlmesh) == []


def moved(sqlmesh: SqlMesh) -> None:
    """staging has another revision than prod."""
    sqlmesh.world.apply(
        builders.config_map("project", **{"config.yaml": "x", "models__a.sql": "three"})
    ).resync().settle()
    sqlmesh.work()


def behind(sqlmesh: SqlMesh) -> None:
    """The source cannot be counted as far as it is asked to: it has less."""
    really = sqlmesh._diff

    def diff(task: Any) -> Any:
        report = really(task)
        if task.gateway.sqlmesh_name != "warehouse":
            return report
        return dataclasses.replace(report, counted=(counted(100, EARLY),))

    sqlmesh._diff = diff  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "write", ["apply-vulcanpromotions/status", "create-jobs", "create-configmaps", "delete-configmaps"]
)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", range(1, 7))
def test_a_death_at_any_write_while_data_is_compared_changes_nothing(write: str, when: str, count: int) -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    moved(sqlmesh)
    sqlmesh.world.apply(FILES)
    sqlmesh.world.kube.writes.clear()
    sqlmesh.world.kube.crash_at(write, when, count)
    promote(sqlmesh, gates={**DIFF, **SODA}, **ACROSS)
    sqlmesh.live(5 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.done.count("apply production/prod") == 2 and left(sqlmesh) == []
    names = [j.name for j in sqlmesh.world.jobs()]
    assert len(names) == len(set(names)) and not sqlmesh.world.jobs(state=JobState.UNFINISHED)


# --- Soda


def test_soda_checks_of_the_source_are_a_gate() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(FILES)
    promote(sqlmesh, gates=SODA)
    assert (outcome(sqlmesh), steps(sqlmesh)["Checks"]) == ("Succeeded", "Succeeded")
    assert "checks warehouse/staging" in sqlmesh.done
    assert found(sqlmesh, "Checks")["evidence"]["checks"] == "4" and left(sqlmesh) == []


@pytest.mark.parametrize(
    ("reason", "ends"), [(Reason.CHECKS_FAILED, "Failed"), (Reason.CHECKS_NOT_EVALUATED, "Inconclusive")]
)
def test_checks_that_fail_stop_it_and_those_nobody_could_judge_ask_a_human(reason: Reason, ends: str) -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(FILES)
    sqlmesh.fails["checks"] = [builders.failed("checks", reason, "orders: row_count > 0")]
    promote(sqlmesh, gates=SODA)
    assert (outcome(sqlmesh), steps(sqlmesh)["Checks"]) == (ends, ends)
    assert "orders" in found(sqlmesh, "Checks")["message"] and left(sqlmesh) == []


def test_checks_that_are_not_there_yet_are_waited_for() -> None:
    sqlmesh = managed()
    promote(sqlmesh, gates=SODA)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/ConfigMapNotFound"}
    sqlmesh.world.apply(FILES)
    sqlmesh.live(MINUTE)
    assert outcome(sqlmesh) == "Succeeded"


def test_across_systems_soda_runs_in_the_sources_system() -> None:
    sqlmesh = two()
    sqlmesh.world.apply(FILES)
    promote(sqlmesh, gates=SODA, **ACROSS)
    assert outcome(sqlmesh) == "Succeeded"
    assert [j.namespace for j in sqlmesh.world.jobs("checks")] == ["data"]


def test_a_source_that_moves_on_while_it_is_counted_is_another_revision() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    moved(sqlmesh)
    sqlmesh.world.apply(builders.promotion(gates={**DIFF, "audits": "Skip"}, **ACROSS)).settle()
    sqlmesh.work("plan")
    sqlmesh.do("diff")
    sqlmesh.plan_ids["warehouse/staging"] = "somebody-elses"
    sqlmesh.work()
    assert (outcome(sqlmesh), steps(sqlmesh)["Diff"]) == ("Failed", "Failed")
    assert "somebody else has changed" in found(sqlmesh, "Diff")["message"]


def test_optional_checks_that_are_not_there_are_not_waited_for() -> None:
    sqlmesh = promote(managed(), gates={"checks": {"mode": "Optional", **SODA["checks"]}})
    assert (outcome(sqlmesh), steps(sqlmesh)["Checks"]) == ("Succeeded", "Skipped")
