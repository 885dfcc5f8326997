"""Reads live what a planner needs beyond the cache.

Called by `reconcile` between two calls of a planner. Answers about Jobs and pods go into the cache,
too. It has no rule about what is read; what does not exist is None.
"""

import base64
from dataclasses import dataclass, replace
from typing import Any, assert_never

from vulcan_contract import report
from vulcan_contract.codec import ContractError
from vulcan_contract.result import Result
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.places import Custom
from vulcan_operator.cluster.store import Place
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Reads, exists
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS, Raw
from vulcan_operator.plan.core import actions as act
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.deadlines import must_go
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import PodSeen
from vulcan_operator.reconcile import slots


@dataclass(frozen=True)
class Reader:
    """Reads from the API server (or, for `explain`, from files)."""

    kube: Reads
    cache: Cache
    intake: Intake
    clock: Clock

    async def read(self, found: Custom, needs: frozenset[Need], live: Live) -> Live:
        """Read what is needed. A refusal is an answer, too, in `denied`.

        So is any error once a deletion is overdue.
        """
        for need in sorted(needs, key=str):
            try:
                live = live.having(need, await self._read(found, need))
            except errors.KubeError as error:
                refused = isinstance(error, errors.Forbidden)
                if not refused and not must_go(found.metadata, self.clock.now()):
                    raise  # tried again
                return replace(live, denied=error.message)
        return live

    async def _read(self, found: Custom, need: Need) -> Any:
        match need:
            case act.ReadJob(namespace, job):
                await self._job(found, namespace, job)
                return True
            case act.ReadSlot(namespace, gateway):
                return await slots.read(self.kube, self.cache, self.clock, namespace, gateway)
            case act.ReadConfigMap(namespace, name):
                raw = await exists(self.kube, CONFIG_MAPS, namespace, name)
                return _content(raw) if raw is not None else None
            case act.ReadReport(_, job):
                return await self._report(found, job)
            case act.ReadLabels(namespace):
                raw = await exists(self.kube, NAMESPACES, "", namespace)
                return (raw or {}).get("metadata", {}).get("labels") or {}
            case _:
                assert_never(need)

    async def _job(self, found: Custom, namespace: str, job: str) -> None:
        if (raw := await exists(self.kube, JOBS, namespace, job)) is None:
            self.intake.missing(JOBS, [(namespace, job)])
        else:
            self.intake.event(JOBS, raw)
        listed: set[Place] = set()
        async for page in self.kube.pages(PODS, namespace, f"{views.JOB_NAME}={job}"):
            for pod in page.items:
                listed.add((namespace, pod["metadata"]["name"]))
                self.intake.event(PODS, pod)
        known = {(p.namespace, p.name) for p in self.cache.pods_of(found) if p.job == job}
        self.intake.missing(PODS, known - listed)

    async def _report(self, found: Custom, job: str) -> bytes | None:
        pods = (p for p in self.cache.pods_of(found) if p.job == job and p.termination)
        pod = next(pods, None)
        sha256 = _report_digest(pod)
        if pod is None or sha256 is None:
            return None
        raw = await exists(self.kube, PODS, pod.namespace, pod.name)
        if raw is None:
            return None
        mark, container = f"{report.MARK}{pod.nonce}:", views.main_container(raw)
        try:
            lines = await self.kube.log(pod.namespace, pod.name, container, mark, report.MAX_LOG)
        except (errors.NotFound, errors.Invalid):
            return None  # the node has deleted the log: the planner runs the task again
        return report.packed(lines, pod.nonce, sha256)


def _content(raw: Raw) -> dict[str, bytes]:
    text = {key: value.encode() for key, value in (raw.get("data") or {}).items()}
    return text | {key: base64.b64decode(v) for key, v in (raw.get("binaryData") or {}).items()}


def _report_digest(pod: PodSeen | None) -> str | None:
    if pod is None:
        return None
    try:
        return Result.from_message(pod.termination).report_sha256
    except ContractError:
        return None
