"""Nothing secret leaves the pod, however a driver, a URL or a project's own code spells it."""

import dataclasses
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.runner import projects
from tests.runner.system import CANARY, System
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Connection, SecretForm, SecretRef, TaskKind
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Scrubber, Secrets, git_scrubber, without_data

TELLING = """
import json, os, sys
from urllib.parse import quote
secret = open(os.environ["VULCAN_SECRETS"] + "/warehouse/password").read().strip()
print("half of it", secret[:7], end="")
print(secret[7:])
print(json.dumps({"dsn": f"postgresql://u:{quote(secret, safe='')}@h/d"}), repr(secret), file=sys.stderr)
sys.stdout.write(secret)
raise ValueError(f"cannot connect with {secret} to {quote(secret)}")
"""

UNRULY = """
import atexit, os, threading, time
assert "VULCAN_TASK" not in os.environ
threading.Thread(target=time.sleep, args=(300,)).start()
atexit.register(lambda: open(os.environ["VULCAN_RESULT"], "w").write("mine"))
print("Told:", os.environ["API_KEY"], open(os.environ["EXTRA"] + "/token").read())
"""


def spellings(secret: str) -> list[str]:
    return [
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    ]


def test_a_project_that_prints_the_password_does_not_tell_it(remote: System) -> None:
    remote.write({**projects.SMALL, "models/telling.py": TELLING})
    ended = remote.plan()
    assert ended.result.reason is Reason.PROJECT_LOAD_FAILED
    assert "***" in ended.result.message
    everything = "\n".join(remote.outputs)
    assert [s for s in spellings(CANARY) if s in everything] == []


def test_a_project_neither_outlives_its_result_nor_tells_what_else_the_pod_knows(local: System) -> None:
    extra = local.folder / "extra"
    extra.mkdir()
    (extra / "token").write_text("geheimnis-2")
    local.write({"models/unruly.py": UNRULY})
    task = local.task(TaskKind.PLAN, secret_env=("API_KEY",), secret_paths=(str(extra),))
    ended = local.pod(task, API_KEY="geheimnis-1", EXTRA=str(extra))
    assert ended.result.reason is Reason.SUCCEEDED, ended.result.message
    assert "Told: *** ***" in ended.stdout
    assert ended.seconds < 280


def test_a_report_does_not_tell_it_either(remote: System) -> None:
    literal = CANARY.replace("'", "''")
    remote.write(
        {"config.yaml": projects.CONFIG, "models/m.sql": f"MODEL (name t.m, kind FULL); SELECT '{literal}' AS x;"}
    )
    remote.deploy()
    remote.write({"models/m.sql": f"MODEL (name t.m, kind FULL); SELECT '{literal}' AS x, 2 AS y;"})
    task = remote.task(TaskKind.PLAN)
    ended = remote.pod(task)
    report = ended.report(task.nonce)
    assert "+  2 AS y" in report["models"][0]["diff"]
    assert [s for s in (*spellings(CANARY), literal) if s in json.dumps(report, ensure_ascii=False)] == []


