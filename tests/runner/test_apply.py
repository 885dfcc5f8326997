"""Apply: exactly what was decided on, once, whatever happens on the way."""

import dataclasses
import signal
import time

import psycopg2
import pytest

from tests.runner import projects
from tests.runner.system import CANARY, NAME, System
from tools.stand.postgres import Server
from vulcan_contract import digest
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.task import Limits, Operation, PlanOptions, TaskKind

SLOW = {"config.yaml": projects.CONFIG.replace("3 days", "4 days"), "models/slow.py": projects.SLOW}
SLOW_ROWS = "select count(*), count(distinct day) from t.slow"


def test_an_apply_is_done_once(deployed: System) -> None:
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MAX(n)")})
    planned = deployed.plan()
    first, second = deployed.apply(planned), deployed.apply(planned)
    assert (first.result.reason, second.result.reason) == (Reason.SUCCEEDED, Reason.ALREADY_APPLIED)
    assert first.result.work and second.result.work
    assert first.result.work.plan_id == second.result.work.plan_id
    assert second.result.work.batches == 0
    assert second.result.work.next_run is not None


def test_another_source_is_another_plan(deployed: System) -> None:
    planned = deployed.plan()
    approved = deployed.approve(planned)
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MAX(n)")})
    ended = deployed.apply(planned, approved=approved)
    assert (ended.result.reason, ended.result.retries) == (Reason.PLAN_CHANGED, Retry.REPLAN)
    assert deployed.query("select days, n from t.total") == [(3, 3)]


def test_an_environment_that_moved_on_is_another_plan(deployed: System) -> None:
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MAX(n)")})
    planned, project = deployed.plan(), deployed.project
    deployed.use(project)  # type: ignore[arg-type]
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MIN(n)")})
    deployed.deploy()
    deployed.project = project
    ended = deployed.apply(planned)
    assert ended.result.reason is Reason.PLAN_CHANGED
    assert "not what it was" in ended.result.message


def test_more_work_than_decided_on_is_another_plan(local: System) -> None:
    planned = local.plan()
    approved = local.approve(planned, backfill_intervals=2)
    assert local.apply(planned, approved=approved).result.reason is Reason.PLAN_CHANGED
    long_ago = dataclasses.replace(approved, planned_at="2026-01-01T00:00:00Z")
    assert local.apply(planned, approved=long_ago).result.reason is Reason.SUCCEEDED, "time explains the rest"


def test_limits_hold_unless_a_human_decided(local: System) -> None:
    planned = local.plan()
    limited = local.approve(planned, limits=Limits(max_backfill_intervals=4))
    assert local.apply(planned, approved=limited).result.reason is Reason.PLAN_CHANGED
    by_human = dataclasses.replace(limited, by_human=True)
    assert local.apply(planned, approved=by_human).result.reason is Reason.SUCCEEDED


def test_a_removal_that_was_not_shown_is_another_plan(deployed: System) -> None:
    (deployed.project / "models" / "shown.sql").unlink()  # type: ignore[operator]
    planned = deployed.plan()
    hidden = deployed.approve(planned, destructive=(), destructive_sha256="")
    assert deployed.apply(planned, approved=hidden).result.reason is Reason.PLAN_CHANGED
    assert deployed.apply(planned).result.reason is Reason.SUCCEEDED
    assert deployed.query("select count(*) from information_schema.tables where table_name = 'shown'") == [(0,)]


def test_losing_a_column_needs_a_human_or_the_spec(deployed: System) -> None:
    forward = PlanOptions(forward_only=True)
    deployed.write({"models/days.sql": projects.DAYS.replace(", 'x' AS word", "")})
    planned = deployed.plan(plan=forward)
    assert planned.result.summary is not None
    assert planned.result.summary.destructive == ("t.days",)
    alone = deployed.apply(planned, plan=forward)
    assert alone.result.reason is Reason.PLAN_REJECTED
    assert "t.days loses columns" in alone.result.message
    by_human = deployed.approve(planned, by_human=True)
    assert deployed.apply(planned, plan=forward, approved=by_human).result.reason is Reason.SUCCEEDED


