"""What SQLMesh does, as lines on stdout and as counts and failures for the Result.

`engine` sets one Recorder as SQLMesh's console before anything else. SQLMesh calls it from several
threads. Reasons of failures are known only here: "Plan application failed." has no cause.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlmesh.core.console import NoopConsole

from vulcan_runner import names
from vulcan_runner.lines import Lines
from vulcan_runner.secrets import cut


@dataclass
class Counts:
    """What was done so far."""

    models: set[str] = field(default_factory=set)
    batches: int = 0
    rows: int = 0
    audits_run: int = 0
    audits_warned: int = 0
    blocked: int = 0


class Recorder(NoopConsole):
    """Implements only the hooks that matter to us; all others do nothing."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._lock = threading.RLock()
        self._totals: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self.catalog: str | None = None
        self.counts = Counts()
        self.errors: list[Any] = []  # NodeExecutionFailedError
        self.warnings: list[str] = []
        self.violations: list[tuple[str, str]] = []
        self.destructive: set[str] = set()
        self.evaluated: set[str] = set()

    def name(self, snapshot: Any) -> str:
        return names.display(snapshot.name, self.catalog)

    def start_evaluation_progress(self, batched_intervals: Any, *args: Any, **kwargs: Any) -> None:
        with self._lock:
            for snapshot, intervals in batched_intervals.items():
                self._totals[snapshot.name] = len(intervals)
            total = sum(len(i) for i in batched_intervals.values())
        self._lines.say(f"{total} batches of {len(batched_intervals)} models to compute", of=total)

    def update_snapshot_evaluation_progress(
        self, snapshot: Any, interval: Any, batch_idx: int, duration_ms: int | None,
        num_audits_passed: int, num_audits_failed: int, *args: Any, execution_stats: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        name, rows = self.name(snapshot), getattr(execution_stats, "total_rows_processed", None)
        with self._lock:
            self._done[snapshot.name] += 1
            batch, of = self._done[snapshot.name], self._totals[snapshot.name]
            self.counts.audits_run += num_audits_passed + num_audits_failed
            self.counts.audits_warned += num_audits_failed
            if duration_ms is not None:
                self.evaluated.add(snapshot.name)
                self.counts.models.add(snapshot.name)
                self.counts.batches += 1
                self.counts.rows += rows or 0
        state = "failed" if duration_ms is None else "done"
        fields = {"model": name, "batch": batch, "of": of, "ms": duration_ms, "rows": rows}
        self._lines.say(
            f"{name}: batch {batch} of {of} {state}",
            **{k: v for k, v in fields.items() if v is not None},
            **({"audits_failed": num_audits_failed} if num_audits_failed else {}),
        )  # fmt: skip

    def start_creation_progress(self, snapshots: Any, *args: Any, **kwargs: Any) -> None:
        self._lines.say(f"Creating {len(snapshots)} tables and views", of=len(snapshots))

    def start_promotion_progress(self, snapshots: Any, *args: Any, **kwargs: Any) -> None:
        if snapshots:
            self._lines.say(f"Swapping {len(snapshots)} views", of=len(snapshots))

    def update_signal_progress(
        self, snapshot: Any, signal_name: str, signal_idx: int, total_signals: int,
        ready_intervals: Any, check_intervals: Any, duration: float,
    ) -> None:  # fmt: skip
        differ = list(check_intervals) != list(ready_intervals)
        held = len(check_intervals) - len(ready_intervals) or int(differ)
        with self._lock:
            self.counts.blocked += max(held, 0)
        if held:
            name = self.name(snapshot)
            text = f"{name}: signal {signal_name} is not ready"
            self._lines.say(text, model=name, signal=signal_name)

    def log_failed_models(self, errors: Any) -> None:
        with self._lock:
            self.errors += errors

    def log_skipped_models(self, snapshot_names: Any) -> None:
        for fqn in sorted(snapshot_names):
            name = names.display(fqn, self.catalog)
            self._lines.say(f"{name}: skipped, because a model before it failed", model=name)

    def show_linter_violations(self, violations: Any, model: Any, is_error: bool = False) -> None:
        for violation in violations:
            text = f"{violation.rule.name}: {violation.violation_msg}"
            if is_error:
                self.violations.append((model.name, text))
            else:
                self.log_warning(f"{model.name}: {text}")

    def log_destructive_change(self, snapshot_name: str, *args: Any, **kwargs: Any) -> None:
        self.destructive.add(snapshot_name)

    def log_warning(self, short_message: str, long_message: str | None = None) -> None:
        text = cut(" ".join(short_message.split()), 500)
        with self._lock:
            self.warnings.append(text)
        self._lines.say(text, level="WARNING")

    def log_error(self, message: str) -> None:
        self.log_warning(message)
