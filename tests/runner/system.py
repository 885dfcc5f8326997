"""One isolated system for a test: a gateway with its own warehouse and state, and Jobs' pods as processes.

`System.pod(...)` starts `python -m vulcan_runner` just as a Job's pod does: a Task in the environment, Secrets as files,
a result file. Nothing of the runner is imported or patched.
"""

import dataclasses
import gzip
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tools.stand.postgres import Server
from vulcan_contract import PodEnv, digest, report
from vulcan_contract.result import Result
from vulcan_contract.task import (
    Approved,
    Connection,
    Gateway,
    Owner,
    SecretRef,
    Source,
    SourceKind,
    Task,
    TaskKind,
)

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / ".venv-runner" / "bin" / "python"
SODA = ROOT / ".venv-soda" / "bin" / "python"
CANARY = "canary'p%ss/w\"rd@42"  # every character that a URL, SQL or JSON spells in another way
NAME = "vulcan"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    """A finished pod."""

    result: Result
    stdout: str
    code: int
    seconds: float

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    def report(self, nonce: str) -> dict[str, Any]:
        assert self.result.report_sha256 is not None
        packed = report.packed(self.stdout.splitlines(), nonce, self.result.report_sha256)
        assert packed is not None, "the report is incomplete"
        loaded: dict[str, Any] = json.loads(gzip.decompress(packed))
        return loaded


@dataclass
class System:
    """A gateway, its Secrets, and the folders of its pods."""

    folder: Path
    gateway: Gateway
    query: Callable[[str], list[tuple[Any, ...]]]
    query_state: Callable[[str], list[tuple[Any, ...]]]
    project: Path | None = None
    outputs: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def secret(self, name: str, **keys: str) -> None:
        (self.secrets / name).mkdir(parents=True, exist_ok=True)
        for key, value in keys.items():
            (self.secrets / name / key).write_text(value)

    def use(self, project: Path) -> None:
        """A private copy of a project, as `fetch` would leave it."""
        self.project = self.folder / f"project{next(_numbers)}"
        shutil.copytree(project, self.project)

    def write(self, files: dict[str, str]) -> None:
        """Changes the project; None as text removes a file."""
        self.project = self.project or self.folder / f"project{next(_numbers)}"
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def source(self) -> Source:
        assert self.project is not None
        skipped = (".cache", "__pycache__", ".git")
        files = {
            str(p.relative_to(self.project)): p.read_bytes()
            for p in self.project.rglob("*")
            if p.is_file() and not any(part in skipped for part in p.relative_to(self.project).parts)
        }
        return Source(SourceKind.IMAGE, digest=digest.of_files(files))

    def task(self, kind: TaskKind, environment: str = "prod", **fields: Any) -> Task:
        number = next(_numbers)
        known: dict[str, Any] = {"gateway": self.gateway, "image": "runner@sha256:1"}
        if kind is not TaskKind.PROBE and self.project is not None:
            known["source"] = self.source()
        known |= {"environment": "" if kind is TaskKind.PROBE else environment, "protected": environment == "prod"}
        return Task(kind, f"{kind.value}-{number}", f"nonce{number}", **(known | fields))

    def start(self, task: Task, **env: str) -> "Pod":
        return Pod(self, task, env)

    def pod(self, task: Task, **env: str) -> Ended:
        return self.start(task, **env).wait()

    def probe(self, **fields: Any) -> Ended:
        gateway = dataclasses.replace(self.gateway, **fields)
        return self.pod(self.task(TaskKind.PROBE, gateway=gateway))

    def ready(self) -> "System":
        """Probed and initialised, with the identity remembered as the operator does."""
        ended = self.probe()
        assert ended.code == 0, ended.result.message
        assert ended.result.probe is not None
        self.gateway = dataclasses.replace(self.gateway, state_identity=ended.result.probe.state_identity)
        return self

    def plan(self, environment: str = "prod", **fields: Any) -> Ended:
        return self.pod(self.task(TaskKind.PLAN, environment, **fields))

    def approve(self, planned: Ended, **fields: Any) -> Approved:
        """The decision that covers a plan exactly."""
        summary = planned.result.summary
        assert summary is not None, planned.result.message
        known: dict[str, Any] = {
            "token": digest.of_json([summary.target, summary.base]),
            "target": summary.target,
            "base": summary.base,
            "planned_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "backfill_intervals": summary.backfill_intervals,
            "destructive": summary.destructive,
            "destructive_sha256": summary.destructive_sha256,
        }
        return Approved(**(known | fields))

    def apply_task(self, planned: Ended, environment: str = "prod", **fields: Any) -> Task:
        approved = fields.pop("approved", None) or self.approve(planned)
        return self.task(TaskKind.APPLY, environment, approved=approved, **fields)

    def apply(self, planned: Ended, environment: str = "prod", **fields: Any) -> Ended:
        return self.pod(self.apply_task(planned, environment, **fields))

    def deploy(self, environment: str = "prod", **fields: Any) -> Ended:
        """Plan and apply; both must succeed."""
        planned = self.plan(environment, **fields)
        assert planned.code == 0, planned.result.message
        applied = self.apply(planned, environment, **fields)
        assert applied.code == 0, (applied.result, applied.stdout[-2000:])
        return applied

    def run(self, environment: str = "prod", **fields: Any) -> Ended:
        return self.pod(self.task(TaskKind.RUN, environment, **fields))


