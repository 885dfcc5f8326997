"""A revision moves from one environment to another from what the state has, and back; no project is in the pod."""

import dataclasses
import itertools
import json
import threading
from datetime import UTC, datetime
from typing import Any

import duckdb
import psycopg2
import pytest

from tests.runner import projects
from tests.runner.system import Ended, System
from tests.runner.test_stored import FILES
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Promotion, TaskKind

CHANGED = projects.DAYS.replace("1 AS n", "2 AS n")


def plan_id(system: System, environment: str) -> str:
    """What the state says."""
    ((found,),) = system.query_state(f"select plan_id from sqlmesh._environments where name = '{environment}'")
    return str(found)


def staged(system: System, files: dict[str, str], change: dict[str, str]) -> Promotion:
    """prod has the project, staging a change of it; what is to be promoted."""
    system.write(files)
    system.deploy()
    system.write(change)
    system.deploy("staging")
    return Promotion("staging", plan_id(system, "staging"))


def planned(system: System, promotion: Promotion, environment: str = "prod") -> Ended:
    """Without a source."""
    return system.plan(environment, source=None, promotion=promotion)


def promoted(system: System, promotion: Promotion, environment: str = "prod", **env: str) -> Ended:
    """Planned, approved, promoted."""
    plan = planned(system, promotion, environment)
    assert plan.code == 0, plan.result.message
    return system.pod(order(system, promotion, plan, environment), **env)


def order(system: System, promotion: Promotion, plan: Ended, environment: str = "prod") -> Any:
    """The task that carries the decision."""
    return system.task(
        TaskKind.PROMOTE, environment, source=None, promotion=promotion, approved=system.approve(plan, by_human=True)
    )


def back(system: System, to: str, environment: str = "prod", **fields: Any) -> Ended:
    """From what it has now to an earlier plan of its own."""
    known: dict[str, Any] = {"expected": plan_id(system, environment), "catch_up": False}
    way = Promotion(environment, to, **(known | fields))
    return system.pod(system.task(TaskKind.ROLLBACK, environment, source=None, promotion=way))


