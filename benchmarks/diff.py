"""The diff gate's figure: a task `diff` over a big model on DuckDB against SQLMesh's own table diff of the same two tables.

Called by `__main__`. Both sides are processes of the runner's environment, in pairs whose order alternates, on one warehouse
that the real runner has deployed: prod, and staging with a change of the model before the big one.
"""

import dataclasses
import gzip
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import figures, project
from benchmarks.figures import Figure
from benchmarks.runner import ENVIRONMENT, ROOT
from vulcan_contract import PodEnv, digest, report
from vulcan_contract.diff_report import DiffReport
from vulcan_contract.result import Result
from vulcan_contract.task import Approved, Connection, Diff, Gateway, Owner, Source, SourceKind, Task, TaskKind

_RATE = "MODEL (name bench.rate, kind FULL, grain kind); SELECT UNNEST(RANGE(7)) AS kind, {factor} AS factor"
_ORDERS = """
MODEL (name bench.orders, kind FULL, grain id);
SELECT
  t.i::BIGINT AS id, DATE '2026-01-01' + (t.i % 90)::INT AS day, (t.i % 7)::INT AS kind,
  ((t.i * 31) % 1000 + CASE WHEN t.i % 500 = 0 THEN r.factor ELSE 0 END)::BIGINT AS cents, t.i / 7.0::DOUBLE AS share,
  'word ' || (t.i % 1000) AS word
FROM RANGE({rows}) AS t(i) JOIN bench.rate AS r ON r.kind = t.i % 7
"""
_numbers = itertools.count(1)


class System:
    """A gateway on two DuckDB files, with the model in prod and, changed, in staging."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self.project, self._rows = folder, folder / "project", rows
        self.files = [str(folder / name) for name in ("warehouse.duckdb", "state.duckdb")]
        warehouse, state = (Connection("duckdb", {"database": file}) for file in self.files)
        self._gateway = Gateway("main", warehouse, Owner("bench", "bench", "diff"), state)

    def deploy(self) -> str:
        """The plan of staging that is to be compared with prod."""
        probe = self.pod(TaskKind.PROBE)[1].probe
        assert probe is not None
        self._gateway = dataclasses.replace(self._gateway, state_identity=probe.state_identity)
        for factor, environment in enumerate(("prod", "staging")):
            self._write(factor)
            summary = self.pod(TaskKind.PLAN, environment)[1].summary
            assert summary is not None
            token = digest.of_json([summary.target, summary.base])
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            approved = Approved(token, summary.target, summary.base, now, summary.backfill_intervals)
            work = self.pod(TaskKind.APPLY, environment, approved=approved)[1].work
        assert work is not None
        return work.plan_id

    def pod(self, kind: TaskKind, environment: str = "", **fields: Any) -> tuple[float, Result, str]:
        """One task of the runner: seconds, its Result, what it has printed."""
        number = next(_numbers)
        home = self._folder / f"pod{number}"
        home.mkdir()
        known = {"source": Source(SourceKind.IMAGE, digest=project.digest_of(self.project))} if environment else {}
        task = Task(
            kind, f"{kind}-{number}", "nonce", self._gateway, environment, protected=True, **{**known, **fields}
        )
        env = {
            PodEnv.TASK: task.to_json(), PodEnv.WORK: str(home / "work"), PodEnv.SECRETS: str(home),
            PodEnv.PROJECT: str(self.project), PodEnv.RESULT: str(home / "result"),
        }  # fmt: skip
        seconds, printed = self._process(["-m", "vulcan_runner"], **env)
        return seconds, Result.from_message((home / "result").read_text()), printed

    def ours(self, plan_id: str) -> tuple[float, list[int]]:
        """The task: seconds; rows before, after, joined and equal."""
        wanted = Diff("staging", plan_id)
        seconds, result, printed = self.pod(TaskKind.DIFF, "prod", source=None, diff=wanted)
        packed = report.packed(printed.splitlines(), "nonce", result.report_sha256 or "")
        assert packed is not None, result
        (model,) = DiffReport.from_json(gzip.decompress(packed).decode()).models
        return seconds, [model.before, model.after, model.joined, model.equal]

    def theirs(self) -> tuple[float, list[int]]:
        """SQLMesh's, likewise."""
        script = str(Path(__file__).with_name("bare_diff.py"))
        # -P: the script's folder has an operator.py, which must not be found in place of Python's own.
        seconds, printed = self._process(["-P", script, *self.files])
        return seconds, json.loads(f"[{printed.strip().splitlines()[-1].replace(' ', ',')}]")

    def _write(self, factor: int) -> None:
        files = {
            "config.yaml": "model_defaults: {dialect: duckdb, start: 2026-01-01}\n",
            "models/rate.sql": _RATE.format(factor=factor), "models/orders.sql": _ORDERS.format(rows=self._rows),
        }  # fmt: skip
        (self.project / "models").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.project / name).write_text(text)

    def _process(self, arguments: list[str], **env: str) -> tuple[float, str]:
        base = {
            "PATH": f"{ENVIRONMENT}:{os.environ['PATH']}", "HOME": str(self._folder), "TMPDIR": str(self._folder),
            "TZ": "UTC", "PYTHONPATH": str(ROOT / "operator"), "PYTHONPYCACHEPREFIX": str(self._folder / "compiled"),
            "PYTHONHASHSEED": "0", "MAX_FORK_WORKERS": "1", "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        }  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(
            [str(ENVIRONMENT / "python"), *arguments], env=base | env, cwd=self.project if not env else "/", text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return seconds, done.stdout


def measure() -> list[Figure]:
    """All figures of this group."""
    rows, pairs = (1_000_000, 1) if figures.quick() else (10_000_000, 5)
    with tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder:
        system = System(Path(folder), rows)
        plan_id = system.deploy()
        first, other = system.ours(plan_id)[1], system.theirs()[1]  # fills the machine's file cache
        assert first == other and first[0] == rows > first[3] > 0, (first, other)
        ratios = []
        for i in range(pairs):
            if i % 2:
                theirs, ours = system.theirs()[0], system.ours(plan_id)[0]
            else:
                ours, theirs = system.ours(plan_id)[0], system.theirs()[0]
            print(f"   ours/table_diff: {ours:.1f}/{theirs:.1f} s on the clock", flush=True)
            ratios.append(ours / theirs)
    return [Figure("diff_gate_ratio", statistics.median(ratios))]
