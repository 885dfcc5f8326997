"""Leader election by a Lease, with a local fence.

Made and run by `loop`. `holds()` is asked before every write: it is true only until
`renew_deadline` after the *start* of the last successful renewal, by our own monotonic clock, so a
paused or cut-off instance stops by itself before another may begin. Time stamps of others are never
compared with our clock: what counts is how long we have seen their record unchanged.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.clock import Clock, micro_time
from vulcan_operator.kube.resources import LEASES, Raw

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseSettings:
    """Says where the Lease is, who we are, and the three times (seconds)."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class Elector:
    """Takes part in the election; `leading` and `standing_by` are set accordingly.

    `kube` must be unfenced and have a timeout below duration - renew_deadline.
    """

    def __init__(self, kube: Kube, clock: Clock, settings: LeaseSettings) -> None:
        self._kube, self._clock, self._settings = kube, clock, settings
        self._until = float("-inf")
        self._mine: Raw | None = None  # the Lease as we wrote it last
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0
        self.leading = asyncio.Event()
        self.standing_by = asyncio.Event()
        self.standing_by.set()

    def holds(self) -> bool:
        """Tell whether this instance may write now."""
        return self._clock.monotonic() < self._until

    async def run(self) -> None:
        """Take the Lease, renew it, and notice its loss, until cancelled."""
        while True:
            left = self._until - self._clock.monotonic()
            if self.leading.is_set() and left <= 0:
                self._step_down("the Lease could not be renewed in time")
            try:
                await asyncio.wait_for(self._attempt(), left if self.leading.is_set() else None)
            except TimeoutError:
                continue
            except errors.KubeError as error:
                _log.warning("leader election: %s", error.message)
            pause = self._settings.retry_period
            if self.leading.is_set():
                pause = min(pause, max(self._until - self._clock.monotonic(), 0))
            await asyncio.sleep(pause)

    async def release(self) -> None:
        """Let another instance take over at once. Call this after the last write."""
        mine, self._mine = self._mine, None
        if not self.holds() or mine is None:
            return
        self._step_down("stopping")
        try:
            await self._write(mine, "")
        except errors.KubeError as error:
            _log.info("the Lease was not released, it runs out by itself: %s", error.message)

    async def _attempt(self) -> None:
        began = self._clock.monotonic()
        lease = self._mine
        if lease is None:
            with contextlib.suppress(errors.NotFound):
                lease = await self._kube.get(LEASES, self._settings.namespace, self._settings.name)
            if lease is not None and not self._is_free(lease):
                if self.leading.is_set():
                    self._step_down("another instance has the Lease")
                return
        try:
            self._mine = await self._write(lease, self._settings.identity)
        except (errors.Conflict, errors.AlreadyExists):
            self._mine = None  # somebody wrote it: look at it next time
            return
        self._until = began + self._settings.renew_deadline
        if not self.leading.is_set():
            _log.info("leading as %s", self._settings.identity)
            self.standing_by.clear()
            self.leading.set()

    def _is_free(self, lease: Raw) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._settings.identity):
            return True
        record = (holder, spec.get("renewTime"), lease["metadata"]["resourceVersion"])
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock.monotonic()
        term = float(spec.get("leaseDurationSeconds") or self._settings.duration)
        return self._clock.monotonic() - self._seen_at > term

    async def _write(self, lease: Raw | None, holder: str) -> Raw:
        settings, now = self._settings, micro_time(self._clock.now())
        before = (lease or {}).get("spec") or {}
        changes = holder != before.get("holderIdentity")
        transitions = int(before.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(settings.duration)),
            "acquireTime": now if changes else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": transitions + (1 if changes and holder and lease else 0),
        }
        body: Raw = {"apiVersion": LEASES.api_version, "kind": "Lease", "spec": spec}
        if lease is None:
            body["metadata"] = {"name": settings.name, "namespace": settings.namespace}
            return await self._kube.create(LEASES, settings.namespace, body)
        body["metadata"] = {k: v for k, v in lease["metadata"].items() if k != "managedFields"}
        return await self._kube.replace(LEASES, settings.namespace, settings.name, body)

    def _step_down(self, why: str) -> None:
        _log.warning("not leading any more: %s", why)
        self._until, self._mine = float("-inf"), None
        self.leading.clear()
        self.standing_by.set()
