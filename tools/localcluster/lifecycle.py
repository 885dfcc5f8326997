"""Starts, watches and ends the five programs of one cluster.

Called by the cluster. Holds no state in memory that is not also in the state folder, so any later process can go on.
Must not decide what a user asked for; it does one component at a time.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tools.localcluster import adminapi, components, credentials, processes

NODE_NAME = "localnode"
_START_TIMEOUT = 120.0
_PORT_ATTEMPTS = 5
_PORTS_OF: Mapping[str, tuple[str, ...]] = {
    components.ETCD: ("etcd", "etcd-peer"),
    components.API_SERVER: ("api",),
    components.CONTROLLER_MANAGER: ("controller-manager",),
    components.SCHEDULER: ("scheduler",),
    components.NODE: ("node",),
}


class StartError(RuntimeError):
    """A component did not come up; the message ends with what it said last."""


class Lifecycle:
    """The processes of the cluster whose state folder is given."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.pki = state / "pki"
        self.logs = state / "logs"

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.ports()['api']}"

    def prepare(self) -> None:
        """Create folders, keys and ports; what exists stays."""
        for folder in (self.logs, self.state / "run", self.state / "node"):
            folder.mkdir(parents=True, exist_ok=True)
        credentials.create(self.pki)
        if not (self.state / "ports.json").exists():
            self._write_ports(components.free_ports())

    def ports(self) -> dict[str, int]:
        """The ports this cluster uses."""
        return dict(json.loads((self.state / "ports.json").read_text()))

    def process(self, component: str) -> processes.Process | None:
        """The running process of a component."""
        if component not in components.ALL:
            raise ValueError(f"unknown component {component}; there are {', '.join(components.ALL)}")
        process = processes.read(self.state / "run" / f"{component}.json")
        return process if process is not None and process.alive() else None

    def start(self, names: Iterable[str], binaries: Path) -> bool:
        """Start what does not run, wait until it works; True if a port had to change: its clients must restart."""
        waiting = [name for name in names if self.process(name) is None]
        moved = False
        for _ in range(_PORT_ATTEMPTS):
            offsets = {name: self._spawn(name, binaries) for name in waiting}
            taken = [name for name in waiting if not self._wait_ready(name, offsets[name])]
            if not taken:
                return moved
            fresh, ports = components.free_ports(), self.ports()
            ports.update({port: fresh[port] for name in taken for port in _PORTS_OF[name]})
            self._write_ports(ports)
            waiting, moved = taken, True
        raise StartError(f"no free ports for {', '.join(waiting)} after {_PORT_ATTEMPTS} attempts")

    def end(self, names: Iterable[str], grace: float) -> None:
        """End components; returns when they are gone."""
        processes.end([process for name in names if (process := self.process(name)) is not None], grace)

    def end_everything(self, grace: float) -> None:
        """End components, pods and all else that carries our marker, in an order that starts nothing new."""
        self.end([components.NODE], 0)
        for process in self._pod_processes():
            process.signal_group(signal.SIGKILL)
        self.end([components.CONTROLLER_MANAGER, components.SCHEDULER, components.API_SERVER], grace)
        self.end([components.ETCD], grace)
        while strays := [process for process in processes.marked(self.state) if process.pid != os.getpid()]:
            processes.end(strays, 0)

    def admin(self) -> adminapi.AdminApi:
        """Requests as the administrator."""
        return adminapi.AdminApi(self.server, self.pki / "apiserver.crt", credentials.token(self.pki, "admin"))

    def write_client_kubeconfigs(self) -> None:
        """Kubeconfigs of controller manager and scheduler; possible once the API server has made its certificate."""
        for client in ("kube-controller-manager", "kube-scheduler"):
            user = f"system:{client}"
            tokens = {user: credentials.token(self.pki, user)}
            path = self.pki / f"{client}.kubeconfig"
            credentials.write_kubeconfig(path, self.server, self.pki / "apiserver.crt", tokens)

    def _spawn(self, name: str, binaries: Path) -> int:
        log = self.logs / f"{name}.log"
        offset = log.stat().st_size if log.exists() else 0
        argv = components.command(name, binaries, self.state, self.ports(), NODE_NAME)
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.state),
            "LANG": "C.UTF-8",
            processes.MARKER: str(self.state),
        }
        processes.start_detached(argv, self.state / "run" / f"{name}.json", log, env)
        return offset

    def _wait_ready(self, name: str, offset: int) -> bool:
        """Wait until a component works; False if another process has its port."""
        log = self.logs / f"{name}.log"
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process(name) is None:
                if components.port_was_taken(log, offset):
                    return False
                raise StartError(f"{name} ended while starting; {log} says:\n{_tail(log, offset)}")
            if self._ready(name):
                return True
            time.sleep(0.02)
        raise StartError(f"{name} is not ready after {_START_TIMEOUT:.0f} s; {log} says:\n{_tail(log, offset)}")

    def _ready(self, name: str) -> bool:
        ports = self.ports()
        if name == components.ETCD:
            return adminapi.answers(f"http://127.0.0.1:{ports['etcd']}/health")
        if name == components.API_SERVER:
            return self.admin().succeeds("/readyz")
        if name == components.NODE:
            own = f"https://127.0.0.1:{ports['node']}/healthz"  # the Node object may still speak of an earlier process
            return adminapi.answers(own) and self.admin().node_ready(NODE_NAME)
        port = ports["controller-manager" if name == components.CONTROLLER_MANAGER else "scheduler"]
        return adminapi.answers(f"https://127.0.0.1:{port}/healthz")

    def _pod_processes(self) -> Iterator[processes.Process]:
        """Recorded by the launcher of each container; the program first, so that its launcher is the last to go."""
        for record in ("process.json", "shim.json"):
            for path in self.state.glob(f"node/pods/*/containers/*/*/{record}"):
                if (process := processes.read(path)) is not None:
                    yield process

    def _write_ports(self, ports: Mapping[str, int]) -> None:
        temporary = self.state / f".ports.{os.getpid()}"
        temporary.write_text(json.dumps(ports))
        temporary.rename(self.state / "ports.json")


def _tail(log: Path, offset: int) -> str:
    return "\n".join(components.log_since(log, offset).splitlines()[-12:])
