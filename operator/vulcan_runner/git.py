"""The git commands that `fetch` needs, each with a time limit and without the machine's own git
configuration.

Called by `fetch` only. Everything that git needs to know of the credential is in files of a private
folder; git's error texts are turned into reasons here.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from vulcan_contract.reasons import Reason
from vulcan_runner import source_size
from vulcan_runner.problem import Problem
from vulcan_runner.source_size import history_too_large, too_many_refs

_ANSWER = 20  # seconds until a silent server counts as unreachable
_TRANSFER = 900
_END = "--end-of-options"  # what follows came from outside and is never an option
_HELPER = (
    '!f() { test "$1" = get || exit 0; printf "username=%s\\npassword=%s\\n"'
    ' "$(cat "$VULCAN_GIT_USERNAME")" "$(cat "$VULCAN_GIT_PASSWORD")"; }; f'
)
_AUTH = (
    "authentication failed", "could not read username", "could not read password",
    "permission denied", "invalid username or password", "host key verification failed",
    "terminal prompts disabled", "access denied", "error: 401", "error: 403",
    "no matching host key", "load key", "invalid credentials",
)  # fmt: skip
_REDIRECTED = ("error: 301", "error: 302", "error: 303", "error: 307", "error: 308")
_NO_REF = ("couldn't find remote ref", "not our ref", "no such ref", "unadvertised object")
_CUT_OFF = ("signal 25", "file too large")  # SIGXFSZ and EFBIG, of `source_size.bounded_files`


class Entry(NamedTuple):
    """A file, folder or submodule of a commit."""

    path: str
    size: int
    is_submodule: bool


class Git:
    """One private clone in `folder`."""

    def __init__(self, folder: Path, url: str, scheme: str, credentials: Path) -> None:
        self._folder, self._url, self._scheme, self._credentials = folder, url, scheme, credentials
        self.tree = folder / "tree"
        self._home = folder / "home"
        self._home.mkdir(mode=0o700)
        self._env = self._environment()
        self._write_config()
        self._run("init", "-q", str(self.tree), limit=_ANSWER, inside=False)

    def remote_refs(self) -> dict[str, str]:
        """The refs of the server and their commits. Also checks that the server answers.

        A server can advertise any text as a name: others than git's own namespaces are left out.
        """
        out = self._run("ls-remote", "--quiet", _END, self._url, limit=_ANSWER)
        pairs = (line.split("\t", 1) for line in out.splitlines() if "\t" in line)
        return {name: sha for sha, name in pairs if name == "HEAD" or name.startswith("refs/")}

    def fetch(self, ref: str) -> None:
        """Raises SourceUnreachable, SourceAuthFailed or SourceRefMissing."""
        check = ("check-ref-format", "--allow-onelevel", ref)
        if self._process(check, _ANSWER, inside=False).returncode:
            message = "The name of the ref is none that git allows."
            raise Problem(Reason.SOURCE_REF_MISSING, message)
        self._fetch("--depth", "1", ref=ref)

    def fetch_everything(self) -> None:
        """For a commit that a server does not give by itself. Raises as `fetch`."""
        self._fetch(ref="+refs/*:refs/remotes/all/*")

    def _fetch(self, *options: str, ref: str) -> None:
        always = ("-q", "--no-tags", "--no-recurse-submodules")
        self._run("fetch", *always, *options, _END, self._url, ref, limit=_TRANSFER)

    def try_fetch(self, ref: str) -> bool:
        """Fetches a ref; False when the server does not offer it."""
        try:
            self.fetch(ref)
        except Problem as problem:
            if problem.reason is Reason.SOURCE_AUTH_FAILED:
                raise
            return False
        return True

    def exists(self, commit: str) -> bool:
        look = ("cat-file", "-e", _END, f"{commit}^{{commit}}")
        done = self._process(look, _ANSWER, inside=True)
        return done.returncode == 0

    def has(self, name: str, commit: str) -> bool:
        return self.commit(name) == commit

    def commit(self, name: str) -> str:
        """The commit that a fetched name stands for."""
        found = self._run("rev-parse", "--verify", _END, f"{name}^{{commit}}", limit=_ANSWER)
        return found.strip()

    def entries(self, commit: str) -> Iterator[Entry]:
        """What a commit has, one by one: there may be more than anybody wants to hear."""
        look = ("ls-tree", "-r", "-t", "-l", "-z", _END, commit)
        with self._started(look, inside=True) as listed:
            try:
                for line in _lines(listed.stdout):
                    about, _, path = line.partition("\t")
                    mode, _, _, size = about.split()
                    yield Entry(path, 0 if size == "-" else int(size), mode == "160000")
                _, err = listed.communicate()
            finally:
                _kill(listed)
        if listed.returncode:
            raise _problem(err)

    def checkout(self, commit: str) -> None:
        """Takes a fetched commit out, without its submodules."""
        self._run("checkout", "-q", "--detach", "--force", commit, "--", limit=_TRANSFER)

    def _environment(self) -> dict[str, str]:
        proxies = [k for k in os.environ if k.lower().endswith("_proxy")]
        names = [k for k in ("PATH", "LANG", "LC_ALL") if k in os.environ]
        kept = {k: os.environ[k] for k in (*names, *proxies)}
        return kept | {
            "HOME": str(self._home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._home / "config"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": self._scheme,
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_SSH_COMMAND": self._ssh_command(),
            "LC_ALL": "C",
            "VULCAN_GIT_USERNAME": str(self._credentials / "username"),
            "VULCAN_GIT_PASSWORD": str(self._credentials / "password"),
        }

    def _ssh_command(self) -> str:
        """ssh requires a private key file, which a mounted Secret is not, so it is copied."""
        options = ["BatchMode=yes", "ConnectTimeout=15", "StrictHostKeyChecking=yes"]
        options += ["ServerAliveInterval=10", "ServerAliveCountMax=2"]
        options += [f"UserKnownHostsFile={self._credentials / 'known_hosts'}"]
        words = [word for option in options for word in ("-o", option)]
        command = ["ssh", "-F", "/dev/null", *words]
        key = self._credentials / "identity"
        if key.is_file():
            copy = self._home / "identity"
            copy.touch(mode=0o600)
            shutil.copyfile(key, copy)
            command += ["-o", "IdentitiesOnly=yes", "-i", str(copy)]
        return shlex.join(command)

    def _write_config(self) -> None:
        """The whole configuration that git sees. `safe.directory`: for file:// of other owners."""
        settings = [
            ("core.hooksPath", "/dev/null"), ("core.autocrlf", "false"), ("safe.directory", "*"),
            ("http.lowSpeedLimit", "100"), ("http.lowSpeedTime", str(_ANSWER)),
            ("advice.detachedHead", "false"), ("gc.auto", "0"),
        ]  # fmt: skip
        folder = self._credentials
        has_token = (folder / "bearerToken").is_file() and self._scheme in ("http", "https")
        # git would send the token's header wherever the first answer redirects it to. A user name
        # and password come from a helper, which git asks for each host.
        settings.append(("http.followRedirects", "false" if has_token else "initial"))
        bundle = os.environ.get("GIT_SSL_CAINFO") or os.environ.get("SSL_CERT_FILE")
        if (folder / "ca.crt").is_file():
            settings.append(("http.sslCAInfo", str(folder / "ca.crt")))
        elif bundle:
            settings.append(("http.sslCAInfo", bundle))
        if (folder / "password").is_file():
            settings.append((f"credential.{self._host()}.helper", _HELPER))
        path = self._home / "config"
        path.touch(mode=0o600)
        for name, value in settings:
            add = ("config", "--file", str(path), "--add", name, value)
            self._run(*add, limit=_ANSWER, inside=False)
        if has_token:
            token = (folder / "bearerToken").read_text().strip()
            path.write_text(path.read_text() + self._bearer(token))

    def _bearer(self, token: str) -> str:
        """Written by us, because `git config` would put the token into argv; for this host only."""
        if any(c in token + self._host() for c in '"\\\n\r'):
            raise Problem(
                Reason.SOURCE_AUTH_FAILED,
                "The bearerToken of the git credential, or the host of project.git.url, contains a"
                " character that is not allowed.",
            )
        return f'[http "{self._host()}"]\n\textraHeader = "Authorization: Bearer {token}"\n'

    def _host(self) -> str:
        """Credentials are for the URL's own host, wherever it redirects to."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}"

    def _run(self, *args: str, limit: int, inside: bool = True) -> str:
        done = self._process(args, limit, inside)
        if done.returncode == 0:
            return done.stdout
        raise _problem(done.stderr)

    def _process(
        self, args: tuple[str, ...], limit: int, inside: bool
    ) -> subprocess.CompletedProcess[str]:
        ends = time.monotonic() + limit
        with self._started(args, inside) as process:
            out, err = _Said(process.stdout), _Said(process.stderr)
            try:
                for said in (out, err):
                    said.join(max(0, ends - time.monotonic()))
                process.wait(max(0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
                message = f"The git server did not answer within {limit} seconds."
                raise Problem(Reason.SOURCE_UNREACHABLE, message) from None
            except BaseException:  # Stopped: without this, the end of the `with` waits for git
                _kill(process)
                raise
        if out.is_cut:
            raise too_many_refs()
        return subprocess.CompletedProcess(args, process.returncode, out.text, err.text)

    def _started(self, args: tuple[str, ...], inside: bool) -> subprocess.Popen[str]:
        """In its own session, so that a time limit or a signal ends git's helpers, too."""
        command = ["git", *(["-C", str(self.tree)] if inside else []), *args]
        return subprocess.Popen(
            command, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip


class _Said(threading.Thread):
    """What git says on one stream, which is what a server says: only so much of it is kept."""

    def __init__(self, stream: IO[str] | None) -> None:
        super().__init__(daemon=True)
        assert stream is not None
        self._stream = stream
        self.text, self.is_cut = "", False
        self.start()

    def run(self) -> None:
        self.text = self._stream.read(source_size.MOST_SAID)
        while self._stream.read(1 << 16):
            self.is_cut = True


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _lines(stream: IO[str] | None) -> Iterator[str]:
    """What a stream says between its NULs."""
    assert stream is not None
    rest = ""
    while part := stream.read(1 << 16):
        *whole, rest = (rest + part).split("\0")
        yield from whole


def _problem(stderr: str) -> Problem:
    lines = [line.removeprefix("fatal: ").strip() for line in stderr.splitlines() if line.strip()]
    text = " ".join(lines[-3:])[:400] or "git ended without a message"
    lower = stderr.lower()
    if any(sign in lower for sign in _CUT_OFF):
        return history_too_large()
    if any(sign in lower for sign in _REDIRECTED):
        message = (
            "The git server redirects to another URL, and a bearerToken follows no redirect: set"
            " project.git.url to the URL that the server redirects to."
        )
        return Problem(Reason.SOURCE_UNREACHABLE, message)
    if any(sign in lower for sign in _NO_REF):
        return Problem(Reason.SOURCE_REF_MISSING, f"The repository has no such ref: {text}")
    if any(sign in lower for sign in _AUTH):
        return Problem(Reason.SOURCE_AUTH_FAILED, f"The git server refuses: {text}")
    return Problem(Reason.SOURCE_UNREACHABLE, f"The git repository cannot be read: {text}")
