"""Promotions as people see them, with everything real: API server, node, operator, runner and PostgreSQL.

Called by `promotions`. How long a whole promotion takes, how soon its rollback is there (looked at in the views
themselves), and what somebody meets who reads all the time while promotions and rollbacks go to and fro.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import promotions_project
from benchmarks.api import MERGE, Api
from benchmarks.figures import Figure
from benchmarks.promotions_reader import Reader
from tools.localcluster.cluster import Cluster
from tools.stand import postgres
from tools.stand.stand import Stand
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.kube.resources import ENVIRONMENTS, PROMOTIONS, Raw, Resource

NAMESPACE = "bench-promotions"
_PATIENCE = 180
_LOOK = 0.05
_CONFIG = "model_defaults: {dialect: postgres, start: 2026-01-01}\n"


@dataclass(frozen=True)
class Scale:
    """How much: views, round trips that are timed, round trips under a reader's eyes."""

    views: int
    timed: int
    read: int


def measure(scale: Scale) -> list[Figure]:
    """All figures of a promotion on a cluster."""
    with (
        tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder,
        Stand(Path(folder), "swap") as stand,
    ):
        assert isinstance(stand.cluster, Cluster)
        server = postgres.Server.create(state=stand.cluster.state)
        operator = stand.start_operator()
        operator.wait_ready()
        found = asyncio.run(_measure(stand, stand.cluster, server, scale))
        operator.stop()
    return found


async def _measure(stand: Stand, cluster: Cluster, server: postgres.Server, scale: Scale) -> list[Figure]:
    async with Api(cluster.kubeconfig, "admin") as api:
        company = Company(stand, server, api, scale.views)
        await company.prepare()
        timed = [await company.round_trip(timed=True) for _ in range(scale.timed)]
        for trip in timed:
            print(f"   promoted in {trip.there:.1f} s, back in {trip.back:.1f} s; steps: {trip.steps}", flush=True)
        with Reader(company.where, promotions_project.names(scale.views)) as reader:
            for _ in range(scale.read):
                await company.round_trip(timed=False)
        failed = reader.failed(company.ways[2 * scale.timed :])
    return [
        Figure("promotion_total_s", statistics.median(trip.there for trip in timed)),
        Figure("rollback_s", statistics.median(trip.back for trip in timed)),
        Figure("failed_reads", failed),
    ]


@dataclass(frozen=True)
class Trip:
    """Seconds there and back, and of each step there."""

    there: float
    back: float
    steps: str


