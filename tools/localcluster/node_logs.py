"""The node's HTTPS endpoint: answers `kubectl logs`, and says whether the node works.

Called by the API server on a user's behalf. Reads log files only. Nobody is authenticated: it listens on loopback, and
this is a machine for development.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from tools.localcluster import node_pod, processes

_POLL = 0.05
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def application(find: Callable[[str, str], node_pod.PodWorker | None], ready: Callable[[], bool]) -> web.Application:
    """The endpoint; `find` gives the worker of a pod by namespace and name, `ready` is what /healthz says."""

    async def logs(request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[part] for part in ("namespace", "pod", "container"))
        worker = find(namespace, pod)
        if worker is None:
            raise web.HTTPNotFound(text=f'pod "{pod}" not found\n')
        previous = request.query.get("previous") == "true"
        attempt = _attempt(worker.folder / "containers" / container, previous)
        if attempt is None:
            raise web.HTTPBadRequest(text=_why_none(worker, pod, container, previous))
        return await _send(request, attempt)

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(status=200 if ready() else 503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    return app


def _attempt(container: Path, previous: bool) -> Path | None:
    folders = sorted(container.glob("[0-9]*"), key=lambda path: int(path.name), reverse=True)
    started = [folder for folder in folders if (folder / "process.json").exists() or (folder / "exit.json").exists()]
    wanted = started[1 if previous else 0 :]
    return wanted[0] if wanted else None


def _why_none(worker: node_pod.PodWorker, pod: str, container: str, previous: bool) -> str:
    try:
        reason = worker.waiting_reason(container)
    except KeyError:
        return f'container "{container}" not found in pod "{pod}"'
    if previous:
        return f'previous terminated container "{container}" in pod "{pod}" not found'
    if reason is None:
        return f'container "{container}" in pod "{pod}" is terminated and left no logs'
    return f'container "{container}" in pod "{pod}" is waiting to start: {_WAITING.get(reason, reason)}'


async def _send(request: web.Request, attempt: Path) -> web.StreamResponse:
    query = request.query
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    left = int(query["limitBytes"]) if "limitBytes" in query else None
    try:
        with _open(attempt / "log") as file:
            lines: Iterator[bytes] = _lines(file, query.get("timestamps") == "true", _since(query))
            if "tailLines" in query:
                lines = iter(collections.deque(lines, int(query["tailLines"])))
            while True:
                over = not _running(attempt)  # asked before reading, so nothing written before the end is missed
                for line in lines:
                    line = line if left is None else line[:left]
                    await response.write(line)
                    if left is not None and (left := left - len(line)) <= 0:
                        return response
                if over or query.get("follow") != "true":
                    return response
                await asyncio.sleep(_POLL)
                lines = _lines(file, query.get("timestamps") == "true", "")
    except (ConnectionResetError, asyncio.CancelledError):
        return response


def _open(path: Path) -> BinaryIO:
    path.touch()
    return path.open("rb")


def _running(attempt: Path) -> bool:
    shim = processes.read(attempt / "shim.json")
    return not (attempt / "exit.json").exists() and shim is not None and shim.alive()


def _since(query: collections.abc.Mapping[str, str]) -> str:
    """The earliest time wanted, in the log's own form, which sorts like time."""
    if "sinceSeconds" in query:
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=int(query["sinceSeconds"]))
        return moment.strftime("%Y-%m-%dT%H:%M:%S")
    return query.get("sinceTime", "").removesuffix("Z")


def _lines(file: BinaryIO, timestamps: bool, since: str) -> Iterator[bytes]:
    """Complete lines from here on; an incomplete one is left for the next call."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        stamp, _, flag, text = line.split(b" ", 3)
        if since and stamp.decode() < since:
            continue
        text = text[:-1] if flag == b"P" else text
        yield (stamp + b" " + text) if timestamps else text