def test_promoted_and_back_from_the_state_alone(anywhere: System) -> None:
    promotion = staged(anywhere, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(anywhere, "prod")
    anywhere.project = None
    plan = planned(anywhere, promotion)
    summary = plan.result.summary
    assert summary is not None
    assert (summary.directly_modified, summary.backfill_intervals, summary.computed) == (1, 0, ())
    ended = anywhere.pod(order(anywhere, promotion, plan))
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert ended.result.work is not None and ended.result.work.batches == 0
    assert ended.result.seconds.keys() >= {"plan", "apply", "audit"}
    assert anywhere.query("select sum(n) from t.days") == [(6,)]
    undone = back(anywhere, before)
    assert undone.result.reason is Reason.SUCCEEDED, undone.result.message
    assert anywhere.query("select sum(n) from t.days") == [(3,)]
    assert anywhere.run(source=None).result.reason is Reason.NOTHING_TO_DO
    again = promoted(anywhere, promotion)
    assert again.result.reason is Reason.SUCCEEDED
    assert anywhere.query("select sum(n) from t.days") == [(6,)]


def test_what_is_there_already_is_no_change(local: System) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    assert promoted(local, promotion).result.reason is Reason.SUCCEEDED
    assert planned(local, promotion).result.reason is Reason.NO_CHANGES


def test_naming_catalogs_and_materialisations_come_along(anywhere: System) -> None:
    word = {
        "materializations/wording.py": "WORD = 'new'\n",
        "models/worded.sql": FILES["models/worded.sql"] + "-- new\n",
    }
    changed = FILES["models/worded.sql"].replace("'never'", "'ever'")
    promotion = staged(anywhere, FILES, word | {"models/worded.sql": changed})
    anywhere.project = None
    ended = promoted(anywhere, promotion)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert anywhere.query("select days, word from t.worded") == [(3, "new")]
    anywhere.query_state("delete from sqlmesh._intervals")
    assert anywhere.run(source=None).result.reason is Reason.SUCCEEDED
    assert anywhere.query("select word from t.worded") == [("new",)]


SHARED = "RATE = 2\n\n\ndef worth(number: int) -> int:\n    return number * RATE\n"
PYTHON = """
import typing as t
from datetime import datetime
import pandas as pd
from shared.money import worth
from sqlmesh import ExecutionContext, model
from sqlmesh.core.model.kind import ModelKindName


@model("t.worth", kind=dict(name=ModelKindName.FULL), columns={"n": "int"})
def execute(context: ExecutionContext, start: datetime, end: datetime, **kwargs: t.Any) -> pd.DataFrame:
    return pd.DataFrame({"n": [worth(FACTOR)]})


FACTOR = 1
"""


def test_a_python_model_with_imports_comes_along(anywhere: System) -> None:
    files = projects.SMALL | {"shared/__init__.py": "", "shared/money.py": SHARED, "models/worth.py": PYTHON}
    promotion = staged(anywhere, files, {"models/worth.py": PYTHON.replace("FACTOR = 1", "FACTOR = 21")})
    anywhere.project = None
    ended = promoted(anywhere, promotion)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert anywhere.query("select n from t.worth") == [(42,)]
    anywhere.query_state("delete from sqlmesh._intervals")
    assert anywhere.run(source=None).result.reason is Reason.SUCCEEDED  # its code is in the state
    assert anywhere.query("select n from t.worth") == [(42,)]


def test_catalogs_by_environment_come_along(local: System) -> None:
    """Views of staging are in a catalog of their own; those of prod stay where they are."""
    options = dict(local.gateway.connection.options)
    catalogs = {"a_main": options.pop("database"), "b_aside": str(local.folder / "aside.duckdb")}
    connection = dataclasses.replace(local.gateway.connection, options={**options, "catalogs": catalogs})
    local.gateway = dataclasses.replace(local.gateway, connection=connection)
    mapping = "environment_catalog_mapping: {'^staging$': b_aside, '.*': a_main}\n"
    promotion = staged(local, projects.SMALL | {"config.yaml": projects.CONFIG + mapping}, {"models/days.sql": CHANGED})
    local.project = None
    assert promoted(local, promotion).result.reason is Reason.SUCCEEDED
    with duckdb.connect() as session:
        for name, path in catalogs.items():
            session.execute(f"attach '{path}' as {name} (read_only)")
        assert session.execute("select sum(n) from a_main.t.days").fetchall() == [(6,)]
        views = session.execute("select distinct table_catalog from information_schema.views where table_name = 'days'")
        assert {name for (name,) in views.fetchall()} == {"a_main", "b_aside"}


def snapshot_of(system: System, plan: str) -> tuple[str, str]:
    """Identifier and version of what t.days was at a plan."""
    ((snapshots,),) = system.query_state(f"select snapshots from sqlmesh._vulcan_history where plan_id = '{plan}'")
    identifier = next(i for name, i in json.loads(snapshots) if "days" in name)
    ((version,),) = system.query_state(f"select version from sqlmesh._snapshots where identifier = '{identifier}'")
    return identifier, version


def behind(system: System, plan: str) -> str:
    """As if what an environment had at a plan lacked the last day, whose beginning is returned (RFC 3339)."""
    _, version = snapshot_of(system, plan)
    where = f"where version = '{version}' and not is_removed"
    ((last,),) = system.query_state(f"select max(end_ts) from sqlmesh._intervals {where}")
    system.query_state(f"update sqlmesh._intervals set end_ts = {last - 86_400_000} {where} and end_ts = {last}")
    return datetime.fromtimestamp(last / 1000 - 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("catch_up", [True, False])
def test_the_way_back_catches_up_first_where_it_is_told_to(local: System, catch_up: bool) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(local, "prod")
    assert promoted(local, promotion).result.reason is Reason.SUCCEEDED
    until = behind(local, before)
    local.project = None
    ended = back(local, before, catch_up=catch_up)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    work = ended.result.work
    assert work is not None and (work.batches > 0) is catch_up
    assert (work.intervals_behind == 0) is catch_up
    assert work.complete_until == (None if catch_up else until)
    assert local.run(source=None).result.reason is (Reason.NOTHING_TO_DO if catch_up else Reason.SUCCEEDED)


def test_recent_intervals_are_caught_up_with_before_the_views_change(local: System) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    ((last,),) = local.query_state(
        "select max(end_ts) from sqlmesh._intervals where name like '%days%' and not is_removed"
    )
    ((version,),) = local.query_state(
        "select version from sqlmesh._snapshots where name like '%days%' order by updated_ts desc limit 1"
    )
    local.query_state(
        f"update sqlmesh._intervals set end_ts = {last - 86_400_000} where version = '{version}' and end_ts = {last}"
    )
    plan = planned(local, promotion)
    summary = plan.result.summary
    assert summary is not None and summary.catch_up_intervals >= 1, plan.result
    none = dataclasses.replace(promotion, max_catch_up=0)
    assert planned(local, none).result.reason is Reason.NOT_VIRTUAL_ONLY
    ended = local.pod(order(local, promotion, plan))
    assert ended.result.work is not None and ended.result.work.batches >= 1
    assert local.query("select count(*), count(distinct day) from t.days") == [(3, 3)]


def test_what_would_have_to_be_computed_is_named(local: System) -> None:
    local.write(projects.SMALL)
    local.deploy()
    local.write({"models/days.sql": CHANGED})
    local.deploy("staging")
    promotion = Promotion("staging", plan_id(local, "staging"))
    local.query_state("delete from sqlmesh._intervals where name like '%total%'")
    refused = planned(local, promotion).result
    assert refused.reason is Reason.NOT_VIRTUAL_ONLY and "t.total" in refused.message
    allowed = dataclasses.replace(promotion, virtual_only=False)
    summary = planned(local, allowed).result.summary
    assert summary is not None and "t.total" in summary.computed
    assert promoted(local, allowed).result.reason is Reason.SUCCEEDED


def test_a_plan_that_nobody_has_a_record_of_is_refused(local: System) -> None:
    staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    refused = planned(local, Promotion("staging", "0" * 32)).result
    assert refused.reason is Reason.CONFIGURATION_UNKNOWN


def test_snapshots_that_are_gone_are_named(local: System) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(local, "prod")
    assert promoted(local, promotion).result.reason is Reason.SUCCEEDED
    identifier, _ = snapshot_of(local, before)
    local.query_state(f"delete from sqlmesh._snapshots where identifier = '{identifier}'")
    refused = back(local, before).result
    assert refused.reason is Reason.ROLLBACK_UNAVAILABLE and "t.days" in refused.message
    assert local.query("select sum(n) from t.days") == [(6,)]


def test_tables_that_somebody_dropped_are_not_shown_empty(local: System) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(local, "prod")
    assert promoted(local, promotion).result.reason is Reason.SUCCEEDED
    _, version = snapshot_of(local, before)
    local.query(f"drop table sqlmesh__t.t__days__{version} cascade")
    refused = back(local, before).result
    assert refused.reason is Reason.ROLLBACK_UNAVAILABLE
    assert "t.days no longer have tables in the warehouse" in refused.message
    assert local.query("select sum(n) from t.days") == [(6,)]


def test_a_table_that_was_altered_since_is_not_put_back(local: System) -> None:
    local.write(projects.SMALL)
    local.deploy()
    before = plan_id(local, "prod")
    local.write({"models/days.sql": projects.DAYS.replace("1 AS n,", "1 AS n, 3 AS more,")})
    planned_forward = local.plan(plan=dataclasses.replace(local.task(TaskKind.PLAN).plan, forward_only=True))
    options = dataclasses.replace(local.task(TaskKind.PLAN).plan, forward_only=True)
    ended = local.apply(planned_forward, plan=options)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert back(local, before).result.reason is Reason.ROLLBACK_UNAVAILABLE


def test_the_way_back_is_from_what_is_to_be_undone_only(local: System) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(local, "prod")
    promoted(local, promotion)
    assert back(local, before, expected="f" * 32).result.reason is Reason.PLAN_CHANGED
    assert local.query("select sum(n) from t.days") == [(6,)]


@pytest.mark.parametrize("stage", ["apply", "EnvironmentRecordUpdateStage", "VirtualLayerUpdateStage", "end"])
def test_killed_it_goes_on_with_the_same_word(local: System, stage: str) -> None:
    promotion = staged(local, projects.SMALL, {"models/days.sql": CHANGED})
    before = plan_id(local, "prod")
    plan = planned(local, promotion)
    task = order(local, promotion, plan)
    assert local.pod(task, CRASH_TEST_AT=f"promote:{stage}").code == -9
    ended = local.pod(dataclasses.replace(task, job=f"{task.job}-2"))
    assert ended.result.reason in (Reason.SUCCEEDED, Reason.ALREADY_APPLIED), ended.result.message
    assert local.query("select sum(n) from t.days") == [(6,)]
    task = local.task(
        TaskKind.ROLLBACK, source=None,
        promotion=Promotion("prod", before, catch_up=False, expected=plan_id(local, "prod")),
    )  # fmt: skip
    assert local.pod(task, CRASH_TEST_AT=f"rollback:{stage}").code == -9
    ended = local.pod(dataclasses.replace(task, job=f"{task.job}-2"))
    assert ended.result.reason in (Reason.SUCCEEDED, Reason.ALREADY_APPLIED), ended.result.message
    assert local.query("select sum(n) from t.days") == [(3,)]


def test_no_reader_ever_meets_a_missing_or_a_mixed_view(remote: System) -> None:
    remote.write(projects.SMALL)
    remote.deploy()
    remote.write({"models/days.sql": CHANGED})
    remote.deploy("staging")
    promotion, done = Promotion("staging", plan_id(remote, "staging")), threading.Event()
    errors: list[str] = []
    seen: dict[str, list[Any]] = {
        "select sum(n), count(*) from t.days": [],
        "select n from t.total": [],
        "select * from t.shown": [],
    }

    def poll() -> None:
        options = remote.gateway.connection.options
        password = (remote.secrets / "warehouse" / "password").read_text().strip()
        where = {
            "host": options["host"],
            "port": options["port"],
            "user": options["user"],
            "dbname": options["database"],
        }
        session = psycopg2.connect(password=password, **where)
        session.autocommit = True  # a transaction would hold its lock on the view
        with session.cursor() as cursor:
            while not done.is_set():
                for view, rows in seen.items():
                    try:
                        cursor.execute(view)
                        rows.append(cursor.fetchone())
                    except psycopg2.Error as error:
                        errors.append(str(error))
        session.close()

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for _ in range(3):
            before = plan_id(remote, "prod")
            assert promoted(remote, promotion).result.reason is Reason.SUCCEEDED
            assert back(remote, before).result.reason is Reason.SUCCEEDED
    finally:
        done.set()
        reader.join()
    assert errors == [] and sum(map(len, seen.values())) > 1000
    days, total, shown = ([a for a, _ in itertools.groupby(rows)] for rows in seen.values())
    assert days == [(3, 3), (6, 3)] * 3 + [(3, 3)]  # each switch once: nothing jumps back and forth
    assert total == [(3,), (6,)] * 3 + [(3,)] and shown == [(3,)]


def test_the_audits_of_an_environment(local: System) -> None:
    audited = projects.DAYS.replace("grain day)", "grain day, audits (not_null(columns := (n))))")
    local.write(projects.SMALL | {"models/days.sql": audited})
    local.deploy()
    ended = local.pod(local.task(TaskKind.AUDIT, source=None))
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert ended.result.work is not None and ended.result.work.audits_run == 1
    ((table,),) = local.query(
        "select table_schema || '.' || table_name from information_schema.tables where table_name like 't__days%' limit 1"
    )
    local.query(f"update {table} set n = null")
    failed = local.pod(local.task(TaskKind.AUDIT, source=None)).result
    assert failed.reason is Reason.AUDIT_FAILED and failed.failures[0].model == "t.days"
