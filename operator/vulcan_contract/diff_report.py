"""What a task of kind `diff` found, from the runner to the operator: JSON of a DiffReport, on its way as `report` says.

Written by `vulcan_runner.diffing` and `vulcan_runner.counting`, judged by `plan.promotions.data_diff`. Numbers of rows
and shares of them; sums of numeric columns are the one thing that is made of values, for across systems nothing else could
tell whether they are the same. Never a row, a smallest or largest value, or a sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from vulcan_contract.codec import Bound, check, decode, load

MAX_UNPACKED = 8 * 1024 * 1024
"""Bytes of a report's JSON."""
MAX_MODELS = 300
"""Models of a report; more are counted as omitted."""
MAX_COLUMNS = 256
"""Columns of a model that are counted."""
MAX_NAMED = 50
"""Omitted models that are named."""
_DEFAULT = Bound(1024, most=max(MAX_MODELS, MAX_COLUMNS))
Time = Annotated[str, Bound(time=True)]  # RFC 3339; empty: never


@dataclass(frozen=True)
class ModelDiff:
    """One model whose two tables were compared. Before: what the target shows now; after: what it would show.

    `method`: Rows: joined by the grain and compared. RowCounts: there is no grain that joins them, only numbers of rows
    are known. Empty: nothing is known. `why` says why it is not Rows.
    """

    name: str
    method: str = "Rows"
    why: str = ""
    directly_modified: bool = False
    before: int = 0
    after: int = 0
    joined: int = 0
    equal: int = 0  # of the joined ones: the same in every column that both tables have
    end: Time = ""  # only rows before it count; empty: all of them do
    before_end: Time = ""  # how far each side is computed
    after_end: Time = ""
    columns: Mapping[str, float] = field(default_factory=dict)  # column -> percent of the joined rows that differ in it
    columns_added: tuple[str, ...] = ()
    columns_lost: tuple[str, ...] = ()  # gone or of another type: not compared


@dataclass(frozen=True)
class ColumnStatistics:
    """One column. `distinct` and `sum` are there for types that have them; a sum is a decimal number, NaN or infinite."""

    nulls: int = 0
    distinct: int | None = None
    sum: str | None = None


@dataclass(frozen=True)
class ModelStatistics:
    """One model of one environment. `code`: digest of its own definition, the same for the same one in any system.
    `why`: why it was not counted."""

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
    """All of it. `plan_id`: what the environment had when it was looked at, empty: it is not in the state."""

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
        """Raises ContractError for what is no report, or has values in it that cannot be."""
        report = decode(cls, load(text))
        assert isinstance(report, cls)
        check(report, _DEFAULT)
        return report
