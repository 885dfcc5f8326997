"""What a promotion would make of data, told in numbers: rows within one system, statistics of two."""

import dataclasses
import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import pytest

from tests.runner import projects
from tests.runner.conftest import Points
from tests.runner.system import Ended, System
from tests.runner.test_promote import plan_id
from vulcan_contract import report
from vulcan_contract.codec import encode
from vulcan_contract.diff_report import MAX_UNPACKED, ColumnStatistics, DiffReport, ModelStatistics
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Connection, Diff, SecretRef, Task, TaskKind
from vulcan_runner.diffing import fitted

BASE = """
MODEL (name t.base, kind INCREMENTAL_BY_TIME_RANGE (time_column day), grain (day, id));
SELECT CAST(d.day AS DATE) AS day, CAST(i.i AS INT) AS id, CAST(i.i * 10 AS INT) AS cents,
  CAST(CASE WHEN i.i = 1 THEN NULL ELSE 'secretword' END AS TEXT) AS word, CAST(i.i AS DOUBLE PRECISION) / 4 AS share
FROM GENERATE_SERIES(CAST(@start_ds AS TIMESTAMP), CAST(@end_ds AS TIMESTAMP), INTERVAL '1 DAY') AS d(day)
CROSS JOIN GENERATE_SERIES(1, 10) AS i(i)
"""
COPY = """
MODEL (name t.copy, kind INCREMENTAL_BY_TIME_RANGE (time_column day), grain (day, id));
SELECT day, id, cents, word, share FROM t.base WHERE day BETWEEN @start_ds AND @end_ds
"""


def full(name: str, grain: str, query: str) -> str:
    """A model that is computed as a whole."""
    return f"MODEL (name t.{name}, kind FULL{f', grain {grain}' if grain else ''}); {query}"


FILES = {
    "config.yaml": projects.CONFIG,
    "models/base.sql": BASE,
    "models/copy.sql": COPY,
    "models/shown.sql": "MODEL (name t.shown, kind VIEW, grain (day, id)); SELECT day, id, cents FROM t.copy",
    "models/same.sql": full("same", "id", "SELECT DISTINCT id, word FROM t.base WHERE id <= 2"),
    "models/empty.sql": full("empty", "id", "SELECT id, word FROM t.base WHERE id > 1000"),
    "models/big.sql": full("big", "id", "SELECT DISTINCT id, CAST(id AS DOUBLE PRECISION) * 1e300 AS n FROM t.base"),
    "models/plain.sql": full("plain", "", "SELECT id, word FROM t.base"),
    "models/double.sql": full("double", "id", "SELECT id, day FROM t.base"),
    "models/apart.sql": full("apart", "n", "SELECT 1 AS n"),
    "models/gone.sql": full("gone", "n", "SELECT 1 AS n"),
}
# id 3 has other cents, id 10 is gone, 11 and 12 are new: on each of three days.
CHANGED = BASE.replace("i.i * 10 AS INT", "CASE WHEN i.i = 3 THEN 7 ELSE i.i * 10 END AS INT").replace(
    "GENERATE_SERIES(1, 10) AS i(i)", "GENERATE_SERIES(1, 12) AS i(i) WHERE i.i <> 10"
)


def deployed(system: System, files: dict[str, str], change: dict[str, str]) -> Diff:
    """prod has the project, staging a change of it; what is to be compared."""
    system.write(files)
    system.deploy()
    system.write(change)
    assert system.project is not None
    (system.project / "models" / "gone.sql").unlink(missing_ok=True)
    system.deploy("staging")
    return Diff("staging", plan_id(system, "staging"))


def task(system: System, diff: Diff, environment: str = "prod") -> Task:
    """Without a source."""
    return system.task(TaskKind.DIFF, environment, source=None, diff=diff)


def looked(system: System, diff: Diff, environment: str = "prod") -> DiffReport:
    """The report of a diff that worked."""
    wanted = task(system, diff, environment)
    ended = system.pod(wanted)
    assert ended.result.reason is Reason.SUCCEEDED, (ended.result, ended.stdout[-3000:])
    assert "secretword" not in ended.stdout + ended.result.to_message()
    return read(ended, wanted)


