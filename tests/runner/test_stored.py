"""What an apply leaves in the state for later: runs go on without the project, with its own materialisations."""

import base64
import gzip

from tests.runner import projects
from tests.runner.system import System
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Source, SourceKind

MATERIALIZATION = """
import typing as t

from sqlmesh import CustomMaterialization
from materializations import wording


class Worded(CustomMaterialization):
    NAME = "worded"

    def insert(self, table_name, query_or_df, model, is_first_insert, render_kwargs, **kwargs):
        self.adapter.execute(f"DELETE FROM {table_name}")
        query = query_or_df.sql(dialect=self.adapter.dialect)
        self.adapter.execute(f"INSERT INTO {table_name} SELECT days, '{wording.WORD}' FROM ({query}) AS q")
"""
WORDED = """
MODEL (name t.worded, kind CUSTOM (materialization 'worded'), columns (days BIGINT, word TEXT), cron '@daily');
SELECT COUNT(*) AS days, 'never' AS word FROM t.days;
"""
FILES = projects.SMALL | {
    "config.yaml": projects.CONFIG + "environment_suffix_target: table\nphysical_schema_mapping: {'^t$': physical}\n",
    "materializations/__init__.py": "",
    "materializations/wording.py": "WORD = 'own'\n",
    "materializations/worded.py": MATERIALIZATION,
    "models/worded.sql": WORDED,
}


def _forget(system: System) -> None:
    """As if nothing had been computed."""
    system.query_state("delete from sqlmesh._intervals")


def test_a_run_without_the_project_has_its_materialisations(anywhere: System) -> None:
    anywhere.write(FILES)
    anywhere.deploy()
    _forget(anywhere)
    ended = anywhere.run(source=None)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert anywhere.query("select days, word from t.worded") == [(3, "own")]


def test_a_changed_materialisation_is_a_change_that_needs_an_apply_and_is_run_from_then_on(local: System) -> None:
    local.write(FILES)
    local.deploy()
    assert local.plan().result.reason is Reason.NO_CHANGES
    local.write({"materializations/wording.py": "WORD = 'new'\n"})
    planned = local.plan()
    summary = planned.result.summary
    assert summary is not None and summary.has_changes and summary.project_changed
    _forget(local)
    local.run(source=None)
    assert local.query("select word from t.worded") == [("own",)]  # not before the apply
    assert local.apply(planned).result.reason is Reason.NO_CHANGES
    _forget(local)
    local.run(source=None)
    assert local.query("select word from t.worded") == [("new",)]
    assert len(local.query_state("select digest from sqlmesh._vulcan_project")) == 1


def test_configuration_in_python_is_not_kept(local: System) -> None:
    """People write passwords into it."""
    python = "from sqlmesh.core.config import Config, ModelDefaultsConfig\nSECRET = 'hush'\n"
    python += "config = Config(model_defaults=ModelDefaultsConfig(dialect='duckdb', start='3 days ago'))\n"
    files = {name: text for name, text in FILES.items() if name != "config.yaml"}
    local.project = None
    local.write(files | {"config.py": python})
    local.deploy()
    ((packed,),) = local.query_state("select packed from sqlmesh._vulcan_project")
    kept = gzip.decompress(base64.b64decode(packed)).decode()
    assert "materializations/worded.py" in kept
    assert base64.b64encode(b"SECRET = 'hush'").decode()[4:16] not in kept and "config.py" not in kept


def test_an_approval_is_for_the_files_that_were_got_also_where_their_digest_was_not_known(local: System) -> None:
    """A pinned commit is not resolved; another commit with the same models is another source all the same."""
    unknown = Source(SourceKind.IMAGE)
    local.write(projects.SMALL)
    first = local.plan(source=unknown)
    local.write({"tests/note.txt": "other files, the same models"})
    second = local.plan(source=unknown)
    assert first.result.summary is not None and second.result.summary is not None
    assert first.result.summary.target != second.result.summary.target
    changed = local.apply(first, source=unknown)
    assert changed.result.reason is Reason.PLAN_CHANGED


def test_a_word_is_used_up_by_the_apply_it_was_for_also_when_no_model_changed(local: System) -> None:
    local.write(FILES)
    local.deploy()
    tokens = []
    for word in ("a", "b", "a", "b"):
        local.write({"materializations/wording.py": f"WORD = '{word}'\n"})
        planned = local.plan()
        tokens.append(local.approve(planned).token)
        assert local.apply(planned).result.reason is Reason.NO_CHANGES
    assert len(set(tokens)) == 4


def test_audits_that_did_not_pass_are_not_forgotten_by_another_plan(local: System) -> None:
    audited = projects.DAYS.replace("grain day)", "grain day, audits (no_rows(blocking := true)))")
    audit = "AUDIT (name no_rows); SELECT * FROM @this_model WHERE word = 'bad';"
    local.write(projects.SMALL | {"models/days.sql": audited, "audits/no_rows.sql": audit})
    local.deploy()
    ((row,),) = local.query_state("select models from sqlmesh._vulcan_apply")
    local.query_state(
        'update sqlmesh._vulcan_apply set phase = \'started\', models = \'["\\"warehouse\\".\\"t\\".\\"days\\""]\''
    )
    planned = local.plan()
    summary = planned.result.summary
    assert summary is not None and summary.unaudited and summary.has_changes, row
    ((table,),) = local.query(
        "select table_schema || '.' || table_name from information_schema.tables where table_name like 't__days%' limit 1"
    )
    local.query(f"update {table} set word = 'bad'")
    assert local.apply(planned).result.reason is Reason.AUDIT_FAILED
    local.query(f"update {table} set word = 'good'")
    ended = local.apply(planned)
    assert ended.result.outcome.value == "Succeeded", ended.result.message
    assert local.plan().result.reason is Reason.NO_CHANGES


def test_a_kind_of_the_projects_own_is_known_to_runs(local: System) -> None:
    """SQLMesh makes the kind's class from the materialisation's type when it reads a snapshot."""
    kind = MATERIALIZATION.replace(
        "from sqlmesh import CustomMaterialization\n", "from sqlmesh import CustomKind, CustomMaterialization\n"
    ).replace(
        "class Worded(CustomMaterialization):",
        "class WordedKind(CustomKind):\n    @property\n    def word(self):\n        return 'of the kind'\n\n\n"
        "class Worded(CustomMaterialization[WordedKind]):",
    ).replace("{wording.WORD}", "{model.kind.word}")  # fmt: skip
    local.write(FILES | {"materializations/worded.py": kind})
    local.deploy()
    _forget(local)
    ended = local.run(source=None)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert local.query("select word from t.worded") == [("of the kind",)]
