"""One model of a data diff against the gate's limits. Pure; `data_diff` sums them up.

Texts are percentages and names: a sum, a value or a number of rows never leaves this module.
"""

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException

from vulcan_contract import words
from vulcan_contract.diff_report import ColumnStatistics, ModelDiff, ModelStatistics
from vulcan_operator.api.promotion import DataDiffGate

_NOISE = 1e-9  # percent; engines add floats up in orders of their own
_LONGEST_NAME = 200


class Finding(enum.Enum):
    """How one model stands to the limits."""

    EQUAL = "equal"
    WITHIN = "within the limits"
    ABOVE = "above a limit"
    OPEN = "not comparable"
    EXPECTED = "meant to change"
    SKIPPED = "not looked at"


@dataclass(frozen=True)
class ModelFinding:
    """The finding on one model. `weight`: its largest difference by the limit, the worst first."""

    name: str
    finding: Finding
    words: str = ""
    weight: float = 0.0
    by_counts: bool = False


@dataclass(frozen=True)
class _Difference:
    words: str
    percent: float
    limit: float

    @property
    def weight(self) -> float:
        if self.percent == 0:
            return 0.0
        return self.percent / self.limit if self.limit else math.inf


def percent(value: float) -> str:
    """A number of percent as text; infinite: there was nothing before."""
    return "∞ %" if math.isinf(value) else f"{value:.4g} %"


def rows(gate: DataDiffGate, model: ModelDiff) -> ModelFinding:
    """A model within one system, whose rows were joined or at least counted."""
    name = _name(model.name)
    if model.method == "RowCounts" and gate.on_missing_grain != "RowCounts":
        fails = gate.on_missing_grain == "Fail"
        finding = Finding.ABOVE if fails else Finding.SKIPPED
        found = ModelFinding(name, finding, model.why[:200], math.inf)
        return _expected(gate, model.name, found)
    if model.method not in ("Rows", "RowCounts"):
        found = ModelFinding(name, Finding.OPEN, model.why[:200] or "nobody knows why")
        return _expected(gate, model.name, found)
    if not model.equal <= model.joined <= min(model.before, model.after):
        return ModelFinding(name, Finding.OPEN, "its numbers cannot be")
    differences = [_row_count(gate, model.before, model.after)]
    if model.method == "Rows":
        exchanged = min(model.before, model.after) - model.joined  # went, while as many others came
        changed, of = model.joined - model.equal + exchanged, model.joined + exchanged
        share = 100 * changed / of if of else 0.0
        text, most = f"{percent(share)} of the rows differ", gate.max_changed_rows_percent
        differences.append(_Difference(text, share, most))
    open_ = _lost(model.columns_lost)
    ends = (model.before_end, model.after_end) if not model.end else ("", "")
    found = replace(_judged(name, differences, open_, ends), by_counts=model.method == "RowCounts")
    return _expected(gate, model.name, found)


def statistics(gate: DataDiffGate, before: ModelStatistics, after: ModelStatistics) -> ModelFinding:
    """A model of two systems, by the statistics of both."""
    name = _name(before.name)
    why = after.why or before.why
    differ = before.restricted != after.restricted
    if why or differ or (before.restricted and before.end != after.end):
        words = why[:200] or "its two sides are computed up to different times"
        return _expected(gate, before.name, ModelFinding(name, Finding.OPEN, words))
    try:
        differences = [_row_count(gate, before.rows, after.rows), *_columns(gate, before, after)]
    except (ValueError, DecimalException):
        return ModelFinding(name, Finding.OPEN, "its numbers cannot be")
    lost = [c for c, one in before.columns.items() if not _is_alike(one, after.columns.get(c))]
    open_ = _lost(tuple(sorted(lost)))
    if before.columns_omitted or after.columns_omitted:
        open_ = open_ or "it has more columns than are counted"
    ends = (before.end, after.end) if not before.restricted else ("", "")
    return _expected(gate, before.name, _judged(name, differences, open_, ends))


