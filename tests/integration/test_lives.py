"""Whole lives without PostgreSQL or without git: DuckDB files, a ConfigMap that changes, a private repository."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import INCREMENTAL, TINY, one
from tests.integration.recorder import secret_value

TOKEN = secret_value("git")


def test_on_duckdb(systems: Systems) -> None:
    system = systems("duckdb", engine="duckdb").up()
    prod = system.environment("prod", INCREMENTAL)
    dev = system.environment("dev", {**INCREMENTAL, **one("SELECT 2 AS x;")}, deletionPolicy="Invalidate")
    prod.wait_ran(180)
    dev.wait_ran(180)
    system.stage.wait_for(lambda: not _writers(system), "nobody writes")
    assert system.rows("select x from t.one") == [(1,)]
    assert system.rows("select x from t__dev.one") == [(2,)]
    assert system.rows("select count(*), count(distinct day) from t.days") == [(2, 2)]
    assert len({row[0] for row in system.rows("select table_schema from information_schema.tables") if "t" in row}) == 1

    dev.delete()
    dev.wait_gone(120)
    assert system.rows("select count(*) from information_schema.tables where table_schema = 't__dev'") == [(0,)]
    prod.answered("run")
    assert prod.wait_ready()["lastRun"]["reason"] in ("NothingToDo", "Succeeded")


def _writers(system: System) -> bool:
    return bool(system.gateway.status().get("activeWriter")) or any(
        t.status().get("task") for t in (system.existing("prod"), system.existing("dev"))
    )


def test_from_a_config_map(system: System) -> None:
    prod = system.environment("prod", TINY)
    first = prod.wait_ran(120)
    assert first["revision"]["resolved"] == "project-prod"

    system.config_map("project-prod", one("SELECT 2 AS x;"))
    second = prod.answered("plan")
    assert second["revision"]["digest"] != first["revision"]["digest"]
    prod.wait(lambda s: s["applied"]["sourceDigest"] == second["revision"]["digest"], "the update is applied", 90)
    assert system.rows("select x from t.one") == [(2,)]

    items = [{"key": "config.yaml", "path": "config.yaml"}, {"key": "only", "path": "models/deep/er/one.sql"}]
    system.config_map(
        "project-prod", {"config.yaml": TINY["config.yaml"], "only": one("SELECT 3 AS x;")["models/one.sql"]}
    )
    prod.patch(project={"configMap": {"items": items}})
    prod.wait(lambda s: len(s.get("history", ())) == 3, "the third is applied", 90)
    assert system.rows("select x from t.one") == [(3,)]

    prod.patch(project={"configMap": {"name": "not-there", "items": None}})
    assert "not-there" in prod.wait_reason("ConfigMapNotFound")
    prod.patch(project={"configMap": {"name": "project-prod", "items": items}})
    prod.wait_ready(90)


class _GitServer(BaseHTTPRequestHandler):
    """git's smart HTTP behind a user name and password."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        server: Any = self.server
        wanted = "Basic " + base64.b64encode(f"git:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": server.folder, "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        out = subprocess.run(["git", "http-backend"], input=body, env=env, check=True, capture_output=True).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def git_server() -> Iterator[Any]:
    """A server whose folder the test sets."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _GitServer)
    server.folder = ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_from_a_private_repository(systems: Systems, git_server: Any) -> None:
    system = systems("private")
    repository = system.repository(TINY)
    git_server.folder = str(Path(repository.folder).parent)
    base = f"http://127.0.0.1:{git_server.server_port}/"
    system.secret("git-credentials", {"username": "git", "password": TOKEN})
    system.secret("git-others", {"username": "git", "password": secret_value("of-somebody-else")})
    system.up(
        gitCredentials=[
            {"urlPrefix": base, "secretRef": {"name": "git-others"}},
            {"urlPrefix": f"{base}project", "secretRef": {"name": "git-credentials"}},
        ]
    )
    prod = system.environment("prod", {"git": {"url": f"{base}project/.git"}})
    other = system.environment("other", {"git": {"url": f"{base}projects/.git"}})
    prod.wait_ran(150)
    assert system.rows("select x from t.one") == [(1,)]
    assert "401" not in other.wait_reason("SourceAuthFailed", seconds=120)

    for job in prod.jobs():
        pod = job["spec"]["template"]["spec"]
        secret_of = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
        mounted = {
            c["name"]: {secret_of[m["name"]] for m in c["volumeMounts"] if m["name"] in secret_of}
            for c in (*pod.get("initContainers", ()), *pod["containers"])
        }
        assert "git-credentials" not in mounted["main"]
        assert mounted.get("fetch", {"git-credentials"}) == {"git-credentials"}
        assert pod["automountServiceAccountToken"] is False
    assert any("initContainers" in job["spec"]["template"]["spec"] for job in prod.jobs())
