"""The writer lock of a gateway: one advisory lock in the state database, on a session of its own.

Taken by `session` before anything is written and by a probe that writes. PostgreSQL only
(`vulcan_contract.engines`): DuckDB's file lock does the same, and on other engines there is only
the operator's Lease. A lost session stops the task at the next batch; the next holder ends sessions
of the former one that are still busy, so that a zombie pod cannot write beside it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlmesh.core.config.connection import ConnectionConfig

from vulcan_contract import engines
from vulcan_contract.reasons import Reason
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem
from vulcan_runner.stop import Stop

_EVERY = 2.0  # seconds between checks of our own session
_HELD = (
    "select count(*) from pg_locks where locktype = 'advisory' and granted"
    " and pid = pg_backend_pid() and database ="
    " (select oid from pg_database where datname = current_database())"
)
_ALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3}
_ZOMBIES = (
    "from pg_stat_activity where application_name like %s and application_name <> %s"
    " and usename = current_user and pid <> pg_backend_pid()"
)


@contextmanager
def held(connection: ConnectionConfig, schema: str, stop: Stop, lines: Lines) -> Iterator[None]:
    """Holds the lock; raises StateBusy when another process has it."""
    if not engines.is_fenced(connection.type_):
        lines.say(f"No advisory lock on {connection.type_}", lock="none")
        yield
        return
    session = _session(connection)
    try:
        _acquire(session, schema)
        watch = threading.Event()
        args = (session, stop, watch)
        thread = threading.Thread(target=_watch, args=args, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            watch.set()
            thread.join(_EVERY * 2)
    finally:
        session.close()


def marked(values: dict[str, Any], application: str) -> dict[str, Any]:
    """A connection's values by which the next holder finds its sessions: each has the application's
    name. With keepalives, so that a dead peer does not go unnoticed for hours."""
    if values["type"] != "postgres":
        return values
    return {"keepalives_idle": 30, **values, "application_name": application}


def end_zombies(connections: list[ConnectionConfig], prefix: str, own: str, lines: Lines) -> None:
    """Ends sessions of former holders of our lock on every PostgreSQL. Needs the lock."""
    for connection in connections:
        if engines.is_fenced(connection.type_):
            with closing(_session(connection)) as session, session.cursor() as cursor:
                _end(cursor, prefix.replace("_", r"\_") + "%", own, lines)


def _end(cursor: Any, like: str, own: str, lines: Lines) -> None:
    cursor.execute(f"select pid, pg_terminate_backend(pid) {_ZOMBIES}", (like, own))
    ended = cursor.fetchall()
    if ended:
        lines.say(f"Ended {len(ended)} sessions that a lost job left behind", sessions=len(ended))
    until = time.monotonic() + 10
    while ended and time.monotonic() < until:
        cursor.execute(f"select count(*) {_ZOMBIES}", (like, own))
        if cursor.fetchone()[0] == 0:
            return
        time.sleep(0.1)
    if ended:
        raise Problem(Reason.STATE_BUSY, "Sessions of a lost job are still active in the database.")


def _acquire(session: Any, schema: str) -> None:
    with session.cursor() as cursor:
        if session.server_version >= 140000:
            cursor.execute("set idle_session_timeout = 0")
        for setting, value in (("idle", 10), ("interval", 5), ("count", 3)):
            cursor.execute(f"set tcp_keepalives_{setting} = {value}")
        query = "select pg_try_advisory_lock(hashtextextended(%s, 0))"
        cursor.execute(query, (f"vulcan:{schema}",))
        if not cursor.fetchone()[0]:
            message = "Another process holds the writer lock of the state database."
            raise Problem(Reason.STATE_BUSY, message)


def _watch(session: Any, stop: Stop, done: threading.Event) -> None:
    """A pooler that gives our session to others shows as a missing lock."""
    while not done.wait(_EVERY):
        try:
            with session.cursor() as cursor:
                cursor.execute(_HELD)
                if cursor.fetchone()[0] > 0:
                    continue
        except session.Error:
            if done.is_set():
                return
        message = "The session with the writer lock was lost; stopped writing."
        stop.because(Problem(Reason.STATE_UNREACHABLE, message))
        return


def _session(connection: ConnectionConfig) -> Any:
    """Autocommit, with keepalives that notice a dead peer within 15 seconds."""
    known = connection._connection_factory_with_kwargs.keywords  # type: ignore[attr-defined]
    session = connection._connection_factory(**{**known, **_ALIVE, "tcp_user_timeout": 15000})
    session.autocommit = True
    return session
