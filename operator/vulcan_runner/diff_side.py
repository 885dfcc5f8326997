"""An environment's models as a diff sees them: which table each has, and how far it is computed.

Called by `diffing` (two sides in one system) and `counting` (one side of two systems). Reads the state, no data.
"""

from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlmesh.core.dialect import schema_
from sqlmesh.core.snapshot.definition import DeployabilityIndex, Snapshot
from sqlmesh.utils.date import to_datetime, to_timestamp

from vulcan_contract.times import rfc3339
from vulcan_runner import engine as engines
from vulcan_runner.engine import Engine


@dataclass(frozen=True)
class DiffSide:
    """Snapshots by name; empty for an environment that is not in the state. `plan_id`: the plan they are of."""

    plan_id: str
    snapshots: dict[str, Snapshot]
    index: DeployabilityIndex

    def with_data(self) -> set[str]:
        """Names of the models that have a table or a view of their own."""
        return {name for name, s in self.snapshots.items() if s.is_model and not s.is_symbolic}

    def table(self, name: str) -> exp.Table:
        """Where its rows are."""
        snapshot = self.snapshots[name]
        return exp.to_table(snapshot.table_name(is_deployable=self.index.is_deployable(snapshot)))

    def place(self, name: str) -> tuple[exp.Table, str | None]:
        """Its table and the version in it. Where prod has one table for all versions (`dev_only`), SQLMesh gives them one
        version as well: there the code and what it reads tell them apart."""
        snapshot = self.snapshots[name]
        full = snapshot.virtual_environment_mode.is_full
        return self.table(name), snapshot.version if full else snapshot.fingerprint.to_version()

    def end(self, name: str) -> int | None:
        """Milliseconds up to which it is computed; None: nothing is."""
        snapshot = self.snapshots[name]
        done = snapshot.intervals if self.index.is_deployable(snapshot) else snapshot.dev_intervals
        return int(done[-1][1]) if done else None

    def time_column(self, name: str) -> str | None:
        """The column by which its rows can be restricted to an interval."""
        found = self.snapshots[name].model.time_column
        return str(found.column.name) if found is not None else None


def of_environment(engine: Engine, environment: str) -> DiffSide:
    """As it is now."""
    record = engine.environment(environment)
    if record is None:
        return of_snapshots(environment, "", {})
    return of_snapshots(environment, record.plan_id, engine.snapshots(record))


def of_snapshots(environment: str, plan_id: str, snapshots: dict[str, Snapshot]) -> DiffSide:
    """As they are, or would be, in an environment."""
    return DiffSide(plan_id, snapshots, engines.deployability(environment, snapshots))


def without_table(engine: Engine, side: DiffSide) -> list[str]:
    """Models that are computed, by the state, and whose table is not in the warehouse any more. SQLMesh would make an empty
    one. Views are made anew without harm; what a materialisation of somebody's own keeps, and where, nobody knows."""
    wanted: dict[tuple[str | None, str, str], dict[str, str]] = {}
    for name in side.with_data():
        model = side.snapshots[name].model
        if side.end(name) is None or model.kind.is_view or model.kind.is_custom:
            continue
        table = side.table(name)
        places = wanted.setdefault((side.snapshots[name].model_gateway, table.db, table.catalog), {})
        places[table.name.lower()] = name
    lost = []
    for (gateway, db, catalog), places in wanted.items():
        there = engine.context.snapshot_evaluator.get_adapter(gateway).get_data_objects(schema_(db, catalog or None))
        lost += [name for table_name, name in places.items() if table_name not in {o.name.lower() for o in there}]
    return lost


def adapter(engine: Engine, snapshot: Snapshot) -> Any:
    """Of the warehouse that the model is in."""
    return engine.context.snapshot_evaluator.get_adapter(snapshot.model_gateway)


def before(snapshot: Snapshot, end: int, columns: dict[str, exp.DataType]) -> exp.Expr:
    """The condition that keeps the rows before a moment; only for models with a time column."""
    column = snapshot.model.time_column
    assert column is not None
    moment = snapshot.model.convert_to_time_column(to_datetime(end), columns)
    return exp.column(column.column.name, quoted=True) < moment


def text(end: int | None) -> str:
    """RFC 3339, empty for never."""
    return "" if end is None else rfc3339(to_datetime(end))


def milliseconds(moment: str) -> int:
    """Inverse of `text`."""
    return int(to_timestamp(moment))
