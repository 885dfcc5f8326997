"""The node's requests to the API server.

Called by the node's other modules. Turns answers into values and refusals into ApiError; retries nothing by itself,
because only the caller knows whether the question still matters.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

Object = dict[str, Any]
_LONG_WATCH = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=330)
_TIMEOUT = aiohttp.ClientTimeout(total=15)


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(Exception):
    """The API server gave no answer; trying again will help."""


class NodeApi:
    """What a kubelet asks for."""

    def __init__(self, session: aiohttp.ClientSession, server: str, node: str) -> None:
        self._session = session
        self._server = server
        self._node = node

    async def request(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        """One request and its JSON answer."""
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(
                method, self._server + path, data=data, headers={"Content-Type": kind}, timeout=_TIMEOUT
            ) as response:
                answer: Object = await response.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError) as error:
            raise UnreachableError(f"{method} {path}: {error!r}") from error
        if response.status in (429, 500, 502, 503, 504):
            raise UnreachableError(f"{method} {path}: {response.status}")
        if response.status >= 300:
            raise ApiError(response.status, str(answer.get("message", response.status)))
        return answer

    async def get(self, namespace: str, resource: str, name: str) -> Object | None:
        """One namespaced core object; None if there is none."""
        return await self._get(f"/api/v1/namespaces/{namespace}/{resource}/{name}")

    async def volume(self, name: str) -> Object | None:
        """One PersistentVolume; None if there is none."""
        return await self._get(f"/api/v1/persistentvolumes/{name}")

    async def list_pods(self) -> tuple[list[Object], str]:
        """The pods bound to this node, and from where to watch."""
        answer = await self.request("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={self._node}")
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def watch_pods(self, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Changes since then; ends when the caller has to list again."""
        path = (
            f"/api/v1/pods?fieldSelector=spec.nodeName={self._node}&watch=1&resourceVersion={version}"
            "&allowWatchBookmarks=true&timeoutSeconds=300"
        )
        try:
            async with self._session.get(self._server + path, timeout=_LONG_WATCH) as response:
                if response.status != 200:
                    return
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
        except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError):
            return

    async def patch_status(self, pod: Object, status: Object) -> None:
        """Merge a pod's status, but only of this very pod, not of a later one with its name."""
        meta = pod["metadata"]
        await self.request(
            "PATCH",
            f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status",
            {"metadata": {"uid": meta["uid"]}, "status": status},
            "application/strategic-merge-patch+json",
        )

    async def finish_deletion(self, pod: Object) -> None:
        """Tell the API server that nothing of this pod runs any more."""
        meta = pod["metadata"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self.request(
            "DELETE",
            f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
            {**options, "preconditions": {"uid": meta["uid"]}},
        )

    async def service_account_token(self, pod: Object, source: Object) -> str:
        """A token for a projected volume, bound to its pod."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        spec: Object = {
            "expirationSeconds": source.get("expirationSeconds", 3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        }
        if "audience" in source:
            spec["audiences"] = [source["audience"]]
        answer = await self.request(
            "POST",
            f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])

    async def emit(self, pod: Object, kind: str, reason: str, message: str, now: str) -> None:
        """An Event about a pod; best effort, like a kubelet's."""
        meta = pod["metadata"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
                "namespace": meta["namespace"],
                "resourceVersion": meta["resourceVersion"],
            },
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }
        try:
            await self.request("POST", f"/api/v1/namespaces/{meta['namespace']}/events", event)
        except (ApiError, UnreachableError):
            return

    async def _get(self, path: str) -> Object | None:
        try:
            return await self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; a pod with a large environment is longer than the reader's own limit."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
