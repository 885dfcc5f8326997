"""Soda checks on the views of an environment, with real Soda."""

import dataclasses
import re
import socket
from typing import Any

import pytest
import yaml

from tests.runner import projects
from tests.runner.system import CANARY, ROOT, Ended, System
from tests.runner.test_secrets import spellings
from vulcan_contract import digest
from vulcan_contract.paths import escape
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Checks, Connection, TaskKind

PASSING = """
checks for t${schema_suffix}.days:
  - row_count > 0
  - missing_count(day) = 0
  - duplicate_count(day) = 0
  - schema:
      fail:
        when required column missing: [day, n, word]
"""
WARNING = """
checks for t${schema_suffix}.total:
  - row_count:
      name: too few totals
      warn: when < 2
"""
FAILING = """
checks for t${schema_suffix}.days:
  - row_count > 0
  - failed rows:
      name: no word is x
      fail query: select * from t${schema_suffix}.days where word = 'x'
"""


def checked(system: System, environment: str = "prod", files: dict[str, str] | None = None, **fields: Any) -> Ended:
    """As the operator mounts them: keys are escaped names."""
    found = files if files is not None else {"checks.yml": PASSING}
    folder = system.folder / "checks"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in found.items():
        (folder / escape(name)).write_text(text)
    known = Checks(digest.of_files({name: text.encode() for name, text in found.items()}))
    return system.pod(system.task(TaskKind.CHECKS, environment, **{"source": None, "checks": known} | fields))


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_checks_that_pass_and_warn(settled: System) -> None:
    result = checked(settled, files={"good.yml": PASSING, "more/warning.yaml": WARNING, "README": "no checks"}).result
    assert result.reason is Reason.SUCCEEDED, result.message
    assert result.work is not None and (result.work.audits_run, result.work.audits_warned) == (5, 1)
    assert result.work.plan_id and "1 warning" in result.message


def test_a_check_that_fails_is_named_and_shows_no_data(settled: System) -> None:
    ended = checked(settled, files={"a.yml": FAILING, "b.yml": WARNING})
    result = ended.result
    assert (result.reason, ended.code) == (Reason.CHECKS_FAILED, 1)
    (failure,) = result.failures
    assert (failure.model, failure.audit) == ("t.days", "no word is x")
    assert "1 of 3" in result.message and "2026-" not in ended.stdout.replace('"t": "2026-', "")


def test_checks_look_at_the_environments_own_views(anywhere: System) -> None:
    anywhere.write(projects.SMALL)
    anywhere.deploy()
    anywhere.write({"models/days.sql": projects.DAYS.replace("'x' AS word", "'y' AS word")})
    anywhere.deploy("dev-a")
    assert checked(anywhere, "dev-a", {"a.yml": FAILING}).result.reason is Reason.SUCCEEDED
    assert checked(anywhere, "prod", {"a.yml": FAILING}).result.reason is Reason.CHECKS_FAILED


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_the_example_of_the_how_to(environment: str, deployed: System) -> None:
    page = (ROOT / "docs" / "how-to" / "environment.md").read_text()
    (example,) = [b for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: ConfigMap" in b]
    deployed.use(ROOT / "examples" / "shop")
    deployed.deploy()
    deployed.deploy(environment)
    result = checked(deployed, environment, yaml.safe_load(example)["data"]).result
    assert result.reason is Reason.SUCCEEDED and result.work is not None, result.message
    assert (result.work.audits_run, result.work.audits_warned) == (4, 0)


def test_a_suffix_of_tables(local: System) -> None:
    local.write(projects.SMALL | {"config.yaml": projects.CONFIG + "environment_suffix_target: table\n"})
    local.deploy()
    local.deploy("dev")
    found = "checks for t${schema_suffix}.days${table_suffix}:\n  - row_count > 0\n"
    result = checked(local, "dev", {"a.yml": found}).result
    assert result.reason is Reason.SUCCEEDED, result.message
    wrong = checked(local, "dev", {"a.yml": "checks for t__dev.days:\n  - row_count > 0\n"}).result
    assert wrong.reason is Reason.CHECKS_NOT_EVALUATED and wrong.failures[0].audit == "row_count > 0"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("checks for t.days:\n  - row_count > 0\n  - [\n", "yaml"),
        ("checks for t.days:\n  - what is this\n", "what is this"),
        ("checks for t.days:\n  - row_count > 0\nchecks for t${no_such}.days:\n  - row_count > 0\n", "no_such"),
        ("checks for t.days:\n  - missing_count(nothing) = 0\n", "nothing"),
        ("checks for t.days:\n  - change for row_count < 5\n", "cloud"),
        ("# none\n", "no check"),
    ],
    ids=["yaml", "words", "variable", "column", "cloud", "none"],
)
def test_what_cannot_be_judged_is_no_pass(deployed: System, text: str, word: str) -> None:
    result = checked(deployed, files={"a.yml": text}).result
    assert result.reason is Reason.CHECKS_NOT_EVALUATED, result.message
    assert word in result.message.lower()


