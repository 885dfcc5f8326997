"""Requests and watches of the bench, over the operator's own HTTP transport so that both sides pay the same per request.

Used by everything here that talks to an API server. Retries nothing; must not be used inside the operator.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Self

import aiohttp

from vulcan_operator.kube.access import Access
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.kube.transport import Request, Transport

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Api:
    """One user's session. `async with Api(kubeconfig, context) as api:`."""

    def __init__(self, kubeconfig: Path, context: str = "") -> None:
        self._access = Access(str(kubeconfig), context or None)
        self._transport = Transport(self._access)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def send(
        self, method: str, resource: Resource, namespace: str, name: str = "", body: Any = None, *, sub: str = "",
        content: str = "application/json", params: dict[str, str] | None = None,
    ) -> Raw:  # fmt: skip
        """Any request; KubeError when it is refused."""
        path = resource.path(namespace or None, name or None, sub)
        request = Request(
            method, path, verb=method.lower(), resource=resource.plural, namespace=namespace, params=params, body=body,
            content_type=content,
        )  # fmt: skip
        return dict(await self._transport.send(request))

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        """POST."""
        return await self.send("POST", resource, namespace, body=body)

    async def status(self, resource: Resource, namespace: str, name: str, status: Raw) -> Raw:
        """Merge patch of the status subresource, as controllers and kubelets write it."""
        return await self.send("PATCH", resource, namespace, name, {"status": status}, sub="status", content=MERGE)

    async def list(self, resource: Resource, namespace: str = "") -> Raw:
        """Everything of a kind, in one answer."""
        return await self.send("GET", resource, namespace)

    async def clear(self, resource: Resource, namespace: str) -> None:
        """Delete everything of a kind in a namespace, without grace and without waiting for a garbage collector."""
        params = {"gracePeriodSeconds": "0", "propagationPolicy": "Background"}
        await self.send("DELETE", resource, namespace, params=params)

    async def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[tuple[str, Raw]]:
        """(ADDED | MODIFIED | DELETED, object), until the caller stops; in a session of its own."""
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600"}
        context = self._access.ssl_context()
        connector = aiohttp.TCPConnector(ssl=context if isinstance(context, ssl.SSLContext) else True)
        headers = {"Authorization": self._access.header() or ""}
        url = self._access.server + resource.path(namespace or None)
        none = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(connector=connector, read_bufsize=2**22) as session,
            session.get(url, params=params, headers=headers, timeout=none) as answer,
        ):
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                yield event["type"], event["object"]


@contextlib.asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Coroutines that go on for ever while the body runs; when one of them fails, so does the body."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()
