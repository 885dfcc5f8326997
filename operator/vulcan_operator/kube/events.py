"""Posts the operator's Kubernetes Events in the background: aggregated, and limited per object.

`emit` is called by `reconcile` and never waits; `run` posts. An Event that cannot be posted is
dropped, because status and the audit log contain everything that matters.
"""

import asyncio
import collections
import datetime as dt
import hashlib
import logging
from dataclasses import dataclass
from typing import TypeVar

from vulcan_operator.api import API_VERSION
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.clock import Clock, micro_time
from vulcan_operator.kube.resources import EVENTS, Raw
from vulcan_operator.plan.core.actions import Kind

_log = logging.getLogger(__name__)
_SAME_SERIES = dt.timedelta(minutes=10)
_BURST, _PER_SECOND = 25.0, 1 / 300
_REMEMBERED = 1000
_NOTE_MAX, _REASON_MAX = 1024, 128
K = TypeVar("K")
V = TypeVar("V")
REPORTER = "vulcan.dev/operator"


@dataclass(frozen=True)
class _Event:
    kind: Kind
    about: ObjectMeta
    reason: str
    note: str
    warning: bool
    action: str
    time: dt.datetime

    @property
    def same(self) -> tuple[str, str, str]:
        """Return what Events of one series have in common."""
        return (self.about.uid, self.reason, self.note)


@dataclass
class _Series:
    name: str
    count: int
    last: dt.datetime


@dataclass
class _Bucket:
    tokens: float
    at: float


class Recorder:
    """Collects Events and posts them one after another."""

    def __init__(self, kube: Kube, clock: Clock, instance: str) -> None:
        self._kube, self._clock, self._instance = kube, clock, instance
        self._waiting: collections.deque[_Event] = collections.deque(maxlen=_REMEMBERED)
        self._series = collections.OrderedDict[tuple[str, str, str], _Series]()
        self._buckets = collections.OrderedDict[str, _Bucket]()
        self._news = asyncio.Event()

    def emit(
        self,
        kind: Kind,
        about: ObjectMeta,
        reason: str,
        note: str,
        *,
        warning: bool = False,
        action: str = "",
    ) -> None:
        """Queue an Event, unless its object has had too many."""
        if not self._allowed(about.uid):
            return
        note = note if len(note) <= _NOTE_MAX else note[: _NOTE_MAX - 1] + "…"
        event = _Event(
            kind,
            about,
            reason[:_REASON_MAX],
            note,
            warning,
            action or "Reconcile",
            self._clock.now(),
        )
        self._waiting.append(event)
        self._news.set()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.drain()

    async def drain(self) -> None:
        """Post the Events that are queued now."""
        while self._waiting:
            event = self._waiting.popleft()
            try:
                await self._post(event)
            except (errors.KubeError, errors.NotLeader) as error:
                _log.debug("event %s was not posted: %s", event.reason, error)

    def _allowed(self, uid: str) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(_BURST, now)
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.at) * _PER_SECOND)
        bucket.at = now
        _remember(self._buckets, uid, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _post(self, event: _Event) -> None:
        series = self._series.get(event.same)
        if series is not None and event.time - series.last < _SAME_SERIES:
            series.count, series.last = series.count + 1, event.time
            change = {"series": {"count": series.count, "lastObservedTime": micro_time(event.time)}}
            try:
                await self._kube.merge_patch(EVENTS, event.about.namespace, series.name, change)
                return
            except errors.NotFound:
                pass  # the API server forgets Events after an hour
        body = self._body(event)
        await self._kube.create(EVENTS, event.about.namespace, body)
        _remember(self._series, event.same, _Series(body["metadata"]["name"], 1, event.time))

    def _body(self, event: _Event) -> Raw:
        about = event.about
        digest = hashlib.sha256(repr((*event.same, event.time)).encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": f"{about.name}.{digest}", "namespace": about.namespace},
            "eventTime": micro_time(event.time),
            "reportingController": REPORTER,
            "reportingInstance": self._instance,
            "action": event.action,
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "note": event.note,
            "regarding": {
                "apiVersion": API_VERSION, "kind": event.kind.value,
                "namespace": about.namespace, "name": about.name,
                "uid": about.uid, "resourceVersion": about.resource_version,
            },
        }  # fmt: skip


def _remember(known: "collections.OrderedDict[K, V]", key: K, value: V) -> None:
    known[key] = value
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