def read(ended: Ended, wanted: Task) -> DiffReport:
    """As the operator reads it."""
    packed = report.packed(ended.stdout.splitlines(), wanted.nonce, ended.result.report_sha256 or "")
    assert packed is not None
    text = gzip.decompress(packed).decode()
    assert "secretword" not in text
    return DiffReport.from_json(text)


def by_name(found: DiffReport) -> dict[str, Any]:
    """Its models."""
    return {m.name.removeprefix("t."): m for m in (*found.models, *found.counted)}


def relations(system: System) -> list[tuple[Any, ...]]:
    """Everything there is in the warehouse, by name."""
    tables = "select table_schema, table_name from information_schema.tables"
    schemas = "select schema_name, '' from information_schema.schemata"
    found = system.query(f"{tables} union all {schemas}")
    # PostgreSQL keeps the (empty) schema of a session's temporary tables.
    return sorted(f for f in found if f[1] or "_temp_" not in f[0])


def test_models_whose_table_changes_are_compared_row_by_row(anywhere: System) -> None:
    new = {"models/base.sql": CHANGED, "models/new.sql": full("new", "n", "SELECT 2 AS n")}
    wanted = deployed(anywhere, FILES, new)
    there, state = relations(anywhere), anywhere.query_state("select * from sqlmesh._intervals order by id")
    anywhere.project = None
    found = looked(anywhere, wanted)
    assert (found.environment, found.plan_id) == ("prod", plan_id(anywhere, "prod"))
    assert (found.source_environment, found.source_plan_id) == ("staging", wanted.plan_id)
    assert (found.added, found.removed, found.identical, found.left_alone) == (1, 1, 1, 1)
    models = by_name(found)
    assert set(models) == {"big", "copy", "shown", "same", "empty", "plain", "double"}
    # SQLMesh compares numbers as decimals, which these do not fit into; the others are compared all the same.
    assert models["big"].method == "" and models["big"].why and "300" not in models["big"].why
    assert all(not m.directly_modified for m in models.values())
    copy = models["copy"]
    assert (copy.method, copy.before, copy.after, copy.joined, copy.equal) == ("Rows", 30, 33, 27, 24)
    assert copy.columns == {"cents": pytest.approx(100 / 9, abs=1e-5)} and copy.end == copy.before_end != ""
    assert (models["shown"].before, models["shown"].equal, models["shown"].end) == (30, 24, "")
    assert (models["same"].before, models["same"].after, models["same"].equal) == (2, 2, 2)
    assert (models["empty"].method, models["empty"].before, models["empty"].after) == ("Rows", 0, 0)
    for name, why in (("plain", "no grain"), ("double", "not unique")):
        assert (models[name].method, models[name].before, models[name].after) == ("RowCounts", 30, 33)
        assert why in models[name].why
    everything = by_name(looked(anywhere, dataclasses.replace(wanted, models="All")))
    assert everything["base"].directly_modified and everything["base"].equal == 24
    assert relations(anywhere) == there
    assert anywhere.query_state("select * from sqlmesh._intervals order by id") == state


def test_columns_that_are_gone_or_of_another_type_are_said(local: System) -> None:
    retyped = BASE.replace("CAST(i.i * 10 AS INT) AS cents", "CAST(i.i * 10 AS TEXT) AS cents, 1 AS more").replace(
        ", CAST(i.i AS DOUBLE PRECISION) / 4 AS share", ""
    )
    files = {n: t for n, t in FILES.items() if n in ("config.yaml", "models/base.sql")}
    wanted = deployed(local, files, {"models/base.sql": retyped})
    base = by_name(looked(local, dataclasses.replace(wanted, models="All")))["base"]
    assert (base.columns_lost, base.columns_added) == (("cents", "share"), ("more",))
    assert (base.joined, base.equal) == (30, 30)


