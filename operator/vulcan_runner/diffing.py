"""What an environment's data would be after a promotion, compared with what it is: SQLMesh's table diff over each model
whose table changes. For across systems, `counting` instead.

Called by `tasks`. Compares up to where both sides are computed, and joins by the model's grain. Only numbers of rows leave
this module. Nothing is written to the warehouse (see `scratch`).
"""

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlglot import exp
from sqlmesh.core.engine_adapter.mixins import RowDiffMixin
from sqlmesh.core.snapshot.definition import Snapshot
from sqlmesh.core.table_diff import TableDiff

from vulcan_contract import report as reports
from vulcan_contract.codec import encode
from vulcan_contract.diff_report import MAX_MODELS, MAX_NAMED, MAX_UNPACKED, DiffReport, ModelDiff
from vulcan_contract.task import Diff, Task
from vulcan_runner import diff_side, failures, history, scratch
from vulcan_runner.diff_side import DiffSide
from vulcan_runner.engine import Engine
from vulcan_runner.lines import Lines
from vulcan_runner.state import HistoryRow
from vulcan_runner.stop import Stop

_COLUMNS = 20  # that are named because their values differ
T = TypeVar("T")


def compare(
    task: Task,
    wanted: Diff,
    engine: Engine,
    row: HistoryRow,
    stop: Stop,
    lines: Lines,
    folder: Path,
) -> DiffReport:
    """`row`: the plan that would move. `folder`: of the pod, for what is in the way."""
    ids = history.snapshots(row)
    after = diff_side.of_snapshots(task.environment, row.plan_id, engine.snapshots_by_id(ids))
    before = diff_side.of_environment(engine, task.environment)
    known = before.with_data()
    gone = ids.keys() - after.snapshots.keys()
    both = known & after.with_data()
    same = {n for n in both if before.place(n) == after.place(n)}
    own = {n for n in both - same if _is_directly_modified(before, after, n)}
    left_alone = own if wanted.models != "All" else set()
    names = sorted((both | known & gone) - same - left_alone)
    report = DiffReport(
        False, task.environment, before.plan_id, wanted.environment, wanted.plan_id,
        identical=len(same), left_alone=len(left_alone),
        added=len(after.with_data() - known), removed=len(known - after.with_data() - gone),
    )  # fmt: skip

    def one(name: str) -> ModelDiff:
        found = ModelDiff(engine.display(name), directly_modified=name in own)
        if name in gone:
            return replace(found, method="", why="its snapshot is not in the state any more")
        return _model(found, name, before, after, engine, folder)

    lines.say(f"{len(names)} models to compare", of=len(names))
    models = tuple(each(names, one, engine, stop, lines))
    return fitted(replace(report, models=models), [engine.display(n) for n in names[MAX_MODELS:]])


def each(names: list[str], one: Callable[[str], T], engine: Engine, stop: Stop, lines: Lines) -> list[T]:
    """So many models as a report may have, one after the other."""
    found = []
    for name in names[:MAX_MODELS]:
        stop.check()
        found.append(one(name))
        lines.say(f"{engine.display(name)}: compared", model=engine.display(name), of=len(names))
    return found


def fitted(report: DiffReport, omitted: list[str]) -> DiffReport:
    """With the omitted models said, and as many more left out as must be for it to fit."""
    while True:
        whole = replace(report, omitted=len(omitted), omitted_models=tuple(omitted[:MAX_NAMED]))
        text = json.dumps(encode(whole)).encode()
        if len(text) <= MAX_UNPACKED and len(gzip.compress(text)) <= reports.MAX_BYTES * 9 // 10:
            return whole
        kept = max(len(report.models), len(report.counted)) * 3 // 4
        omitted = [
            *(m.name for m in report.models[kept:]),
            *(m.name for m in report.counted[kept:]),
            *omitted,
        ]
        report = replace(report, models=report.models[:kept], counted=report.counted[:kept])


