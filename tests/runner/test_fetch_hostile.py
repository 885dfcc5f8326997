"""What a git server or repository must not be able to do: get a credential by a redirect, give options to git, fill
the disk, or have a pointer taken for a file."""

import base64
import dataclasses
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vulcan_contract.reasons import Reason
from vulcan_contract.task import Source, SourceKind
from vulcan_runner import fetch as fetching
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem

TOKEN = "canary-0123456789"
BASIC = {"username": "git", "password": TOKEN}
BEARER = {"bearerToken": TOKEN}
COMMIT = "a" * 40
FILES = {"etl/config.yaml": "a: 1", "etl/models/m.sql": "x"}


def _git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", *who, *args]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=env).stdout.strip()


def _repository(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    _commit(folder, files)
    return folder


def _commit(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "change")


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    monkeypatch.delenv("TMPDIR", raising=False)
    home = tmp_path / "pod"
    (home / "git").mkdir(parents=True)
    return dataclasses.replace(Pod.of({}), work=home, project=home / "project", git_credentials=home / "git")


def _fetch(pod: Pod, url: str | Path, credentials: dict[str, str] | None = None, **fields: str) -> Problem | None:
    """Why the source could not be fetched, if so."""
    for name, text in (credentials or {}).items():
        (pod.git_credentials / name).write_text(text)
    named = {"ref": "main", "path": "."} | fields
    try:
        fetching.fetch(
            Source(SourceKind.GIT, url=f"file://{url}" if isinstance(url, Path) else url, **named), pod, Lines()
        )
    except Problem as problem:
        return problem
    return None


class _Server(BaseHTTPRequestHandler):
    """Advertises the refs that it is told to, asks for credentials or redirects; remembers what it was given."""

    def do_GET(self) -> None:
        server: Any = self.server
        given = self.headers.get("Authorization", "")
        server.seen.append((self.command, given))
        if server.asks and not given:
            return self._answer(401, b"", ("WWW-Authenticate", 'Basic realm="git"'))
        if server.redirects_to:
            return self._answer(302, b"", ("Location", server.redirects_to + self.path))
        lines = [f"{sha} {name}" for name, sha in server.refs.items()]
        lines[0] += "\0shallow allow-tip-sha1-in-want side-band-64k"
        body = (
            "001e# service=git-upload-pack\n0000" + "".join(f"{len(line) + 5:04x}{line}\n" for line in lines) + "0000"
        )
        return self._answer(200, body.encode(), ("Content-Type", "application/x-git-upload-pack-advertisement"))

    def do_POST(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append((self.command, self.headers.get("Authorization", "")))
        self._answer(500, b"")

    def _answer(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Any, Any]]:
    """The host that the credential is for, and another."""
    both: list[Any] = [ThreadingHTTPServer(("127.0.0.1", 0), _Server) for _ in range(2)]
    for server in both:
        server.seen, server.refs, server.asks, server.redirects_to = [], {"refs/heads/main": COMMIT}, False, ""
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield both[0], both[1]
    for server in both:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("other_asks", [False, True], ids=["open", "asks"])
@pytest.mark.parametrize("asks", [False, True], ids=["at-once", "after-401"])
@pytest.mark.parametrize("credentials", [BASIC, BEARER], ids=["basic", "bearer"])
def test_a_credential_never_follows_a_redirect(
    pod: Pod, servers: tuple[Any, Any], credentials: dict[str, str], asks: bool, other_asks: bool
) -> None:
    trusted, other = servers
    trusted.redirects_to, trusted.asks = f"http://localhost:{other.server_port}", asks
    other.asks = other_asks
    problem = _fetch(pod, f"http://127.0.0.1:{trusted.server_port}/x.git", credentials)
    assert trusted.seen and problem is not None
    assert [given for _, given in other.seen if given] == []
    encoded = base64.b64encode(f"git:{TOKEN}".encode()).decode()
    assert TOKEN not in problem.message and encoded not in problem.message


def test_a_redirect_that_the_token_does_not_follow_is_explained(pod: Pod, servers: tuple[Any, Any]) -> None:
    trusted, other = servers
    trusted.redirects_to = f"http://localhost:{other.server_port}"
    problem = _fetch(pod, f"http://127.0.0.1:{trusted.server_port}/x.git", BEARER)
    assert problem is not None and problem.reason is Reason.SOURCE_UNREACHABLE
    assert "redirects" in problem.message and "project.git.url" in problem.message
    assert other.seen == []


@pytest.fixture
def said_to_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git in front of git that notes its arguments, one call a line."""
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()
    folder, notes = tmp_path / "bin", tmp_path / "arguments"
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\necho "$*" >> {notes}\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return notes


@pytest.mark.parametrize(
    "name", ["--upload-pack=touch /tmp/pwned", "-n", "refs/heads/a:refs/heads/b", "refs/*", "refs/a b"]
)
def test_a_name_that_a_server_advertises_is_no_argument(
    pod: Pod, servers: tuple[Any, Any], said_to_git: Path, name: str
) -> None:
    servers[0].refs = {name: COMMIT}
    problem = _fetch(pod, f"http://127.0.0.1:{servers[0].server_port}/x.git", commit=COMMIT)
    assert problem is not None
    fetches = [call for call in said_to_git.read_text().splitlines() if " fetch " in call]
    assert fetches and [call for call in fetches if f" {name} " in f"{call} "] == []


def test_what_comes_from_outside_follows_the_end_of_options(pod: Pod, tmp_path: Path, said_to_git: Path) -> None:
    url = _repository(tmp_path / "repository", FILES)
    assert _fetch(pod, url, path="etl") is None
    told = [call for call in said_to_git.read_text().splitlines() if f"file://{url}" in call]
    assert [f" --end-of-options file://{url}" in call for call in told] == [True, True]


@pytest.mark.parametrize(
    "url",
    [
        "-oProxyCommand@h:x", "h@-oProxyCommand:x", "git@host:-x", "ssh://-oProxyCommand=x@h/y", "ssh://-h/y",
        "https://-h/y", "--upload-pack=x", "ssh://git@-h/y", "h:-x", "file://-x",
    ],
)  # fmt: skip
def test_a_url_with_a_part_that_begins_with_a_dash_is_refused_before_git_sees_it(
    pod: Pod, said_to_git: Path, url: str
) -> None:
    problem = _fetch(pod, url)
    assert problem is not None and problem.reason is Reason.SOURCE_UNREACHABLE
    assert not said_to_git.exists()


@pytest.mark.parametrize("ref", ["-n", "--upload-pack=x"])
def test_a_ref_that_begins_with_a_dash_is_not_found(pod: Pod, tmp_path: Path, said_to_git: Path, ref: str) -> None:
    problem = _fetch(pod, _repository(tmp_path / "repository", FILES), ref=ref)
    assert problem is not None and problem.reason is Reason.SOURCE_REF_MISSING
    assert ref not in said_to_git.read_text()
