"""The state database: what Vulcan keeps there beside SQLMesh's tables (`rows`), and the few queries
to SQLMesh's own tables for which it has no call. Works on any engine through SQLMesh's adapter; our
tables are created when they are first written.

Called by `guard`, `applying`, `history`, `kept_project`, `journal` and `rollback`. Reads need no
lock; writers hold the gateway's (`lock`). SQLMesh ignores tables that are not its own.
"""

import json
import threading
import uuid
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp
from sqlmesh.core.snapshot.definition import SnapshotFingerprint, SnapshotId
from sqlmesh.core.state_sync import EngineAdapterStateSync
from sqlmesh.core.state_sync.base import SCHEMA_VERSION as SCHEMA_VERSION
from sqlmesh.core.state_sync.db.utils import fetchall, snapshot_id_filter
from sqlmesh.utils.migration import index_text_type

from vulcan_contract.task import Owner
from vulcan_contract.times import rfc3339
from vulcan_runner.rows import TABLES, ApplyRow, HistoryRow, InFlightRow, OwnerRow, ProjectRow, Row

_LONG = ("models", "packed", "snapshots", "requirements", "statements")  # columns
_BATCH = 1000
SnapshotKey = tuple[str, str]
"""Name and identifier of a snapshot."""


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot in the state. `expires` (ms): when the janitor may delete it if it is unused."""

    expires: int
    unrestorable: bool


class State:
    """One state database."""

    def __init__(self, connection: Any, schema: str, cache_dir: Any) -> None:
        self.adapter = connection.create_engine_adapter()
        self.schema = schema
        self.is_postgres = connection.type_ == "postgres"
        self._sync = EngineAdapterStateSync(self.adapter, schema=schema, cache_dir=cache_dir)
        self._lock = threading.RLock()

    def environment(self, name: str) -> Any:
        """SQLMesh's record; None: there is none."""
        return self._sync.get_environment(name)

    def versions(self) -> Any:
        """SQLMesh's versions as recorded; all zero when the state is empty. Writes nothing."""
        return self._sync.get_versions(validate=False)

    def initialise(self) -> None:
        """Creates SQLMesh's tables."""
        self._sync.migrate(skip_backup=True)

    def identity(self) -> str:
        """The same for a state by whatever name it is reached; empty when it has none yet."""
        allowed = "select has_function_privilege('pg_control_system()', 'execute')"
        if self.is_postgres and self.adapter.fetchone(allowed)[0]:
            query = "select system_identifier, current_database() from pg_control_system()"
            system, database = self.adapter.fetchone(query)
            return f"postgres:{system}/{database}/{self.schema}"
        row = self.owner()
        return f"uuid:{row.identity}" if row else ""

    def owner(self) -> OwnerRow | None:
        return next(iter(self._rows(OwnerRow)), None)

    def set_owner(self, owner: Owner) -> OwnerRow:
        """Replaces the former owner; the identity of the state stays."""
        before = self.owner()
        identity = before.identity if before else str(uuid.uuid4())
        row = OwnerRow(owner.cluster, owner.namespace, owner.name, identity, now())
        self._replace(row, {})
        return row

    def apply_record(self, environment: str) -> ApplyRow | None:
        return next(iter(self._rows(ApplyRow, {"environment": environment})), None)

    def record_apply(self, row: ApplyRow) -> None:
        self._replace(row, {"environment": row.environment})

    def forget_apply(self, environment: str) -> None:
        if self.adapter.table_exists(self._table(ApplyRow)):
            self._delete(ApplyRow, {"environment": environment})

    def project(self, digest: str) -> str | None:
        """What is kept of a project, packed."""
        rows = self._rows(ProjectRow, {"digest": digest})
        return rows[0].packed if rows else None

    def keep_project(self, row: ProjectRow) -> None:
        """Keeps it for as long as an environment has it."""
        if self.project(row.digest) is None:
            self._insert(row)

    def history(self, environment: str) -> list[HistoryRow]:
        """What an environment had, newest first."""
        rows = self._rows(HistoryRow, {"environment": environment})
        return sorted(rows, key=lambda row: row.at, reverse=True)

    def remember(self, row: HistoryRow, most: int) -> None:
        """Keeps the newest rows of each environment."""
        self._replace(row, {"environment": row.environment, "plan_id": row.plan_id})
        for old in self.history(row.environment)[most:]:
            self._delete(HistoryRow, {"environment": old.environment, "plan_id": old.plan_id})

    def forget_projects(self) -> None:
        """Deletes those that no environment has any longer."""
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
        where = {"job": row.job, "model": row.model, "start_at": row.start_at}
        with self._lock:
            self._delete(InFlightRow, where)

    def snapshots(self, wanted: Collection[SnapshotKey]) -> dict[SnapshotKey, KeptSnapshot]:
        """Those of SQLMesh's snapshots that are still there."""
        columns = ("name", "identifier", "updated_ts", "ttl_ms", "unrestorable")
        query = exp.select(*columns).from_(exp.table_("_snapshots", db=self.schema))
        ids = [SnapshotId(name=name, identifier=identifier) for name, identifier in wanted]
        found: dict[SnapshotKey, KeptSnapshot] = {}
        for where in snapshot_id_filter(self.adapter, ids, batch_size=_BATCH):
            for row in fetchall(self.adapter, query.where(where)):
                name, identifier, updated, ttl, unrestorable = row
                kept = KeptSnapshot(int(updated) + int(ttl), bool(unrestorable))
                found[name, identifier] = kept
        return found

    def materializations(self, wanted: Collection[SnapshotKey]) -> frozenset[str]:
        """Names of the custom materialisations of these snapshots. SQLMesh's own call would read
        the snapshots, for which it wants the materialisations' code."""
        ids = [SnapshotId(name=name, identifier=identifier) for name, identifier in wanted]
        query = exp.select("snapshot").from_(exp.table_("_snapshots", db=self.schema))
        query = query.where(exp.column("kind_name").eq("CUSTOM"))
        found = set[str]()
        for where in snapshot_id_filter(self.adapter, ids, batch_size=_BATCH) if ids else ():
            for (text,) in fetchall(self.adapter, query.where(where)):
                found.add(str(json.loads(text)["node"]["kind"]["materialization"]))
        return frozenset(found)

    def uses(self, own: str, wanted: Collection[SnapshotKey]) -> dict[SnapshotKey, int | None]:
        """Those that environments other than `own` refer to, and until when (ms); None: for as long
        as these have them. Only what is asked about is parsed: there may be many environments with
        a thousand models each."""
        names, found = {name for name, _ in wanted}, dict[SnapshotKey, int | None]()
        if not wanted:
            return found
        columns = ("snapshots", "previous_finalized_snapshots", "finalized_ts", "expiration_ts")
        query = exp.select(*columns).from_(exp.table_("_environments", db=self.schema))
        query = query.where(exp.column("name").neq(own))
        for current, before, finalized, expires in fetchall(self.adapter, query):
            listed = json.loads(current) + (json.loads(before) if before and not finalized else [])
            for item in (item for item in listed if item["name"] in names):
                fingerprint = SnapshotFingerprint(**item["fingerprint"])
                key = (item["name"], fingerprint.to_identifier())
                known = found.get(key, 0)
                found[key] = max(known, expires) if known is not None and expires else None
        return found

    def close(self) -> None:
        self.adapter.close()

    def _table(self, kind: type[Row]) -> exp.Table:
        return exp.table_(TABLES[kind], db=self.schema)

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
        values = {f.name: getattr(row, f.name) for f in fields(row)}
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


def _equals(where: dict[str, str]) -> Any:
    pairs = [(exp.column(k, quoted=True), exp.Literal.string(v)) for k, v in where.items()]
    return exp.and_(*(column.eq(value) for column, value in pairs))