def test_files_that_are_not_those_are_not_judged(deployed: System) -> None:
    other = checked(deployed, checks=Checks("sha256:" + "0" * 64)).result
    assert other.reason is Reason.CHECKS_NOT_EVALUATED and "not those" in other.message
    assert checked(deployed, files={"a.txt": PASSING}).result.reason is Reason.CHECKS_NOT_EVALUATED


def test_an_engine_that_soda_does_not_know_here(deployed: System) -> None:
    other = dataclasses.replace(deployed.gateway, connection=Connection("motherduck", {"database": "d"}))
    result = checked(deployed, gateway=other).result
    assert result.reason is Reason.CHECKS_NOT_EVALUATED and "motherduck" in result.message


def test_without_soda_in_the_image(deployed: System) -> None:
    (deployed.folder / "checks").mkdir()
    (deployed.folder / "checks" / "a.yml").write_text(PASSING)
    known = Checks(digest.of_files({"a.yml": PASSING.encode()}))
    task = deployed.task(TaskKind.CHECKS, source=None, checks=known)
    result = deployed.pod(task, VULCAN_SODA_PYTHON="/nowhere/python").result
    assert result.reason is Reason.CHECKS_NOT_EVALUATED and "/nowhere/python" in result.message


def test_a_warehouse_that_does_not_answer_or_refuses(remote: System) -> None:
    remote.write(projects.SMALL)
    remote.deploy()
    good = remote.gateway.connection
    gone = dataclasses.replace(good, options={**good.options, "port": closed_port(), "connect_timeout": 2})
    away = checked(remote, gateway=dataclasses.replace(remote.gateway, connection=gone)).result
    assert away.reason is Reason.WAREHOUSE_UNREACHABLE, away.message
    remote.secret("other", password="not it at all")
    refs = {"password": dataclasses.replace(good.secrets["password"], name="other")}
    wrong = dataclasses.replace(remote.gateway, connection=dataclasses.replace(good, secrets=refs))
    refused = checked(remote, gateway=wrong).result
    assert refused.reason is Reason.AUTH_FAILED, refused.message


TELLING = """
checks for t.days:
  - failed rows:
      name: no days
      fail query: select day, '${VULCAN_SECRETS}' from t.days
"""
NAMED = """
checks for t.days:
  - row_count > 0:
      name: ${env_var('API_KEY')}
"""


def test_checks_see_neither_the_secrets_nor_the_variables_of_the_pod(remote: System) -> None:
    remote.write(projects.SMALL)
    remote.deploy()
    assert checked(remote).result.reason is Reason.SUCCEEDED
    told = [checked(remote, files={"a.yml": text}).result for text in (TELLING, NAMED)]
    assert [r.reason for r in told] == [Reason.CHECKS_NOT_EVALUATED] * 2
    everything = "\n".join(remote.outputs)
    assert [s for s in spellings(CANARY) if s in everything] == []
    assert str(remote.secrets) not in "".join(r.message for r in told)


def test_checks_only_read(remote: System) -> None:
    remote.write(projects.SMALL)
    remote.deploy()
    before = remote.query("select count(*) from t.days")
    writing = (
        "checks for t.days:\n  - failed rows:\n      name: w\n      fail query: create table public.mine as select 1\n"
    )
    assert checked(remote, files={"a.yml": writing}).result.reason is Reason.CHECKS_NOT_EVALUATED
    assert remote.query("select count(*) from t.days") == before
    assert remote.query("select count(*) from information_schema.tables where table_name = 'mine'") == [(0,)]
