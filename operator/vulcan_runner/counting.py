"""An environment's data as statistics, so that the operator can compare two systems between which
no row may pass: rows, nulls, distinct values and sums by model and column, in one query for a
model.

Called by `tasks`. Must never return a row, a smallest or largest value, or a sample.
"""

from dataclasses import replace
from typing import Any

from sqlglot import exp

from vulcan_contract.diff_report import MAX_COLUMNS, ColumnStatistics, DiffReport, ModelStatistics
from vulcan_contract.task import Diff
from vulcan_contract.times import milliseconds
from vulcan_runner import diff_side, diffing, failures
from vulcan_runner.attempt import Attempt
from vulcan_runner.engine import Snapshot

_Type = exp.DataType
_COUNTABLE = {
    *_Type.INTEGER_TYPES, *_Type.REAL_TYPES, *_Type.TEXT_TYPES, *_Type.TEMPORAL_TYPES,
    _Type.Type.BOOLEAN, _Type.Type.UUID,
}  # fmt: skip
"""Types whose values can be told apart on any engine (PostgreSQL's json cannot)."""


def count(attempt: Attempt, wanted: Diff) -> DiffReport:
    """Counts `task.environment` as it is now."""
    engine, environment = attempt.engine, attempt.task.environment
    side = diff_side.of_environment(engine, environment)
    names = sorted(side.with_data(), key=engine.display)
    report = DiffReport(True, environment, side.plan_id)

    def one(name: str) -> ModelStatistics:
        shown, end, snapshot = engine.display(name), side.end(name), side.snapshots[name]
        asked = milliseconds(wanted.ends[shown]) if shown in wanted.ends else None
        code = snapshot.fingerprint.data_hash
        found = ModelStatistics(shown, code=code, end=diff_side.text(end))
        if end is None:
            return replace(found, why="nothing is computed")
        try:
            adapter = engine.adapter(snapshot.model_gateway)
            return _counted(found, snapshot, adapter, side.table(name), min(end, asked or end))
        except Exception as error:  # noqa: BLE001  drivers have no common type
            return replace(found, why=failures.of_one(error))

    counted, omitted = diffing.each(attempt, names, "count", one)
    return diffing.fitted(replace(report, counted=counted), omitted)


def _counted(
    found: ModelStatistics, snapshot: Snapshot, adapter: Any, table: exp.Table, end: int
) -> ModelStatistics:
    types = adapter.columns(table)
    columns = sorted(types)[:MAX_COLUMNS]
    query = exp.select(exp.func("COUNT", exp.Star())).from_(table)
    if snapshot.model.time_column is not None:
        query = query.where(diff_side.before(snapshot, end, types))
        found = replace(found, end=diff_side.text(end), restricted=True)
    for column in columns:
        query = query.select(*_aggregates(column, types[column]))
    values = iter(adapter.fetchone(query, quote_identifiers=True))
    rows = int(next(values))
    counted = {column: _column(rows, types[column], values) for column in columns}
    return replace(found, rows=rows, columns=counted, columns_omitted=len(types) - len(columns))


def _aggregates(column: str, kind: exp.DataType) -> list[exp.Expr]:
    """In the order in which `_column` reads them."""
    value = exp.column(column, quoted=True)
    found: list[exp.Expr] = [exp.func("COUNT", value)]
    if _is_countable(kind):
        found.append(exp.Count(this=exp.Distinct(expressions=[value.copy()])))
    if _is_number(kind):
        # A float is summed as a double: single precision would depend on the order of the rows.
        is_float = kind.is_type(*_Type.FLOAT_TYPES)
        summed = exp.cast(value.copy(), "DOUBLE") if is_float else value.copy()
        found.append(exp.func("SUM", summed))
    return found


def _column(rows: int, kind: exp.DataType, values: Any) -> ColumnStatistics:
    found = ColumnStatistics(nulls=rows - int(next(values)))
    if _is_countable(kind):
        found = replace(found, distinct=int(next(values)))
    if _is_number(kind):
        summed = next(values)
        found = replace(found, sum="0" if summed is None else str(summed))
    return found


def _is_countable(kind: exp.DataType) -> bool:
    return bool(kind.is_type(*_COUNTABLE))


def _is_number(kind: exp.DataType) -> bool:
    return bool(kind.is_type(*_Type.INTEGER_TYPES, *_Type.REAL_TYPES))
