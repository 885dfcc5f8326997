"""Figures, their goals, and where they are written: results.json and the table in README.md.

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
    """What is to be reached, and how it is measured, in words."""

    unit: str
    compare: str
    bound: float
    how: str

    def __str__(self) -> str:
        return f"{self.compare} {self.bound:g}"


GOALS: dict[str, Goal] = {
    "runner_overhead_ratio": Goal(
        "ratio", "<=", 1.05,
        "A plan (with lint, tests and report) and its apply, two processes of the runner, over the same SQLMesh calls"
        " in two processes without it; PostgreSQL, 10 models, new databases each time, pairs in alternating order;"
        " median of the pairs' ratios.",
    ),
    "cli_chain_ratio": Goal(
        "ratio", ">=", 3.0,
        "Six CLI processes (info, lint, test, plan --auto-apply, audit, run) over the runner's two (plan with lint, tests"
        " and report, apply with audits), on the same project and server, in pairs; median of the pairs' ratios.",
    ),
    "cli_chain_with_run_ratio": Goal(
        "ratio", ">=", 2.5,
        "The same chain over the runner's three: plan, apply, and the run that follows every apply, which finds nothing to"
        " do here.",
    ),
    "runner_rss_overhead_mb": Goal(
        "MB", "<=", 20,
        "Peak resident memory of the runner's process minus that of the same calls without it, for plan and for apply"
        " (medians of the pairs above); the larger difference counts.",
    ),
    "create_to_job_p50_ms": Goal(
        "ms", "<=", 60,
        "From sending the POST of an environment until another client's watch sees its first Job; 40 environments at"
        " 4 per second, all controllers on, median.",
    ),
    "create_to_job_p95_ms": Goal("ms", "<=", 150, "The same, 95th percentile."),
    "whole_life_share_1000": Goal(
        "share", ">=", 0.7,
        "1,000 environments on 50 ready gateways, from nothing over plan, apply and run to Ready, the ends of Jobs and"
        " results of pods written by the bench; all writes per second, over those of a bare loop that makes the same"
        " number of the same kinds of writes (captured from a real life) at concurrency 16. Controllers and node off."
        " From the operator's first write on. Median of three pairs.",
    ),
    "operator_rss_mb_1000": Goal("MB", "<=", 130, "Resident memory at the end of those 1,000 lives, largest of three."),
    "idle_writes": Goal(
        "writes", "<=", 0,
        "Writes in the minute after, the Lease's renewals not counted, by the operator's own metrics.",
    ),
    "idle_cpu_share": Goal("share of a core", "<=", 0.003, "Processor time of the operator in that minute."),
    "restart_sync_s_1000": Goal(
        "s", "<=", 5,
        "From starting the process again with the 1,000 environments and their Jobs until it is leader, has listed"
        " everything and has looked at every object.",
    ),
    "restart_writes_1000": Goal("writes", "<=", 0, "Its writes until 10 s later, the Lease not counted."),
    "daily_run_jobs_per_day": Goal(
        "Jobs", "<=", 1,
        "Seven simulated days of a project whose models are all daily, the operator restarted or everything listed again"
        " every simulated hour; the most run Jobs of a day, the run that follows the apply included.",
    ),
    "due_to_run_s": Goal(
        "s", "<=", 30,
        "A model with cron */5 on PostgreSQL, real runner and node: from the due time in status until the container of"
        " its run started; the largest of two. Quick: a schedule of the environment, due every minute, instead.",
    ),
    "diff_gate_ratio": Goal(
        "ratio", "<=", 1.2,
        "A task `diff` of a model of 10 million rows on DuckDB, one in 500 of them changed, over SQLMesh's own table diff"
        " of the same two tables; two processes, pairs in alternating order, median of five pairs' ratios. Quick: a million"
        " rows, one pair.",
    ),
    "promotion_switch_ratio": Goal(
        "ratio", "<=", 1.5,
        "100 views of one system on PostgreSQL go from one revision to another and back: the promote task from the moment"
        " when it begins to apply to its end, over bare SQLMesh applying the same plan, each built from the state in a"
        " process of its own; in turn, in alternating order; ratio of the medians.",
    ),
    "promotion_total_s": Goal(
        "s", "<=", 15,
        "Promotion of 100 views on the local cluster, everything real, nobody asked and no soak: from creating it until a"
        " watch says outcome Succeeded, all gates, the audits before and after included; median of three.",
    ),
    "rollback_s": Goal(
        "s", "<=", 8,
        "Each of these undone with rollbackTo, once the run that follows a promotion has ended: from creating it until the"
        " last of the views has its former revision, seen by reading them; median.",
    ),
    "failed_reads": Goal(
        "reads", "<=", 0,
        "Ten more promotions and rollbacks to and fro while a process reads the views at 1,100 per second: errors, changes"
        " of a view beyond one per promotion or rollback (or short of one), and polls that are missing to 1,000 per second.",
    ),
    "promotion_step_p95_ms": Goal(
        "ms", "<=", 500,
        "500 promotions in flight at once on one operator, each on a gateway of its own, Jobs end after one to three"
        " minutes by the bench's hand: from right before the end of a step's pod is sent to the API server until a watch"
        " sees the next step's Job; 95th percentile.",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure."""

    name: str
    value: float

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        goal = GOALS[self.name]
        return _COMPARE[goal.compare](self.value, goal.bound)

    def __str__(self) -> str:
        goal = GOALS[self.name]
        return f"{self.name:26} {self.value:>10.4g} {goal.unit:16} goal {goal!s:9} {'met' if self.met else 'MISSED'}"


def quick() -> bool:
    """Minutes instead of an hour."""
    return os.environ.get("QUICK", "") not in ("", "0")


def write(figures: list[Figure]) -> None:
    """results.json and the README's table."""
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
    lines = [f"Measured on {today} ({kind}): {machine()}.", "", "| Figure | Value | Goal | | Measured how |"]
    lines.append("|---|---|---|---|---|")
    for figure in figures:
        goal = GOALS[figure.name]
        met = "met" if figure.met else "**missed**"
        lines.append(f"| `{figure.name}` | {figure.value:.4g} {goal.unit} | {goal} | {met} | {goal.how} |")
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores, memory and load, for the README."""
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
