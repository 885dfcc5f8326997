"""The runner's figures: against the same SQLMesh calls without us, and against the chain of CLI commands.

Called by `__main__`. Everything runs in processes of its own, on PostgreSQL, in pairs whose order alternates, each on
new databases; the programs are `bare_sqlmesh` (plain SQLMesh) and the real runner, started as its pod starts it.
"""

import dataclasses
import itertools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures, project
from benchmarks.figures import Figure
from tools.stand import postgres
from vulcan_contract import PodEnv, digest
from vulcan_contract.result import Result
from vulcan_contract.task import Approved, Connection, Gateway, Owner, SecretRef, Source, SourceKind, Task, TaskKind

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-runner" / "bin"
PASSWORD = "bench'password"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    seconds: float
    cpu: float
    peak_mb: float


class System:
    """Two new databases with initialised state, a copy of the project, and pods' folders."""

    def __init__(
        self, server: postgres.Server, folder: Path, compiled: Path, write: Callable[[Path], None] = project.write
    ) -> None:
        self.name = f"b{next(_numbers)}"
        self._server, self._compiled = server, compiled
        self.home = folder / self.name
        self.project = self.home / "project"
        (self.home / "secrets" / "db").mkdir(parents=True)
        (self.home / "secrets" / "db" / "password").write_text(PASSWORD)
        write(self.project)
        for role in ("warehouse", "state"):
            server.create_database(f"{self.name}_{role}", f"{self.name}_{role}", PASSWORD)

    def drop(self) -> None:
        """Databases are not kept: the server has other pairs to serve."""
        for role in ("warehouse", "state"):
            self._server.execute(f'drop database "{self.name}_{role}" with (force)')

    def options(self, role: str) -> dict[str, Any]:
        """Of a connection, without its password."""
        name = f"{self.name}_{role}"
        return {"host": "127.0.0.1", "port": self._server.port, "database": name, "user": name}

    def process(self, argv: list[str], **env: str) -> Spent:
        """Run a program of the runner's environment to its end; raises when it fails."""
        base = {
            "PATH": f"{ENVIRONMENT}:{os.environ['PATH']}", "HOME": str(self.home), "TMPDIR": str(self.home), "TZ": "UTC",
            "PYTHONPATH": str(ROOT / "operator"), "PYTHONPYCACHEPREFIX": str(self._compiled), "PYTHONHASHSEED": "0",
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true", "BENCH_PASSWORD": PASSWORD,
        }  # fmt: skip
        for role in ("warehouse", "state"):
            base |= {f"BENCH_{role}_{k}".upper(): str(v) for k, v in self.options(role).items()}
        log = self.home / f"log{next(_numbers)}"
        with log.open("w") as out:
            began = time.monotonic()
            process = subprocess.Popen(
                argv, env=base | env, cwd=self.project, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
            own = 0.0
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                own = max(own, _peak_mb(process.pid))
                time.sleep(0.005)
            _, code, usage = ended
            seconds = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(code)
        text = log.read_text()
        if process.returncode:
            raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}:\n{text[-3000:]}")
        largest = usage.ru_maxrss / 1024  # of it and its children: a runner's worker has a supervisor beside it
        peak = largest if largest < 1.5 * own else largest + own
        return Spent(seconds, usage.ru_utime + usage.ru_stime, peak)

    def bare(self, *arguments: str) -> Spent:
        """A step of `bare_sqlmesh`: init, plan, apply or promote. Without SQLMesh's cache, like a pod: neither side has
        one."""
        shutil.rmtree(self.project / ".cache", ignore_errors=True)
        script = str(Path(__file__).with_name("bare_sqlmesh.py"))
        # -P: the script's folder has an operator.py, which must not be found in place of Python's own.
        return self.process([str(ENVIRONMENT / "python"), "-P", script, *arguments], MAX_FORK_WORKERS="1")

    def command_line(self, *arguments: str) -> Spent:
        """A SQLMesh command as people type it, with SQLMesh's own number of workers."""
        return self.process([str(ENVIRONMENT / "sqlmesh"), *arguments])


