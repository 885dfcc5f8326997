"""Promotions whose ends go away, that are deleted at a bad moment, or whose gates looked at something else."""

import datetime as dt
from typing import Any

from tests import builders
from tests.stories.lives import ALWAYS, MINUTE, edit, managed
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
    in_the_swap,
    moved,
    outcome,
    promote,
    steps,
    two,
)
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_operator.kube import errors
from vulcan_operator.plan.core.seen import JobSeen, JobState

SOAK = {"duration": "2d"}


def mine(sqlmesh: SqlMesh, *tasks: str) -> list[JobSeen]:
    """Unfinished Jobs of the promotion."""
    going = [j for j in sqlmesh.world.jobs(state=JobState.UNFINISHED) if j.owner_name == "to-prod"]
    return [j for j in going if not tasks or j.task in tasks]


def moves_on(sqlmesh: SqlMesh, text: str) -> None:
    """staging gets another revision while the promotion's Jobs rest."""
    edit(sqlmesh.world, text)
    for _ in range(9):
        others = [j for j in sqlmesh.world.jobs(state=JobState.UNFINISHED) if j.owner_name != "to-prod"]
        if not others:
            return
        sqlmesh.do(others[0])
    raise AssertionError("never rests")


# --- ends that go away


def test_a_source_that_goes_while_it_is_planned_is_waited_for() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.world.delete("venv/staging").settle()
    sqlmesh.work()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/EnvironmentObjectNotFound"}


def test_a_target_that_goes_while_it_is_planned_is_waited_for() -> None:
    sqlmesh = two()
    sqlmesh.world.apply(builders.promotion(**ACROSS)).settle()
    sqlmesh.world.delete("venv/live/prod").settle()
    sqlmesh.do(mine(sqlmesh, "plan")[0])
    sqlmesh.do(mine(sqlmesh, "audit")[0])
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/EnvironmentObjectNotFound"}


# --- deleted at a bad moment


def test_deleted_after_it_waited_for_the_slot_in_vain_it_changes_nothing() -> None:
    """Its Job was announced, and never made."""
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan")
    edit(sqlmesh.world, "three")
    while not sqlmesh.world.jobs("apply", JobState.UNFINISHED):
        sqlmesh.do(next(j for j in sqlmesh.world.jobs(state=JobState.UNFINISHED) if j.owner_name != "to-prod"))
    sqlmesh.do(mine(sqlmesh, "audit")[0])
    assert found(sqlmesh, "Apply")["task"]["state"] == "Waiting"
    sqlmesh.world.change("venv/prod", suspend=True).settle()
    sqlmesh.work()
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.live(5 * MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert "promote warehouse/prod" not in sqlmesh.done


def test_the_job_that_brings_a_half_changed_target_to_an_end_is_not_stopped() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.lose_job(job)
    sqlmesh.world.resync().settle()
    sqlmesh.world.advance(2 * MINUTE)
    stopped = sqlmesh.world.kube.writes.count("delete-pods")
    sqlmesh.world.start_job(mine(sqlmesh, "promote")[0].name)
    sqlmesh.world.settle()
    assert sqlmesh.world.kube.writes.count("delete-pods") == stopped


def test_a_lost_swap_is_not_forgotten_when_the_rules_change() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.lose_job(job)
    sqlmesh.world.resync().settle()
    sqlmesh.world.change("venv/prod", plan=ALWAYS).settle()
    assert steps(sqlmesh)["Approval"] == "Waiting"
    assert found(sqlmesh, "Apply")["job"] == job
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.advance(MINUTE)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready")["Ready"] != "False/Cancelled"
    assert not any("nothing had been changed" in note.message for _, note in sqlmesh.world.notes)


def test_deletion_ends_where_evidence_cannot_be_left() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    really = sqlmesh.world.kube.create

    async def create(resource: Any, namespace: str, body: Any) -> Any:
        if resource.plural == "configmaps":
            raise errors.Forbidden("exceeded quota: configmaps", status=403)
        return await really(resource, namespace, body)

    sqlmesh.world.kube.create = create  # type: ignore[method-assign]
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.finish_job(job, builders.failed("promote", Reason.CANCELLED)).settle()
    sqlmesh.world.advance(dt.timedelta(minutes=45))
    assert not sqlmesh.world.exists("vpromo/to-prod")


def test_deletion_ends_where_jobs_may_not_be_read_any_more() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    for read in ("get-jobs", "list-jobs", "get-pods", "list-pods"):
        sqlmesh.world.kube.fail(read, errors.Forbidden("jobs is forbidden", status=403), times=-1)
    sqlmesh.world.lose_job(job).settle()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/OperatorNotAuthorized"}
    sqlmesh.world.advance(dt.timedelta(minutes=45))
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert any("look at the environment's condition Drifted" in note.message for _, note in sqlmesh.world.notes)


def test_deletion_that_takes_too_long_leaves_evidence_all_the_same() -> None:
    sqlmesh = managed()
    in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.advance(dt.timedelta(minutes=45))
    assert not sqlmesh.world.exists("vpromo/to-prod")
    (evidence,) = [
        name for kind, _, name in sqlmesh.world.kube.objects if kind == "configmaps" and "-evidence-" in name
    ]
    assert evidence.startswith("to-prod-evidence-")


# --- over


def test_what_was_ordered_in_the_pass_that_ends_it_is_not_begun() -> None:
    sqlmesh = managed()
    sqlmesh.world.change("venv/staging", plan={"approval": {"mode": "Never"}, "skipTests": True}).settle()
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion()).settle()  # the plan is ordered, and Tests say that nobody knows
    assert outcome(sqlmesh) == "Inconclusive"
    assert steps(sqlmesh)["Tests"] == "Inconclusive"
    assert [j for j in sqlmesh.world.jobs() if j.owner_name == "to-prod"] == []


