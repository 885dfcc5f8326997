"""Promotions beyond the straight way: gates at the same time, in each other's place, deleted under way, across systems."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, MINUTE, edit, managed
from tests.stories.promotions import ACROSS, FINALIZER, in_the_swap, outcome, promote, steps, two
from vulcan_contract.reasons import Reason
from vulcan_contract.result import ModelChange
from vulcan_operator.kube import errors
from vulcan_operator.plan.core.seen import JobState


def test_gates_that_do_not_need_each_other_go_on_at_the_same_time() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion(gates={"soak": {"duration": "2d"}})).settle()
    sqlmesh.work("plan")
    assert [j.task for j in sqlmesh.world.jobs(state=JobState.UNFINISHED)] == ["audit"]
    assert (steps(sqlmesh)["Audits"], steps(sqlmesh)["Soak"]) == ("Running", "Waiting")
    assert sqlmesh.world.says("vpromo/to-prod", "Ready")["Ready"] in ("False/Soaking", "Unknown/Auditing")
    sqlmesh.work("audit")
    assert (steps(sqlmesh)["Audits"], steps(sqlmesh)["Soak"]) == ("Succeeded", "Waiting")
    sqlmesh.live(3 * DAY)
    assert outcome(sqlmesh) == "Succeeded"


def test_a_gates_no_stops_the_others() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion(gates={"soak": {"duration": "2d"}})).settle()
    sqlmesh.work("plan")
    audit = sqlmesh.world.job("audit").name
    sqlmesh.world.start_job(audit)
    edit(sqlmesh.world, "three")  # the source moves on: Soak says no
    sqlmesh.work("plan", "apply")
    assert outcome(sqlmesh) == "Failed"
    assert steps(sqlmesh)["Soak"] == "Failed"
    assert steps(sqlmesh)["Audits"] == "Skipped"
    assert any(write == "delete-pods" for write in sqlmesh.world.kube.writes)


def test_the_newest_that_says_so_takes_the_place_of_older_ones_and_both_say_it() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, "first")
    sqlmesh.world.clock.advance(MINUTE)
    promote(sqlmesh, "second")
    sqlmesh.world.clock.advance(MINUTE)
    promote(sqlmesh, "third", queue="Supersede")
    assert [outcome(sqlmesh, name) for name in ("first", "second", "third")] == ["Superseded", "Superseded", None]
    assert "data/third" in sqlmesh.world.conditions("vpromo/first")["Ready"].message
    assert sqlmesh.world.raw("vpromo/third")["status"]["supersedes"] == ["data/first", "data/second"]
    sqlmesh.world.approve("vpromo/third")
    sqlmesh.work()
    assert outcome(sqlmesh, "third") == "Succeeded"
    assert "in place of data/first, data/second" in sqlmesh.world.conditions("vpromo/third")["Ready"].message


def test_one_that_has_begun_to_change_views_is_not_superseded() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion("first")).settle()
    sqlmesh.work("plan", "audit")
    sqlmesh.world.clock.advance(MINUTE)
    sqlmesh.world.apply(builders.promotion("second", queue="Supersede")).settle()
    sqlmesh.work()
    assert (outcome(sqlmesh, "first"), outcome(sqlmesh, "second")) == ("Succeeded", "Succeeded")


def test_one_that_is_not_let_in_takes_nobodys_place() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh, "first")
    sqlmesh.world.clock.advance(MINUTE)
    refs = {
        "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
        "to": {"environmentRef": {"name": "prod", "namespace": "data"}},
    }
    sqlmesh.world.apply(builders.promotion("stranger", "team", queue="Supersede", **refs)).settle()
    assert sqlmesh.world.says("vpromo/team/stranger", "Ready") == {"Ready": "False/PromotionNotGranted"}
    assert outcome(sqlmesh, "first") is None


# --- deleted under way


def test_deleted_before_anything_is_changed_it_is_gone_at_once() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    assert not sqlmesh.world.exists("vpromo/to-prod")
    sqlmesh.live(DAY)
    assert "promote warehouse/prod" not in sqlmesh.done


def test_deleted_while_it_computes_it_stops_and_nothing_was_changed() -> None:
    sqlmesh = managed()
    before = sqlmesh.world.environment().status.applied
    job = in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/Cancelling"}
    assert "delete-pods" in sqlmesh.world.kube.writes
    sqlmesh.world.finish_job(job, builders.failed("promote", Reason.CANCELLED)).settle()
    sqlmesh.live(MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert sqlmesh.world.environment().status.applied == before
    assert any("nothing had been changed" in note.message for _, note in sqlmesh.world.notes)


def test_deleted_after_the_swap_its_environment_still_learns_what_it_has() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.finish_job(job, sqlmesh.answer(sqlmesh.task(sqlmesh.world.job(job)))).settle()
    sqlmesh.live(MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None and applied.plan_id == sqlmesh.plan_ids["warehouse/prod"]
    assert sqlmesh.world.says("venv/prod", "Drifted") == {"Drifted": "False/InSync"}
    assert sqlmesh.done[-1] == "run warehouse/prod"
    assert any("were changed to plan" in note.message for _, note in sqlmesh.world.notes)


def test_deleted_and_its_job_died_without_a_word_what_it_began_is_brought_to_an_end() -> None:
    """Views may be half changed: they are not left like that."""
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.lose_job(job)
    sqlmesh.live(5 * MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert sqlmesh.done.count("promote warehouse/prod") == 1
    applied = sqlmesh.world.environment().status.applied
    assert applied is not None and applied.plan_id == sqlmesh.plan_ids["warehouse/prod"]


def test_deletion_always_ends() -> None:
    sqlmesh = managed()
    in_the_swap(sqlmesh)
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.advance(dt.timedelta(minutes=11))
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert any(note.warning and "not known" in note.message for _, note in sqlmesh.world.notes)


def test_deleted_in_its_way_back_the_way_back_is_gone_to_its_end() -> None:
    sqlmesh = managed()
    before = sqlmesh.world.environment().status.applied
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.work("promote", "audit")
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.live(MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    after = sqlmesh.world.environment().status
    assert before is not None and after.applied is not None
    assert after.applied.source_digest == before.source_digest and len(after.held) == 1


def test_an_ended_one_can_be_deleted_at_once() -> None:
    sqlmesh = promote(managed())
    assert FINALIZER not in sqlmesh.world.raw("vpromo/to-prod")["metadata"].get("finalizers", [])
    sqlmesh.world.delete("vpromo/to-prod").settle()
    assert not sqlmesh.world.exists("vpromo/to-prod")


# --- across systems


def test_across_systems_it_is_planned_and_computed_again_from_the_same_files() -> None:
    sqlmesh = two()
    promote(sqlmesh, **ACROSS)
    assert outcome(sqlmesh) == "Succeeded"
    assert steps(sqlmesh)["CatchUp"] == "Skipped"
    assert sqlmesh.done[-2:] == ["apply production/prod", "run production/prod"]
    status = sqlmesh.world.raw("vpromo/to-prod")["status"]
    staging = sqlmesh.world.environment("venv/staging").status.applied
    prod = sqlmesh.world.environment("venv/live/prod").status.applied
    assert staging is not None and prod is not None
    assert status["relation"] == "AcrossSystems"
    assert prod.source_digest == staging.source_digest
    assert sqlmesh.targets["production/prod"] == sqlmesh.targets["warehouse/staging"]
    copied = {name for _, ns, name in sqlmesh.world.kube.objects if ns == "live" and "-source-" in name}
    assert copied == set()  # the copy of the project went with its end
    where = {(j.task, j.namespace) for j in sqlmesh.world.jobs() if j.owner_name == "to-prod"}
    assert where == {("plan", "live"), ("audit", "data"), ("apply", "live"), ("audit", "live")}


def test_no_job_of_one_system_knows_the_other_ones_connections() -> None:
    sqlmesh = two()
    sqlmesh.world.apply(builders.promotion(**ACROSS)).settle()
    sqlmesh.work()
    for job in sqlmesh.world.jobs():
        raw = str(sqlmesh.world.kube.objects["jobs", job.namespace, job.name])
        other = {"live": '"sqlmesh_name":"warehouse"', "data": '"sqlmesh_name":"production"'}[job.namespace]
        assert other not in raw


def test_categories_of_the_other_system_are_shown_beside_and_disagreements_named() -> None:
    sqlmesh = two()
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    promote(sqlmesh, **ACROSS)
    plan = sqlmesh.world.raw("vpromo/to-prod")["status"]["plan"]["summary"]["models"]
    assert [(m["category"], m["sourceCategory"]) for m in plan] == [("Breaking", "Breaking")]
    edit(sqlmesh.world, "four")
    sqlmesh.work()
    sqlmesh.summary["models"] = (ModelChange("s.a", "DirectlyModified", "NonBreaking", "FULL", 1),)
    promote(sqlmesh, "second", **ACROSS)
    found = next(s for s in sqlmesh.world.raw("vpromo/second")["status"]["steps"] if s["name"] == "Plan")
    assert found["evidence"]["categoriesDiffer"] == "s.a: NonBreaking, there Breaking"


def test_a_source_that_changes_its_project_meanwhile_is_waited_for() -> None:
    sqlmesh = two()
    sqlmesh.world.change("venv/staging", plan=ALWAYS)
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion(**ACROSS)).settle()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/SourceNotReady"}
    sqlmesh.world.approve("venv/staging")
    sqlmesh.work()
    sqlmesh.live(MINUTE)
    assert outcome(sqlmesh) == "Succeeded"


def test_what_only_has_some_models_does_not_leave_its_system() -> None:
    sqlmesh = two()
    sqlmesh.world.change("venv/staging", plan={"approval": {"mode": "Never"}, "selectModels": ["s.a"]})
    sqlmesh.work()
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    promote(sqlmesh, **ACROSS)
    assert outcome(sqlmesh) == "Failed"
    assert "selectModels" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


def test_one_that_came_by_promotion_goes_on_to_the_other_system() -> None:
    """dev -> staging within the system, then staging -> prod across."""
    sqlmesh = two()
    sqlmesh.world.apply(builders.environment("qa", revisionFrom="Promotion", project=None)).settle()
    promote(sqlmesh, "to-qa", to={"environmentRef": {"name": "qa"}})
    assert outcome(sqlmesh, "to-qa") == "Succeeded"
    promote(sqlmesh, **ACROSS, **{"from": {"environmentRef": {"name": "qa"}}})
    assert outcome(sqlmesh) == "Succeeded"
    found = next(s for s in sqlmesh.world.raw("vpromo/to-prod")["status"]["steps"] if s["name"] == "Plan")
    assert found["evidence"]["categoriesCompared"] == "1"  # with those of the promotion that gave it to qa


def test_across_systems_audits_that_fail_take_it_back_within_the_target() -> None:
    sqlmesh = two()
    promote(sqlmesh, "first", **ACROSS)
    before = sqlmesh.targets["production/prod"]
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("bad", **ACROSS)).settle()
    sqlmesh.work("plan", "audit")
    while not sqlmesh.world.jobs("apply", JobState.UNFINISHED):
        sqlmesh.do(sqlmesh.world.jobs(state=JobState.UNFINISHED)[0])
    sqlmesh.do(sqlmesh.world.job("apply"))
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.work()
    assert outcome(sqlmesh, "bad") == "RolledBack"
    assert sqlmesh.targets["production/prod"] == before
    assert [h.promotion for h in sqlmesh.world.environment("venv/live/prod").status.held] == ["data/bad"]


def test_on_duckdb_gates_take_their_turn() -> None:
    sqlmesh = two("duckdb")
    promote(sqlmesh, **ACROSS)
    assert outcome(sqlmesh) == "Succeeded"


WRITES = [
    "apply-vulcanpromotions/status",
    "create-jobs",
    "replace-leases",
    "create-configmaps",
    "merge-jobs",
    "patch-vulcanpromotions",
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", range(1, 8))
def test_a_death_at_any_write_of_a_promotion_across_systems_changes_nothing(write: str, when: str, count: int) -> None:
    sqlmesh = two()
    sqlmesh.world.kube.writes.clear()
    sqlmesh.world.kube.crash_at(write, when, count)
    promote(sqlmesh, **ACROSS)
    sqlmesh.live(5 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.done.count("apply production/prod") == 1
    assert not [
        name for _, ns, name in sqlmesh.world.kube.objects if ns == "live" and name.startswith("to-prod-source")
    ]
    names = [j.name for j in sqlmesh.world.jobs()]
    assert len(names) == len(set(names)) and not sqlmesh.world.jobs(state=JobState.UNFINISHED)


def test_the_files_that_another_system_gets_are_those_of_the_source() -> None:
    sqlmesh = two()
    sqlmesh.world.apply(builders.promotion(**ACROSS)).settle()
    raw = next(
        o for (_, ns, n), o in sqlmesh.world.kube.objects.items() if ns == "live" and n.startswith("to-prod-source")
    )
    own = next(
        o for (_, ns, n), o in sqlmesh.world.kube.objects.items() if ns == "data" and n.startswith("staging-source")
    )
    assert raw["binaryData"] == own["binaryData"] and raw["binaryData"]


def test_files_that_are_gone_end_it_with_words() -> None:
    sqlmesh = two()
    sqlmesh.world.apply(builders.environment("qa", revisionFrom="Promotion", project=None)).settle()
    promote(sqlmesh, "to-qa", to={"environmentRef": {"name": "qa"}})
    edit(sqlmesh.world, "three")
    sqlmesh.work()  # staging moves on, and its copy of the old files goes
    promote(sqlmesh, **ACROSS, **{"from": {"environmentRef": {"name": "qa"}}})
    assert outcome(sqlmesh) == "Failed"
    assert "is gone; promote from" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


def test_the_gateway_tells_of_promotions_that_write_and_wait() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    writer = sqlmesh.world.gateway().status.active_writer
    assert writer is not None and (writer.job, writer.task, writer.environment) == (job, "promote", "data/to-prod")
    sqlmesh.world.annotate("venv/staging", run_requested_at="now").settle()
    assert [w.environment for w in sqlmesh.world.gateway().status.waiting] == ["data/staging"]
    sqlmesh.work()
    assert sqlmesh.world.gateway().status.active_writer is None


CHANGES: dict[str, dict[str, Any]] = {
    "target-suspended": {"venv/prod": {"suspend": True}},
    "target-asks-people": {"venv/prod": {"plan": ALWAYS}},
    "target-takes-a-project": {"venv/prod": {"revisionFrom": "Source", "project": {"configMap": {"name": "project"}}}},
    "target-audits-off": {"venv/prod": {"checks": {"audits": False}}},
    "source-another-plan-policy": {
        "venv/staging": {"plan": {"approval": {"mode": "Never"}, "categorization": "Breaking"}}
    },
    "source-suspended": {"venv/staging": {"suspend": True}},
    "source-another-project": {"venv/staging": {"project": {"configMap": {"name": "other"}}}},
}
AT = ["nothing", "plan", "audit", "promote"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", AT)
def test_specs_that_change_during_a_step_never_bring_another_revision(change: str, at: str) -> None:
    """Whatever happens to the two environments: prod has what it had, or the revision that was decided on."""
    sqlmesh = managed()
    world = sqlmesh.world
    world.apply(builders.config_map("other", **{"config.yaml": "x", "models__a.sql": "other"}))
    had, wanted = sqlmesh.targets["warehouse/prod"], sqlmesh.targets["warehouse/staging"]
    world.apply(builders.promotion()).settle()
    for kind in AT[1 : AT.index(at)]:
        sqlmesh.do(world.job(kind))
    job = world.start_job(at) if at != "nothing" else None
    for ref, spec in CHANGES[change].items():
        world.change(ref, **spec)
    world.resync().settle()
    if job is not None:
        world.finish_job(job.job, sqlmesh.answer(sqlmesh.task(world.job(job.job)))).settle()
    sqlmesh.work()
    sqlmesh.live(DAY)
    mine = outcome(sqlmesh)
    if change != "target-takes-a-project":
        assert sqlmesh.targets["warehouse/prod"] in (had, wanted)
        assert (sqlmesh.targets["warehouse/prod"] == wanted) == (mine == "Succeeded")
    world.change("venv/prod", suspend=False)
    sqlmesh.live(DAY)
    assert outcome(sqlmesh) is not None or world.says("vpromo/to-prod", "Ready")["Ready"].endswith(
        ("AwaitingApproval", "TargetNotManagedByPromotions")
    )
    assert not world.jobs(state=JobState.UNFINISHED)


def test_what_the_api_server_refuses_is_said_once_and_tried_again() -> None:
    sqlmesh = managed()
    sqlmesh.world.kube.fail("patch-vulcanpromotions", errors.Forbidden("cannot patch", status=403), times=-1)
    promote(sqlmesh)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/OperatorNotAuthorized"}
    before = sqlmesh.world.writes
    sqlmesh.live(10 * MINUTE)
    assert sqlmesh.world.writes - before < 60  # a try now and then, and no status that goes to and fro
    assert sum(e == "OperatorNotAuthorized" for e in sqlmesh.world.events("vpromo/to-prod")) <= 2
    sqlmesh.world.kube.heal()
    sqlmesh.live(10 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
