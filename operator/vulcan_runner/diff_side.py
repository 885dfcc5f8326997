"""An environment's models as a diff sees them: which table each has, and how far it is computed.

Called by `diffing` (two sides in one system) and `counting` (one side of two systems). Reads the
state, never data.
"""

from dataclasses import dataclass

from sqlglot import exp
from sqlmesh.core.dialect import schema_
from sqlmesh.core.snapshot.definition import DeployabilityIndex, Snapshot

from vulcan_contract.times import of_milliseconds, rfc3339
from vulcan_runner.engine import Engine
from vulcan_runner.snapshots import deployability


@dataclass(frozen=True)
class DiffSide:
    """Snapshots by name; empty for an environment that is not in the state. `plan_id`: theirs."""

    plan_id: str
    snapshots: dict[str, Snapshot]
    index: DeployabilityIndex

    def with_data(self) -> set[str]:
        """Names of the models that have a table or a view of their own."""
        return {name for name, s in self.snapshots.items() if s.is_model and not s.is_symbolic}

    def table(self, name: str) -> exp.Table:
        """The table that holds its rows."""
        snapshot = self.snapshots[name]
        return exp.to_table(snapshot.table_name(is_deployable=self.index.is_deployable(snapshot)))

    def place(self, name: str) -> tuple[exp.Table, str | None]:
        """Its table and the version in it. Where prod has one table for all versions (`dev_only`),
        SQLMesh gives them one version as well; there the code and what it reads tell them apart."""
        snapshot = self.snapshots[name]
        full = snapshot.virtual_environment_mode.is_full
        return self.table(name), snapshot.version if full else snapshot.fingerprint.to_version()

    def end(self, name: str) -> int | None:
        """Up to when it is computed, in milliseconds; None: nothing is."""
        snapshot = self.snapshots[name]
        done = snapshot.intervals if self.index.is_deployable(snapshot) else snapshot.dev_intervals
        return int(done[-1][1]) if done else None

    def time_column(self, name: str) -> str | None:
        """The column by which its rows can be restricted to an interval."""
        found = self.snapshots[name].model.time_column
        return str(found.column.name) if found is not None else None


def of_environment(engine: Engine, environment: str) -> DiffSide:
    """The side of an environment as it is now."""
    record = engine.environment(environment)
    if record is None:
        return of_snapshots(environment, "", {})
    return of_snapshots(environment, record.plan_id, engine.snapshots(record))


def of_snapshots(environment: str, plan_id: str, snapshots: dict[str, Snapshot]) -> DiffSide:
    """The side of snapshots as they are, or would be, in an environment."""
    return DiffSide(plan_id, snapshots, deployability(environment, snapshots))


def without_table(engine: Engine, side: DiffSide) -> list[str]:
    """Models that are computed, by the state, and whose table is no longer in the warehouse;
    SQLMesh would create an empty one. Views are recreated without harm. What a custom
    materialisation keeps, and where, nobody knows."""
    wanted: dict[tuple[str | None, str, str], dict[str, str]] = {}
    for name in side.with_data():
        model = side.snapshots[name].model
        if side.end(name) is None or model.kind.is_view or model.kind.is_custom:
            continue
        table, gateway = side.table(name), side.snapshots[name].model_gateway
        wanted.setdefault((gateway, table.db, table.catalog), {})[table.name.lower()] = name
    lost = []
    for (gateway, db, catalog), names in wanted.items():
        objects = engine.adapter(gateway).get_data_objects(schema_(db, catalog or None))
        there = {o.name.lower() for o in objects}
        lost += [name for table, name in names.items() if table not in there]
    return lost


def before(snapshot: Snapshot, end: int, columns: dict[str, exp.DataType]) -> exp.Expr:
    """The condition that keeps the rows before a moment; only for models with a time column."""
    column = snapshot.model.time_column
    assert column is not None
    moment = snapshot.model.convert_to_time_column(of_milliseconds(end), columns)
    return exp.column(column.column.name, quoted=True) < moment


def text(end: int | None) -> str:
    """RFC 3339, empty for never."""
    return "" if end is None else rfc3339(of_milliseconds(end))