class Pod:
    """A running pod."""

    def __init__(self, system: System, task: Task, env: dict[str, str]) -> None:
        self._system = system
        self._home = system.folder / "pods" / task.job
        self._home.mkdir(parents=True)
        self._began = time.monotonic()
        self._alive, held = os.pipe()  # by all of its processes: a container ends when they all have
        self.process = subprocess.Popen(
            [str(RUNNER), "-m", "vulcan_runner"], pass_fds=(held,),
            env=self._env(task) | env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        os.close(held)
        self._seen: list[str] = []

    def _env(self, task: Task) -> dict[str, str]:
        home = self._home
        return {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "PYTHONHASHSEED": "0",
            "MAX_FORK_WORKERS": "1", "HOME": str(home), "TMPDIR": str(home),
            PodEnv.TASK: task.to_json(), PodEnv.SECRETS: str(self._system.secrets),
            PodEnv.PROJECT: str(self._system.project or home / "none"), PodEnv.WORK: str(home / "work"),
            PodEnv.RESULT: str(home / "result"), PodEnv.SODA_PYTHON: str(SODA),
            PodEnv.CHECKS: str(self._system.folder / "checks"),
        }  # fmt: skip

    def until(self, text: str) -> None:
        """Waits for a line that has this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._seen.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} was never said:\n{''.join(self._seen)}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def wait(self) -> Ended:
        rest, _ = self.process.communicate(timeout=600)
        assert select.select([self._alive], [], [], 60)[0], "a process has outlived its pod"
        os.close(self._alive)
        stdout = "".join(self._seen) + rest
        self._system.outputs.append(stdout)
        path = self._home / "result"
        said = path.read_text() if path.is_file() else ""
        text = said or '{"task":"","reason":"RunnerCrashed"}'  # as the operator takes it
        self._system.outputs.append(text)
        return Ended(Result.from_message(text), stdout, self.process.returncode, time.monotonic() - self._began)


def on_duckdb(folder: Path) -> System:
    """Warehouse and state in two files."""
    warehouse, state = folder / "warehouse.duckdb", folder / "state.duckdb"
    owner = Owner("cluster-1", "analytics", "local")

    def ask(path: Path) -> Callable[[str], list[tuple[Any, ...]]]:
        def query(sql: str) -> list[tuple[Any, ...]]:
            with duckdb.connect(str(path)) as session:
                return list(session.execute(sql).fetchall())

        return query

    gateway = Gateway(
        "main",
        Connection("duckdb", {"database": str(warehouse)}),
        owner,
        Connection("duckdb", {"database": str(state)}),
    )
    return System(folder, gateway, ask(warehouse), ask(state))


def copy_database(server: Server, template: str, database: str) -> None:
    """The database as a copy of another, whatever it was before. `template0` is an empty one."""
    server.execute(f'drop database if exists "{database}" with (force)')
    server.execute(f'create database "{database}" owner "{NAME}" template "{template}"')


def on_postgres(folder: Path, warehouse: Server, state: Server) -> System:
    """Database and role `vulcan` on each of two servers; the password is the canary."""

    def connection(server: Server) -> Connection:
        options = {"host": "127.0.0.1", "port": server.port, "user": NAME, "database": NAME}
        return Connection("postgres", options, {"password": SecretRef("warehouse", "password")})

    gateway = Gateway("main", connection(warehouse), Owner("cluster-1", "analytics", "remote"), connection(state))
    system = System(folder, gateway, lambda sql: warehouse.execute(sql, NAME), lambda sql: state.execute(sql, NAME))
    system.secret("warehouse", password=f"{CANARY}\n")
    return system
