"""Run: what is due and nothing else, and when the next thing is."""

import signal
from datetime import UTC, datetime, timedelta

from tests.runner import projects
from tests.runner.system import System
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.task import TaskKind

DAY = 86_400_000
SIGNAL = """
import os
from sqlmesh import signal


@signal()
def not_before(batch) -> bool:
    return os.path.exists("%s")
"""


def _forget_last_day(system: System, *, models: str = "%") -> None:
    """As if yesterday had only just ended. An interval record is as long as the batch it is of."""
    ((last,),) = system.query_state("select max(end_ts) from sqlmesh._intervals")
    at = f"name like '{models}' and end_ts = {last}"
    system.query_state(f"delete from sqlmesh._intervals where {at} and start_ts >= {last - DAY}")
    system.query_state(f"update sqlmesh._intervals set end_ts = {last - DAY} where {at}")


def _tomorrow() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def test_what_is_due_is_computed_once(settled: System) -> None:
    _forget_last_day(settled)
    due = settled.run()
    assert due.result.reason is Reason.SUCCEEDED, due.result.message
    assert due.result.work is not None
    assert (due.result.work.batches, due.result.work.intervals_behind) == (3, 0)
    assert settled.query("select count(*), count(distinct day) from t.days") == [(3, 3)]
    idle = settled.run().result
    assert (idle.reason, idle.outcome.value) == (Reason.NOTHING_TO_DO, "Succeeded")
    assert idle.work is not None and idle.work.next_run is not None
    assert datetime.fromisoformat(idle.work.next_run) == _tomorrow()


def test_a_run_needs_no_project(deployed: System) -> None:
    _forget_last_day(deployed)
    ended = deployed.run(source=None)
    assert ended.result.reason is Reason.SUCCEEDED
    assert deployed.query("select days from t.total") == [(3,)]


def test_an_unknown_environment_is_told(local: System) -> None:
    ended = local.run("nowhere")
    assert (ended.result.reason, ended.result.retries) == (Reason.ENVIRONMENT_NOT_FOUND, Retry.REPLAN)


def test_told_to_stop_it_does_not_start_over(local: System) -> None:
    local.project = None
    local.write({"config.yaml": projects.CONFIG, "models/slow.py": projects.SLOW})
    local.deploy()
    local.query_state("delete from sqlmesh._intervals")
    pod = local.start(local.task(TaskKind.RUN))
    pod.until("batch 1 of 3")
    pod.kill(signal.SIGTERM)
    ended = pod.wait()
    assert (ended.result.reason, ended.code) == (Reason.CANCELLED, 3)
    assert ended.result.work is not None
    assert 1 <= ended.result.work.batches < 3
    rest = local.run()
    assert rest.result.work is not None
    assert rest.result.work.batches == 3 - ended.result.work.batches
    assert local.query("select count(*), count(distinct day) from t.slow") == [(3, 3)]


def test_a_failing_model_stops_only_what_depends_on_it(deployed: System) -> None:
    _forget_last_day(deployed)
    (name,) = next(
        row
        for row in deployed.query("select table_name from information_schema.tables where table_name like 't__days__%'")
    )
    deployed.query(f'alter table sqlmesh__t."{name}" drop column n')
    ended = deployed.run()
    assert (ended.result.reason, ended.result.retries) == (Reason.MODEL_FAILED, Retry.BACKOFF)
    assert ended.result.failures[0].model == "t.days"
    assert ended.result.failures[0].interval.endswith("Z")
    assert ended.result.work is not None
    assert ended.result.work.next_run is not None
    assert datetime.fromisoformat(ended.result.work.next_run) == _tomorrow(), "the retry policy is the operator's"
    assert ended.result.work.intervals_behind > 0


def test_a_signal_that_is_not_ready_is_asked_again(deployed: System) -> None:
    flag = deployed.folder / "ready"
    flag.touch()
    signalled = projects.DAYS.replace("grain day", "grain day, signals (not_before())")
    deployed.write({"models/days.sql": signalled, "signals/__init__.py": SIGNAL % flag})
    deployed.deploy()
    flag.unlink()
    _forget_last_day(deployed, models="%days%")
    ended = deployed.run()
    assert ended.result.reason is Reason.SIGNAL_NOT_READY, ended.stdout
    assert ended.result.work is not None
    assert ended.result.work.blocked > 0
    wait = datetime.fromisoformat(str(ended.result.work.next_run)) - datetime.now(UTC)
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)
    flag.touch()
    assert deployed.run().result.reason is Reason.SUCCEEDED


def test_what_a_protected_environment_has_is_left_to_it(deployed: System) -> None:
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "10 * SUM(n)")})
    deployed.deploy("dev", protected_environments=("prod",))
    _forget_last_day(deployed)
    waiting = deployed.run("dev", protected_environments=("prod",))
    assert waiting.result.reason is Reason.NOTHING_TO_DO, waiting.result.message
    assert waiting.result.work is not None
    assert waiting.result.work.blocked > 0, "its own model reads what prod has not computed yet"
    assert deployed.run("prod").result.reason is Reason.SUCCEEDED
    ran = deployed.run("dev", protected_environments=("prod",))
    assert ran.result.reason is Reason.SUCCEEDED
    assert '"model": "t.total"' in ran.stdout
    assert '"model": "t.days"' not in ran.stdout
    alone = deployed.run("dev", protected_environments=("prod",))
    assert alone.result.reason is Reason.NOTHING_TO_DO


def test_the_next_run_is_when_the_next_restatement_is_due(local: System) -> None:
    kind = "INCREMENTAL_BY_TIME_RANGE (time_column day, batch_size 1"
    often = f"{kind}, auto_restatement_cron '@hourly', auto_restatement_intervals 1"
    local.write({"models/days.sql": projects.DAYS.replace(kind, often)})
    local.deploy()
    ended = local.run().result
    assert ended.work is not None and ended.work.next_run is not None, ended.message
    wait = datetime.fromisoformat(ended.work.next_run) - datetime.now(UTC)
    assert timedelta(0) < wait <= timedelta(hours=1), "not the model's own cron, at midnight"
