"""Live reads for planners: what a plan says it needs beyond the cache.

Called by `reconcile` between two passes of a planner. Answers go into the cache as well. Decides nothing; what does not
exist is None.
"""

import base64
import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from vulcan_contract import paths, report
from vulcan_contract.codec import ContractError
from vulcan_contract.result import Result
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.policy import SodaChecks
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.facts import Custom, gateway_of, source_of
from vulcan_operator.cluster.store import Place
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube, exists
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS, Raw
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.deadlines import must_go
from vulcan_operator.plan.core.seen import ConfigMapSeen, PodSeen, ReportSeen, SlotSeen
from vulcan_operator.plan.rules.plan_text import REPORT_KEY
from vulcan_operator.reconcile import slots


@dataclass(frozen=True)
class Reads:
    """What was read live in this pass, on top of the cache."""

    done: frozenset[Need] = field(default=frozenset())
    slot: SlotSeen | None = None
    namespace_labels: Mapping[str, str] | None = None
    config_map: ConfigMapSeen | None = None
    checks: ConfigMapSeen | None = None
    source_slot: SlotSeen | None = None
    source_files: ConfigMapSeen | None = None
    reports: Mapping[str, ReportSeen] | None = None
    left: Mapping[str, bytes] | None = None
    report_kept: bool | None = None
    denied: str | None = None


