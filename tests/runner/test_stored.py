"""What an apply leaves in the state for later: runs go on without the project, with its own materialisations."""

from tests.runner import projects
from tests.runner.system import System
from vulcan_contract.reasons import Reason

MATERIALIZATION = """
import typing as t

from sqlmesh import CustomMaterialization
from materializations import wording


class Worded(CustomMaterialization):
    NAME = "worded"

    def insert(self, table_name, query_or_df, model, is_first_insert, render_kwargs, **kwargs):
        self.adapter.execute(f"DELETE FROM {table_name}")
        self.adapter.execute(f"INSERT INTO {table_name} SELECT count(*), '{wording.WORD}' FROM t.days")
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
    anywhere.query("delete from t.worded")
    ended = anywhere.run(source=None)
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert anywhere.query("select days, word from t.worded") == [(3, "own")]
