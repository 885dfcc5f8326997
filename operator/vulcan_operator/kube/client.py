"""Defines the requests of the operator as a Protocol, which tests fake, and sends them over HTTP.

Used by `reconcile`, `kube.events`, `resync`, `leader`, `collect` and `guard`. Every write asks the
fence first, so an instance that lost its Lease writes nothing. It decides and retries nothing.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import PODS, Raw, Resource
from vulcan_operator.kube.transport import RateLimit, Request, Transport

Fence = Callable[[], bool]
CRASH_VARIABLE = "VULCAN_CRASH_AT"
_PAGE = 50  # of at most 64 KB each
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True)
class Page:
    """Holds a part of a list; `version` is the list's resourceVersion, the same in all parts."""

    items: Sequence[Raw]
    version: str


class Reads(Protocol):
    """What planners' live reads ask of an API server; `explain` answers it from files."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        """Return one object. Raises errors.NotFound."""

    def pages(
        self, resource: Resource, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[Page]:
        """List all objects in parts, so that a long list is never in memory at once."""

    async def log(
        self, namespace: str, pod: str, container: str, mark: str, most: int
    ) -> list[str]:
        """Return the lines of a container's log that contain `mark`, up to `most` bytes."""


class Kube(Reads, Protocol):
    """All that the operator asks of an API server.

    Raises `errors.KubeError`; writes also raise `errors.NotLeader`.
    """

    async def read(self, path: str) -> Any:
        """Return other JSON of the server, such as discovery or OpenAPI."""

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        """Create an object (POST)."""

    async def replace(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        """Replace an object (PUT); the body's resourceVersion is the lock."""

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Raw,
        manager: str,
        sub: str = "",
        dry_run: bool = False,
    ) -> Raw:
        """Apply a body on the server side, with force; a resourceVersion in it is the lock."""

    async def merge_patch(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        """Send a merge patch."""

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Raw]
    ) -> Raw:
        """Send a JSON patch."""

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        """Delete in the background, with the uid as precondition when given."""


class CrashPoint:
    """Ends the process at one write, for crash tests only: `VULCAN_CRASH_AT=create-jobs:after:2`.

    The name is `<verb>-<plural>[/<subresource>]`: create, replace, apply, merge, patch, delete.
    """

    def __init__(self, text: str = "") -> None:
        name, when, count = text.split(":") if text else ("", "", "0")
        self._point, self._left = (name, when), int(count)

    def reached(self, name: str, when: str) -> None:
        """End the process like a power cut if this is the configured write."""
        if self._left and (name, when) == self._point:
            self._left -= 1
            if self._left == 0:
                os._exit(137)


class HttpKube:
    """Implements `Kube` over one HTTP session."""

    def __init__(
        self, transport: Transport, *, write_timeout: float = 4.0, limit: RateLimit | None = None
    ) -> None:
        self._transport = transport
        self._write_timeout = write_timeout
        self._limit = limit or RateLimit(0, 0)
        self._crash = CrashPoint(os.environ.get(CRASH_VARIABLE, ""))
        self._prefix = ""
        self.fence: Fence = lambda: True

    def unfenced(self, timeout: float) -> "HttpKube":
        """Return the elector's client, whose writes open the fence; crash points: `elector-…`."""
        kube = HttpKube(self._transport, write_timeout=timeout)
        kube._prefix = "elector-"
        return kube

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        return await self._read(resource, "get", resource.path(namespace, name), namespace)

    async def read(self, path: str) -> Any:
        return await self._transport.send(Request("GET", path, "get", path.split("/")[1]))

    async def log(
        self, namespace: str, pod: str, container: str, mark: str, most: int
    ) -> list[str]:
        path = PODS.path(namespace, pod, "log")
        request = Request("GET", path, "get", "pods/log", namespace, {"container": container})
        return await self._transport.lines(request, mark, most)

    async def pages(
        self, resource: Resource, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[Page]:
        params = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        path = resource.path(namespace)
        while True:
            answer = await self._read(resource, "list", path, namespace or "", params)
            yield Page(answer.get("items") or [], answer["metadata"].get("resourceVersion", ""))
            if not (token := answer["metadata"].get("continue")):
                return
            params["continue"] = token

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        return await self._write("POST", "create", resource, namespace, body=body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        return await self._write("PUT", "replace", resource, namespace, name, body=body)

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Raw,
        manager: str,
        sub: str = "",
        dry_run: bool = False,
    ) -> Raw:
        params = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        place, verb = (resource, namespace, name, sub), "dryrun" if dry_run else "apply"
        return await self._write("PATCH", verb, *place, body, _APPLY, params)

    async def merge_patch(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        place = (resource, namespace, name, "")
        return await self._write("PATCH", "merge", *place, body, _MERGE_PATCH)

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Raw]
    ) -> Raw:
        place = (resource, namespace, name, "")
        return await self._write("PATCH", "patch", *place, list(operations), _JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        body: Raw = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        await self._write("DELETE", "delete", resource, namespace, name, body=body)

    async def _read(
        self,
        resource: Resource,
        verb: str,
        path: str,
        namespace: str,
        params: Mapping[str, str] | None = None,
    ) -> Raw:
        request = Request("GET", path, verb, resource.plural, namespace, params)
        return dict(await self._transport.send(request))

    async def _write(
        self, method: str, verb: str, resource: Resource, namespace: str,
        name: str | None = None, sub: str = "", body: Any = None,
        content_type: str = "application/json", params: Mapping[str, str] | None = None,
    ) -> Raw:  # fmt: skip
        await self._limit.wait()
        if not self.fence():
            what = f"{verb} {resource.plural} {namespace}/{name or ''}"
            raise errors.NotLeader(f"{what}: this instance is not the leader any more")
        target = f"{resource.plural}/{sub}" if sub else resource.plural
        path, timeout = resource.path(namespace, name, sub), self._write_timeout
        about = (verb, target, namespace)
        request = Request(method, path, *about, params, body, content_type, timeout)
        self._crash.reached(f"{self._prefix}{verb}-{target}", "before")
        answer = await self._transport.send(request)
        self._crash.reached(f"{self._prefix}{verb}-{target}", "after")
        return dict(answer)


async def exists(kube: Reads, resource: Resource, namespace: str, name: str) -> Raw | None:
    """Return the object, or None if it does not exist."""
    try:
        return await kube.get(resource, namespace, name)
    except errors.NotFound:
        return None
