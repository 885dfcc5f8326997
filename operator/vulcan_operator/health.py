"""Serves /healthz, /readyz and /metrics, from before anything else is started.

The kubelet and Prometheus ask it. Kopf's own endpoint does not tell whether work is done, so it is
not used. What is healthy is decided by the checks that `loop` and `cli` add, not here.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from vulcan_operator import metrics

_log = logging.getLogger(__name__)
_BEAT = 5.0
_LAG_MAX = 5.0

Check = Callable[[], str | None]
"""Returns a reason to be unhealthy, or None."""


@dataclass
class Heart:
    """Notices an event loop that hangs: it beats every few seconds, late beats are lag."""

    last: float = 0.0
    lag: float = 0.0

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            self.last = time.monotonic()
            await asyncio.sleep(_BEAT)
            self.lag = time.monotonic() - self.last - _BEAT
            metrics.LOOP_LAG.set(self.lag)

    def check(self) -> str | None:
        """Return by how much the last beat was late, if that is too much."""
        return f"the event loop was {self.lag:.1f} s late" if self.lag > _LAG_MAX else None


class HealthServer:
    """Answers by asking `live` and `ready` at each request."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry = metrics.REGISTRY
    ) -> None:
        self._host, self._port, self._registry = host, port, registry
        self._runner: web.AppRunner | None = None
        self.heart = Heart()
        self.live: list[Check] = [self.heart.check]
        self.ready: list[Check] = []
        self.before_metrics: Callable[[], None] = lambda: None

    async def start(self) -> int:
        """Listen, and return the port."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = int(self._runner.addresses[0][1])
        _log.info("health and metrics on port %d", port, extra={"fields": {"port": port}})
        return port

    async def stop(self) -> None:
        """Close the server."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return _answer(self.live)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _answer(self.ready)

    async def _metrics(self, request: web.Request) -> web.Response:
        self.before_metrics()
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(checks: list[Check]) -> web.Response:
    problems = [problem for check in checks if (problem := check())]
    return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)
