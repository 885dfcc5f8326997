"""Whose state this is, whether it is the one we know, and whether this runner can read it. Asked
before every task; `probe` answers the gateway's probe Job and is the only place that initialises a
state or takes it over.

Called by `session` and `tasks`. Reads only, except that `probe` writes under the writer lock.
"""

from typing import Any

from packaging.version import Version

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Probe
from vulcan_contract.task import Connection, Gateway, Task
from vulcan_runner import failures, lock
from vulcan_runner.config import Connections
from vulcan_runner.engine import SQLGLOT_VERSION, SQLMESH_VERSION
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import cut, without_data
from vulcan_runner.state import SCHEMA_VERSION, State
from vulcan_runner.stop import Stop

EMPTY = "empty"
_WITHOUT_SCHEMATA = ("bigquery", "clickhouse", "spark", "athena", "db2")


def verify(task: Task, state: State) -> str:
    """Returns the state's identity; raises if it is empty, another, foreign or incompatible."""
    gateway = task.gateway
    told = gateway.state_connection or gateway.connection
    _ping(state.adapter, "state database", told, Reason.STATE_UNREACHABLE)
    versions = state.versions()
    if versions.schema_version == 0:
        message = "The state is empty. Only a probe of the gateway may initialise it."
        raise Problem(Reason.STATE_LOST, message)
    require_versions(versions)
    row, identity = state.owner(), state.identity()
    if row is None or row.owner != gateway.owner:
        shown = row.owner if row else "nobody"
        message = f"The state belongs to {shown}, this gateway is {gateway.owner}."
        raise Problem(Reason.STATE_OWNERSHIP, message)
    if gateway.state_identity not in (None, identity):
        message = f"The state is {identity}, it was {gateway.state_identity} before."
        raise Problem(Reason.STATE_IDENTITY, message)
    return identity


def probe(task: Task, connections: Connections, state: State, stop: Stop, lines: Lines) -> Probe:
    """Pings both databases, initialises an empty state once, and writes the owner marker."""
    gateway = task.gateway
    _ping_both(gateway, connections, state)
    empty = state.versions().schema_version == 0
    if empty:
        _require_may_initialise(gateway, connections)
    else:
        require_versions(state.versions())
        _require_may_own(gateway, state)
    initialised = False
    row = state.owner()
    if empty or row is None or row.owner != gateway.owner:
        stop.writing = True
        with lock.held(connections.state, gateway.state_schema, stop, lines):
            initialised = _claim(gateway, connections, state, lines)
    versions = state.versions()
    known = {"sqlmesh": versions.sqlmesh_version, "sqlglot": versions.sqlglot_version}
    known |= {"schema": str(versions.schema_version), "runnerSqlmesh": SQLMESH_VERSION}
    return Probe(True, True, state.identity(), initialised, known)


def require_versions(versions: Any) -> None:
    """SQLMesh refuses another schema or minor version; patch differences pass."""
    pairs = (
        (versions.sqlmesh_version, SQLMESH_VERSION, "SQLMesh"),
        (versions.sqlglot_version, SQLGLOT_VERSION, "SQLGlot"),
    )
    differences = [
        (_minor(theirs), _minor(ours), f"{what} {theirs}, the runner has {ours}")
        for theirs, ours, what in pairs
    ]
    schema = f"schema {versions.schema_version}, the runner has {SCHEMA_VERSION}"
    for theirs, ours, text in ((versions.schema_version, SCHEMA_VERSION, schema), *differences):
        if theirs < ours:
            message = f"The state was written by an older version: {text}."
            raise Problem(Reason.STATE_MIGRATION, message)
        if theirs > ours:
            message = f"The state was written by a newer version: {text}."
            raise Problem(Reason.RUNNER_OUTDATED, message)


def _claim(gateway: Gateway, connections: Connections, state: State, lines: Lines) -> bool:
    """Checks again under the lock, as others may be faster; whether the state was initialised."""
    empty = bool(state.versions().schema_version == 0)
    if empty:
        _require_may_initialise(gateway, connections)
        lines.say("Initialising the empty state")
        state.initialise()
    else:
        _require_may_own(gateway, state)
    state.set_owner(gateway.owner)
    return empty


