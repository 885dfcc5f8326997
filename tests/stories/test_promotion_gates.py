"""The gates of a promotion that look at data: the diff within one system and across systems, and Soda checks."""

import pytest

from tests import builders
from tests.stories.lives import MINUTE, managed
from tests.stories.promotions import (
    ACROSS,
    DIFF,
    EARLY,
    FILES,
    LATE,
    SODA,
    behind,
    counted,
    found,
    left,
    moved,
    outcome,
    promote,
    steps,
    two,
)
from vulcan_contract.diff_report import ModelDiff
from vulcan_contract.reasons import Reason
from vulcan_operator.plan.core.seen import JobState


def test_data_that_is_the_same_lets_it_pass_with_the_numbers() -> None:
    sqlmesh = promote(managed(), gates=DIFF)
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh)["Diff"] == "Succeeded"
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
    assert outcome(sqlmesh) == "Inconclusive"
    assert "no right" in found(sqlmesh, "Diff")["message"]


def test_a_diff_that_crashes_is_tried_again_and_then_asks_a_human() -> None:
    sqlmesh = managed(retry={"limit": 1})
    sqlmesh.fails["diff"] = [builders.failed("diff", Reason.RUNNER_CRASHED) for _ in range(9)]
    promote(sqlmesh, gates=DIFF)
    sqlmesh.live(60 * MINUTE)
    assert outcome(sqlmesh) == "Inconclusive"
    assert len(sqlmesh.fails["diff"]) == 7


def test_across_systems_both_sides_are_counted_where_they_are_and_compared_here() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    moved(sqlmesh)
    promote(sqlmesh, gates=DIFF, **ACROSS)
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh)["Diff"] == "Succeeded"
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
    assert outcome(sqlmesh) == "Succeeded"
    assert len(sqlmesh.world.jobs("diff")) == 3
    assert sqlmesh.asked[2].diff is not None and sqlmesh.asked[2].diff.ends == {"s.a": EARLY}
    assert left(sqlmesh) == []


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
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh)["Checks"] == "Succeeded"
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
    assert outcome(sqlmesh) == ends
    assert steps(sqlmesh)["Checks"] == ends
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
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Diff"] == "Failed"
    assert "somebody else has changed" in found(sqlmesh, "Diff")["message"]


def test_optional_checks_that_are_not_there_are_not_waited_for() -> None:
    sqlmesh = promote(managed(), gates={"checks": {"mode": "Optional", **SODA["checks"]}})
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh)["Checks"] == "Skipped"


def test_a_protected_target_waits_until_approvals_are_guarded_and_goes_on_at_once() -> None:
    sqlmesh = two()
    sqlmesh.world.guarded = False
    promote(sqlmesh, **ACROSS)
    assert sqlmesh.world.says("vpromo/to-prod")["Ready"] == "False/ApprovalsUnprotected"
    sqlmesh.world.guarded = True
    assert outcome(sqlmesh.work()) == "Succeeded"
