"""A local Kubernetes cluster as an object: for tests and for the command line.

Everything it knows is in `ROOT/.local/clusters/NAME/`, so two objects (or processes) with the same root and name are
the same cluster, and a cluster outlives the process that started it. Must not assume that what it started still runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.localcluster import build, components, credentials, images, lifecycle, processes

_STOP_GRACE = 2.0


class ClusterError(RuntimeError):
    """The cluster cannot do what was asked; the message says why."""


@dataclasses.dataclass(frozen=True)
class ComponentStatus:
    """One line of `status`."""

    name: str
    process: processes.Process | None
    port: int | None


class Cluster:
    """One cluster. `with Cluster(root, "name") as cluster:` brings it up and takes it down again."""

    def __init__(
        self,
        root: Path,
        name: str = "default",
        images: images.Images | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
            raise ClusterError(f"not a cluster name: {name!r}; use up to 40 lower-case letters, digits and dashes")
        self.root = root.resolve()
        self.name = name
        self.state = self.root / ".local" / "clusters" / name
        self._images = images
        self._say = say
        self._lifecycle = lifecycle.Lifecycle(self.state)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.down()

    @property
    def kubeconfig(self) -> Path:
        """Contexts `admin` (current), `alice` and `bob`."""
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Folder with one log per component."""
        return self._lifecycle.logs

    @property
    def server(self) -> str:
        """The API server's address."""
        return self._lifecycle.server

    def up(self) -> None:
        """Start whatever does not run, and return when pods can be scheduled. Undone completely if interrupted."""
        with self._locked():
            binaries = build.ensure(self._say)
            running = [name for name in components.ALL if self._lifecycle.process(name) is not None]
            try:
                self._lifecycle.prepare()
                if self._images is not None:
                    self.set_images(self._images)
                self._start(binaries)
            except BaseException:
                if running:
                    self._lifecycle.end([name for name in components.ALL if name not in running], grace=0)
                else:
                    self._lifecycle.end_everything(grace=0)
                raise

    def stop(self) -> None:
        """End every process, pods included, but keep the data: `up` resumes."""
        with self._locked():
            self._lifecycle.end_everything(_STOP_GRACE)

    def down(self) -> None:
        """End every process and delete the cluster's data."""
        with self._locked():
            self._lifecycle.end_everything(grace=0)
            shutil.rmtree(self.state, ignore_errors=True)
            if self.name == "default":
                self._default_kubeconfig.unlink(missing_ok=True)

    def status(self) -> list[ComponentStatus]:
        """The components in starting order."""
        ports = self._lifecycle.ports() if (self.state / "ports.json").exists() else {}
        keys = ("etcd", "api", "controller-manager", "scheduler", "node")
        return [
            ComponentStatus(name, self._lifecycle.process(name), ports.get(key))
            for name, key in zip(components.ALL, keys, strict=True)
        ]

    def kill(self, component: str) -> None:
        """SIGKILL one component; its children, if any, are not touched."""
        self._running(component).signal(signal.SIGKILL)
        self._lifecycle.end([component], grace=0)

    def signal(self, component: str, number: int) -> None:
        """Any signal; SIGSTOP and SIGCONT make a component hang and go on."""
        self._running(component).signal(number)

    def restart(self, component: str) -> None:
        """End a component if it runs, and start it with the same ports and data; returns when it works."""
        self._lifecycle.end([component], _STOP_GRACE)
        self._lifecycle.start([component], build.ensure(self._say))

    def etcd_snapshot(self, path: Path) -> None:
        """Copy the database as a crash at this moment would leave it. The API server only sees a short pause."""
        etcd = self._running(components.ETCD)
        etcd.signal(signal.SIGSTOP)
        try:
            shutil.copytree(self.state / "etcd", path)
        finally:
            etcd.signal(signal.SIGCONT)

    def etcd_restore(self, path: Path) -> None:
        """Go back to a snapshot. All components restart, as in a real recovery: their caches are from the future."""
        if not (path / "member").is_dir():
            raise ClusterError(f"{path} is no etcd snapshot")
        self._lifecycle.end(reversed(components.ALL), grace=0)
        shutil.rmtree(self.state / "etcd", ignore_errors=True)
        shutil.copytree(path, self.state / "etcd")
        self._start(build.ensure(self._say))

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path, seconds: int = 86400) -> Path:
        """Write a kubeconfig that acts as a ServiceAccount, with a token from the TokenRequest API."""
        token = self._lifecycle.admin().service_account_token(namespace, name, seconds)
        certificate = self._lifecycle.pki / "apiserver.crt"
        credentials.write_kubeconfig(path, self.server, certificate, {name: token}, namespace)
        return path

    def kubectl(self, *arguments: str, user: str = "admin", stdin: str | None = None) -> str:
        """Run our kubectl; its output, or ClusterError with its complaint."""
        command = [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), "--context", user, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def kubectl_path(self) -> Path:
        """The kubectl built with this cluster's version."""
        return build.ensure(self._say) / "kubectl"

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or update objects as the administrator."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def set_images(self, declared: images.Images) -> None:
        """Replace what images exist; holds for every container started from now on."""
        images.write(self.state / images.FILE, declared)

    def pod_process(self, uid: str, container: str) -> processes.Process | None:
        """The process of a container's latest attempt, for tests that kill it from outside."""
        folder = self.state / "node" / "pods" / uid / "containers" / container
        attempts = sorted(folder.glob("*/process.json"), key=lambda path: int(path.parent.name))
        return processes.read(attempts[-1]) if attempts else None

    def marked_processes(self) -> list[processes.Process]:
        """Everything that runs for this cluster and its pods, found by its marker; only on Linux."""
        return list(processes.marked(self.state))

    @property
    def _default_kubeconfig(self) -> Path:
        return self.root / ".local" / "kubeconfig"

    def _start(self, binaries: Path) -> None:
        """Start in order of dependence; when a port moved, those who know the old one start again."""
        stages: Sequence[Sequence[str]] = ([components.ETCD], [components.API_SERVER], components.ALL[2:])
        moved = False
        for stage in stages:
            if moved:
                self._lifecycle.end(stage, grace=0)
            moved = self._lifecycle.start(stage, binaries) or moved
            if stage == [components.API_SERVER]:
                self._lifecycle.write_client_kubeconfigs()
                self._write_kubeconfigs()
            self._say(f"ready: {', '.join(stage)}")
        for name in components.ALL:
            self._running(name)

    def _write_kubeconfigs(self) -> None:
        tokens = {user: credentials.token(self._lifecycle.pki, user) for user in credentials.HUMANS}
        for path in (self.kubeconfig, *([self._default_kubeconfig] if self.name == "default" else [])):
            credentials.write_kubeconfig(path, self.server, self._lifecycle.pki / "apiserver.crt", tokens)

    def _running(self, component: str) -> processes.Process:
        process = self._lifecycle.process(component)
        if process is None:
            raise ClusterError(f"{component} of cluster {self.name} does not run; its log is in {self.logs}")
        return process

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        with (self.state.parent / f".{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"another process is starting or stopping cluster {self.name}; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def current_cluster() -> bool:
    """Whether the user asked, with CLUSTER=current, to use the kubeconfig's current cluster instead of a local one."""
    return os.environ.get("CLUSTER") == "current"