@dataclass
class Company:
    """prod, which takes its revision from promotions, and staging with another one."""

    stand: Stand
    server: postgres.Server
    api: Api
    views: int
    ways: list[float] = field(default_factory=list)
    """When each promotion or rollback was created."""

    @property
    def where(self) -> dict[str, Any]:
        """How somebody who reads the warehouse connects."""
        found = {"host": "127.0.0.1", "port": self.server.port, "dbname": "warehouse", "user": "warehouse"}
        return {**found, "password": "warehouse-password"}

    async def prepare(self) -> None:
        """Both environments, with all their tables and nothing left to do."""
        self.stand.namespace(NAMESPACE)
        connections: dict[str, Any] = {}
        for role, key in (("warehouse", "connection"), ("state", "stateConnection")):
            self.server.create_database(role, role, f"{role}-password")
            options = {"host": "127.0.0.1", "port": self.server.port, "database": role, "user": role}
            secret = {"password": {"name": "credentials", "key": role}}
            connections[key] = {"type": "postgres", "options": options, "secrets": secret}
        passwords = {role: f"{role}-password" for role in ("warehouse", "state")}
        self.stand.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": _meta("credentials"), "stringData": passwords},
            {"apiVersion": API_VERSION, "kind": "VulcanGateway", "metadata": _meta("main"), "spec": connections},
        )
        await self._deploy("prod", 1)
        managed = {"spec": {"revisionFrom": "Promotion", "project": None}}
        await self.api.send("PATCH", ENVIRONMENTS, NAMESPACE, "prod", managed, content=MERGE)
        await self._deploy("staging", 2)

    async def round_trip(self, *, timed: bool) -> Trip:
        """staging -> prod and back again; timed ones with nothing else going on."""
        there, back = f"there-{len(self.ways)}", f"back-{len(self.ways)}"
        if timed:
            await self._until(ENVIRONMENTS, "prod", _at_rest)
        began = time.monotonic()
        promoted = await self._promote(there, {"from": {"environmentRef": {"name": "staging"}}})
        took = time.monotonic() - began
        await self._taken(promoted)
        if timed:
            await self._until(ENVIRONMENTS, "prod", _at_rest)
        began = time.monotonic()
        views = asyncio.create_task(asyncio.to_thread(self._until_views_are, 1)) if timed else None
        undone = await self._promote(back, {"rollbackTo": {"promotion": there}})
        took_back = await views - began if views is not None else 0.0
        await self._taken(undone)
        await self._lift_hold()
        return Trip(took, took_back, _steps(promoted))

    async def _promote(self, name: str, spec: Raw) -> Raw:
        """It, once it has succeeded."""
        self.ways.append(time.time())
        spec = {"to": {"environmentRef": {"name": "prod"}}, **spec}
        body = {"apiVersion": API_VERSION, "kind": PROMOTIONS.kind, "metadata": _meta(name), "spec": spec}
        await self.api.create(PROMOTIONS, NAMESPACE, body)
        found = await self._until(PROMOTIONS, name, lambda raw: "outcome" in raw.get("status", {}))
        if found["status"]["outcome"] != "Succeeded":
            raise RuntimeError(f"{name}: {json.dumps(found['status'])[:3000]}")
        return found

    async def _taken(self, promotion: Raw) -> None:
        """Until prod knows of it; and no change of views may be told from the next by the time it takes to see it."""
        plan = promotion["status"]["appliedPlanId"]
        await self._until(
            ENVIRONMENTS, "prod", lambda raw: raw.get("status", {}).get("applied", {}).get("planId") == plan
        )
        await asyncio.sleep(0.5)

    async def _lift_hold(self) -> None:
        """What was taken back may be promoted again."""
        prod = await self._until(ENVIRONMENTS, "prod", lambda raw: bool(raw["status"].get("held")))
        known = prod["metadata"].get("annotations", {}).get(names.HOLD_LIFTED, "")
        lifted = ",".join([*filter(None, [known]), *(held["id"] for held in prod["status"]["held"])])
        change = {"metadata": {"annotations": {names.HOLD_LIFTED: lifted}}}
        await self.api.send("PATCH", ENVIRONMENTS, NAMESPACE, "prod", change, content=MERGE)
        await self._until(ENVIRONMENTS, "prod", lambda raw: not raw["status"].get("held"))

    async def _deploy(self, name: str, revision: int) -> None:
        files = promotions_project.files(self.views, revision, _CONFIG)
        data = {path.replace("/", "__"): text for path, text in files.items()}
        spec = {
            "gatewayRef": {"name": "main"}, "plan": {"approval": {"mode": "Never"}},
            "project": {"configMap": {"name": f"project-{name}"}},
        }  # fmt: skip
        self.stand.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(f"project-{name}"), "data": data},
            {"apiVersion": API_VERSION, "kind": ENVIRONMENTS.kind, "metadata": _meta(name), "spec": spec},
        )
        await self._until(ENVIRONMENTS, name, _at_rest)

    async def _until(self, resource: Resource, name: str, holds: Callable[[Raw], bool]) -> Raw:
        """The object, once something holds of it."""
        listed = await self.api.list(resource, NAMESPACE)
        last: Raw = {}
        try:
            async with asyncio.timeout(_PATIENCE):
                async for raw in self._versions(resource, listed):
                    if raw["metadata"]["name"] == name:
                        last = raw
                        if holds(raw):
                            return raw
        except TimeoutError:
            pass
        raise RuntimeError(f"not within {_PATIENCE} s: {name}: {json.dumps(last.get('status', {}))[:3000]}")

    async def _versions(self, resource: Resource, listed: Raw) -> AsyncIterator[Raw]:
        for raw in listed["items"]:
            yield raw
        async for _, raw in self.api.watch(resource, NAMESPACE, listed["metadata"]["resourceVersion"]):
            yield raw

    def _until_views_are(self, revision: int) -> float:
        """When all views have a revision (monotonic)."""
        every = promotions_project.names(self.views)
        sql = f"select count(*) from ({' union all '.join(f'select revision from {v}' for v in every)}) as v"
        session = self.server.connect("warehouse", "warehouse", self.where["password"])
        try:
            with session.cursor() as cursor:
                until = time.monotonic() + _PATIENCE
                while time.monotonic() < until:
                    cursor.execute(f"{sql} where revision = {revision}")
                    if cursor.fetchone()[0] == len(every):
                        return time.monotonic()
                    time.sleep(_LOOK)
        finally:
            session.close()
        raise RuntimeError(f"not within {_PATIENCE} s: all views have revision {revision}")


def _at_rest(environment: Raw) -> bool:
    """The run that follows every change of views has ended, too."""
    status, generation = environment.get("status", {}), environment["metadata"]["generation"]
    ready: Raw = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    last, applied = status.get("lastRun"), status.get("applied")
    ran = bool(last and applied and last["time"] >= applied["time"]) and "task" not in status
    return ran and ready.get("status") == "True" and ready.get("observedGeneration") == generation


def _steps(promotion: Raw) -> str:
    """Of those that have a Job: when they began and ended."""
    return ", ".join(
        f"{s['name']} {s['startedAt'][17:19]}-{s['finishedAt'][17:19]}"
        for s in promotion["status"]["steps"]
        if s.get("job")
    )


def _meta(name: str) -> dict[str, str]:
    return {"name": name, "namespace": NAMESPACE}
