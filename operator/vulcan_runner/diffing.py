"""What an environment's data would be after a promotion, compared with what it is: SQLMesh's table
diff over each model whose table changes. Across systems it is `counting` instead.

Called by `tasks`. Compares up to where both sides are computed, and joins by the model's grain.
Only numbers of rows leave this module. Writes nothing to the warehouse (see `scratch`).
"""

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlglot import exp
from sqlmesh.core.engine_adapter.mixins import RowDiffMixin
from sqlmesh.core.table_diff import TableDiff

from vulcan_contract import report as reports
from vulcan_contract.codec import encode
from vulcan_contract.diff_report import MAX_MODELS, MAX_NAMED, MAX_UNPACKED, DiffReport, ModelDiff
from vulcan_contract.task import Diff
from vulcan_runner import diff_side, failures, history, scratch
from vulcan_runner.attempt import Attempt
from vulcan_runner.diff_side import DiffSide
from vulcan_runner.rows import HistoryRow

_COLUMNS = 20  # that are named because their values differ
T = TypeVar("T")


def compare(attempt: Attempt, wanted: Diff, row: HistoryRow) -> DiffReport:
    """`row`: the plan that would be promoted."""
    engine, environment = attempt.engine, attempt.task.environment
    keys = history.snapshots(row)
    after = diff_side.of_snapshots(environment, row.plan_id, engine.snapshots_by_id(keys))
    before = diff_side.of_environment(engine, environment)
    pair = _Pair(attempt, before, after)
    known = before.with_data()
    gone = keys.keys() - after.snapshots.keys()
    both = known & after.with_data()
    same = {n for n in both if before.place(n) == after.place(n)}
    own = {n for n in both - same if pair.is_directly_modified(n)}
    left_alone = own if wanted.models != "All" else set()
    names = sorted((both | known & gone) - same - left_alone)
    plans = (before.plan_id, wanted.environment, wanted.plan_id)
    added, removed = after.with_data() - known, known - after.with_data() - gone
    numbers = (len(same), len(left_alone), len(added), len(removed))
    report = DiffReport(False, environment, *plans, *numbers)

    def one(name: str) -> ModelDiff:
        found = ModelDiff(engine.display(name), directly_modified=name in own)
        if name in gone:
            return replace(found, method="", why="its snapshot is no longer in the state")
        return pair.compared(found, name)

    models, omitted = each(attempt, names, "compare", one)
    return fitted(replace(report, models=models), omitted)


def each(
    attempt: Attempt, names: list[str], verb: str, one: Callable[[str], T]
) -> tuple[tuple[T, ...], list[str]]:
    """What `one` says of as many models as a report may have, and the names of the others."""
    attempt.lines.say(f"{len(names)} models to {verb}", of=len(names))
    found = []
    for name in names[:MAX_MODELS]:
        attempt.context.stop.check()
        found.append(one(name))
        shown = attempt.engine.display(name)
        attempt.lines.say(f"{shown}: compared", model=shown, of=len(names))
    return tuple(found), [attempt.engine.display(n) for n in names[MAX_MODELS:]]


def fitted(report: DiffReport, omitted: list[str]) -> DiffReport:
    """The report with its omitted models named, and as many more left out as it takes to fit."""
    while True:
        whole = replace(report, omitted=len(omitted), omitted_models=tuple(omitted[:MAX_NAMED]))
        text = json.dumps(encode(whole)).encode()
        if len(text) <= MAX_UNPACKED and len(gzip.compress(text)) <= reports.MAX_BYTES * 9 // 10:
            return whole
        kept = max(len(report.models), len(report.counted)) * 3 // 4
        more = [m.name for m in report.models[kept:]] + [m.name for m in report.counted[kept:]]
        omitted = more + omitted
        report = replace(report, models=report.models[:kept], counted=report.counted[:kept])


