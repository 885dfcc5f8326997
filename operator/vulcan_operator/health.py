"""Serves /healthz, /readyz and /metrics, from before anything else is started.

The kubelet and Prometheus ask it. Kopf's own endpoint does not tell whether work is done, so it is
not used. What is healthy is decided by the checks that `loop` and `cli` add, and who outside the
pod may read the metrics by `metrics_access`, not here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from vulcan_operator import metrics
from vulcan_operator.metrics_access import Refusal

_log = logging.getLogger(__name__)
_BEAT = 5.0
_LAG_MAX = 5.0
_WITHIN = ("127.0.0.1", "::1")  # not all of 127.0.0.0/8: proxies of service meshes use the rest

Check = Callable[[], str | None]
"""Returns a reason to be unhealthy, or None."""
Review = Callable[[str], Awaitable[Refusal | None]]
"""Returns why a request with this Authorization header may not read the metrics, or None."""


async def _too_early(header: str) -> Refusal | None:
    return Refusal(503, "there is no access to the API server yet")


async def anyone(header: str) -> Refusal | None:
    """Let every request read the metrics: something else keeps others from the port."""
    return None


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
        self.review: Review = _too_early

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
        if request.remote not in _WITHIN:
            refusal = await self.review(request.headers.get("Authorization", ""))
            if refusal is not None:
                headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
                return web.Response(text=refusal.text, status=refusal.status, headers=headers)
        self.before_metrics()
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(checks: list[Check]) -> web.Response:
    problems = [problem for check in checks if (problem := check())]
    return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)
