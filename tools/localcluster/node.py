"""A stand-in for a kubelet: runs pods as local processes. `python -m tools.localcluster.node --state FOLDER ...`

Started by the cluster. Faithful in everything the API shows; not in what only a container runtime can do: image
contents, users, isolation of files and network, memory limits. Like a kubelet it can be killed any time; pods run on.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tools.localcluster import credentials, node_api, node_logs, node_pod, node_publish, processes

Object = dict[str, Any]
_HEARTBEAT, _LEASE_SECONDS = 10.0, 40
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
log = logging.getLogger("node")


class Node:
    """Registers itself, keeps its lease, and has one worker per pod."""

    def __init__(self, context: node_pod.Context, name: str, port: int) -> None:
        self._context = context
        self._api = context.api
        self._name = name
        self._port = port
        self._workers: dict[str, node_pod.PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.ready = False
        """Whether the pods of this node are known."""

    def find(self, namespace: str, name: str) -> node_pod.PodWorker | None:
        """The worker of a pod."""
        for worker in self._workers.values():
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return worker
        return None

    async def heartbeat(self) -> None:
        """Register, again whenever the Node has vanished, and renew the lease for ever."""
        while True:
            try:
                await self._register()
                await self._renew()
                await asyncio.sleep(_HEARTBEAT)
            except (node_api.UnreachableError, node_api.ApiError) as error:
                log.warning("heartbeat: %s", error)
                await asyncio.sleep(0.5)

    async def follow_pods(self) -> None:
        """List, watch, list again, for ever."""
        while True:
            try:
                pods, version = await self._api.list_pods()
            except (node_api.UnreachableError, node_api.ApiError) as error:
                log.warning("list: %s", error)
                await asyncio.sleep(0.3)
                continue
            self._take_stock(pods)
            self.ready = True
            async for kind, pod in self._api.watch_pods(version):
                if kind == "DELETED":
                    self._vanished(pod["metadata"]["uid"])
                else:
                    self._seen(pod)

    def _take_stock(self, pods: list[Object]) -> None:
        """Compare with what the API server has; what it no longer knows must not run."""
        known = {pod["metadata"]["uid"] for pod in pods}
        for uid in [uid for uid in self._workers if uid not in known]:
            self._vanished(uid)
        for folder in (self._context.state / "node" / "pods").glob("*"):
            if folder.name not in known and folder.name not in self._workers:
                _remove_orphan(folder)
        for pod in pods:
            self._seen(pod)

    def _seen(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        worker = self._workers[uid] = node_pod.PodWorker(self._context, pod)
        task = self._tasks[uid] = asyncio.create_task(worker.run())
        task.add_done_callback(lambda done: self._over(uid, done))

    def _vanished(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanished()
            if uid not in self._tasks:
                del self._workers[uid]

    def _over(self, uid: str, task: asyncio.Task[None]) -> None:
        """A worker has finished. Its entry stays until the API server drops the pod, so that none starts again."""
        del self._tasks[uid]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("worker of pod %s failed", uid, exc_info=error)
        elif self._workers[uid].is_gone:
            del self._workers[uid]

    async def _register(self) -> None:
        now = node_publish.now()
        labels = {"kubernetes.io/hostname": self._name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        try:
            node = await self._api.request("GET", f"/api/v1/nodes/{self._name}")
        except node_api.ApiError:
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name, "labels": labels}}
            node = await self._api.request("POST", "/api/v1/nodes", body)
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now,
        }
        before = {item["type"]: item["status"] for item in node["status"].get("conditions", [])}
        if before.get("Ready") != "True":
            ready["lastTransitionTime"] = now
        status = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self._name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "local processes",
                "containerRuntimeVersion": "localcluster://1",
                "kubeletVersion": "v1.37.2",
                "kubeProxyVersion": "",
                "bootID": "",
                "kernelVersion": "",
                "machineID": "",
                "systemUUID": "",
            },
        }
        await self._api.request(
            "PATCH", f"/api/v1/nodes/{self._name}/status", {"status": status}, "application/strategic-merge-patch+json"
        )

    async def _renew(self) -> None:
        """Take or renew the lease from which the cluster knows that the node lives."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        moment = node_publish.now().replace("Z", ".000000Z")
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": moment}
        try:
            await self._api.request("PATCH", f"{path}/{self._name}", {"spec": spec}, "application/merge-patch+json")
        except node_api.ApiError as error:
            if error.status != 404:
                raise
            identity = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            body = {**identity, "spec": spec}
            await self._api.request("POST", path, body)


def _remove_orphan(folder: Path) -> None:
    """End what is left of a pod that was deleted while the node was away."""
    for record in ("process.json", "shim.json"):
        for path in folder.glob(f"containers/*/*/{record}"):
            if (process := processes.read(path)) is not None:
                process.signal_group(signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


async def run(state: Path, name: str, port: int, server: str) -> None:
    """Serve until a signal ends the process."""
    pki = state / "pki"
    trust = ssl.create_default_context(cafile=str(pki / "apiserver.crt"))
    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")  # nobody verifies a kubelet's certificate
    headers = {"Authorization": f"Bearer {credentials.token(pki, 'localcluster-node')}"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        host, _, api_port = server.removeprefix("https://").partition(":")
        service = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": api_port}
        node = Node(node_pod.Context(node_api.NodeApi(session, server, name), state, service), name, port)
        endpoint = node_logs.application(node.find, lambda: node.ready)
        runner = web.AppRunner(endpoint, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=identity).start()
        await asyncio.gather(node.heartbeat(), node.follow_pods())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))  # like a kubelet: pods run on
    asyncio.run(run(arguments.state, arguments.name, arguments.port, arguments.api))


if __name__ == "__main__":
    main()