@dataclass(frozen=True)
class Reader:
    """Reads from the API server."""

    kube: Kube
    cache: Cache
    intake: Intake
    clock: Clock

    async def read(self, found: Custom, needs: frozenset[Need], reads: Reads) -> Reads:
        """Read what is needed. A refusal is a fact, too: it is in `denied`; so is any error, once deletion must end."""
        for need in sorted(needs - reads.done):
            try:
                reads = await self._read(found, need, reads)
            except errors.KubeError as error:
                if not isinstance(error, errors.Forbidden) and not must_go(found.metadata, self.clock.now()):
                    raise  # tried again
                reads = dataclasses.replace(reads, denied=error.message)
            reads = dataclasses.replace(reads, done=reads.done | {need})
        return reads

    async def _read(self, found: Custom, need: Need, reads: Reads) -> Reads:
        match need:
            case Need.JOB:
                await self._read_job(found)
                return reads
            case Need.SLOT:
                return dataclasses.replace(
                    reads, slot=await slots.read(self.kube, self.cache, self.clock, *self.cache.home(found))
                )
            case Need.SOURCE_SLOT:
                source = self.cache.environment(source_of(found)) if isinstance(found, VulcanPromotion) else None
                where = gateway_of(source) if source is not None else self.cache.home(found)
                return dataclasses.replace(
                    reads, source_slot=await slots.read(self.kube, self.cache, self.clock, *where)
                )
            case Need.SOURCE_FILES:
                return dataclasses.replace(reads, source_files=await self._source_files(found))
            case Need.LEFT:
                return dataclasses.replace(reads, left=await self._left(found))
            case Need.CONFIG_MAP:
                return dataclasses.replace(reads, config_map=await self._config_map(found))
            case Need.CHECKS:
                return dataclasses.replace(reads, checks=await self._checks(found))
            case Need.REPORT:
                return dataclasses.replace(reads, reports=await self._reports(found))
            case Need.KEPT:
                return dataclasses.replace(reads, report_kept=await self._is_report_kept(found))
            case Need.NAMESPACE:
                raw = await exists(self.kube, NAMESPACES, "", found.metadata.namespace)
                labels = (raw or {}).get("metadata", {}).get("labels") or {}
                return dataclasses.replace(reads, namespace_labels=labels)

    async def _read_job(self, found: Custom) -> None:
        for task in _tasks(found):
            namespace = task.place[0] or self.cache.home(found)[0]
            raw = await exists(self.kube, JOBS, namespace, task.job)
            if raw is None:
                self.intake.missing(JOBS, [(namespace, task.job)])
            else:
                self.intake.event(JOBS, raw)
            listed: set[Place] = set()
            async for page in self.kube.pages(PODS, namespace, f"{views.JOB_NAME}={task.job}"):
                for pod in page.items:
                    listed.add((namespace, pod["metadata"]["name"]))
                    self.intake.event(PODS, pod)
            known = {(p.namespace, p.name) for p in self.cache.pods_of(found) if p.job == task.job}
            self.intake.missing(PODS, known - listed)

    async def _config_map(self, found: Custom) -> ConfigMapSeen | None:
        if not isinstance(found, VulcanEnvironment) or found.spec.project is None:
            return None
        source = found.spec.project.config_map
        if source is None:
            return None
        raw = await exists(self.kube, CONFIG_MAPS, found.metadata.namespace, source.name)
        if raw is None:
            return ConfigMapSeen(None)
        content = _content(raw)
        if not source.items:
            return ConfigMapSeen({p: data for key, data in content.items() if paths.counts(p := paths.of_key(key))})
        missing = tuple(sorted({item.key for item in source.items} - set(content)))
        if missing:
            return ConfigMapSeen(None, missing)
        return ConfigMapSeen({i.path: content[i.key] for i in source.items if paths.counts(i.path)})

    async def _checks(self, found: Custom) -> ConfigMapSeen | None:
        soda = _soda(found)
        if soda is None:
            return None
        raw = await exists(self.kube, CONFIG_MAPS, found.metadata.namespace, soda.config_map_ref.name)
        return ConfigMapSeen(_content(raw) if raw is not None else None)

    async def _is_report_kept(self, found: Custom) -> bool:
        plan = None if isinstance(found, VulcanGateway) else found.status.plan
        if plan is None or plan.report_ref is None:
            return True
        raw = await exists(self.kube, CONFIG_MAPS, found.metadata.namespace, plan.report_ref.name)
        packed = _content(raw or {}).get(REPORT_KEY, b"")
        return hashlib.sha256(packed).hexdigest() == plan.report_ref.sha256

    async def _source_files(self, found: Custom) -> ConfigMapSeen | None:
        """By key, as the copy has them: it is copied as it is."""
        origin = found.status.origin if isinstance(found, VulcanPromotion) else None
        namespace, _, name = origin.copy_.partition("/") if origin is not None else ("", "", "")
        raw = await exists(self.kube, CONFIG_MAPS, namespace, name) if name else None
        return ConfigMapSeen(_content(raw)) if raw is not None else ConfigMapSeen(None)

    async def _left(self, found: Custom) -> Mapping[str, bytes]:
        """Reports that a promotion's steps name in their evidence, by ConfigMap."""
        if not isinstance(found, VulcanPromotion):
            return {}
        named = found.status.reports
        read = {name: await exists(self.kube, CONFIG_MAPS, found.metadata.namespace, name) for name in sorted(named)}
        return {name: _content(raw).get(REPORT_KEY, b"") for name, raw in read.items() if raw is not None}

    async def _reports(self, found: Custom) -> Mapping[str, ReportSeen]:
        """Of the tasks in hand whose pod has ended with one."""
        reports = {}
        for task in _tasks(found):
            pod = next((p for p in self.cache.pods_of(found) if p.job == task.job and p.termination), None)
            sha256 = _report_digest(pod)
            if pod is not None and sha256 is not None:
                reports[task.job] = await self._report(pod, sha256)
        return reports

    async def _report(self, pod: PodSeen, sha256: str) -> ReportSeen:
        raw = await exists(self.kube, PODS, pod.namespace, pod.name)
        if raw is None:
            return ReportSeen(None)
        try:
            mark = f"{report.MARK}{pod.nonce}:"
            lines = await self.kube.log(pod.namespace, pod.name, views.main_container(raw), mark, report.MAX_LOG)
        except (errors.NotFound, errors.Invalid):
            return ReportSeen(None)  # the node has forgotten the log: the planner does it again
        return ReportSeen(report.packed(lines, pod.nonce, sha256))


def _soda(found: Custom) -> SodaChecks | None:
    """An environment's own, or those that are a promotion's gate."""
    if isinstance(found, VulcanEnvironment):
        return found.spec.checks.soda
    gate = found.spec.gates.checks if isinstance(found, VulcanPromotion) else None
    return gate.soda if gate is not None else None


def _tasks(found: Custom) -> list[TaskStatus]:
    if isinstance(found, VulcanPromotion):
        return found.status.tasks
    return [found.status.task] if found.status.task is not None else []


def _content(raw: Raw) -> dict[str, bytes]:
    text = {key: value.encode() for key, value in (raw.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (raw.get("binaryData") or {}).items()}


def _report_digest(pod: PodSeen | None) -> str | None:
    if pod is None:
        return None
    try:
        return Result.from_message(pod.termination).report_sha256
    except ContractError:
        return None
