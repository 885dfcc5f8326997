"""Builds the control plane from pinned Go modules, once per machine.

Called by the cluster before it starts. The result is kept in a cache folder named by everything that can change it, so
a finished folder is never rebuilt. Must not touch the repository.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.localcluster import progress, toolchain

KUBERNETES = "v1.37.2"
_SOURCE = Path(__file__).resolve().parent
_LD_FLAGS = (
    f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
)
_FLAGS = ("-trimpath", "-ldflags", _LD_FLAGS)
# The apiserver comes first because it compiles nearly everything the others share.
_PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}


class BuildError(RuntimeError):
    """The control plane could not be built; the message says why and what to do."""


def cache_folder() -> Path:
    """Where builds and a private Go live, shared by all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vulcan-localcluster"


def ensure(say: Callable[[str], None]) -> Path:
    """The folder with the five binaries, built first if needed."""
    try:
        go = toolchain.find(_SOURCE / "go.mod", cache_folder(), say)
    except toolchain.ToolchainError as error:
        raise BuildError(str(error)) from error
    folder = cache_folder() / _key(go.version)
    if folder.is_dir():
        return folder
    cache_folder().mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), say):
        if not folder.is_dir():  # another process may have finished it while we waited
            _build(go, folder, say)
    return folder


def _key(go_version: str) -> str:
    digest = hashlib.sha256()
    for part in (
        (_SOURCE / "go.mod").read_bytes(),
        (_SOURCE / "go.sum").read_bytes(),
        repr(_FLAGS).encode(),
        repr(_PACKAGES).encode(),
        go_version.encode(),
        " ".join(os.uname()[::4]).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:24]


@contextlib.contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is building the control plane; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(go: toolchain.Toolchain, folder: Path, say: Callable[[str], None]) -> None:
    say(f"building Kubernetes {KUBERNETES} with {go.version}: about 8 minutes on 2 cores, only once")
    for abandoned in folder.parent.glob(f"{folder.name}.building-*"):  # we hold the lock, so its builder is dead
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.building-", dir=folder.parent))
    try:
        with progress.Display(len(_PACKAGES), say) as display:
            for name, package in _PACKAGES.items():
                display.component(name)
                _compile(go, package, unfinished, display)
        (unfinished / "server").rename(unfinished / "etcd")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _compile(go: toolchain.Toolchain, package: str, folder: Path, display: progress.Display) -> None:
    command = [str(go.command), "build", "-v", *_FLAGS, "-o", f"{folder}/", package]
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    said: list[str] = []
    with subprocess.Popen(command, cwd=_SOURCE, env=env, stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        try:
            for line in build.stderr:
                said.append(line.rstrip())
                display.line(said[-1])
        except BaseException:  # Ctrl-C: do not leave the compiler behind
            build.kill()
            raise
    if build.returncode != 0:
        complaints = [line for line in said if " " in line and not line.startswith("go: downloading")]
        problem = "\n".join(complaints[-20:] or said[-1:])
        raise BuildError(f"go build {package} failed:\n{problem}\n(network and about 5 GB of disk space are needed)")