def _is_directly_modified(before: DiffSide, after: DiffSide, name: str) -> bool:
    old, new = before.snapshots[name], after.snapshots[name]
    return bool(old.fingerprint.data_hash != new.fingerprint.data_hash)


def _model(found: ModelDiff, name: str, before: DiffSide, after: DiffSide, engine: Engine, folder: Path) -> ModelDiff:
    ends = (before.end(name), after.end(name))
    found = replace(found, before_end=diff_side.text(ends[0]), after_end=diff_side.text(ends[1]))
    if None in ends:
        return replace(found, method="", why="one of its tables has nothing computed")
    if before.table(name) == after.table(name):
        return replace(found, method="", why="its new version has no table of its own to look at")
    adapter = diff_side.adapter(engine, after.snapshots[name])
    try:
        columns = [adapter.columns(side.table(name)) for side in (before, after)]
        where = None
        if before.time_column(name) is not None and before.time_column(name) == after.time_column(name):
            end = min(e for e in ends if e is not None)
            where = diff_side.before(after.snapshots[name], end, columns[1])
            found = replace(found, end=diff_side.text(end))
        tables = before.table(name), after.table(name)
        return _tables(_schemas(found, *columns), after.snapshots[name], adapter, tables, where, folder)
    except Exception as error:  # noqa: BLE001  drivers have no common type
        return replace(found, method="", why=failures.of_one(error))


def _schemas(found: ModelDiff, before: dict[str, Any], after: dict[str, Any]) -> ModelDiff:
    lost = sorted(c for c in before if before[c] != after.get(c))
    return replace(found, columns_added=_few(sorted(after.keys() - before.keys())), columns_lost=_few(lost))


def _few(names: list[str]) -> tuple[str, ...]:
    more = [f"and {len(names) - _COLUMNS} more"] if len(names) > _COLUMNS else []
    return (*names[:_COLUMNS], *more)


def _tables(
    found: ModelDiff,
    snapshot: Snapshot,
    adapter: Any,
    tables: tuple[exp.Table, exp.Table],
    where: Any,
    folder: Path,
) -> ModelDiff:
    grain = snapshot.model.on
    if not grain or not isinstance(adapter, RowDiffMixin):
        reason = "it has no grain" if not grain else "SQLMesh has no table diff for this engine"
        return _counted(replace(found, why=reason), adapter, tables, where)
    before, after = (t.sql(dialect=adapter.dialect, identify=True) for t in tables)
    with scratch.place(adapter, folder) as (own, schema):
        diff = TableDiff(
            own, before, after, grain, where=where, limit=0, model_name=snapshot.model.name,
            model_dialect=snapshot.model.dialect,
        )  # fmt: skip
        rows = diff.row_diff(temp_schema=schema)
    stats = {key: int(value) for key, value in rows.stats.items()}
    unique = all(stats[f"{side}_count"] == stats[f"distinct_count_{side}"] for side in "st")
    if not unique or stats["null_grain_count"]:
        # The join has dropped rows, or made more of them than there are.
        return _counted(replace(found, why="its grain is not unique, or null"), adapter, tables, where)
    differ = {str(c): round(100 - float(p), 6) for c, p in rows.column_stats["pct_match"].items() if _differs(p)}
    worst = sorted(differ, key=lambda c: (-differ[c], c))[:_COLUMNS]
    return replace(
        found, before=stats["s_count"], after=stats["t_count"], joined=stats["join_count"],
        equal=stats["full_match_count"], columns={c: differ[c] for c in worst},
    )  # fmt: skip


def _differs(percent: Any) -> bool:
    """None and NaN: no row was joined."""
    return percent is not None and math.isfinite(float(percent)) and float(percent) < 100


def _counted(found: ModelDiff, adapter: Any, tables: tuple[exp.Table, exp.Table], where: Any) -> ModelDiff:
    count = exp.select(exp.func("COUNT", exp.Star()))
    queries = (count.from_(table).where(where) for table in tables)
    before, after = (int(adapter.fetchone(query, quote_identifiers=True)[0]) for query in queries)
    return replace(found, method="RowCounts", before=before, after=after)