class Pods:
    """The runner's tasks on a System, one process each, as the operator would order them."""

    def __init__(self, system: System) -> None:
        self._system = system
        secret = {"password": SecretRef("db", "password")}
        warehouse = Connection("postgres", system.options("warehouse"), secret)
        state = Connection("postgres", system.options("state"), secret)
        owner = Owner("bench", "bench", system.name)
        self._gateway = Gateway("bench", warehouse, owner, state)

    def probe(self) -> Spent:
        """Initialises the state."""
        spent, result = self.task(TaskKind.PROBE)
        assert result.probe is not None
        self._gateway = dataclasses.replace(self._gateway, state_identity=result.probe.state_identity)
        return spent

    def plan(self) -> tuple[Spent, Approved]:
        """With lint, unit tests and report; and the decision to apply it."""
        spent, result = self.task(TaskKind.PLAN)
        assert result.summary is not None and result.summary.added == project.MODELS, result
        return spent, decided(result)

    def apply(self, approved: Approved) -> Spent:
        """With audits."""
        return self.task(TaskKind.APPLY, approved=approved)[0]

    def run(self) -> Spent:
        """What is due by now: nothing."""
        return self.task(TaskKind.RUN)[0]

    def task(self, kind: TaskKind, environment: str = "prod", **fields: Any) -> tuple[Spent, Result]:
        """Any task; of the project unless it has another source, or None."""
        system, number = self._system, next(_numbers)
        home = system.home / f"pod{number}"
        home.mkdir()
        known: dict[str, Any] = {"environment": environment, "protected": environment == "prod"}
        known |= {"source": Source(SourceKind.IMAGE, digest=project.digest_of(system.project))}
        if kind is TaskKind.PROBE:
            known = {"protected": True}
        task = Task(kind, f"{kind.value}-{number}", f"nonce{number}", self._gateway, **(known | fields))
        env = {
            PodEnv.TASK: task.to_json(), PodEnv.SECRETS: str(system.home / "secrets"), PodEnv.WORK: str(home / "work"),
            PodEnv.PROJECT: str(system.project), PodEnv.RESULT: str(home / "result"), "MAX_FORK_WORKERS": "1",
        }  # fmt: skip
        spent = system.process([str(ENVIRONMENT / "python"), "-m", "vulcan_runner"], **env)
        return spent, Result.from_message((home / "result").read_text())


def _peak_mb(pid: int) -> float:
    """What a process itself has had at most; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


def decided(planned: Result) -> Approved:
    """The decision to apply a plan as it is."""
    summary = planned.summary
    assert summary is not None, planned
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    token = digest.of_json([summary.target, summary.base])
    return Approved(token, summary.target, summary.base, now, summary.backfill_intervals, summary.destructive)


def measure() -> list[Figure]:
    """All figures of this group."""
    pairs, chains = (3, 1) if figures.quick() else (11, 5)
    server = postgres.Server.create()
    try:
        with tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder:
            return _measure(server, Path(folder), pairs, chains)
    finally:
        server.remove()


def _measure(server: postgres.Server, folder: Path, pairs: int, chains: int) -> list[Figure]:
    def on_new_system(work: "Callable[[System], list[Spent]]") -> list[Spent]:
        system = System(server, folder, folder / "compiled")
        try:
            return work(system)
        finally:
            system.drop()

    for work in (_ours, _theirs, _chain):  # compiles what an image has compiled, fills the machine's file cache
        on_new_system(work)
    spent = [_pair(on_new_system, _ours, _theirs, swap=bool(i % 2)) for i in range(pairs)]
    overhead = [_seconds(ours[:2]) / _seconds(theirs) for ours, theirs in spent]
    memory = [
        statistics.median(ours[i].peak_mb for ours, _ in spent) - statistics.median(t[i].peak_mb for _, t in spent)
        for i in (0, 1)
    ]
    _show("bare", [(ours[:2], theirs) for ours, theirs in spent])
    chained = [_pair(on_new_system, _ours, _chain, swap=bool(i % 2)) for i in range(chains)]
    _show("chain", chained)
    return [
        Figure("runner_overhead_ratio", statistics.median(overhead)),
        Figure("cli_chain_ratio", statistics.median(_seconds(c) / _seconds(o[:2]) for o, c in chained)),
        Figure("cli_chain_with_run_ratio", statistics.median(_seconds(c) / _seconds(o) for o, c in chained)),
        Figure("runner_rss_overhead_mb", max(memory)),
    ]


def _pair(
    on_new_system: "Callable[[Callable[[System], list[Spent]]], list[Spent]]",
    one: "Callable[[System], list[Spent]]", other: "Callable[[System], list[Spent]]", *, swap: bool,
) -> tuple[list[Spent], list[Spent]]:  # fmt: skip
    if swap:
        second = on_new_system(other)
        return on_new_system(one), second
    return on_new_system(one), on_new_system(other)


def _ours(system: System) -> list[Spent]:
    """plan, apply, run."""
    pods = Pods(system)
    pods.probe()
    planned, approved = pods.plan()
    return [planned, pods.apply(approved), pods.run()]


def _theirs(system: System) -> list[Spent]:
    """The same calls: plan, apply."""
    system.bare("init")
    return [system.bare("plan"), system.bare("apply")]


def _chain(system: System) -> list[Spent]:
    """What a CI job does without Vulcan."""
    system.bare("init")
    return [
        system.command_line("info"), system.command_line("lint"), system.command_line("test"),
        system.command_line("plan", "--auto-apply", "--no-prompts"), system.command_line("audit"),
        system.command_line("run"),
    ]  # fmt: skip


def _show(name: str, pairs: list[tuple[list[Spent], list[Spent]]]) -> None:
    """Seconds on the clock, and of processor time: that one hardly depends on what else the machine does."""
    for one, other in pairs:
        cpu = [sum(s.cpu for s in side) for side in (one, other)]
        print(
            f"   ours/{name}: {_seconds(one):.1f}/{_seconds(other):.1f} s on the clock, {cpu[0]:.1f}/{cpu[1]:.1f} s of"
            f" processor time ({cpu[0] / cpu[1]:.2f})",
            flush=True,
        )


def _seconds(spent: list[Spent]) -> float:
    return sum(s.seconds for s in spent)
