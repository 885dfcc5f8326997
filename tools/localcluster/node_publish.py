"""Keeps the API server's picture of one pod up to date, however often the server is away.

Called by the pod's worker, which only says "something changed". Must not hold up a container.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tools.localcluster import node_api

Object = dict[str, Any]
_RETRY = 0.3
log = logging.getLogger("node")


class Publisher:
    """Sends the newest status; intermediate ones may be skipped, the last one never is."""

    def __init__(self, api: node_api.NodeApi, current: Callable[[], tuple[Object, Object]]) -> None:
        self._api = api
        self._current = current
        self._changed = asyncio.Event()
        self._sent: Object = {}
        self._events: set[tuple[str, str]] = set()
        self._pending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def publish(self) -> None:
        """Something changed."""
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._forever())

    def event(self, pod: Object, kind: str, reason: str, message: str) -> None:
        """An Event, once per reason and message."""
        if (reason, message) not in self._events:
            self._events.add((reason, message))
            task = asyncio.create_task(self._api.emit(pod, kind, reason, message, now()))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def stop(self) -> None:
        """Send what is left, then nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._send()

    async def _forever(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._send()

    async def _send(self) -> None:
        pod, status = self._current()
        if _timeless(status) == _timeless(self._sent):
            return
        await until_answered(lambda: self._api.patch_status(pod, status))
        self._sent = status
        pod["status"]["conditions"] = status["conditions"]  # until the watch brings them back


async def until_answered(request: Callable[[], Awaitable[None]]) -> None:
    """Repeat a request until the API server has an opinion; a refusal means that the pod is gone or not ours."""
    while True:
        try:
            await request()
            return
        except node_api.ApiError as error:
            if error.status not in (404, 409):
                log.error("refused: %s", error)
            return
        except node_api.UnreachableError:
            await asyncio.sleep(_RETRY)


def now() -> str:
    """The time as the API writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(moment: str) -> float:
    """Seconds since then."""
    since = datetime.datetime.fromisoformat(moment)
    return (datetime.datetime.now(datetime.UTC) - since).total_seconds()


def _timeless(status: Object) -> Object:
    conditions = [
        {key: value for key, value in item.items() if key != "lastTransitionTime"}
        for item in status.get("conditions", [])
    ]
    return {**status, "conditions": conditions}
