"""What Vulcan itself keeps in the state database, beside SQLMesh's tables: who owns it, what was applied, what is in
flight. Works on any engine through SQLMesh's adapter; tables are made when they are first written.

Called by `guard` (owner, identity), `applying` (apply record, project), `kept_project` and `journal`. Reads need no lock;
writers hold the gateway's lock (`lock`). SQLMesh neither sees nor minds these tables.
"""

import threading
import uuid
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp
from sqlmesh.core.state_sync import EngineAdapterStateSync
from sqlmesh.utils.migration import index_text_type

from vulcan_contract.task import Owner
from vulcan_contract.times import rfc3339


@dataclass(frozen=True)
class OwnerRow:
    """Table `_vulcan_owner`: one row. `identity` is a uuid that marks this state where the engine has no such thing."""

    cluster: str
    namespace: str
    name: str
    identity: str
    since: str

    @property
    def owner(self) -> Owner:
        return Owner(self.cluster, self.namespace, self.name)


@dataclass(frozen=True)
class ApplyRow:
    """Table `_vulcan_apply`: the last apply of an environment. `phase`: started | done. `models`: the changed ones.
    `project`: digest of what is stored of the project that the environment has, `ended`: token of the last apply that
    ended; both also while the next one is under way."""

    environment: str
    token: str
    target: str
    base: str
    plan_id: str
    phase: str
    models: str
    job: str
    at: str
    project: str = ""
    ended: str = ""


@dataclass(frozen=True)
class ProjectRow:
    """Table `_vulcan_project`: see `kept_project`, which packs it."""

    digest: str
    packed: str


@dataclass(frozen=True)
class HistoryRow:
    """Table `_vulcan_history`: what an environment had after one apply, see `history`. JSON: names and identifiers of its
    snapshots, requirements, statements. `project`: digest of what is stored of it."""

    environment: str
    plan_id: str
    source_digest: str
    project: str
    snapshots: str
    requirements: str
    statements: str
    at: str


@dataclass(frozen=True)
class InFlightRow:
    """Table `_vulcan_inflight`: an append-only batch that is being written."""

    job: str
    environment: str
    model: str
    physical_table: str
    start_at: str
    end_at: str


Row = OwnerRow | ApplyRow | ProjectRow | HistoryRow | InFlightRow
_TABLES: dict[type[Row], str] = {
    OwnerRow: "_vulcan_owner",
    ApplyRow: "_vulcan_apply",
    ProjectRow: "_vulcan_project",
    HistoryRow: "_vulcan_history",
    InFlightRow: "_vulcan_inflight",
}
_LONG = ("models", "packed", "snapshots", "requirements", "statements")


