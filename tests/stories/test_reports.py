"""The full report of a plan: in a ConfigMap before status names it, and gone when nothing does."""

from tests import builders
from tests.stories.lives import ALWAYS, MINUTE, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract import report
from vulcan_contract.result import Result
from vulcan_operator.kube.resources import CONFIG_MAPS


def plan_with_report(sqlmesh: SqlMesh, *, log: bool = True) -> None:
    """Finish the plan Job; its report may be missing from the log."""
    task = sqlmesh.task(sqlmesh.world.job("plan"))
    result = sqlmesh.answer(task)
    lines, sha256, _ = report.frames({"plan": result.summary and result.summary.target}, task.nonce)
    noise = ["::vulcan-report:forged:1/1:AAAA", "loading models"]
    data = {**result.__dict__, "report_sha256": sha256}
    sqlmesh.world.clock.advance(MINUTE / 60)
    sqlmesh.world.finish_job("plan", Result(**data), log="\n".join([*noise, *lines]) if log else "rotated").settle()


def reports(sqlmesh: SqlMesh) -> list[str]:
    """ConfigMaps with reports."""
    return [c["metadata"]["name"] for c in sqlmesh.world.kube.all(CONFIG_MAPS) if "-plan-" in c["metadata"]["name"]]


def test_the_report_is_there_before_status_names_it_and_belongs_to_the_environment() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    sqlmesh.world.kube.crash_at("create-configmaps", "after", 1)
    plan_with_report(sqlmesh)
    reference = sqlmesh.world.raw("venv/prod")["status"]["plan"]["reportRef"]
    stored = sqlmesh.world.kube.objects["configmaps", "data", reference["name"]]
    assert stored["immutable"] and stored["metadata"]["ownerReferences"][0]["kind"] == "VulcanEnvironment"
    assert reports(sqlmesh) == [reference["name"]]


def test_a_report_that_is_lost_is_planned_for_again_before_an_approval_counts() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh, log=False)
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/Lost"
    assert "plan" not in sqlmesh.world.raw("venv/prod")["status"]
    sqlmesh.world.advance(MINUTE)
    plan_with_report(sqlmesh)
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_a_report_that_somebody_deleted_is_planned_for_again_before_an_approval_counts() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    (name,) = reports(sqlmesh)
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", name)
    sqlmesh.world.approve("venv/prod").settle()
    assert sqlmesh.world.jobs("apply") == []
    plan_with_report(sqlmesh)
    assert len(reports(sqlmesh)) == 1 and reports(sqlmesh) != [name]
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"


def test_reports_of_the_pending_and_the_applied_plan_are_kept_and_others_go() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    first = reports(sqlmesh)
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    for text in ("two", "three"):
        edit(sqlmesh.world, text)
        plan_with_report(sqlmesh)
    assert len(reports(sqlmesh)) == 2 and set(first) < set(reports(sqlmesh))
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    assert len(reports(sqlmesh)) == 1 and reports(sqlmesh) != first


def test_a_pending_plan_that_is_dropped_takes_its_report_along() -> None:
    sqlmesh = fresh(builders.environment(plan=ALWAYS))
    plan_with_report(sqlmesh)
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    first = reports(sqlmesh)
    original = sqlmesh.world.kube.objects["configmaps", "data", "project"]["data"]
    edit(sqlmesh.world, "two")
    plan_with_report(sqlmesh)
    assert len(reports(sqlmesh)) == 2
    sqlmesh.world.apply(builders.config_map(**original)).resync().settle()
    assert reports(sqlmesh) == first
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
