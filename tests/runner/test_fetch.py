"""Fetch and resolve: exactly the commit, nothing but its files, and a reason for everything that can go wrong."""

import base64
import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.runner.system import ROOT, RUNNER
from vulcan_contract import PodEnv, digest, paths
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Connection, Gateway, Owner, Source, SourceKind, Task, TaskKind

TOKEN = "tok3n/with+odd%characters"
BASIC = f"Basic {base64.b64encode(f'git:{TOKEN}'.encode()).decode()}"
BEARER = f"Bearer {TOKEN}"


@dataclass
class Repository:
    """A git repository with a project in `etl/`, on branch main, with a tag of its first commit."""

    folder: Path
    first: str
    second: str

    @property
    def url(self) -> str:
        return f"file://{self.folder}"


def _git(folder: Path, *args: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(
        ["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True, env=env
    ).stdout.strip()


def _commit(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "change")
    return _git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    first = _commit(folder, {"etl/config.yaml": "a: 1", "etl/models/m.sql": "x", "README": "r"})
    _git(folder, "tag", "-a", "v1", "-m", "first")
    second = _commit(folder, {"etl/config.yaml": "a: 2"})
    return Repository(folder, first, second)


@dataclass
class Fetched:
    result: Result | None
    stdout: str
    code: int
    project: Path
    seconds: float
    resolved: Result | None


def _pod(tmp_path: Path, source: Source, credentials: dict[str, str] | None = None) -> tuple[Path, dict[str, str]]:
    """The folders of a resolve Job's pod, and its environment."""
    home = tmp_path / "pod"
    (home / "result").unlink(missing_ok=True)
    (home / "work").mkdir(parents=True, exist_ok=True)
    git = home / "git"
    git.mkdir(exist_ok=True)
    for name, text in (credentials or {}).items():
        (git / name).write_text(text)
    gateway = Gateway("main", Connection("duckdb"), Owner("c", "n", "g"))
    task = Task(TaskKind.RESOLVE, "resolve-1", "n1", gateway, source=source)
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "PYTHONHASHSEED": "0", "HOME": str(home),
        PodEnv.TASK: task.to_json(), PodEnv.WORK: str(home / "work"), PodEnv.PROJECT: str(home / "project"),
        PodEnv.RESULT: str(home / "result"), PodEnv.GIT_CREDENTIALS: str(git), PodEnv.SECRETS: str(home / "none"),
    }  # fmt: skip
    return home, env


def _fetch(
    tmp_path: Path, source: Source, credentials: dict[str, str] | None = None, env: dict[str, str] | None = None
) -> Fetched:
    """The init container, then the main container of a resolve Job if that worked."""
    home, own = _pod(tmp_path, source, credentials)
    env = own | (env or {})
    command = [str(RUNNER), "-m", "vulcan_runner"]
    began = time.monotonic()
    done = subprocess.run([*command, "fetch"], env=env, capture_output=True, text=True, timeout=120)
    seconds = time.monotonic() - began
    stdout = done.stdout + done.stderr
    resolved = None
    if done.returncode == 0:
        assert not (home / "result").exists(), "the main container writes the result"
        subprocess.run(command, env=env, capture_output=True, timeout=60)
        resolved = Result.from_message((home / "result").read_text())
    result = None if done.returncode == 0 else Result.from_message((home / "result").read_text())
    return Fetched(result, stdout, done.returncode, home / "project", seconds, resolved)


def _source(repository: Repository, **fields: Any) -> Source:
    return Source(SourceKind.GIT, url=repository.url, **({"ref": "main", "path": "etl"} | fields))


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", ""])
def test_a_branch_is_resolved_to_its_commit(tmp_path: Path, repository: Repository, ref: str) -> None:
    got = _fetch(tmp_path, _source(repository, ref=ref))
    assert got.resolved is not None, got.stdout
    assert (got.resolved.reason, got.resolved.commit) == (Reason.SUCCEEDED, repository.second)
    assert sorted(p.name for p in got.project.iterdir()) == ["config.yaml", "models"]
    assert (got.project / "config.yaml").read_text() == "a: 2"
    assert {int(p.stat().st_mtime) for p in got.project.rglob("*")} == {946_684_800}


@pytest.mark.parametrize("how", ["tag", "commit", "resolved"])
def test_an_older_commit_is_got_by_tag_or_name(tmp_path: Path, repository: Repository, how: str) -> None:
    fields = {"tag": {"ref": "v1"}, "commit": {"ref": repository.first}, "resolved": {"commit": repository.first}}[how]
    got = _fetch(tmp_path, _source(repository, **fields))
    assert got.resolved is not None, got.stdout
    assert got.resolved.commit == repository.first
    assert (got.project / "config.yaml").read_text() == "a: 1"


def test_the_digest_is_of_the_content_alone(tmp_path: Path, repository: Repository) -> None:
    before = _fetch(tmp_path, _source(repository)).resolved
    _commit(repository.folder, {"README": "outside of the path"})
    after = _fetch(tmp_path, _source(repository)).resolved
    assert before is not None and after is not None
    assert before.commit != after.commit
    assert before.digest == after.digest


def test_what_is_not_there_is_told_apart(tmp_path: Path, repository: Repository) -> None:
    cases = {
        Reason.SOURCE_REF_MISSING: _source(repository, ref="nope"),
        Reason.SOURCE_PATH_MISSING: _source(repository, path="nope"),
        Reason.SOURCE_UNREACHABLE: Source(SourceKind.GIT, url=f"file://{tmp_path}/nowhere", ref="main"),
    }
    assert {r: getattr(_fetch(tmp_path, s).result, "reason", None) for r, s in cases.items()} == {r: r for r in cases}
    gone = _fetch(tmp_path, _source(repository, ref="0" * 40)).result
    assert gone is not None
    assert gone.reason is Reason.SOURCE_REF_MISSING


@pytest.mark.parametrize("path", ["..", "../..", "etl/../../x"])
def test_a_path_cannot_lead_out(tmp_path: Path, repository: Repository, path: str) -> None:
    got = _fetch(tmp_path, _source(repository, path=path))
    assert got.result is not None
    assert got.result.reason is Reason.SOURCE_PATH_MISSING


def test_a_link_cannot_lead_out(tmp_path: Path, repository: Repository) -> None:
    (repository.folder / "etl" / "inside.yaml").symlink_to("config.yaml")
    _commit(repository.folder, {})
    assert _fetch(tmp_path, _source(repository)).code == 0
    (repository.folder / "etl" / "secrets").symlink_to("/etc/passwd")
    _commit(repository.folder, {})
    got = _fetch(tmp_path, _source(repository))
    assert got.result is not None
    assert (got.result.reason, "secrets" in got.result.message) == (Reason.PROJECT_LOAD_FAILED, True)
    assert not (got.project / "secrets").is_symlink()


def test_a_path_cannot_be_a_link_that_leads_out(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "pod" / "git").mkdir(parents=True)
    (tmp_path / "pod" / "git" / "config.yaml").write_text("a: 1")
    (repository.folder / "proj").symlink_to(tmp_path / "pod" / "git")
    (repository.folder / "same").symlink_to("etl")
    _commit(repository.folder, {})
    for path in ("proj", "same/../proj"):
        got = _fetch(tmp_path, _source(repository, path=path), {"username": "git", "password": TOKEN})
        assert got.result is not None, got.stdout
        assert got.result.reason is Reason.SOURCE_PATH_MISSING
        assert not (got.project / "password").exists()
    assert _fetch(tmp_path, _source(repository, path="same")).code == 0, "within the source a link is as good"


def test_the_path_cannot_be_the_git_folder(tmp_path: Path, repository: Repository) -> None:
    got = _fetch(tmp_path, _source(repository, path=".git"))
    assert got.result is not None
    assert got.result.reason is Reason.SOURCE_PATH_MISSING


def test_what_the_digest_leaves_out_is_not_handed_over(tmp_path: Path, repository: Repository) -> None:
    before = _fetch(tmp_path, _source(repository)).resolved
    _commit(repository.folder, {"etl/__pycache__/config.cpython-311.pyc": "x", "etl/.cache/c": "x"})
    (repository.folder / "etl" / "models" / "__pycache__").symlink_to("/etc")
    _commit(repository.folder, {})
    got = _fetch(tmp_path, _source(repository))
    assert before is not None and got.resolved is not None, got.stdout
    assert got.resolved.digest == before.digest
    assert sorted(str(p.relative_to(got.project)) for p in got.project.rglob("*")) == [
        "config.yaml", "models", "models/m.sql"
    ]  # fmt: skip


def test_names_with_two_dots_count(tmp_path: Path, repository: Repository) -> None:
    """Only in a ConfigMap volume are they the volume's own."""
    _commit(repository.folder, {"etl/..macros/m.py": "x"})
    got = _fetch(tmp_path, _source(repository))
    assert got.resolved is not None, got.stdout
    files = {"config.yaml": b"a: 2", "models/m.sql": b"x", "..macros/m.py": b"x"}
    assert got.resolved.digest == digest.of_files(files)
    (repository.folder / "etl" / "..macros" / "link").symlink_to("/etc")
    _commit(repository.folder, {})
    refused = _fetch(tmp_path, _source(repository)).result
    assert refused is not None
    assert refused.reason is Reason.PROJECT_LOAD_FAILED


def test_a_link_is_handed_over_as_what_it_points_to(tmp_path: Path, repository: Repository) -> None:
    (repository.folder / "etl" / "more").symlink_to("models")
    (repository.folder / "etl" / "loop").symlink_to("loop")
    _commit(repository.folder, {"etl/run.sh": "x"})
    (repository.folder / "etl" / "run.sh").chmod(0o755)
    _commit(repository.folder, {})
    got = _fetch(tmp_path, _source(repository))
    assert got.resolved is not None, got.stdout
    files = {"config.yaml": b"a: 2", "models/m.sql": b"x", "more/m.sql": b"x", "run.sh": b"x"}
    assert got.resolved.digest == digest.of_files(files)
    assert {str(p.relative_to(got.project)): p.read_bytes() for p in got.project.rglob("*") if p.is_file()} == files
    assert not (got.project / "more").is_symlink()
    assert os.access(got.project / "run.sh", os.X_OK)


def test_a_name_need_not_be_utf_8(tmp_path: Path, repository: Repository) -> None:
    name = os.fsdecode(b"m\xe9.sql")
    _commit(repository.folder, {f"etl/models/{name}": "y"})
    got = _fetch(tmp_path, _source(repository))
    assert got.resolved is not None, got.stdout
    assert got.resolved.reason is Reason.SUCCEEDED, got.resolved.message
    files = {"config.yaml": b"a: 2", "models/m.sql": b"x", f"models/{name}": b"y"}
    assert got.resolved.digest == digest.of_files(files)
    (repository.folder / "etl" / os.fsdecode(b"l\xe9")).symlink_to("/etc/passwd")
    _commit(repository.folder, {})
    refused = _fetch(tmp_path, _source(repository)).result
    assert refused is not None
    assert (refused.reason, "leads out" in refused.message) == (Reason.PROJECT_LOAD_FAILED, True)


@pytest.mark.parametrize(
    "url", ["ext::sh -c true", "--upload-pack=touch /tmp/x", "/etc", "https://user:geheim@example.com/x"]
)
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    got = _fetch(tmp_path, Source(SourceKind.GIT, url=url, ref="main"))
    assert got.result is not None
    assert got.result.reason in (Reason.SOURCE_UNREACHABLE, Reason.SOURCE_AUTH_FAILED)
    assert "geheim" not in got.stdout + got.result.to_message()


def test_hooks_and_configuration_of_the_repository_do_nothing(tmp_path: Path, repository: Repository) -> None:
    touched = tmp_path / "touched"
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {touched}\n")
    hook.chmod(0o755)
    _commit(
        repository.folder, {"etl/.gitattributes": "* filter=x", ".gitmodules": '[submodule "s"]\n\tpath=s\n\turl=/x'}
    )
    assert _fetch(tmp_path, _source(repository)).code == 0
    assert not touched.exists()


class _Server(BaseHTTPRequestHandler):
    """git's smart HTTP behind a credential; remembers what it was given."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        server: Any = self.server
        given = self.headers.get("Authorization", "")
        server.seen.append(given)
        if given not in (BASIC, BEARER) or not server.folder:
            self.send_response(403 if given else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": server.folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*", "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        out = subprocess.run(["git", "http-backend"], input=body, env=env, check=True, capture_output=True).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))  # over TLS, the end of the connection is no end
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def http() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.seen, server.folder = [], ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.mark.parametrize(
    "credentials", [{"username": "git", "password": TOKEN}, {"bearerToken": TOKEN}], ids=["basic", "bearer"]
)
def test_a_credential_opens_the_repository(
    tmp_path: Path, repository: Repository, http: Any, credentials: dict[str, str]
) -> None:
    http.folder = str(repository.folder.parent)
    url = f"http://127.0.0.1:{http.server_port}/repository/.git"
    got = _fetch(tmp_path, Source(SourceKind.GIT, url=url, ref="main", path="etl"), credentials)
    assert got.resolved is not None, got.stdout
    assert got.resolved.commit == repository.second
    assert TOKEN not in got.stdout


@pytest.mark.parametrize(
    ("credentials", "given"),
    [
        ({}, ""),
        ({"username": "git", "password": TOKEN}, BASIC),
        ({"bearerToken": TOKEN}, BEARER),
    ],
    ids=["none", "basic", "bearer"],
)
def test_a_refused_credential_is_told_and_never_shown(
    tmp_path: Path, http: Any, credentials: dict[str, str], given: str
) -> None:
    source = Source(SourceKind.GIT, url=f"http://127.0.0.1:{http.server_port}/x.git", ref="main")
    got = _fetch(tmp_path, source, credentials)
    assert got.result is not None
    assert got.result.reason is Reason.SOURCE_AUTH_FAILED, got.result.message
    assert given in http.seen
    assert TOKEN not in got.stdout + got.result.to_message()


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        got = _fetch(tmp_path, Source(SourceKind.GIT, url=url, ref="main"))
    assert got.result is not None
    assert got.result.reason is Reason.SOURCE_UNREACHABLE
    assert got.seconds < 35


def test_a_signal_ends_git_at_once(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        source = Source(SourceKind.GIT, url=f"http://127.0.0.1:{silent.getsockname()[1]}/x.git", ref="main")
        home, env = _pod(tmp_path, source)
        pod = subprocess.Popen([str(RUNNER), "-m", "vulcan_runner", "fetch"], env=env, stdout=subprocess.DEVNULL)
        silent.settimeout(60)
        connection, _ = silent.accept()
        began = time.monotonic()
        pod.send_signal(signal.SIGTERM)
        pod.wait(timeout=60)
        assert time.monotonic() - began < 10, "git gives up after 20 seconds"
        connection.settimeout(5)
        while connection.recv(4096):
            pass  # until the other end is closed: nothing of git is left
        connection.close()
    assert Result.from_message((home / "result").read_text()).reason is Reason.CANCELLED


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(alternative, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem, private = folder / "ca.crt", folder / "key.pem"
    pem.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    return pem, private


def test_git_trusts_the_ca_bundle(tmp_path: Path, repository: Repository, http: Any) -> None:
    pem, private = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    http.folder = str(repository.folder.parent)
    url = f"https://127.0.0.1:{http.server_port}/repository/.git"
    source, credentials = Source(SourceKind.GIT, url=url, ref="main", path="etl"), {"bearerToken": TOKEN}
    refused = _fetch(tmp_path, source, credentials).result
    assert refused is not None
    assert refused.reason is Reason.SOURCE_UNREACHABLE
    got = _fetch(tmp_path, source, credentials, {"GIT_SSL_CAINFO": str(pem), "SSL_CERT_FILE": str(pem)})
    assert got.resolved is not None, got.stdout
    assert got.resolved.commit == repository.second


def test_ssh_without_known_hosts_is_refused(tmp_path: Path) -> None:
    source = Source(SourceKind.GIT, url="ssh://git@127.0.0.1:1/x.git", ref="main")
    got = _fetch(tmp_path, source, {"identity": "not a key"})
    assert got.result is not None
    assert got.result.reason is Reason.SOURCE_UNREACHABLE, "nobody listens there"


def test_a_config_map_is_digested_as_its_items(tmp_path: Path) -> None:
    project = tmp_path / "pod" / "project"
    data = project / "..2026_11_22"
    data.mkdir(parents=True)
    (project / "..data").symlink_to("..2026_11_22")
    for name, text in (("config.yaml", "a: 1"), ("models/m_1.sql", "x")):
        (data / paths.escape(name)).write_text(text)
        (project / paths.escape(name)).symlink_to(f"..data/{paths.escape(name)}")
    gateway = Gateway("main", Connection("duckdb"), Owner("c", "n", "g"))
    task = Task(TaskKind.RESOLVE, "resolve-1", "n1", gateway, source=Source(SourceKind.CONFIG_MAP))
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "PYTHONHASHSEED": "0",
        PodEnv.TASK: task.to_json(), PodEnv.WORK: str(tmp_path), PodEnv.PROJECT: str(project),
        PodEnv.RESULT: str(tmp_path / "result"), PodEnv.SECRETS: str(tmp_path / "none"),
    }  # fmt: skip
    subprocess.run([str(RUNNER), "-m", "vulcan_runner"], env=env, check=True, capture_output=True)
    found = json.loads((tmp_path / "result").read_text())
    assert found["digest"] == digest.of_files({"config.yaml": b"a: 1", "models/m_1.sql": b"x"})
