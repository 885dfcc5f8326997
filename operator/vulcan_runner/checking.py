"""The task `checks`: SodaCL checks on the views of an environment. Reads only.

Called by `tasks`. Soda needs libraries that conflict with SQLMesh's, so the scan is a process of
Soda's own environment (`soda_scan`). A check that is not evaluated has not passed.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vulcan_contract import digest
from vulcan_contract.paths import unescape
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Failure, Result, Work
from vulcan_contract.task import Task
from vulcan_runner import failures, project
from vulcan_runner.config import application_name
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Secrets, cut, without_data

_PROGRAM = Path(__file__).with_name("soda_scan.py")
_FILES = (".yml", ".yaml")
_PASSED = ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "SSL_CERT_FILE", "PATH", "LANG", "TZ")
_ENGINES = ("postgres", "duckdb")
_Checks = list[dict[str, Any]]  # as `soda_scan` answers


@dataclass(frozen=True)
class Place:
    """What checks can know of the environment they run on."""

    environment: str
    plan_id: str
    schema_suffix: str = ""
    table_suffix: str = ""

    @classmethod
    def of(cls, environment: Any) -> "Place":
        """Reads it from a SQLMesh environment, as the state has it."""
        name, target = str(environment.name), environment.suffix_target
        if not environment.naming_info.is_dev:
            return cls(name, environment.plan_id)
        if target.is_schema:
            return cls(name, environment.plan_id, schema_suffix=f"__{name}")
        if target.is_table:
            return cls(name, environment.plan_id, table_suffix=f"__{name}")
        setting = f"environment_suffix_target of {name}"
        message = f"Soda checks cannot read views in other catalogs ({setting})."
        raise Problem(Reason.CHECKS_NOT_EVALUATED, message)

    @property
    def variables(self) -> dict[str, str]:
        """The scan's variables, by the names that SodaCL files use."""
        suffixes = {"schema_suffix": self.schema_suffix, "table_suffix": self.table_suffix}
        return {"environment": self.environment, **suffixes}


def check(task: Task, pod: Pod, place: Place, lines: Lines) -> Result:
    """Runs the task's checks; raises ChecksFailed, or why they could not be evaluated."""
    files = _files(task, pod)
    source, options = _source(task, Secrets(pod.secrets))
    lines.enter("checks")
    answer = _ask(pod, {"source": source, "variables": place.variables, "files": files}, options)
    return _judge(task, place, answer["checks"], answer["errors"])


def _files(task: Task, pod: Pod) -> dict[str, str]:
    """By name, as the operator has copied them. It may have changed them since, and exactly those
    that were ordered must be evaluated."""
    if task.checks is None:
        raise Problem(Reason.CONTRACT_MISMATCH, "The task checks needs SodaCL files.")
    mounted = project.files(pod.checks, mount=True) if pod.checks.is_dir() else ()
    content = {unescape(key): file.read_bytes() for key, file in mounted}
    if digest.of_files(content) != task.checks.digest:
        message = "The SodaCL files in the pod are not those that were to be checked."
        raise Problem(Reason.CHECKS_NOT_EVALUATED, message)
    known = {name: data for name, data in content.items() if name.endswith(_FILES)}
    files = {name: data.decode(errors="replace") for name, data in known.items()}
    if not files:
        message = "No key of the ConfigMap ends in .yml or .yaml: no check was found."
        raise Problem(Reason.CHECKS_NOT_EVALUATED, message)
    return files


def _source(task: Task, secrets: Secrets) -> tuple[dict[str, Any], dict[str, str]]:
    """Soda's settings for the warehouse, and variables (nothing secret) for its driver."""
    connection = task.gateway.connection
    if connection.type not in _ENGINES:
        known = " and ".join(_ENGINES)
        message = f"Soda checks support {known}; the warehouse is {connection.type}."
        raise Problem(Reason.CHECKS_NOT_EVALUATED, message)
    filled = secrets.fill(connection)
    if connection.type == "duckdb":
        return {"type": "duckdb", "path": str(filled.get("database") or ""), "read_only": True}, {}
    same = {name: name for name in ("host", "database", "password", "sslmode")}
    names = {**same, "user": "username"}
    given = {ours: value for ours, value in filled.items() if value is not None}
    source = {theirs: given[ours] for ours, theirs in names.items() if ours in given}
    source |= {"type": "postgres", "port": str(filled.get("port", 5432))}
    source["connection_timeout"] = int(filled.get("connect_timeout") or 10)
    options = ["-c default_transaction_read_only=on"]
    if filled.get("role"):
        options.append(f"-c role={_escaped(str(filled['role']))}")
    return source, {"PGAPPNAME": application_name(task), "PGOPTIONS": " ".join(options)}