class State:
    """One state database."""

    def __init__(self, connection: Any, schema: str, cache_dir: Any) -> None:
        self.adapter = connection.create_engine_adapter()
        self.schema = schema
        self.is_postgres = connection.type_ == "postgres"
        self._sync = EngineAdapterStateSync(self.adapter, schema=schema, cache_dir=cache_dir)
        self._lock = threading.RLock()

    def ping(self) -> None:
        self.adapter.ping()

    def environment(self, name: str) -> Any:
        """As SQLMesh keeps it; None: there is none."""
        return self._sync.get_environment(name)

    def versions(self) -> Any:
        """SQLMesh's versions as recorded; all zero when the state is empty. Writes nothing."""
        return self._sync.get_versions(validate=False)

    def initialise(self) -> None:
        """Creates SQLMesh's tables."""
        self._sync.migrate(skip_backup=True)

    def identity(self) -> str:
        """The same for the same state, by whatever name it is reached; empty when it has none yet."""
        if (
            self.is_postgres
            and self.adapter.fetchone("select has_function_privilege('pg_control_system()', 'execute')")[0]
        ):
            system, database = self.adapter.fetchone(
                "select system_identifier, current_database() from pg_control_system()"
            )
            return f"postgres:{system}/{database}/{self.schema}"
        row = self.owner()
        return f"uuid:{row.identity}" if row else ""

    def owner(self) -> OwnerRow | None:
        rows = self._rows(OwnerRow)
        return rows[0] if rows else None

    def set_owner(self, owner: Owner) -> OwnerRow:
        """Replaces whoever was there; the identity of the state stays."""
        before = self.owner()
        identity = before.identity if before else str(uuid.uuid4())
        row = OwnerRow(owner.cluster, owner.namespace, owner.name, identity, now())
        self._replace(row, {})
        return row

    def apply_record(self, environment: str) -> ApplyRow | None:
        rows = self._rows(ApplyRow, {"environment": environment})
        return rows[0] if rows else None

    def record_apply(self, row: ApplyRow) -> None:
        self._replace(row, {"environment": row.environment})

    def forget_apply(self, environment: str) -> None:
        if self.adapter.table_exists(self._table(ApplyRow)):
            self._delete(ApplyRow, {"environment": environment})

    def project(self, digest: str) -> str | None:
        """What is stored of a project, packed."""
        rows = self._rows(ProjectRow, {"digest": digest})
        return rows[0].packed if rows else None

    def keep_project(self, row: ProjectRow) -> None:
        """Kept while an environment has it."""
        if self.project(row.digest) is None:
            self._insert(row)

    def history(self, environment: str) -> list[HistoryRow]:
        """What an environment had, newest first."""
        return sorted(
            self._rows(HistoryRow, {"environment": environment}),
            key=lambda row: row.at,
            reverse=True,
        )

    def remember(self, row: HistoryRow, most: int) -> None:
        """Keeps so many of each environment."""
        self._replace(row, {"environment": row.environment, "plan_id": row.plan_id})
        for old in self.history(row.environment)[most:]:
            self._delete(HistoryRow, {"environment": old.environment, "plan_id": old.plan_id})

    def forget_projects(self) -> None:
        """Those that no environment has any more."""
        used = {row.project for kind in (ApplyRow, HistoryRow) for row in self._rows(kind)}
        for row in self._rows(ProjectRow):
            if row.digest not in used:
                self._delete(ProjectRow, {"digest": row.digest})

    def in_flight(self) -> list[InFlightRow]:
        return self._rows(InFlightRow)

    def put_in_flight(self, row: InFlightRow) -> None:
        with self._lock:
            self._insert(row)

    def take_in_flight(self, row: InFlightRow) -> None:
        with self._lock:
            self._delete(InFlightRow, {"job": row.job, "model": row.model, "start_at": row.start_at})

    def close(self) -> None:
        self.adapter.close()

    def _table(self, kind: type[Row]) -> exp.Table:
        return exp.table_(_TABLES[kind], db=self.schema)

    def _rows(self, kind: type[Any], where: dict[str, str] | None = None) -> list[Any]:
        with self._lock:
            table = self._table(kind)
            if not self.adapter.table_exists(table):
                return []
            columns = [exp.column(f.name, quoted=True) for f in fields(kind)]
            query = exp.select(*columns).from_(table)
            found = self.adapter.fetchall(query.where(_equals(where)) if where else query)
            return sorted((kind(*row) for row in found), key=repr)

    def _replace(self, row: Row, where: dict[str, str]) -> None:
        with self._lock, self.adapter.transaction():
            self._create(type(row))
            self._delete(type(row), where)
            self._insert(row)

    def _insert(self, row: Row) -> None:
        self._create(type(row))
        values = _values(row)
        literals = exp.values([tuple(exp.Literal.string(v) for v in values.values())])
        columns = [exp.to_identifier(name, quoted=True) for name in values]
        into = exp.Schema(this=self._table(type(row)), expressions=columns)
        self.adapter.execute(exp.Insert(this=into, expression=literals))

    def _delete(self, kind: type[Row], where: dict[str, str]) -> None:
        self.adapter.delete_from(self._table(kind), _equals(where) if where else exp.true())

    def _create(self, kind: type[Row]) -> None:
        text = exp.DataType.build(index_text_type(self.adapter.dialect))
        long = exp.DataType.build("text")
        columns = {f.name: long if f.name in _LONG else text for f in fields(kind)}
        self.adapter.create_state_table(self._table(kind), columns)


def now() -> str:
    """RFC 3339, UTC."""
    return rfc3339(datetime.now(UTC), "seconds")


def _values(row: Row) -> dict[str, str]:
    return {f.name: getattr(row, f.name) for f in fields(row)}


def _equals(where: dict[str, str]) -> Any:
    return exp.and_(*(exp.column(name, quoted=True).eq(exp.Literal.string(value)) for name, value in where.items()))
