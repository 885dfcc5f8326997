"""Scheduled runs: when they start, what happens when they fail, and what Fresh says."""

import collections
import datetime as dt

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, HOUR, MINUTE, alive, edit, fresh
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result, Work
from vulcan_operator.kube.resources import CONFIG_MAPS

BERLIN = {"mode": "Cron", "cron": {"cron": "30 2 * * *", "timeZone": "Europe/Berlin"}}


def test_all_daily_models_have_one_run_job_a_day_for_seven_days() -> None:
    sqlmesh = alive()
    sqlmesh.done.clear()
    days = collections.Counter[dt.date]()
    for _ in range(7 * 24):
        before = len(sqlmesh.done)
        sqlmesh.live(HOUR)
        days[sqlmesh.world.clock.now().date()] += len(sqlmesh.done) - before
    assert sqlmesh.done == ["run warehouse/prod"] * 7
    assert max(days.values()) == 1


def test_a_run_starts_when_the_runner_said_that_a_model_is_due() -> None:
    sqlmesh = alive()
    assert sqlmesh.world.raw("venv/prod")["status"]["nextRunTime"] == "2026-11-23T00:00:00Z"
    sqlmesh.world.advance(DAY / 2 - MINUTE)
    assert len(sqlmesh.world.jobs("run")) == 1
    sqlmesh.world.advance(MINUTE)
    assert len(sqlmesh.world.jobs("run")) == 2


def test_a_cron_with_a_time_zone() -> None:
    sqlmesh = alive(schedule=BERLIN)
    assert sqlmesh.world.raw("venv/prod")["status"]["nextRunTime"] == "2026-11-23T01:30:00Z"
    assert len(sqlmesh.live(3 * DAY).done) == 2 + 3


def test_a_cron_that_does_not_exist_says_so_and_recovers() -> None:
    sqlmesh = fresh(builders.environment(schedule={"mode": "Cron", "cron": {"cron": "99 2 * * *"}})).work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/SpecInvalid"
    assert "99 2 * * *" in sqlmesh.world.conditions("venv/prod")["Ready"].message
    sqlmesh.world.change("venv/prod", schedule=BERLIN)
    assert sqlmesh.work().world.says("venv/prod")["Ready"] == "True/Ready"


def test_manual_runs_once_after_an_apply_and_then_on_request() -> None:
    sqlmesh = alive(schedule={"mode": "Manual"}).live(10 * DAY)
    assert sqlmesh.done.count("run warehouse/prod") == 1
    sqlmesh.world.annotate("venv/prod", run_requested_at="please")
    assert sqlmesh.work().done.count("run warehouse/prod") == 2
    assert sqlmesh.world.raw("venv/prod")["status"]["lastHandledRunRequestedAt"] == "please"


@pytest.mark.parametrize(
    ("first", "then", "due"),
    [
        ({"mode": "Manual"}, {"mode": "Auto"}, "2026-11-23T00:00:00Z"),
        ({"mode": "Cron", "cron": {"cron": "0 0 1 1 *"}}, {"mode": "Auto", "cron": None}, "2026-11-23T00:00:00Z"),
        ({"mode": "Auto"}, {"mode": "Cron", "cron": {"cron": "0 0 1 1 *"}}, "2027-01-01T00:00:00Z"),
        ({"mode": "Auto"}, {"mode": "Manual"}, None),
        ({"mode": "Cron", "cron": {"cron": "0 0 1 1 *"}}, {"cron": {"cron": "0 5 * * *"}}, "2026-11-23T05:00:00Z"),
    ],
    ids=["Manual to Auto", "Cron to Auto", "Auto to Cron", "Auto to Manual", "Cron to Cron"],
)
def test_a_schedule_that_is_switched_holds_from_then_on(
    first: dict[str, object], then: dict[str, object], due: str | None
) -> None:
    sqlmesh = alive(schedule=first)
    sqlmesh.world.change("venv/prod", schedule=then)
    sqlmesh.work()
    assert sqlmesh.world.raw("venv/prod")["status"].get("nextRunTime") == due


def test_a_failed_run_is_retried_given_up_and_tried_again_when_due_next() -> None:
    sqlmesh = alive(retry={"limit": 2})
    later = Work(plan_id="plan-0", next_run="2026-11-24T00:00:00Z")
    sqlmesh.fails["run"] = [Result("run", Reason.AUDIT_FAILED, "rows are wrong", work=later)] * 3
    sqlmesh.live(DAY)
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling", "Stalled", "RunSucceeded") == {
        "Ready": "False/RunFailed", "Reconciling": "False/RunFailed", "Stalled": "False/RunFailed",
        "RunSucceeded": "False/AuditFailed",
    }  # fmt: skip
    assert sqlmesh.world.raw("venv/prod")["status"]["nextRunTime"] == "2026-11-24T00:00:00Z"
    sqlmesh.live(DAY)
    assert sqlmesh.world.says("venv/prod", "Ready")["Ready"] == "True/Ready"
    assert sqlmesh.done.count("run warehouse/prod") == 2