def test_only_what_both_sides_have_computed_counts(anywhere: System) -> None:
    wanted = deployed(anywhere, FILES, {"models/base.sql": CHANGED})
    ((last,),) = anywhere.query_state(
        "select max(end_ts) from sqlmesh._intervals where name like '%copy%' and not is_removed"
    )
    identifier = snapshot(anywhere, "prod", "copy")
    anywhere.query_state(
        f"update sqlmesh._intervals set end_ts = {last - 86_400_000}"
        f" where identifier = '{identifier}' and end_ts = {last}"
    )
    copy = by_name(looked(anywhere, wanted))["copy"]
    assert (copy.before, copy.after, copy.joined, copy.equal) == (20, 22, 18, 16)
    assert copy.end == copy.before_end < copy.after_end
    counted = by_name(looked(anywhere, Diff(statistics=True)))
    assert (counted["copy"].rows, counted["copy"].end, counted["copy"].restricted) == (20, copy.end, True)
    assert (counted["plain"].rows, counted["plain"].restricted) == (30, False)
    asked = Diff(statistics=True, ends={"t.copy": copy.end, "t.plain": copy.end})
    counted = by_name(looked(anywhere, asked, "staging"))
    assert (counted["copy"].rows, counted["copy"].end) == (22, copy.end)
    assert counted["plain"].rows == 33


def snapshot(system: System, environment: str, model: str) -> str:
    """The identifier of a model in an environment."""
    query = f"select snapshots from sqlmesh._vulcan_history where plan_id = '{plan_id(system, environment)}'"
    ((text,),) = system.query_state(query)
    return str(next(identifier for name, identifier in json.loads(text) if model in name))


def test_a_model_with_nothing_computed_or_no_snapshot_is_not_the_same(local: System) -> None:
    wanted = deployed(local, FILES, {"models/base.sql": CHANGED})
    copy, same = snapshot(local, "staging", "copy"), snapshot(local, "staging", "same")
    local.query_state(f"delete from sqlmesh._intervals where identifier = '{copy}'")
    local.query_state(f"delete from sqlmesh._snapshots where identifier = '{same}'")
    models = by_name(looked(local, wanted))
    assert models["copy"].method == "" and "nothing computed" in models["copy"].why
    assert models["same"].method == "" and "no longer in the state" in models["same"].why


def test_versions_that_share_a_table_are_not_the_same(local: System) -> None:
    config = projects.CONFIG + "virtual_environment_mode: dev_only\n"
    wanted = deployed(local, FILES | {"config.yaml": config}, {"models/base.sql": CHANGED})
    found = looked(local, wanted)
    assert (found.identical, found.left_alone) == (3, 1)  # three do not depend on the change
    assert {(m.method, m.why) for m in found.models} == {("", "its new version has no table of its own")}


def test_an_environment_that_is_not_there_has_nothing_to_compare(local: System) -> None:
    wanted = deployed(local, {"models/apart.sql": FILES["models/apart.sql"]}, {})
    found = looked(local, wanted, "other")
    assert (found.plan_id, found.added, found.models) == ("", 4, ())
    assert looked(local, Diff(statistics=True), "other").plan_id == ""


def test_what_cannot_be_known_is_refused(local: System) -> None:
    assert local.pod(task(local, Diff("staging", "0" * 32))).result.reason is Reason.CONFIGURATION_UNKNOWN
    nothing = local.task(TaskKind.DIFF, source=None)
    assert local.pod(nothing).result.reason is Reason.CONTRACT_MISMATCH


def test_who_may_only_read_can_compare_and_who_may_not_even_that_says_so(remote: System) -> None:
    wanted = deployed(remote, FILES, {"models/base.sql": CHANGED})
    remote.query("create role reader login password 'readerspassword'")
    try:
        remote.query("grant usage on schema sqlmesh__t to reader")
        remote.query("grant select on all tables in schema sqlmesh__t to reader")
        remote.secret("reader", password="readerspassword")
        options = {**remote.gateway.connection.options, "user": "reader"}
        weak = Connection("postgres", options, {"password": SecretRef("reader", "password")})
        remote.gateway = dataclasses.replace(remote.gateway, connection=weak)
        assert by_name(looked(remote, wanted))["copy"].equal == 24
        remote.query("revoke temporary on database vulcan from public")
        copy = by_name(looked(remote, wanted))["copy"]
        assert copy.method == "" and "permission denied to create temporary tables" in copy.why
        remote.query("revoke usage on schema sqlmesh__t from reader")
        models = by_name(looked(remote, wanted))
        assert {m.method for m in models.values()} == {""} and all(m.why for m in models.values())
        assert all(m.why for m in by_name(looked(remote, Diff(statistics=True))).values())
    finally:
        remote.query("drop owned by reader")
        remote.query("drop role reader")