@pytest.mark.parametrize("secret", [CANARY, "pässwörd🔑", "a b+c/d=e&f?g#h", 'it\'s\\"quoted"', "line1\nline2-long"])
def test_every_spelling_is_scrubbed(secret: str) -> None:
    scrub = Scrubber([secret, *(line for line in secret.splitlines() if len(line) > 7)])
    for said in spellings(secret):
        assert said not in scrub.text(f"before {said} after"), said


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:hunter2@host/x", "https://***@host/x"),
        ("host=h password='it\\'s' dbname=d", "host=h password=*** dbname=d"),
        ("password=abc sslmode=require", "password=*** sslmode=require"),
        ('{"token": "abc"}', '{"token": ***}'),
        ("Secret: warehouse (key password).", "Secret: warehouse (key password)."),
        ("the token is missing", "the token is missing"),
    ],
)
def test_credentials_nobody_told_us_of_are_scrubbed(text: str, clean: str) -> None:
    assert Scrubber().text(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            'duplicate key value violates unique constraint "orders_pk"\nDETAIL:  Key (id)=(4711) already exists.\n',
            'duplicate key value violates unique constraint "orders_pk"',
        ),
        (
            'invalid input syntax for type integer: "alice@x.org"\nLINE 1: SELECT 1',
            'invalid input syntax for type integer: "…"',
        ),
        (
            'invalid input syntax for type date: "it\'s "hunter4secret"\nLINE 1: x',
            'invalid input syntax for type date: "…"',
        ),
        (
            'invalid input syntax for type integer: "line1\n🚀 "quoted" hunter2secret"\nLINE 2: x',
            'invalid input syntax for type integer: "…"',
        ),
        ('bad\nDETAIL:  Key (a)=(x\nnote: secret) exists.\nCONTEXT:  y', "bad"),
        ("Could not convert string 'one\ntwo secret' to INT32", "Could not convert string '…' to INT32"),
        ('null value in column "a"\nDETAIL:  Failing row contains (7, bob, null).', 'null value in column "a"'),
        ("Could not convert string 'it''s bob' to INT32", "Could not convert string '…' to INT32"),
        ('column "tür 🚪" does not exist', 'column "tür 🚪" does not exist'),
        ('Constraint Error: Duplicate key "id: 5" violates', 'Constraint Error: Duplicate key "…" violates'),
    ],
)  # fmt: skip
def test_data_values_are_cut_from_errors(text: str, clean: str) -> None:
    assert without_data(text) == clean


def _secrets(tmp_path: Path, **keys: str) -> Secrets:
    (tmp_path / "s").mkdir()
    for name, text in keys.items():
        (tmp_path / "s" / name).write_text(text)
    return Secrets(tmp_path)


def test_a_secret_takes_the_form_that_is_asked_for(tmp_path: Path) -> None:
    secrets = _secrets(tmp_path, plain="pass word\n", json='{"a": [1]}')
    fields = {
        "password": SecretRef("s", "plain"),
        "keyfile": SecretRef("s", "plain", SecretForm.PATH),
        "keyfile_json": SecretRef("s", "json", SecretForm.JSON),
    }
    filled = secrets.fill(Connection("bigquery", {"project": "p"}, fields))
    assert filled == {
        "type": "bigquery", "project": "p", "password": "pass word",
        "keyfile": str(tmp_path / "s" / "plain"), "keyfile_json": {"a": [1]},
    }  # fmt: skip


def test_a_secret_that_is_no_json_does_not_show_itself(tmp_path: Path) -> None:
    with pytest.raises(Problem) as found:
        _secrets(tmp_path, key="{geheim").value(SecretRef("s", "key", SecretForm.JSON))
    assert found.value.reason is Reason.CONFIG_INVALID
    assert "geheim" not in found.value.message


def test_short_unnamed_values_do_not_blank_words_out(tmp_path: Path) -> None:
    secrets = _secrets(tmp_path, user="vulcan", password="geheim7")
    named = Connection("postgres", {}, {"password": SecretRef("s", "password")})
    assert secrets.scrubber([named]).text("vulcan says geheim7") == "vulcan says ***"


def test_of_a_git_credential_only_the_secret_part_is_scrubbed(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("robot")
    (tmp_path / "password").write_text("hush")
    assert git_scrubber(tmp_path).text("robot hush") == "robot ***"


def test_a_wrong_form_in_the_gateway_is_a_configuration_error(local: System) -> None:
    local.secret("s", key="not json")
    broken = dataclasses.replace(
        local.gateway.connection, secrets={"connector_config": SecretRef("s", "key", SecretForm.JSON)}
    )
    ended = local.probe(connection=broken)
    assert ended.result.reason is Reason.CONFIG_INVALID