def test_jobs_that_have_not_begun_when_it_ends_never_do() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion(gates={"tests": "Skip", "soak": SOAK})).settle()
    assert {j.task for j in mine(sqlmesh)} == {"plan", "audit"}
    moves_on(sqlmesh, "three")
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Soak"] == "Failed"
    assert mine(sqlmesh) == []


def test_jobs_are_stopped_also_when_the_operator_died_before_it_could_tell_them() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion(gates={"soak": SOAK})).settle()
    sqlmesh.work("plan")
    sqlmesh.world.start_job(mine(sqlmesh, "audit")[0].name)
    sqlmesh.world.kube.crash_at("delete-pods", "before", 1)
    edit(sqlmesh.world, "three")
    sqlmesh.work("plan", "apply")
    assert outcome(sqlmesh) == "Failed"
    assert sqlmesh.world.kube.writes.count("delete-pods") == 2  # once in vain


# --- gates that looked at something else


def test_checks_of_another_revision_do_not_pass_this_one() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(FILES)
    sqlmesh.world.apply(builders.promotion(gates=SODA)).settle()
    sqlmesh.work("plan")
    moves_on(sqlmesh, "three")
    sqlmesh.do(mine(sqlmesh, "checks")[0])
    assert outcome(sqlmesh) == "Failed"
    assert found(sqlmesh, "Checks")["state"] == "Failed"
    assert "looked at plan" in found(sqlmesh, "Checks")["message"]


def test_across_systems_a_count_of_another_revision_does_not_pass_this_one() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100), "production": counted(100)}
    moved(sqlmesh)
    sqlmesh.world.apply(builders.promotion(gates=DIFF, **ACROSS)).settle()
    sqlmesh.work("plan")
    sqlmesh.do(mine(sqlmesh, "audit")[0])
    sqlmesh.do(mine(sqlmesh, "diff")[0])  # the target's side
    moves_on(sqlmesh, "four")
    sqlmesh.do(mine(sqlmesh, "diff")[0])
    assert outcome(sqlmesh) == "Failed"
    assert found(sqlmesh, "Diff")["state"] == "Failed"


# --- Jobs and reports


def test_deleted_when_no_pod_ever_starts_it_leaves_no_job_that_would_begin_later() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit")
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.advance(11 * MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert sqlmesh.world.jobs("promote", JobState.UNFINISHED) == []


def test_reports_that_went_before_their_verdict_was_written_are_made_again_in_the_same_order() -> None:
    sqlmesh = promote(two(), "first", **ACROSS)
    sqlmesh.models |= {"warehouse": counted(100, EARLY), "production": counted(100, LATE)}
    moved(sqlmesh)
    behind(sqlmesh)
    really, refused = sqlmesh.world.kube.apply, list[str]()

    async def apply(resource: Any, namespace: str, name: str, body: Any, *args: Any, **more: Any) -> Any:
        written = {s["name"]: s["state"] for s in body.get("status", {}).get("steps", [])}
        if name == "to-prod" and written.get("Diff") == "Succeeded" and not refused:
            refused.append(name)
            raise errors.Conflict("somebody said a word meanwhile", status=409)
        return await really(resource, namespace, name, body, *args, **more)

    sqlmesh.world.kube.apply = apply  # type: ignore[method-assign]
    promote(sqlmesh, gates=DIFF, **ACROSS)
    assert refused == ["to-prod"]
    assert outcome(sqlmesh) == "Succeeded"
    assert found(sqlmesh, "Diff")["state"] == "Succeeded"