def _lost(columns: tuple[str, ...]) -> str:
    return f"columns that are gone or of another type: {_list(columns)}" if columns else ""


def _judged(
    name: str, differences: list[_Difference], open_: str, ends: tuple[str, str]
) -> ModelFinding:
    worst = max(differences, key=lambda d: d.weight)
    above = [d for d in differences if d.percent > d.limit]
    shown = sorted(above or [d for d in differences if d.percent], key=lambda d: -d.weight)[:3]
    words = ", ".join(d.words for d in shown)
    if above:
        behind = f"; computed up to {ends[0]} and {ends[1]}" if ends[0] != ends[1] else ""
        return ModelFinding(name, Finding.ABOVE, words + behind, worst.weight)
    if open_:
        return ModelFinding(name, Finding.OPEN, open_, worst.weight)
    return ModelFinding(name, Finding.WITHIN if shown else Finding.EQUAL, words, worst.weight)


def _expected(gate: DataDiffGate, model: str, found: ModelFinding) -> ModelFinding:
    """A model that is meant to change is compared and shown, but not judged."""
    return replace(found, finding=Finding.EXPECTED) if model in gate.expected_changes else found


def _row_count(gate: DataDiffGate, before: int, after: int) -> _Difference:
    change = _relative(before, after)
    words = f"{percent(abs(change))} {'more' if change > 0 else 'fewer'} rows"
    text = "rows where there were none" if math.isinf(change) else words
    return _Difference(text, abs(change), gate.max_row_count_change_percent)


def _columns(
    gate: DataDiffGate, before: ModelStatistics, after: ModelStatistics
) -> Iterator[_Difference]:
    rows_change, most = _relative(before.rows, after.rows), gate.max_changed_rows_percent

    def off(what: str, column: str, by: float) -> _Difference:
        return _Difference(f"{what} of {_name(column)} off by {percent(by)}", by, most)

    for column in sorted(before.columns.keys() & after.columns.keys()):
        one, other = before.columns[column], after.columns[column]
        nulls, were = _share(other.nulls, after.rows), _share(one.nulls, before.rows)
        yield off("null rate", column, abs(nulls - were))
        if one.distinct is not None and other.distinct is not None:
            change = _relative(one.distinct, other.distinct)
            yield off("distinct values", column, _unexplained(change, rows_change))
        if one.sum is not None and other.sum is not None:
            change = _relative(Decimal(one.sum), Decimal(other.sum))
            yield off("sum", column, _unexplained(change, rows_change))


def _relative(before: int | Decimal, after: int | Decimal) -> float:
    """The change in percent; infinite when there was nothing before. NaN only equals NaN."""
    if before == after or (_is_nan(before) and _is_nan(after)):
        return 0.0
    if not before or _is_nan(before) or _is_nan(after) or math.isinf(before) or math.isinf(after):
        return math.inf
    return float((Decimal(after) - Decimal(before)) / Decimal(before) * 100)


def _unexplained(change: float, rows_change: float) -> float:
    """How far a change goes beyond that of the number of rows, which has a limit of its own."""
    if math.isinf(rows_change):
        return 0.0
    low, high = min(rows_change, 0.0), max(rows_change, 0.0)
    beyond = max(change - high, low - change, 0.0)
    return beyond if beyond > _NOISE else 0.0


def _share(part: int, whole: int) -> float:
    if part > whole:
        raise ValueError("more nulls than rows")
    return 100 * part / whole if whole else 0.0


def _is_nan(value: int | Decimal) -> bool:
    return isinstance(value, Decimal) and value.is_nan()


def _is_alike(one: ColumnStatistics, other: ColumnStatistics | None) -> bool:
    """Whether two columns of a name have the same statistics; of another type, they have others."""
    if other is None:
        return False
    return (one.distinct is None, one.sum is None) == (other.distinct is None, other.sum is None)


def _name(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _list(names: tuple[str, ...]) -> str:
    return words.shortened([_name(name) for name in names], 5)
