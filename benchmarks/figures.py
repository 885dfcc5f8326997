"""Defines figures and their goals, and writes results.json and the table in README.md.

Used by every group and by `__main__`. Goals are set here and nowhere else.
"""

import dataclasses
import datetime as dt
import json
import operator
import os
import platform
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"
_COMPARE: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@dataclasses.dataclass(frozen=True)
class Goal:
    """Says what should be reached and how it is measured."""

    unit: str
    compare: str
    bound: float
    how: str

    def __str__(self) -> str:
        return f"{self.compare} {self.bound:g}"


GOALS: dict[str, Goal] = {
    "runner_overhead_ratio": Goal(
        "ratio", "<=", 1.05,
        "Time of a plan (with lint, tests and report) and its apply in two processes of the runner, divided by the time"
        " of the same SQLMesh calls in two processes without it. PostgreSQL, 10 models, new databases each time, pairs"
        " in alternating order; median of the pairs' ratios.",
    ),
    "cli_chain_ratio": Goal(
        "ratio", ">=", 3.0,
        "Time of six CLI processes (info, lint, test, plan --auto-apply, audit, run), divided by the time of the runner's"
        " two (plan with lint, tests and report, apply with audits), on the same project and server, in pairs; median of"
        " the pairs' ratios.",
    ),
    "cli_chain_with_run_ratio": Goal(
        "ratio", ">=", 2.5,
        "The same chain, divided by the runner's three processes: plan, apply, and the run that follows every apply and"
        " has nothing to do here.",
    ),
    "runner_rss_overhead_mb": Goal(
        "MB", "<=", 20,
        "Peak resident memory of the runner's supervisor and worker minus that of the same calls without it, for plan and"
        " for apply (medians of the pairs above); the larger difference.",
    ),
    "create_to_job_p50_ms": Goal(
        "ms", "<=", 60,
        "Time from sending the POST of an environment until another client's watch shows its first Job; 40 environments"
        " at 4 per second, with all controllers; median.",
    ),
    "create_to_job_p95_ms": Goal("ms", "<=", 150, "The same, 95th percentile."),
    "whole_life_share_1000": Goal(
        "share", ">=", 0.7,
        "1,000 environments on 50 ready gateways go from creation through plan, apply and run to Ready; the benchmark"
        " writes the ends of Jobs and the results of pods. All writes per second from the operator's first write on,"
        " divided by those of a bare loop that makes the same number of the same writes (recorded from the operator) at"
        " concurrency 16. Without controllers and node; median of three pairs.",
    ),
    "operator_rss_mb_1000": Goal(
        "MB", "<=", 130, "Resident memory of the operator once these 1,000 environments are Ready; largest of three."
    ),
    "idle_writes": Goal(
        "writes", "<=", 0,
        "Writes in the following minute without renewals of the Lease, by the operator's metrics.",
    ),
    "idle_cpu_share": Goal("share of a core", "<=", 0.003, "CPU time of the operator in that minute."),
    "restart_sync_s_1000": Goal(
        "s", "<=", 5,
        "Time from restarting the process with the 1,000 environments and their Jobs until it is leader, has listed"
        " everything and has reconciled every object.",
    ),
    "restart_writes_1000": Goal("writes", "<=", 0, "Writes from the restart until 10 s later, without the Lease."),
    "daily_run_jobs_per_day": Goal(
        "Jobs", "<=", 1,
        "Seven simulated days of a project with daily models only, with a restart of the operator or a resync every"
        " simulated hour; the largest number of run Jobs of a day, including the run that follows the apply.",
    ),
    "due_to_run_s": Goal(
        "s", "<=", 30,
        "Time from the due time in status until the container of the run has started, for a model with cron */5 on"
        " PostgreSQL with real runner and node; the larger of two. Quick: a schedule of the environment that is due every"
        " minute.",
    ),
    "diff_gate_ratio": Goal(
        "ratio", "<=", 1.2,
        "Time of a `diff` task for a model of 10 million rows on DuckDB, of which one in 500 has changed, divided by the"
        " time of SQLMesh's own table diff of the same two tables. Two processes, pairs in alternating order, median of"
        " five pairs' ratios. Quick: a million rows, one pair.",
    ),
    "promotion_switch_ratio": Goal(
        "ratio", "<=", 1.5,
        "100 views of one system on PostgreSQL are switched to another revision and back: time of the promote task from"
        " the beginning of its apply to its end, divided by the time in which plain SQLMesh applies the same plan. Both"
        " build the plan from the state in a process of their own, in alternating order; ratio of the medians.",
    ),
    "promotion_total_s": Goal(
        "s", "<=", 15,
        "Time from creating a promotion of 100 views until a watch shows outcome Succeeded, with all gates and the audits"
        " before and after, without approval and soak, on the local cluster with real components; median of three.",
    ),
    "rollback_s": Goal(
        "s", "<=", 8,
        "Time from creating a rollback (rollbackTo) of each of these promotions until reading the views shows the previous"
        " revision in all of them; each starts after the run that follows the promotion. Median.",
    ),
    "failed_reads": Goal(
        "reads", "<=", 0,
        "A process reads the views 1,100 times per second during ten more promotions and rollbacks: errors, changes of a"
        " view that are more or fewer than one per promotion or rollback, and reads missing to 1,000 per second.",
    ),
    "promotion_step_p95_ms": Goal(
        "ms", "<=", 500,
        "500 promotions in flight at the same time on one operator, each on its own gateway; the benchmark ends the Jobs"
        " after one to three minutes. Time from right before the end of a step's pod is sent to the API server until a"
        " watch shows the Job of the next step; 95th percentile.",
    ),
    "hostile_create_to_job_p95_ms": Goal(
        "ms", "<=", 1000,
        "1,000 environments of one namespace, as slow to judge as the CRDs allow and every fifth as large, and no gateway"
        " grants them anything. Time from the answer to the POST of an honest environment elsewhere to its first Job; 60"
        " of them at 4 per second, once while the hostile ones are edited without a pause and once right after a restart"
        " of the operator; the larger 95th percentile.",
    ),
    "hostile_operator_peak_rss_mb": Goal("MB", "<=", 256, "Highest resident memory of the operator in that time."),
    "hostile_leases_lost": Goal("Leases", "<=", 0, "How often it lost its Lease in that time."),
    "hostile_loop_late_s": Goal("s", "<=", 1, "The longest that its event loop was late, by its log."),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Figure:
    """Holds one measured figure."""

    name: str
    value: float

    @property
    def met(self) -> bool:
        """Return whether the goal is reached."""
        goal = GOALS[self.name]
        return _COMPARE[goal.compare](self.value, goal.bound)

    def __str__(self) -> str:
        goal = GOALS[self.name]
        return f"{self.name:26} {self.value:>10.4g} {goal.unit:16} goal {goal!s:9} {'met' if self.met else 'MISSED'}"


def quick() -> bool:
    """Return whether smaller sizes are to be measured, in minutes instead of an hour."""
    return os.environ.get("QUICK", "") not in ("", "0")


def write(figures: list[Figure]) -> None:
    """Write results.json and the README's table."""
    rows = []
    for figure in figures:
        goal = GOALS[figure.name]
        row: dict[str, object] = {"name": figure.name, "value": round(figure.value, 4), "unit": goal.unit}
        rows.append(row | {"goal": str(goal), "met": figure.met, **({"quick": True} if quick() else {})})
    RESULTS.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n")
    before, _, rest = README.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    README.write_text(f"{before}{_BEGIN}\n{_table(figures)}\n{_END}{after}")


def _table(figures: list[Figure]) -> str:
    kind = "quick: fewer objects and repetitions than the names say, see below" if quick() else "full"
    today = dt.datetime.now(dt.timezone.utc).date()
    lines = [f"Measured on {today} ({kind}): {machine()}.", "", "| Figure | Value | Goal | | How it is measured |"]
    lines.append("|---|---|---|---|---|")
    for figure in figures:
        goal = GOALS[figure.name]
        met = "met" if figure.met else "**missed**"
        lines.append(f"| `{figure.name}` | {figure.value:.4g} {goal.unit} | {goal} | {met} | {goal.how} |")
    return "\n".join(lines)


def machine() -> str:
    """Describe processor, cores, memory and load for the README."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    name = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    python = platform.python_version()
    return (
        f"{os.cpu_count()} cores ({name}), {memory:.0f} GiB, {platform.system()}, Python {python}; API server and etcd"
        f" on the same cores; load average {load:.1f} at the end"
    )