@dataclass(frozen=True)
class _Pair:
    """The two sides of a comparison, in one system."""

    attempt: Attempt
    before: DiffSide
    after: DiffSide

    def is_directly_modified(self, name: str) -> bool:
        """Whether the model's own code differs."""
        old, new = self.before.snapshots[name], self.after.snapshots[name]
        return bool(old.fingerprint.data_hash != new.fingerprint.data_hash)

    def compared(self, found: ModelDiff, name: str) -> ModelDiff:
        """One model, up to where both sides are computed."""
        before, after = self.before, self.after
        ends = (before.end(name), after.end(name))
        texts = [diff_side.text(end) for end in ends]
        found = replace(found, before_end=texts[0], after_end=texts[1])
        if None in ends:
            return replace(found, method="", why="one of its tables has nothing computed")
        if before.table(name) == after.table(name):
            why = "its new version has no table of its own"
            return replace(found, method="", why=why)
        snapshot = after.snapshots[name]
        adapter = self.attempt.engine.adapter(snapshot.model_gateway)
        try:
            columns = [adapter.columns(side.table(name)) for side in (before, after)]
            where = None
            time_column = before.time_column(name)
            if time_column is not None and time_column == after.time_column(name):
                end = min(e for e in ends if e is not None)
                where = diff_side.before(snapshot, end, columns[1])
                found = replace(found, end=diff_side.text(end))
            return self._rows(_schemas(found, *columns), name, adapter, where)
        except Exception as error:  # noqa: BLE001  drivers have no common type
            return replace(found, method="", why=failures.of_one(error))

    def _rows(self, found: ModelDiff, name: str, adapter: Any, where: Any) -> ModelDiff:
        """Joins the two tables by the model's grain."""
        model = self.after.snapshots[name].model
        tables = (self.before.table(name), self.after.table(name))
        on, dialect = model.on, model.dialect
        if not on or not isinstance(adapter, RowDiffMixin):
            why = "it has no grain" if not on else "SQLMesh has no table diff for this engine"
            return _counted(replace(found, why=why), adapter, tables, where)
        old, new = (t.sql(dialect=adapter.dialect, identify=True) for t in tables)
        with scratch.place(adapter, self.attempt.context.pod.work) as (own, schema):
            sides = (own, old, new)
            diff = TableDiff(
                *sides, on, where=where, limit=0, model_name=model.name, model_dialect=dialect
            )
            rows = diff.row_diff(temp_schema=schema)
        stats = {key: int(value) for key, value in rows.stats.items()}
        unique = all(stats[f"{side}_count"] == stats[f"distinct_count_{side}"] for side in "st")
        if not unique or stats["null_grain_count"]:
            # The join has dropped rows, or made more of them than there are.
            why = "its grain is not unique, or is null"
            return _counted(replace(found, why=why), adapter, tables, where)
        matches = rows.column_stats["pct_match"].items()
        differ = {str(c): round(100 - float(p), 6) for c, p in matches if _differs(p)}
        worst = sorted(differ, key=lambda c: (-differ[c], c))[:_COLUMNS]
        found = replace(found, before=stats["s_count"], after=stats["t_count"])
        found = replace(found, joined=stats["join_count"], equal=stats["full_match_count"])
        return replace(found, columns={c: differ[c] for c in worst})


def _schemas(found: ModelDiff, before: dict[str, Any], after: dict[str, Any]) -> ModelDiff:
    lost = sorted(c for c in before if before[c] != after.get(c))
    added = sorted(after.keys() - before.keys())
    return replace(found, columns_added=_few(added), columns_lost=_few(lost))


def _few(names: list[str]) -> tuple[str, ...]:
    more = [f"and {len(names) - _COLUMNS} more"] if len(names) > _COLUMNS else []
    return (*names[:_COLUMNS], *more)


def _differs(percent: Any) -> bool:
    """None and NaN: no row was joined."""
    return percent is not None and math.isfinite(float(percent)) and float(percent) < 100


def _counted(
    found: ModelDiff, adapter: Any, tables: tuple[exp.Table, exp.Table], where: Any
) -> ModelDiff:
    count = exp.select(exp.func("COUNT", exp.Star()))
    queries = (count.from_(table).where(where) for table in tables)
    before, after = (int(adapter.fetchone(query, quote_identifiers=True)[0]) for query in queries)
    return replace(found, method="RowCounts", before=before, after=after)
