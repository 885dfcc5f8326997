"""What a task of kind `diff` found, from the runner to the operator: JSON of a DiffReport, sent as
`report` describes.

Written by `vulcan_runner.diffing` and `vulcan_runner.counting`, judged by the promotions' planner.
Holds numbers of rows and shares of them. Sums of numeric columns are the only thing computed from
values: across systems nothing else could show that they are equal. Must never hold a row, a
smallest or largest value, or a sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from vulcan_contract.codec import Bound, check, decode, load

MAX_UNPACKED = 8 * 1024 * 1024  # bytes of a report's JSON
MAX_MODELS = 300  # of a report; more are counted as omitted
MAX_COLUMNS = 256  # of a model that are counted
MAX_NAMED = 50  # of the omitted models
_DEFAULT = Bound(1024, most=max(MAX_MODELS, MAX_COLUMNS))
Time = Annotated[str, Bound(time=True)]  # RFC 3339; empty: never


@dataclass(frozen=True)
class ModelDiff:
    """One model whose two tables were compared: `before` is what the target shows now, `after` what
    it would show.

    `method` is Rows when they were joined by the grain and compared; RowCounts when no grain joins
    them and only numbers of rows are known; empty when nothing is known. `why` says why it is not
    Rows.
    """

    name: str
    method: str = "Rows"
    why: str = ""
    directly_modified: bool = False
    before: int = 0
    after: int = 0
    joined: int = 0
    equal: int = 0  # joined rows that are the same in every column that both tables have
    end: Time = ""  # only rows before it were compared; empty: all were
    before_end: Time = ""  # how far each side is computed
    after_end: Time = ""
    # Column -> percent of the joined rows that differ in it.
    columns: Mapping[str, float] = field(default_factory=dict)
    columns_added: tuple[str, ...] = ()
    columns_lost: tuple[str, ...] = ()  # gone or of another type: not compared


@dataclass(frozen=True)
class ColumnStatistics:
    """One column. Types without `distinct` or `sum` have None; a sum may be NaN or infinite."""

    nulls: int = 0
    distinct: int | None = None
    sum: str | None = None


@dataclass(frozen=True)
class ModelStatistics:
    """One model. `code`: digest of its definition, in any system. `why`: why it was not counted."""

    name: str
    code: str = ""
    why: str = ""
    rows: int = 0
    end: Time = ""  # how far it is computed, or was asked for
    restricted: bool = False  # only rows before `end` were counted
    columns: Mapping[str, ColumnStatistics] = field(default_factory=dict)
    columns_omitted: int = 0


@dataclass(frozen=True)
class DiffReport:
    """The whole report. `plan_id`: the environment's plan; empty: it is not in the state."""

    statistics: bool
    environment: str
    plan_id: str = ""
    source_environment: str = ""
    source_plan_id: str = ""
    identical: int = 0  # models with the same table before and after
    left_alone: int = 0  # models whose own code differs, with `models: NotDirectlyModified`
    added: int = 0
    removed: int = 0
    models: tuple[ModelDiff, ...] = ()
    counted: tuple[ModelStatistics, ...] = ()
    omitted: int = 0
    omitted_models: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> "DiffReport":
        """Raises ContractError for what is not a report, or has values outside their bounds."""
        report: DiffReport = decode(cls, load(text))
        check(report, _DEFAULT)
        return report