def test_ready_does_not_flicker_while_a_failed_run_is_tried_again() -> None:
    sqlmesh = alive()
    sqlmesh.fails["run"] = [builders.failed("run", Reason.MODEL_FAILED)] * 3
    sqlmesh.live(DAY / 2)
    told = []
    for _ in range(80):
        told.append(sqlmesh.world.says("venv/prod")["Ready"])
        sqlmesh.world.advance(MINUTE / 12)
        if sqlmesh.world.jobs("run")[-1].state == "Unfinished":
            told.append(sqlmesh.world.says("venv/prod")["Ready"])
            sqlmesh.work()
    assert set(told) == {"False/ModelFailed", "True/Ready"}
    assert told.index("True/Ready") > len(told) - told[::-1].index("False/ModelFailed") - 1


def test_a_requested_run_that_fails_is_retried_too() -> None:
    sqlmesh = alive()
    sqlmesh.fails["run"] = [builders.failed("run", Reason.MODEL_FAILED)]
    sqlmesh.world.annotate("venv/prod", run_requested_at="1")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling") == {
        "Ready": "False/ModelFailed", "Reconciling": "True/ModelFailed",
    }  # fmt: skip
    sqlmesh.live(MINUTE)
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"


def test_append_only_rows_that_a_human_must_check_stop_all_runs_until_asked() -> None:
    sqlmesh = alive()
    sqlmesh.fails["run"] = [builders.failed("run", Reason.MANUAL_CHECK, "db.t 2026-11-22")]
    sqlmesh.live(3 * DAY)
    assert sqlmesh.world.says("venv/prod", "Ready", "Stalled") == {
        "Ready": "False/ManualCheckRequired", "Stalled": "True/ManualCheckRequired",
    }  # fmt: skip
    assert sqlmesh.done.count("run warehouse/prod") == 1
    sqlmesh.world.annotate("venv/prod", run_requested_at="checked")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"


def test_runs_go_on_while_a_change_waits_for_people_and_ready_keeps_saying_so() -> None:
    sqlmesh = alive(plan=ALWAYS)
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    sqlmesh.world.advance(DAY / 2)
    assert sqlmesh.world.job("run") and sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"
    sqlmesh.live(DAY)
    assert sqlmesh.done.count("run warehouse/prod") == 3
    assert sqlmesh.world.says("venv/prod", "Ready", "AwaitingApproval", "RunSucceeded") == {
        "Ready": "False/AwaitingApproval", "AwaitingApproval": "True/AwaitingApproval",
        "RunSucceeded": "True/Succeeded",
    }  # fmt: skip


def test_runs_go_on_while_a_change_fails() -> None:
    sqlmesh = alive()
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.PROJECT_LOAD_FAILED)]
    edit(sqlmesh.world, "broken")
    sqlmesh.live(2 * DAY)
    assert sqlmesh.done.count("run warehouse/prod") == 3
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/ProjectLoadFailed"


def test_runs_go_on_while_the_source_is_missing_and_ready_keeps_saying_so() -> None:
    sqlmesh = alive()
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", "project")
    sqlmesh.world.resync().settle()
    told = [sqlmesh.world.says("venv/prod", "Ready", "Reconciling")]
    sqlmesh.world.advance(DAY / 2)
    sqlmesh.world.start_job("run")
    told.append(sqlmesh.world.settle().says("venv/prod", "Ready", "Reconciling"))
    sqlmesh.do("run")
    told.append(sqlmesh.world.says("venv/prod", "Ready", "Reconciling"))
    assert told == [{"Ready": "False/ConfigMapNotFound", "Reconciling": "True/ConfigMapNotFound"}] * 3


def test_a_source_that_vanishes_during_an_apply_is_missed_as_soon_as_the_run_starts() -> None:
    sqlmesh = fresh(builders.environment()).work("plan")
    sqlmesh.world.kube.remove(CONFIG_MAPS, "data", "project")
    sqlmesh.do("apply")
    assert sqlmesh.world.job("run") and sqlmesh.world.says("venv/prod")["Ready"] == "False/ConfigMapNotFound"


