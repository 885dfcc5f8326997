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
from sqlmesh.core import constants

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Connection, Gateway, Owner, Source, SourceKind, Task, TaskKind
from vulcan_runner import fetch as fetching
from vulcan_runner import resolving, source_size, unfetched
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


def _tree_bomb(folder: Path, leaf: str, depth: int) -> None:
    """A commit with 10^depth times an entry, in a dozen objects."""
    for _ in range(depth):
        lines = "".join(f"{leaf}\t{i}\n" for i in range(10))
        made = subprocess.run(["git", "mktree"], cwd=folder, input=lines, check=True, capture_output=True, text=True)
        leaf = f"040000 tree {made.stdout.strip()}"
    commit = _git(folder, "commit-tree", "-m", "bomb", leaf.split()[2])
    _git(folder, "update-ref", "refs/heads/main", commit)


@pytest.mark.parametrize("leaf", ["files", "empty folders"])
def test_a_tree_bomb_is_not_checked_out(pod: Pod, tmp_path: Path, leaf: str) -> None:
    folder = _repository(tmp_path / "repository", FILES)
    blob = "100644 blob " + _git(folder, "rev-parse", "HEAD:etl/config.yaml")
    empty = "040000 tree " + _git(folder, "hash-object", "-t", "tree", "-w", "/dev/null")
    _tree_bomb(folder, blob if leaf == "files" else empty, 9)
    problem = _fetch(pod, folder)
    assert problem is not None and problem.reason is Reason.SOURCE_TOO_LARGE, problem
    assert "100000 files" in problem.message
    assert not pod.project.exists()


