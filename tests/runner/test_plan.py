"""Plan: what it says, that it says the same in every process, and every way it can refuse."""

import dataclasses
import signal

import pytest

from tests.runner import projects
from tests.runner.system import System
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.task import PlanOptions, Source, SourceKind, TaskKind
from vulcan_runner import config
from vulcan_runner.secrets import Secrets


def test_the_digest_is_the_same_in_every_process(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    first = anywhere.plan().result.summary
    assert anywhere.project is not None
    anywhere.use(anywhere.project)
    second = anywhere.plan().result.summary
    assert first is not None
    assert first == second
    anywhere.write({"models/total.sql": projects.TOTAL.replace("SUM(n)", "MAX(n)")})
    other = anywhere.plan().result.summary
    assert other is not None
    assert (other.target == first.target, other.base == first.base) == (False, True)


def test_a_first_plan_says_what_it_would_do(local: System) -> None:
    task = local.task(TaskKind.PLAN)
    ended = local.pod(task)
    summary = ended.result.summary
    assert summary is not None
    assert (summary.has_changes, summary.added, summary.total_models, summary.adopted) == (True, 3, 3, False)
    assert (summary.backfill_intervals, summary.history_days, summary.rebuilt_models) == (3 + 1 + 1, 3, 0)
    assert {m.name: (m.kind, m.intervals) for m in summary.models} == {
        "t.days": ("INCREMENTAL_BY_TIME_RANGE", 3), "t.total": ("FULL", 1), "t.shown": ("VIEW", 1),
    }  # fmt: skip
    report = ended.report(task.nonce)
    assert [m["name"] for m in report["models"]] == ["t.days", "t.shown", "t.total"]
    assert "No unit tests ran. SQLMesh looks for tests/**/test*.yaml." in report["warnings"]


def test_an_applied_plan_is_no_change_and_leads_to_the_same(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    before = anywhere.plan()
    anywhere.apply(before)
    after = anywhere.plan().result
    assert after.reason is Reason.NO_CHANGES
    assert before.result.summary and after.summary
    assert after.summary.target == before.result.summary.target
    assert after.summary.base != before.result.summary.base


def test_changes_are_counted_by_kind(deployed: System) -> None:
    deployed.write(
        {
            "models/days.sql": projects.DAYS.replace("1 AS n", "2 AS n"),
            "models/new.sql": "MODEL (name t.new, kind FULL); SELECT 1 AS x;",
        }
    )
    summary = deployed.plan().result.summary
    assert summary is not None
    counts = (summary.added, summary.directly_modified, summary.indirectly_modified, summary.breaking, summary.removed)
    assert counts == (1, 1, 2, 1, 0)
    assert summary.rebuilt_models == 2, "t.days and t.total; a view has no table"
    assert summary.base_plan_id != ""


def test_removing_most_models_shows(deployed: System) -> None:
    assert deployed.project is not None
    for name in ("total", "shown"):
        (deployed.project / "models" / f"{name}.sql").unlink()
    summary = deployed.plan().result.summary
    assert summary is not None
    assert (summary.removed, summary.removed_percent) == (2, 66.67)
    assert summary.destructive == ("t.shown", "t.total")


@pytest.mark.parametrize(
    ("options", "category", "intervals"),
    [
        (PlanOptions(), "NonBreaking", 1),
        (PlanOptions(categorization="Breaking"), "Breaking", 1),
        (PlanOptions(categories={"t.total": "Breaking"}), "Breaking", 1),
    ],
    ids=["the project decides", "everything breaks", "one model breaks"],
)
def test_categories_follow_the_spec(deployed: System, options: PlanOptions, category: str, intervals: int) -> None:
    deployed.write({"models/total.sql": projects.TOTAL.replace("SUM(n) AS n", "SUM(n) AS n, 7 AS seven")})
    summary = deployed.plan(plan=options).result.summary
    assert summary is not None
    changed = {m.name: m for m in summary.models}["t.total"]
    assert (changed.category, changed.intervals) == (category, intervals)


def test_without_categories_a_plan_says_which_model_needs_one(deployed: System) -> None:
    off = "\nplan:\n  auto_categorize_changes: {sql: 'off'}\n"
    deployed.write({"models/days.sql": projects.DAYS.replace("1 AS n", "2 AS n"), "config.yaml": projects.CONFIG + off})
    ended = deployed.plan()
    assert (ended.result.reason, ended.result.message) == (Reason.UNCATEGORIZED, "No category for t.days.")


BROKEN = {
    "unit test": ({"tests/test_total.yaml": projects.FAILING_TEST}, Reason.TESTS_FAILED, "test_total"),
    "syntax": ({"models/total.sql": "MODEL (name t.total); SELEC 1 FRM x ("}, Reason.PROJECT_LOAD_FAILED, "total.sql"),
    "python": ({"models/m.py": "1 / 0"}, Reason.PROJECT_LOAD_FAILED, "division by zero"),
    "config": ({"config.yaml": "model_defaults: {dialect: postgres}\nnonsense: 1"}, Reason.CONFIG_INVALID, "nonsense"),
    "yaml": ({"config.yaml": "a: [1"}, Reason.CONFIG_INVALID, ""),
    "no dialect": ({"config.yaml": "model_defaults: {start: 1 week ago}"}, Reason.CONFIG_INVALID, "dialect"),
    "dbt": ({"dbt_project.yml": "name: x"}, Reason.DBT_UNSUPPORTED, "dbt"),
    "linter": (
        {"config.yaml": projects.CONFIG + "\nlinter: {enabled: true, rules: [nomissingaudits]}"},
        Reason.LINT_FAILED, "t.days",
    ),
    "unknown column": (
        {"models/total.sql": "MODEL (name t.total, kind FULL); SELECT nix.y FROM t.days AS d",
         "config.yaml": projects.CONFIG + "\nlinter: {enabled: true, rules: [ambiguousorinvalidcolumn]}"},
        Reason.LINT_FAILED, "total",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_project_says_where(local: System, case: str) -> None:
    files, reason, words = BROKEN[case]
    local.write(files)
    ended = local.plan()
    assert (ended.result.reason, ended.result.outcome) == (reason, Outcome.FAILED), ended.result.message
    assert words in ended.result.message + str(ended.result.failures), ended.result.message


def test_an_empty_project_removes_nothing(local: System) -> None:
    assert local.project is not None
    for model in (local.project / "models").iterdir():
        model.unlink()
    assert local.plan().result.reason is Reason.PROJECT_EMPTY


def test_a_source_without_a_project_is_told(local: System) -> None:
    assert local.project is not None
    (local.project / "config.yaml").unlink()
    assert local.plan().result.reason is Reason.SOURCE_PATH_MISSING


def test_another_source_than_the_resolved_one_is_refused(local: System) -> None:
    ended = local.plan(source=Source(SourceKind.IMAGE, digest="sha256:0"))
    assert ended.result.reason is Reason.SOURCE_CHANGED


def test_other_environments_need_prod(local: System) -> None:
    assert local.plan("dev").result.reason is Reason.REFERENCE_MISSING


def test_an_unknown_selection_is_rejected(local: System) -> None:
    ended = local.plan(plan=PlanOptions(select_models=("t.nothing",)))
    assert ended.result.reason is Reason.PLAN_REJECTED
    assert "Selector" in ended.result.message


def test_connections_of_the_project_are_ignored_and_the_rest_is_kept(local: System) -> None:
    gateway = """
gateways:
  Main:
    connection: {type: postgres, host: elsewhere, user: u, password: p, port: 1, database: d}
    variables: {city: Wien}
default_connection: {type: duckdb}
"""
    model = "MODEL (name t.city, kind FULL); SELECT @VAR('city') AS city, @VAR('land') AS land, @gateway AS gateway;"
    local.write({"config.yaml": projects.CONFIG + gateway, "models/city.sql": model, ".env": "PYTHONHASHSEED=7"})
    local.gateway = dataclasses.replace(local.gateway, variables={"land": "AT"})
    task = local.task(TaskKind.PLAN)
    planned = local.pod(task)
    assert planned.report(task.nonce)["ignored"] == [
        "gateways of config.yaml",
        "default_connection of config.yaml",
        ".env",
    ]
    local.apply(planned)
    assert local.query("select city, land, gateway from t.city") == [("Wien", "AT", "main")]


@pytest.mark.parametrize(
    ("expires", "ttl", "ignored"), [(True, "in 3 days", []), (False, None, ["environment_ttl of config.yaml"])]
)
def test_the_projects_time_to_live_counts_with_expire(
    local: System, expires: bool, ttl: str | None, ignored: list[str]
) -> None:
    local.write({"config.yaml": projects.CONFIG + "\nenvironment_ttl: in 3 days"})
    task = local.task(TaskKind.PLAN, expires=expires)
    connections = config.Connections(task, Secrets(local.secrets))
    built = config.build(task, local.project, connections, local.folder)
    assert (built[0].environment_ttl, built[1]) == (ttl, ignored)


def test_a_python_configuration_works_as_well(local: System) -> None:
    assert local.project is not None
    (local.project / "config.yaml").unlink()
    text = """
from sqlmesh.core.config import Config, GatewayConfig, ModelDefaultsConfig, DuckDBConnectionConfig
config = Config(
    gateways={"main": GatewayConfig(connection=DuckDBConnectionConfig(database="/nowhere/x.db"), variables={"n": 3})},
    model_defaults=ModelDefaultsConfig(dialect="postgres", start="3 days ago"),
)
"""
    local.write({"config.py": text, "models/three.sql": "MODEL (name t.three, kind FULL); SELECT @VAR('n') AS n;"})
    task = local.task(TaskKind.PLAN)
    planned = local.pod(task)
    assert planned.report(task.nonce)["ignored"] == ["gateways of config.py"]
    assert local.apply(planned).code == 0
    assert local.query("select n from t.three") == [(3,)]


def test_strange_names_survive(local: System) -> None:
    model = 'MODEL (name t."tür 🚪 ""x""", kind FULL); SELECT 1 AS "a\'b";'
    local.write({"models/strange.sql": model})
    planned = local.plan()
    assert planned.result.summary is not None, planned.result.message
    assert 't.tür 🚪 "x"' in [m.name for m in planned.result.summary.models]
    local.apply(planned)
    assert local.query('select "a\'b" from t."tür 🚪 ""x"""') == [(1,)]


def test_a_plan_stops_at_once_when_told(local: System) -> None:
    local.write({"models/slow.py": "import time\nprint('now loading')\ntime.sleep(60)\n"})
    pod = local.start(local.task(TaskKind.PLAN))
    pod.until("now loading")
    pod.kill(signal.SIGTERM)
    ended = pod.wait()
    assert (ended.result.reason, ended.code) == (Reason.CANCELLED, 3)
    assert ended.seconds < 30


def test_another_hash_seed_is_refused(local: System) -> None:
    ended = local.pod(local.task(TaskKind.PLAN), PYTHONHASHSEED="1")
    assert ended.result.reason is Reason.RUNNER_CRASHED
    assert "PYTHONHASHSEED" in ended.result.message


def test_an_environment_from_the_plain_cli_is_adopted(deployed: System) -> None:
    deployed.query_state("delete from sqlmesh._vulcan_apply")
    summary = deployed.plan().result.summary
    assert summary is not None
    assert (summary.adopted, summary.has_changes) == (True, False)


def test_a_task_of_another_contract_is_refused(local: System) -> None:
    task = dataclasses.replace(local.task(TaskKind.PLAN), contract=999)
    ended = local.pod(task)
    assert (ended.result.reason, ended.code) == (Reason.CONTRACT_MISMATCH, 64)