def test_an_environment_that_is_gone_is_planned_again_and_its_runs_wait_for_that() -> None:
    sqlmesh = alive(plan=ALWAYS)
    sqlmesh.fails["run"] = [builders.failed("run", Reason.ENVIRONMENT_NOT_FOUND)] * 9
    sqlmesh.targets.clear()
    sqlmesh.live(DAY)
    assert len(sqlmesh.fails["run"]) == 8
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/AwaitingApproval"


def test_data_that_is_late_is_not_fresh_until_a_run_succeeds() -> None:
    sqlmesh = alive(freshness={"maxLag": "1h"})
    sqlmesh.fails["run"] = [builders.failed("run", Reason.STATE_BUSY)] * 30
    sqlmesh.live(DAY / 2 + HOUR / 2)
    assert sqlmesh.world.says("venv/prod")["Fresh"] == "True/UpToDate"
    sqlmesh.live(HOUR)
    fresh_ = sqlmesh.world.conditions("venv/prod")["Fresh"]
    assert fresh_.status == "False"
    assert fresh_.reason == "RunOverdue"
    assert fresh_.message == "a run has been due since 2026-11-23T00:00:00Z"
    sqlmesh.fails.clear()
    assert sqlmesh.live(HOUR).world.says("venv/prod")["Fresh"] == "True/UpToDate"


def test_an_overdue_run_is_noticed_without_any_event() -> None:
    world = alive(freshness={"maxLag": "1h"}).world
    world.change("venv/prod", suspend=True).settle()
    world.advance(DAY)
    assert world.says("venv/prod")["Fresh"] == "False/RunOverdue"
    with world.no_writes():
        world.advance(DAY)


def test_a_run_that_leaves_intervals_missing_is_not_fresh() -> None:
    sqlmesh = alive()
    work = Work(plan_id="plan-0", intervals_behind=3, blocked=3, next_run="2026-11-23T00:05:00Z")
    sqlmesh.fails["run"] = [Result("run", Reason.SIGNAL_NOT_READY, work=work)]
    sqlmesh.world.advance(DAY / 2)
    sqlmesh.do("run")
    assert sqlmesh.world.says("venv/prod", "Ready", "Fresh") == {
        "Ready": "True/Ready", "Fresh": "False/IntervalsMissing",
    }  # fmt: skip


def test_a_plan_applied_by_somebody_else_is_drift_until_the_next_apply() -> None:
    sqlmesh = alive()
    sqlmesh.plan_ids["warehouse/prod"] = "from a laptop"
    sqlmesh.live(DAY)
    assert sqlmesh.world.says("venv/prod")["Drifted"] == "True/AppliedElsewhere"
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod")["Drifted"] == "False/InSync"


def test_a_one_shot_is_done_once_and_needs_no_further_plan() -> None:
    operation = {"id": "fix-fx", "models": ["s.a"], "start": "2026-11-01"}
    sqlmesh = alive()
    sqlmesh.world.change("venv/prod", operations=[operation])
    sqlmesh.work()
    assert sqlmesh.world.raw("venv/prod")["status"]["operationsDone"] == ["fix-fx"]
    assert [j.task for j in sqlmesh.world.jobs()] == ["probe", *["plan", "apply", "run"] * 2]


def test_work_asked_for_by_annotation_is_echoed_and_done_once() -> None:
    sqlmesh = alive()
    sqlmesh.world.annotate("venv/prod", plan_requested_at="a", run_requested_at="b").annotate(
        "vgw/warehouse", probe_requested_at="c"
    )
    sqlmesh.work()
    status, gateway = (sqlmesh.world.raw(r)["status"] for r in ("venv/prod", "vgw/warehouse"))
    assert (status["lastHandledPlanRequestedAt"], status["lastHandledRunRequestedAt"]) == ("a", "b")
    assert gateway["lastHandledProbeRequestedAt"] == "c"
    counts = collections.Counter(j.task for j in sqlmesh.world.jobs())
    assert counts == {"probe": 2, "plan": 2, "apply": 1, "run": 2}


def test_a_polled_branch_that_moved_is_applied() -> None:
    git = {"url": "https://git.acme.com/a.git", "ref": "main", "pollInterval": "10m"}
    sqlmesh = fresh(builders.environment(project={"git": git, "configMap": None})).work()
    sqlmesh.live(HOUR)
    assert sqlmesh.done.count("apply warehouse/prod") == 1
    sqlmesh.refs["main"] = "f" * 40
    assert sqlmesh.live(11 * MINUTE).done.count("apply warehouse/prod") == 2