def test_a_lost_warehouse_is_an_error_and_not_a_difference(remote: System) -> None:
    wanted = deployed(remote, FILES, {"models/base.sql": CHANGED})
    options = {k: v for k, v in remote.gateway.connection.options.items() if k != "database"}
    password = (remote.secrets / "warehouse" / "password").read_text().strip()
    with psycopg2.connect(**options, dbname="vulcan", password=password) as session, session.cursor() as cursor:
        cursor.execute("select format('%I.%I', schemaname, tablename) from pg_tables where tablename like 't%copy%'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"lock table {table} in access exclusive mode")
        pod = remote.start(task(remote, wanted))
        pod.until("models to compare")
        waiting = "from pg_stat_activity where application_name like 'vulcan-r:%' and wait_event_type = 'Lock'"
        while not remote.query(f"select pg_terminate_backend(pid) {waiting}"):
            pass
        ended = pod.wait()
    session.close()
    assert ended.result.reason is Reason.WAREHOUSE_UNREACHABLE, (ended.result, ended.stdout[-2000:])
    assert ended.result.report_sha256 is None


def test_statistics_of_two_systems_agree_for_the_same_data_only(
    on_duckdb: Points, on_postgres: Points, tmp_path: Path
) -> None:
    systems = []
    for name, points in (("a", on_duckdb), ("b", on_postgres)):
        (tmp_path / name).mkdir()
        systems.append(points.at("ready", tmp_path / name))
        systems[-1].write(FILES)
        systems[-1].deploy()
    one, other = (by_name(looked(system, Diff(statistics=True))) for system in systems)
    assert set(one) == {n.removeprefix("models/").removesuffix(".sql") for n in FILES if n.startswith("models/")}
    assert plain(one) == plain(other)
    copy = one["copy"]
    assert (copy.rows, copy.restricted, copy.why) == (30, True, "") and copy.end
    assert copy.columns["word"] == ColumnStatistics(nulls=3, distinct=1)
    assert copy.columns["cents"] == ColumnStatistics(distinct=10, sum="1650")
    assert copy.columns["day"] == ColumnStatistics(distinct=3)
    assert float(copy.columns["share"].sum or 0) == 41.25
    assert one["empty"].columns["id"] == ColumnStatistics(distinct=0, sum="0")
    systems[1].write({"models/base.sql": CHANGED})
    systems[1].deploy()
    changed = by_name(looked(systems[1], Diff(statistics=True)))
    assert changed["copy"].rows == 33 and changed["copy"].columns["cents"] != copy.columns["cents"]
    assert [n for n in one if one[n].code != changed[n].code] == ["base"]
    assert plain({"apart": changed["apart"]}) == plain({"apart": one["apart"]})


def plain(models: dict[str, ModelStatistics]) -> dict[str, Any]:
    """Sums as numbers: engines write them in their own ways."""
    return {
        name: (m.code, m.rows, m.end if m.restricted else "", {
            c: (s.nulls, s.distinct, None if s.sum is None else float(s.sum)) for c, s in m.columns.items()
        })
        for name, m in models.items()
    }  # fmt: skip


def test_more_than_a_report_holds_is_counted_and_some_of_it_named() -> None:
    random = Random(1)
    columns = {f"{random.random()}" * 3: ColumnStatistics(random.randrange(2**60), 0, "7" * 900) for _ in range(256)}
    whole = DiffReport(True, "prod", counted=tuple(ModelStatistics(f"m{i:03}", columns=columns) for i in range(40)))
    cut = fitted(whole, [f"n{i:03}" for i in range(60)])
    assert 0 < len(cut.counted) < 40 and cut.omitted == 100 - len(cut.counted)
    out = [*(m.name for m in whole.counted[len(cut.counted) :]), *(f"n{i:03}" for i in range(60))]
    assert cut.omitted_models == tuple(out[:50])
    assert len(json.dumps(encode(cut))) <= MAX_UNPACKED
    assert fitted(DiffReport(True, "prod"), ["z"]) == DiffReport(True, "prod", omitted=1, omitted_models=("z",))