def _escaped(option: str) -> str:
    return option.replace("\\", "\\\\").replace(" ", "\\ ")


def _ask(pod: Pod, what: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
    """The scan's answer. Its process gets only the paths in this one's environment, because SodaCL
    can name variables. It is isolated (-I): the program's folder is ours and would shadow the
    standard library's `secrets`."""
    with tempfile.TemporaryDirectory(dir=pod.work) as home:
        env = {k: v for k in _PASSED if (v := os.environ.get(k))}
        env |= {"HOME": home, "TMPDIR": home, "PYTHON_DOTENV_DISABLED": "1", **options}
        command = [str(pod.soda_python), "-I", "-B", str(_PROGRAM)]
        try:
            done = subprocess.run(
                command, env=env, cwd=home, input=json.dumps(what), stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, check=False,
            )  # fmt: skip
        except OSError as error:
            message = f"The runner image has no Soda at {pod.soda_python} ({error.strerror})."
            raise Problem(Reason.CHECKS_NOT_EVALUATED, message) from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        message = f"Soda ended without an answer, exit {done.returncode}."
        raise Problem(Reason.CHECKS_NOT_EVALUATED, message) from None
    return answer


def _judge(task: Task, place: Place, checks: _Checks, errors: list[str]) -> Result:
    """A failed check decides, whatever else went wrong; after that, what could not be evaluated."""
    bad = [c for c in checks if c["outcome"] == "fail"]
    open_ = [c for c in checks if c["outcome"] is None]
    warned = [c for c in checks if c["outcome"] == "warn"]
    work = Work(plan_id=place.plan_id, audits_run=len(checks), audits_warned=len(warned))
    if bad:
        found = tuple(_failure(c, Reason.CHECKS_FAILED, "fails") for c in bad)
        first = f"{found[0].model}: {found[0].message}"
        message = f"{len(bad)} of {len(checks)} Soda checks fail; {first}"
        raise Problem(Reason.CHECKS_FAILED, message, failures=found, work=work)
    if errors or open_ or not checks:
        raise _unjudged(checks, open_, errors, work)
    said = f"{len(checks)} Soda checks, {len(warned)} warnings."
    return Result(task.kind, Reason.SUCCEEDED, said, work=work)


def _unjudged(checks: _Checks, open_: _Checks, errors: list[str], work: Work) -> Problem:
    """An unreachable warehouse is the reason, if it is one; else the check itself is at fault."""
    first = next((without_data(e) for e in errors), "no check was found in the SodaCL files")
    if not checks or len(open_) == len(checks):
        lost = Reason.WAREHOUSE_UNREACHABLE
        reasons = (failures.connection_reason(e, None, lost) for e in errors)
        away = next(filter(None, reasons), None)
        if away is not None:
            return Problem(away, f"Soda cannot reach the warehouse: {cut(first, 400)}")
    reason, message = Reason.CHECKS_NOT_EVALUATED, f"No Soda check was evaluated: {cut(first, 400)}"
    if checks:
        counts = f"{len(open_)} of {len(checks)} Soda checks were not evaluated"
        message = f"{counts}: {cut(first, 400)}"
    found = tuple(_failure(c, reason, "was not evaluated") for c in open_)
    return Problem(reason, message, failures=found, work=work)


def _failure(check_: dict[str, Any], reason: Reason, what: str) -> Failure:
    name = cut(check_["name"], 200)
    return Failure(check_["table"] or "-", reason, f"check {name} {what}", audit=name)
