"""Soda checks of what was applied."""

import base64
from typing import Any

from tests import builders
from tests.stories.lives import DAY, MINUTE, alive, edit, fresh, managed
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract.digest import of_files
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Failure, Result, Work
from vulcan_operator.kube.resources import CONFIG_MAPS
from vulcan_operator.plan.core.seen import JobState

SODA = {"soda": {"configMapRef": {"name": "quality"}}}
TEXT = "checks for s${schema_suffix}.a:\n  - row_count > 0\n"
NO = Result(
    "checks", Reason.CHECKS_FAILED, "1 of 4 Soda checks fail; s.a: check row_count > 0 fails",
    failures=(Failure("s.a", Reason.CHECKS_FAILED, "check row_count > 0 fails", audit="row_count > 0"),),
    work=Work(plan_id="plan-0", audits_run=4),
)  # fmt: skip


def quality(text: str = TEXT, namespace: str = "data") -> dict[str, Any]:
    """The ConfigMap that the environments here name."""
    return builders.config_map("quality", namespace, **{"a.yml": text})


def copies(world: World) -> list[dict[str, Any]]:
    """Of the SodaCL files, beside the Jobs."""
    return [c for c in world.kube.all(CONFIG_MAPS) if "-checks-" in c["metadata"]["name"]]


def begun(**spec: Any) -> SqlMesh:
    """An environment that names checks, up to its checks Job."""
    sqlmesh = fresh(quality(), builders.environment(checks=SODA, **spec))
    sqlmesh.work("plan", "apply")
    return sqlmesh


def test_what_was_applied_is_checked_once_and_then_it_runs() -> None:
    sqlmesh = begun()
    assert sqlmesh.world.says("venv/prod", "Ready", "Applied") == {
        "Ready": "Unknown/CheckingData",
        "Applied": "True/UpToDate",
    }
    sqlmesh.work()
    assert sqlmesh.done == ["apply warehouse/prod", "checks warehouse/prod", "run warehouse/prod"]
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    checked = sqlmesh.world.environment().status.checks
    assert checked is not None and (checked.plan_id, checked.checks, checked.warned) == ("plan-0", 4, 0)
    sqlmesh.live(3 * DAY)
    assert sqlmesh.done.count("checks warehouse/prod") == 1 and len(sqlmesh.done) == 6


def test_its_job_mounts_a_copy_of_just_those_files_which_goes_when_it_has_ended() -> None:
    sqlmesh = begun()
    (copy,) = copies(sqlmesh.world)
    job = sqlmesh.world.job("checks")
    raw = sqlmesh.world.kube.objects["jobs", "data", job.name]["spec"]["template"]["spec"]
    assert {"name": "checks", "configMap": {"name": copy["metadata"]["name"]}} in raw["volumes"]
    assert copy["immutable"] and base64.b64decode(copy["binaryData"]["a.yml"]).decode() == TEXT
    task = sqlmesh.task(job)
    assert task.checks is not None and task.checks.digest == of_files({"a.yml": TEXT.encode()})
    assert not task.kind.writes
    sqlmesh.do(job)
    assert copies(sqlmesh.world) == []


def test_a_check_that_fails_is_told_and_tried_again_while_runs_go_on() -> None:
    sqlmesh = begun(retry={"limit": 2, "backoff": "1m"})
    sqlmesh.fails["checks"] = [NO, NO]
    sqlmesh.work("checks")
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert (ready.status, ready.reason) == ("False", "ChecksFailed")
    assert "s.a: check row_count > 0 fails" in ready.message and "Next attempt at" in ready.message
    assert sqlmesh.world.says("venv/prod", "Applied") == {"Applied": "True/UpToDate"}
    sqlmesh.work("run")
    assert sqlmesh.done == ["apply warehouse/prod", "run warehouse/prod"]
    assert sqlmesh.world.says("venv/prod", "Ready", "RunSucceeded") == {
        "Ready": "False/ChecksFailed", "RunSucceeded": "True/Succeeded"
    }  # fmt: skip
    sqlmesh.live(10 * MINUTE)
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert len(sqlmesh.world.jobs("checks")) == 3


def test_given_up_it_waits_for_another_revision_other_files_or_a_word() -> None:
    for mend in (
        lambda w: edit(w, "two"),
        lambda w: w.apply(quality("checks for s.b:\n  - row_count > 0\n")).resync(),
        lambda w: w.annotate("venv/prod", plan_requested_at="now"),
    ):
        sqlmesh = begun(retry={"limit": 0})
        sqlmesh.fails["checks"] = [NO]
        sqlmesh.live(DAY)
        assert sqlmesh.world.says("venv/prod", "Ready", "Stalled") == {
            "Ready": "False/ChecksFailed", "Stalled": "True/ChecksFailed"
        }  # fmt: skip
        mend(sqlmesh.world)
        sqlmesh.work()
        assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
        assert "checks warehouse/prod" in sqlmesh.done


def test_files_that_are_added_later_or_changed_are_checked_and_those_that_go_are_forgotten() -> None:
    sqlmesh = alive()
    sqlmesh.world.change("venv/prod", checks=SODA).settle()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert (ready.reason, ready.message) == ("ConfigMapNotFound", "ConfigMap data/quality does not exist; create it")
    sqlmesh.world.apply(quality()).resync()
    assert sqlmesh.work().done[-1] == "checks warehouse/prod"
    sqlmesh.fails["checks"] = [NO]
    sqlmesh.world.apply(quality("checks for s.a:\n  - row_count > 9\n")).resync()
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "False/ChecksFailed"}
    sqlmesh.world.change("venv/prod", checks={"soda": None})
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert sqlmesh.done.count("apply warehouse/prod") == 1


def test_an_environment_of_promotions_is_checked_after_each() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(quality()).change("venv/prod", checks=SODA).settle()
    sqlmesh.work()
    assert sqlmesh.done[-1] == "checks warehouse/prod"
    sqlmesh.world.apply(builders.promotion())
    sqlmesh.work()
    assert sqlmesh.done.count("checks warehouse/prod") == 2, sqlmesh.done
    promoted = sqlmesh.world.environment().status
    assert promoted.checks is not None and promoted.applied is not None
    assert promoted.checks.plan_id == promoted.applied.plan_id


def test_checks_of_another_namespace_leave_no_copy_behind() -> None:
    grants = [{"namespaces": {"from": "All"}, "environments": ["*"]}]
    sqlmesh = fresh()
    sqlmesh.world.apply(builders.gateway(grants=grants)).settle()
    theirs = builders.environment("prod", "team", gatewayRef={"name": "warehouse", "namespace": "data"}, checks=SODA)
    sqlmesh.world.apply(builders.config_map(namespace="team"), quality(namespace="team"), theirs).settle()
    sqlmesh.work("plan", "apply")
    (copy,) = copies(sqlmesh.world)
    assert copy["metadata"]["namespace"] == "data" and "ownerReferences" not in copy["metadata"]
    sqlmesh.work()
    assert copies(sqlmesh.world) == [] and sqlmesh.world.says("venv/team/prod", "Ready") == {"Ready": "True/Ready"}


def test_a_lost_checks_job_is_done_again() -> None:
    sqlmesh = begun()
    sqlmesh.world.start_job("checks")
    sqlmesh.world.settle().lose_job("checks").settle()
    sqlmesh.live(10 * MINUTE)
    assert sqlmesh.done.count("checks warehouse/prod") == 1
    assert sqlmesh.world.jobs("checks", JobState.UNFINISHED) == [] and copies(sqlmesh.world) == []