def test_a_killed_backfill_goes_on_where_it_was(anywhere: System) -> None:
    anywhere.write(SLOW)
    planned = anywhere.plan()
    pod = anywhere.start(anywhere.apply_task(planned))
    pod.until("batch 2 of 4")
    pod.kill()
    assert pod.wait().result.reason is Reason.RUNNER_CRASHED
    resumed = anywhere.apply(planned)
    assert resumed.result.reason is Reason.SUCCEEDED, resumed.result.message
    assert resumed.result.work is not None
    assert resumed.result.work.resumed
    assert resumed.result.work.batches < 4
    assert anywhere.query(SLOW_ROWS) == [(4, 4)]


def test_an_apply_killed_after_the_swap_is_not_done_again(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    planned = anywhere.plan()
    killed = anywhere.pod(anywhere.apply_task(planned), CRASH_TEST_AT="apply:audit")
    assert killed.code == -signal.SIGKILL
    again = anywhere.apply(planned)
    assert again.result.reason is Reason.ALREADY_APPLIED, again.result.message
    assert again.result.work is not None
    assert (again.result.work.resumed, again.result.work.batches) == (True, 0)
    assert anywhere.query("select count(*) from t.days") == [(3,)]
    assert anywhere.plan().result.reason is Reason.NO_CHANGES


def test_an_apply_killed_while_swapping_is_repaired(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    planned = anywhere.plan()
    killed = anywhere.pod(anywhere.apply_task(planned), CRASH_TEST_AT="apply:VirtualLayerUpdateStage")
    assert killed.code == -signal.SIGKILL
    assert anywhere.query("select count(*) from information_schema.tables where table_schema = 't'") == [(0,)]
    assert anywhere.run().result.reason is Reason.UNFINALIZED
    repaired = anywhere.apply(planned)
    assert repaired.result.reason is Reason.SUCCEEDED, repaired.result.message
    assert anywhere.query("select days from t.shown") == [(3,)]


def test_an_apply_killed_in_every_attempt_knows_what_the_first_one_left(local: System) -> None:
    planned = local.plan()
    for point in ("VirtualLayerUpdateStage", "apply"):
        assert local.pod(local.apply_task(planned), CRASH_TEST_AT=f"apply:{point}").code == -signal.SIGKILL
    resumed = local.apply(planned)
    assert resumed.result.reason is Reason.SUCCEEDED, resumed.result.message
    assert local.query("select days from t.shown") == [(3,)]


@pytest.mark.parametrize("phase", ["started", "done"])
def test_a_record_of_the_same_decision_does_not_excuse_an_environment_that_moved_on(
    deployed: System, phase: str
) -> None:
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MAX(n)")})
    planned = deployed.plan()
    token = deployed.approve(planned).token
    deployed.query_state(f"update sqlmesh._vulcan_apply set token = '{token}', phase = '{phase}'")
    deployed.query_state("update sqlmesh._environments set plan_id = 'of somebody else'")
    ended = deployed.apply(planned)
    assert ended.result.reason is Reason.PLAN_CHANGED
    assert "not what it was" in ended.result.message


def test_told_to_stop_it_finishes_its_batch(anywhere: System) -> None:
    anywhere.write(SLOW)
    planned = anywhere.plan()
    pod = anywhere.start(anywhere.apply_task(planned))
    pod.until("batch 1 of 4")
    pod.kill(signal.SIGTERM)
    time.sleep(0.2)
    pod.kill(signal.SIGTERM)
    ended = pod.wait()
    assert (ended.result.reason, ended.result.retries) == (Reason.CANCELLED, Retry.NOW)
    assert "batch 4 of 4" not in ended.stdout
    assert anywhere.apply(planned).result.reason is Reason.SUCCEEDED
    assert anywhere.query(SLOW_ROWS) == [(4, 4)]


def test_one_writer_at_a_time(anywhere: System) -> None:
    anywhere.write(SLOW)
    planned = anywhere.plan()
    first = anywhere.start(anywhere.apply_task(planned), NAP="600")
    first.until("4 batches of 1 models to compute")
    second = anywhere.apply(planned)
    assert (second.result.reason, second.result.retries) == (Reason.STATE_BUSY, Retry.WAIT)
    first.kill()
    first.wait()
    assert anywhere.pod(anywhere.apply_task(planned), NAP="0").result.reason is Reason.SUCCEEDED
    assert anywhere.query(SLOW_ROWS) == [(4, 4)]


def test_without_its_lock_it_stops_writing(remote: System) -> None:
    remote.write(SLOW)
    planned = remote.plan()
    pod = remote.start(remote.apply_task(planned))
    pod.until("batch 1 of 4")
    remote.query_state("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
    ended = pod.wait()
    assert ended.result.reason is Reason.STATE_UNREACHABLE
    assert "lock" in ended.result.message


def test_what_a_lost_job_left_running_is_ended(remote: System, servers: tuple[Server, Server]) -> None:
    remote.write(projects.SMALL)
    planned = remote.plan()
    zombie = _zombie(remote, servers[0])
    ended = remote.apply(planned)
    assert ended.result.reason is Reason.SUCCEEDED
    assert "left behind" in ended.stdout
    with pytest.raises(psycopg2.Error):
        zombie.execute("select 1")


def _zombie(system: System, server: Server) -> psycopg2.extensions.cursor:
    """A session as a lost writer of this gateway leaves it: its role, and the name that writers of the gateway have."""
    session = psycopg2.connect(
        host="127.0.0.1", port=server.port, user=NAME, dbname=NAME, password=CANARY,
        application_name=f"vulcan-w:{digest.of_json(str(system.gateway.owner))[:10]}:old",
    )  # fmt: skip
    return session.cursor()


def test_an_append_in_flight_waits_until_a_human_has_checked_it(anywhere: System) -> None:
    anywhere.write({"config.yaml": projects.CONFIG, "models/appended.py": projects.APPENDED})
    planned = anywhere.plan()
    lost = anywhere.apply_task(planned)
    pod = anywhere.start(lost)
    pod.until("appending")
    pod.kill()
    pod.wait()
    for checked in ("", "another-job"):
        asked = anywhere.apply(planned, checked=checked)
        assert (asked.result.reason, asked.result.retries) == (Reason.MANUAL_CHECK, Retry.NEVER)
    assert "sqlmesh__t.t__appended__" in asked.result.message
    assert "T00:00:00Z to " in asked.result.message
    assert f"vulcan.dev/checked={lost.job} and vulcan.dev/plan-requested-at" in asked.result.message
    after = anywhere.apply(planned, checked=lost.job)
    assert after.result.reason is Reason.SUCCEEDED, after.result.message
    assert anywhere.query("select count(*), count(distinct day) from t.appended") == [(3, 3)]


def test_a_lost_append_concerns_its_environment_and_whoever_writes_its_table(local: System) -> None:
    local.write({"models/appended.py": projects.APPENDED})
    planned = local.plan()
    lost = local.start(local.apply_task(planned))
    lost.until("appending")
    lost.kill()
    lost.wait()
    local.query_state("update sqlmesh._vulcan_inflight set environment = 'dev'")
    asked = local.apply(planned)
    assert (asked.result.reason, asked.result.retries) == (Reason.MANUAL_CHECK, Retry.NEVER), asked.result
    assert "\nappending" not in asked.stdout
    local.query_state("update sqlmesh._vulcan_inflight set physical_table = 'another'")
    assert local.apply(planned).result.reason is Reason.SUCCEEDED


def test_an_append_whose_statement_was_refused_asks_nobody(anywhere: System) -> None:
    broken = "MODEL (name t.broken, kind INCREMENTAL_UNMANAGED); SELECT CAST('abc' || @start_ds AS INT) AS x;"
    anywhere.write({"config.yaml": projects.CONFIG, "models/broken.sql": broken})
    planned = anywhere.plan()
    reasons = [anywhere.apply(planned).result.reason for _ in range(2)]
    assert reasons == [Reason.MODEL_FAILED, Reason.MODEL_FAILED]


def test_a_blocking_audit_stops_before_the_swap(anywhere: System) -> None:
    audited = projects.DAYS.replace("grain day", "grain day, audits (accepted_values(column := n, is_in := (2)))")
    anywhere.write({"config.yaml": projects.CONFIG, "models/days.sql": audited})
    ended = anywhere.apply(anywhere.plan())
    assert (ended.result.reason, ended.result.retries) == (Reason.AUDIT_FAILED, Retry.BACKOFF)
    failure = ended.result.failures[0]
    assert (failure.model, failure.audit) == ("t.days", "accepted_values")
    assert "found 1 rows" in failure.message
    assert anywhere.query("select count(*) from information_schema.tables where table_name = 'days'") == [(0,)]


def test_audits_that_a_killed_apply_owes_are_made_up_for(local: System) -> None:
    audited = projects.DAYS.replace("grain day", "grain day, audits (accepted_values(column := n, is_in := (1)))")
    local.write({"models/days.sql": audited})
    planned = local.plan()
    local.apply(planned)
    local.query_state("update sqlmesh._vulcan_apply set phase = 'started'")
    ((name,),) = local.query("select table_name from information_schema.tables where table_name like 't__days__%'")
    local.query(f'update sqlmesh__t."{name}" set n = 2')
    owed = local.apply(planned)
    assert owed.result.reason is Reason.AUDIT_FAILED
    assert owed.result.message == "Applied, but t.days: audit accepted_values found 3 rows"
    assert owed.result.work is not None and owed.result.work.rollback == ()  # who has to go back is told where to
    local.query(f'update sqlmesh__t."{name}" set n = 1')
    assert local.apply(planned).result.reason is Reason.ALREADY_APPLIED


def test_a_failing_model_is_named_without_its_data(anywhere: System) -> None:
    bad = "MODEL (name t.bad, kind FULL); SELECT CAST(word || '-4711' AS INT) AS x FROM t.days;"
    anywhere.write({**projects.SMALL, "models/bad.sql": bad})
    ended = anywhere.apply(anywhere.plan())
    assert (ended.result.reason, ended.result.retries) == (Reason.MODEL_FAILED, Retry.BACKOFF)
    assert [f.model for f in ended.result.failures] == ["t.bad"]
    assert "4711" not in ended.result.to_message()
    assert ended.result.work is not None
    assert ended.result.work.batches == 5


def test_a_lost_connection_is_worth_waiting_for(remote: System) -> None:
    gone = "MODEL (name t.gone, kind FULL); SELECT pg_terminate_backend(pg_backend_pid()) AS x;"
    remote.write({"config.yaml": projects.CONFIG, "models/gone.sql": gone})
    ended = remote.apply(remote.plan())
    assert (ended.result.reason, ended.result.retries) == (Reason.MODEL_FAILED, Retry.WAIT)


def test_a_restatement_computes_again_what_it_names(settled: System) -> None:
    ((name,),) = settled.query(
        "select table_name from information_schema.tables where table_schema = 'sqlmesh__t'"
        " and table_name like 't__days__%' and table_type = 'BASE TABLE' and table_name not like '%dev'"
    )
    settled.query(f'update sqlmesh__t."{name}" set n = 100')
    ((last,),) = settled.query("select max(day) from t.days")
    operation = Operation("fix-1", "Restate", ("t.days",), start=f"{last}T00:00:00Z", end=f"{last}T23:59:59Z")
    planned = settled.plan(operations=(operation,))
    assert planned.result.reason is Reason.SUCCEEDED, planned.result.message
    assert planned.result.summary is not None
    assert {m.name: m.change for m in planned.result.summary.models}["t.days"] == "Restated"
    other = dataclasses.replace(operation, id="fix-2")
    assert settled.apply(planned, operations=(other,)).result.reason is Reason.PLAN_CHANGED
    applied = settled.apply(planned, operations=(operation,))
    assert applied.result.reason is Reason.SUCCEEDED, applied.result.message
    assert sorted(settled.query("select n from t.days")) == [(1,), (100,), (100,)]
    assert settled.query("select n from t.total") == [(201,)]


def test_an_environment_is_made_from_prod_and_dropped(settled: System) -> None:
    settled.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "10 * SUM(n)")})
    settled.deploy("dev")
    assert settled.query("select a.n, b.n from t.total a, t__dev.total b") == [(3, 30)]
    ((expires,),) = settled.query_state("select expiration_ts from sqlmesh._environments where name = 'dev'")
    assert expires is None
    gone, again = (settled.pod(settled.task(TaskKind.INVALIDATE, "dev")).result.reason for _ in range(2))
    assert (gone, again) == (Reason.SUCCEEDED, Reason.SUCCEEDED)
    assert settled.query("select count(*) from information_schema.schemata where schema_name = 't__dev'") == [(0,)]
    assert settled.query("select n from t.total") == [(3,)]


def test_prod_is_never_dropped(deployed: System) -> None:
    assert deployed.pod(deployed.task(TaskKind.INVALIDATE, "prod")).result.reason is Reason.PLAN_REJECTED
