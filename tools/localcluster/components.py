"""The five programs of a cluster: their command lines, ports and what a failed start looks like.

Called by the cluster. Pure except for reading logs and trying ports. Must not start anything.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
NODE = "node"
ALL = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, NODE)
"""In starting order."""

PORTS = ("etcd", "etcd-peer", "api", "controller-manager", "scheduler", "node")
# Below the range from which systems give out ports on their own, so a restart finds its ports free again.
_PORT_RANGE = range(20000, 32000)
_PORT_TAKEN = ("address already in use", "Address already in use", "errno 98", "errno 48")


def free_ports() -> dict[str, int]:
    """Loopback ports nobody listens on now; somebody may be faster, so the cluster retries with others."""
    ports: dict[str, int] = {}
    for name in PORTS:
        port = _free_port()
        while port in ports.values():
            port = _free_port()
        ports[name] = port
    return ports


def port_was_taken(log: Path, offset: int) -> bool:
    """Whether a component ended because its port belongs to another process."""
    return any(sign in log_since(log, offset) for sign in _PORT_TAKEN)


def log_since(log: Path, offset: int) -> str:
    """What a component has said since its log had this size."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def command(name: str, binaries: Path, state: Path, ports: Mapping[str, int], node_name: str) -> list[str]:
    """The command line of one component."""
    match name:
        case "etcd":
            return [str(binaries / ETCD), *_etcd(state, ports)]
        case "kube-apiserver":
            return [str(binaries / API_SERVER), *_api_server(state, ports)]
        case "kube-controller-manager":
            return [
                str(binaries / CONTROLLER_MANAGER),
                *_client(state, "controller-manager", ports),
                f"--service-account-private-key-file={state}/pki/sa.key",
                f"--root-ca-file={state}/pki/apiserver.crt",
                # Volumes are local folders; the default grace of 40 s before a silent node counts as lost is kept.
                "--concurrent-job-syncs=10",
            ]
        case "kube-scheduler":
            return [str(binaries / SCHEDULER), *_client(state, "scheduler", ports)]
        case "node":
            return [
                sys.executable,
                "-m",
                "tools.localcluster.node",
                "--state",
                str(state),
                "--name",
                node_name,
                "--port",
                str(ports["node"]),
                "--api",
                f"https://127.0.0.1:{ports['api']}",
            ]
    raise ValueError(f"unknown component {name}; there are {', '.join(ALL)}")


def _etcd(state: Path, ports: Mapping[str, int]) -> list[str]:
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    return [
        f"--data-dir={state}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(state: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        f"--secure-port={ports['api']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={state}/pki",
        f"--token-auth-file={state}/pki/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={state}/pki/sa.key",
        f"--service-account-signing-key-file={state}/pki/sa.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _client(state: Path, name: str, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--kubeconfig={state}/pki/kube-{name}.kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports[name]}",
        f"--cert-dir={state}/pki/{name}",
    ]


def _free_port() -> int:
    for port in random.sample(_PORT_RANGE, 100):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("found no free loopback port between 20000 and 32000")