def test_links_count_as_what_they_stand_for(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links to folders of links: 10^9 files without a tree bomb."""
    monkeypatch.setattr(source_size, "MOST_ENTRIES", 2000)
    folder = _repository(tmp_path / "repository", FILES)
    for level in range(9):
        (folder / f"l{level}").mkdir()
        for i in range(10):
            (folder / f"l{level}" / str(i)).symlink_to(f"../l{level + 1}")
    _commit(folder, {"l9/x.sql": "x"})
    problem = _fetch(pod, folder)
    assert problem is not None and problem.reason is Reason.SOURCE_TOO_LARGE, problem


def test_the_bytes_are_bounded_with_links_resolved(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_size, "MOST_BYTES", 3000)
    folder = _repository(tmp_path / "repository", {"a.sql": "x" * 2000})
    assert _fetch(pod, folder) is None
    (folder / "b.sql").symlink_to("a.sql")
    _commit(folder, {})
    linked = _fetch(pod, folder)
    _commit(folder, {"c.sql": "y" * 2000})
    (folder / "b.sql").unlink()
    _commit(folder, {})
    written = _fetch(pod, folder)
    assert [p and p.reason for p in (linked, written)] == [Reason.SOURCE_TOO_LARGE] * 2


def test_what_a_server_sends_is_bounded(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_size, "MOST_HISTORY", 100_000)
    folder = _repository(tmp_path / "repository", FILES)
    assert _fetch(pod, folder) is None
    (folder / "noise").write_bytes(os.urandom(300_000))
    _commit(folder, {})
    problem = _fetch(pod, folder)
    assert problem is not None and problem.reason is Reason.SOURCE_TOO_LARGE, problem.message
    assert "history" in problem.message


def test_the_folders_are_those_of_sqlmesh() -> None:
    searched = ("audits", "linter", "macros", "materializations", "metrics", "models", "seeds", "signals", "tests")
    assert {getattr(constants, name.upper()) for name in searched} == unfetched.FOLDERS


def test_what_a_server_advertises_is_bounded(
    pod: Pod, servers: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_size, "MOST_SAID", 10_000)
    servers[0].refs = {f"refs/heads/branch-{i}": COMMIT for i in range(1000)}
    problem = _fetch(pod, f"http://127.0.0.1:{servers[0].server_port}/x.git", ref="branch-1")
    assert problem is not None and problem.reason is Reason.SOURCE_TOO_LARGE, problem.message


def test_a_host_does_not_write_into_git_s_configuration(pod: Pod) -> None:
    problem = _fetch(pod, 'https://h"x/y.git', BEARER)
    assert problem is not None and problem.reason is Reason.SOURCE_AUTH_FAILED
    assert "host of project.git.url" in problem.message


def test_a_url_that_is_none_is_no_crash(pod: Pod) -> None:
    problem = _fetch(pod, "https://h]x/y")
    assert problem is not None and problem.reason is Reason.SOURCE_UNREACHABLE


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def _resolved(pod: Pod, path: str = ".") -> Result | Problem:
    gateway = Gateway("main", Connection("duckdb"), Owner("c", "n", "g"))
    task = Task(TaskKind.RESOLVE, "j", "n", gateway, source=Source(SourceKind.GIT, "u", "main", path))
    try:
        return resolving.resolve(task, pod, Lines())
    except Problem as problem:
        return problem


@pytest.mark.parametrize("name", ["seeds/rates.csv", "models/m.sql", "config.yaml", "a.PY"])
def test_a_pointer_that_sqlmesh_would_read_is_named(pod: Pod, tmp_path: Path, name: str) -> None:
    assert _fetch(pod, _repository(tmp_path / "repository", {"config.yaml": "a: 1", name: POINTER})) is None
    found = _resolved(pod)
    assert isinstance(found, Problem) and found.reason is Reason.SOURCE_INCOMPLETE
    assert found.message.startswith(f"{name} is a Git LFS pointer")


def test_other_pointers_are_mentioned(pod: Pod, tmp_path: Path) -> None:
    url = _repository(tmp_path / "repository", {"config.yaml": "a: 1", "docs/a.png": POINTER, "b.md": "version 1"})
    assert _fetch(pod, url) is None
    found = _resolved(pod)
    assert isinstance(found, Result) and found.reason is Reason.SUCCEEDED
    assert "docs/a.png is a Git LFS pointer; its content is not fetched." in found.message


def _with_submodule(tmp_path: Path, at: str, files: dict[str, str]) -> Path:
    shared = _repository(tmp_path / "shared", {"shared.sql": "x"})
    folder = _repository(tmp_path / "repository", files)
    _git(folder, "submodule", "--quiet", "add", str(shared), at)
    _commit(folder, {})
    return folder


@pytest.mark.parametrize(("at", "path"), [("models/lib", "."), ("etl/models/lib", "etl"), ("etl/macros", "etl")])
def test_a_submodule_where_sqlmesh_looks_is_named(pod: Pod, tmp_path: Path, at: str, path: str) -> None:
    url = _with_submodule(tmp_path, at, {"config.yaml": "a: 1", "etl/config.yaml": "a: 1"})
    assert _fetch(pod, url, path=path) is None
    found = _resolved(pod, path)
    assert isinstance(found, Problem) and found.reason is Reason.SOURCE_INCOMPLETE
    assert found.message.startswith(f"{at.removeprefix('etl/')} is a submodule")


def test_a_submodule_behind_a_link_is_named(pod: Pod, tmp_path: Path) -> None:
    url = _with_submodule(tmp_path, "vendor/lib", {"config.yaml": "a: 1", "models/m.sql": "x"})
    (url / "models" / "lib").symlink_to("../vendor/lib")
    _commit(url, {})
    assert _fetch(pod, url) is None
    found = _resolved(pod)
    assert isinstance(found, Problem) and found.message.startswith("models/lib is a submodule")


@pytest.mark.parametrize("path", ["lib", "lib/etl"])
def test_a_project_in_a_submodule_is_named(pod: Pod, tmp_path: Path, path: str) -> None:
    problem = _fetch(pod, _with_submodule(tmp_path, "lib", {"config.yaml": "a: 1"}), path=path)
    assert problem is not None and problem.reason is Reason.SOURCE_INCOMPLETE
    assert "submodule lib" in problem.message


def test_other_submodules_are_mentioned_and_those_elsewhere_not(pod: Pod, tmp_path: Path) -> None:
    url = _with_submodule(tmp_path, "etl/docs/theme", {"etl/config.yaml": "a: 1"})
    _git(url, "submodule", "--quiet", "add", str(tmp_path / "shared"), "elsewhere")
    _commit(url, {})
    assert _fetch(pod, url, path="etl") is None
    found = _resolved(pod, "etl")
    assert isinstance(found, Result)
    assert "docs/theme is a submodule; its content is not fetched." in found.message
    assert "elsewhere" not in found.message