def _require_may_initialise(gateway: Gateway, connections: Connections) -> None:
    if gateway.takeover == EMPTY:
        return
    if gateway.state_identity is not None:
        raise Problem(Reason.STATE_LOST, f"The state {gateway.state_identity} is empty now.")
    schemas = _physical_schemas(connections)
    if schemas:
        named = f"schema {', '.join(schemas[:3])}"
        message = f"The state is empty, but the warehouse has tables of SQLMesh ({named})."
        raise Problem(Reason.STATE_LOST, message)


def _require_may_own(gateway: Gateway, state: State) -> None:
    """`takeover` names the owner shown, or the identity of the state that replaces another."""
    row, identity = state.owner(), state.identity()
    owner = str(row.owner) if row else ""
    if gateway.takeover and gateway.takeover in (owner, identity):
        return
    if row is not None and row.owner != gateway.owner:
        advice = f'To take it over, set spec.takeover: "{owner}"'  # quoted: a sentence may end here
        message = f"The state belongs to {owner}. {advice}"
        raise Problem(Reason.STATE_OWNERSHIP, message)
    before = gateway.state_identity
    if before is not None and before != identity:
        advice = f'To accept it, set spec.takeover: "{identity or owner}"'
        message = f"The state is {identity or 'unmarked'}, it was {before} before. {advice}"
        raise Problem(Reason.STATE_IDENTITY, message)


def _physical_schemas(connections: Connections) -> list[str]:
    warehouse = connections.warehouse
    if warehouse.type_ in _WITHOUT_SCHEMATA:
        return []
    adapter = warehouse.create_engine_adapter()
    query = "select schema_name from information_schema.schemata"
    if warehouse.type_ in ("postgres", "gcp_postgres", "redshift"):
        # PostgreSQL's information schema hides what belongs to other roles.
        query = "select nspname from pg_namespace"
    rows = adapter.fetchall(query)
    return sorted({str(name) for (name,) in rows if str(name).lower().startswith("sqlmesh__")})


def _ping_both(gateway: Gateway, connections: Connections, state: State) -> None:
    """Both are tried, so that one probe reports everything that is wrong."""
    warehouse, of_state = gateway.connection, gateway.state_connection or gateway.connection
    opened = connections.warehouse.create_engine_adapter()
    sides = {
        "warehouse": (opened, warehouse, Reason.WAREHOUSE_UNREACHABLE),
        "state database": (state.adapter, of_state, Reason.STATE_UNREACHABLE),
    }
    found: dict[str, Problem] = {}
    for side, (adapter, told, away) in sides.items():
        try:
            _ping(adapter, side, told, away)
        except Problem as problem:
            found[side] = problem
    if found:
        first, *_ = found.values()
        message = " ".join(p.message for p in found.values())
        seen = Probe(warehouse="warehouse" not in found, state="state database" not in found)
        raise Problem(first.reason, message, probe=seen)


def _ping(adapter: Any, what: str, told: Connection, away: Reason) -> None:
    """Classifies whatever `ping` raises (drivers have no common type); re-raises the unknown."""
    try:
        adapter.ping()
    except Exception as error:
        reason = failures.connection_reason(str(error), getattr(error, "pgcode", None), away)
        if reason is None and type(error).__name__ != "OperationalError":
            raise
        raise Problem(reason or away, _words(what, told, str(error), reason)) from error


def _words(what: str, told: Connection, text: str, reason: Reason | None) -> str:
    if reason is Reason.AUTH_FAILED:
        keys = ", ".join(f"{r.name} (key {r.key})" for r in told.secrets.values()) or "none"
        return f"The {what} refuses the credentials; Secret: {keys}. {cut(without_data(text), 200)}"
    return f"The {what} cannot be reached: {cut(without_data(text), 300)}"


def _minor(version: str) -> tuple[int, int]:
    return Version(version).release[0], Version(version).release[1]
