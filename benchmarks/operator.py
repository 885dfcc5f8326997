"""The operator's figures, on a real API server: latency, throughput against a bare loop, memory, idleness, restart.

Called by `__main__`. The operator is the real process under its ServiceAccount, with the roles, policies and defaults of
the deployment. Must leave nothing behind: the cluster lives in a temporary folder.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import figures, lives, objects
from benchmarks.api import Api, background
from benchmarks.bare import ENDS, BareLoop, Templates
from benchmarks.figures import Figure
from benchmarks.lives import Lives
from benchmarks.meter import Meter
from tools.localcluster import components
from tools.localcluster.cluster import Cluster
from tools.stand.stand import ACCOUNT, Operator, Stand
from vulcan_operator.api import names
from vulcan_operator.kube.resources import CONFIG_MAPS, ENVIRONMENTS, EVENTS, GATEWAYS, JOBS, LEASES, PODS

LATENCY, LIFE, BARE = "bench-latency", "bench-life", "bench-bare"
CONTROLLERS = (components.CONTROLLER_MANAGER, components.SCHEDULER)


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    environments: int
    gateways: int
    pairs: int
    created: int
    idle: float


FULL = Scale(environments=1000, gateways=50, pairs=3, created=40, idle=60)
QUICK = Scale(environments=200, gateways=20, pairs=1, created=40, idle=20)


def measure() -> list[Figure]:
    """All figures of this group."""
    with (
        tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder,
        Stand(Path(folder), "bench") as stand,
    ):
        return asyncio.run(_measure(stand, QUICK if figures.quick() else FULL))


async def _measure(stand: Stand, scale: Scale) -> list[Figure]:
    assert isinstance(stand.cluster, Cluster), "the bench stops controllers, so it needs the local cluster"
    account = stand.cluster.service_account_kubeconfig(*ACCOUNT, stand.cluster.state / "bench.kubeconfig")
    async with Api(stand.cluster.kubeconfig, "admin") as admin, Api(account) as operator:
        bench = Bench(stand, stand.cluster, scale, admin, operator)
        bench.prepare()
        return [*await bench.latency(), *await bench.whole_life()]


class Bench:
    """One cluster and what is measured on it, in this order."""

    def __init__(self, stand: Stand, cluster: Cluster, scale: Scale, admin: Api, operator: Api) -> None:
        self._stand, self._cluster, self._scale = stand, cluster, scale
        self._admin, self._as_operator = admin, operator

    def prepare(self) -> None:
        """Namespaces with their ServiceAccounts; then nothing but the API server runs."""
        for namespace in (LATENCY, LIFE, BARE):
            self._stand.namespace(namespace)
            self._stand.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=30s")
        for name in (components.NODE, *CONTROLLERS):
            self._cluster.kill(name)

    async def latency(self) -> list[Figure]:
        """From creation to the first Job, with controllers."""
        count = self._scale.created
        with Running(self._stand) as process:
            await asyncio.to_thread(process.wait_ready)
            async with self._ended_jobs(LATENCY) as ended:
                await lives.create_gateways(self._admin, LATENCY, 10)
                await ended.recorded("probe", 10, 60)
            for name in CONTROLLERS:
                await asyncio.to_thread(self._cluster.restart, name)
            await asyncio.sleep(2)
            taken = await self._create_slowly(count)
        for name in CONTROLLERS:
            self._cluster.kill(name)
        await self._clear(LATENCY)
        print("   latency:", sorted(round(1000 * t) for t in taken), flush=True)
        cuts = statistics.quantiles(taken, n=100, method="inclusive")
        return [Figure("create_to_job_p50_ms", cuts[49] * 1000), Figure("create_to_job_p95_ms", cuts[94] * 1000)]

    async def _create_slowly(self, count: int, *, from_answer: bool = False) -> list[float]:
        """Seconds per environment from its POST, or the answer to that, at four environments per second."""
        began, seen, all_seen = dict[str, float](), dict[str, float](), asyncio.Event()
        version = (await self._admin.list(JOBS, LATENCY))["metadata"]["resourceVersion"]

        async def watch() -> None:
            async for kind, job in self._admin.watch(JOBS, LATENCY, version):
                owner = job["metadata"]["labels"][names.OWNER_NAME]
                if kind == "ADDED" and owner not in seen:
                    seen[owner] = time.monotonic()
                    if len(seen) == count:
                        all_seen.set()

        async def create(index: int) -> None:
            await asyncio.sleep(0.5 + index * 0.25)
            body = objects.environment(f"e{index}", LATENCY, f"g{index % 10}")
            began[f"e{index}"] = time.monotonic()
            await self._admin.create(ENVIRONMENTS, LATENCY, body)
            if from_answer:
                began[f"e{index}"] = time.monotonic()

        async with background(watch()), asyncio.timeout(count * 0.25 + 120):
            await asyncio.gather(*(create(i) for i in range(count)))
            await all_seen.wait()
        return [max(0.0, seen[name] - began[name]) for name in began]

    async def whole_life(self) -> list[Figure]:
        """Pairs of lives and bare loops; idleness and restart with what the last pair leaves."""
        shares, memory, found = [], [], list[Figure]()
        for pair in range(self._scale.pairs):
            await self._ready_gateways(LIFE)
            await lives.create_environments(self._admin, LIFE, self._scale.environments, self._scale.gateways)
            with Running(self._stand) as process:
                meter = Meter(process)
                counts, seconds = await self._lives(process, meter)
                memory.append(meter.rss_mb())
                if pair == self._scale.pairs - 1:
                    found += self._idle(meter)
                    memory.append(meter.rss_mb())
            if found:
                found += self._restart()
            bare = await self._bare(counts)
            shares.append(bare / seconds)
            total = sum(counts.values()) + 2 * counts[ENDS]
            print(
                f"   pair {pair + 1}: {total} writes, {total / seconds:.0f}/s with the operator, {total / bare:.0f}/s bare,"
                f" share {bare / seconds:.2f}; {total / self._scale.environments:.1f} writes per life: {counts}",
                flush=True,
            )
            await self._clear(LIFE)
            await self._clear(BARE)
        return [
            Figure("whole_life_share_1000", statistics.median(shares)),
            Figure("operator_rss_mb_1000", max(memory)),
            *found,
        ]

    async def _lives(self, process: Operator, meter: Meter) -> tuple[dict[str, int], float]:
        """Writes by kind, and the seconds from the first Job to the last write."""
        count = self._scale.environments
        async with self._ended_jobs(LIFE) as ended:
            await asyncio.to_thread(process.wait_ready)
            cpu = meter.cpu_seconds()
            await ended.recorded("run", count, 60 + count)
            cpu = meter.cpu_seconds() - cpu
            counts, rested = await asyncio.to_thread(meter.settled)
            print(f"   {1000 * cpu / sum(counts.values()):.1f} ms of the operator's processor time per write")
            assert ended.first_job is not None
            began, ends = ended.first_job, ended.writes // 3
        environments = (await self._admin.list(ENVIRONMENTS, LIFE))["items"]
        problems = lives.unfinished(environments)
        if problems or len(environments) != count or ends != 3 * count:
            raise RuntimeError(f"{len(environments)} environments, {ends} Jobs; not ready: {problems[:5]}")
        return {**counts, ENDS: ends}, rested - began

    async def _bare(self, counts: dict[str, int]) -> float:
        """Seconds of the bare loop, on objects like those of the life before."""
        templates = await Templates.read(self._admin, LIFE)
        await lives.create_gateways(self._admin, BARE, self._scale.gateways)
        await lives.create_environments(self._admin, BARE, self._scale.environments, self._scale.gateways)
        loop = BareLoop(self._as_operator, self._admin, BARE, self._scale.gateways, templates)
        return await loop.run(counts, self._scale.environments)

    def _idle(self, meter: Meter) -> list[Figure]:
        """A minute in which nothing happens."""
        time.sleep(3)
        before = meter.writes(leader_lease=True)
        time.sleep(1)
        cpu = meter.cpu_seconds()
        time.sleep(self._scale.idle)
        cpu = meter.cpu_seconds() - cpu
        after = meter.writes(leader_lease=True)
        new = {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind, 0)}
        # The leader renews its Lease every two seconds; more than that were writer slots.
        renewals = new.pop("replace-leases", 0)
        extra = max(0, renewals - int(self._scale.idle / 2 + 3))
        if new or extra:
            print(f"   idle: {new}, {extra} writer slots")
        return [
            Figure("idle_writes", sum(new.values()) + extra),
            Figure("idle_cpu_share", cpu / self._scale.idle),
        ]

    def _restart(self) -> list[Figure]:
        """The same objects, a new process."""
        wanted = self._scale.environments + self._scale.gateways
        began = time.monotonic()
        with Running(self._stand) as process:
            process.wait_ready()
            meter = Meter(process)
            while (seen := meter.looks()) != (True, seen[1]) or seen[1] < wanted:
                if time.monotonic() - began > 120:
                    raise TimeoutError(f"after the restart it leads: {seen[0]}, looks: {seen[1]} of {wanted}")
                time.sleep(0.1)
            synced = time.monotonic() - began
            time.sleep(10)
            writes = meter.writes()
        if writes:
            print(f"   restart: {writes}")
        return [Figure("restart_sync_s_1000", synced), Figure("restart_writes_1000", sum(writes.values()))]

    async def _ready_gateways(self, namespace: str) -> None:
        with Running(self._stand) as process:
            await asyncio.to_thread(process.wait_ready)
            async with self._ended_jobs(namespace) as ended:
                await lives.create_gateways(self._admin, namespace, self._scale.gateways)
                await ended.recorded("probe", self._scale.gateways, 120)
            await asyncio.to_thread(Meter(process).settled)

    @asynccontextmanager
    async def _ended_jobs(self, namespace: str) -> AsyncIterator[Lives]:
        ended = Lives(self._admin, namespace)
        async with background(ended.run()):
            yield ended

    async def _clear(self, namespace: str) -> None:
        for resource in (ENVIRONMENTS, GATEWAYS, JOBS, PODS, LEASES, EVENTS):
            await self._admin.clear(resource, namespace)
        left = [c for c in (await self._admin.list(CONFIG_MAPS, namespace))["items"] if c.get("immutable")]
        if left:
            raise RuntimeError("an environment without a report left a ConfigMap")


class Running:
    """An operator that ends with the body."""

    def __init__(self, stand: Stand) -> None:
        # An image has its packages compiled; a development environment may forbid Python to keep what it compiles.
        compiled = str(stand.cluster.state / "compiled")
        self._operator = stand.start_operator(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=compiled)

    def __enter__(self) -> Operator:
        return self._operator

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        alive = self._operator.alive()
        if kind is not None:
            print("   the operator said last:", *self._last_words(), sep="\n   ", flush=True)
        self._operator.stop()
        if kind is None and not alive:
            raise RuntimeError(f"the operator ended by itself; its log is {self._operator.log}")

    def _last_words(self) -> list[str]:
        entries = self._operator.entries()[-8:]
        return [f"{e.get('message')} {str(e.get('exception', '')).strip().rpartition(chr(10))[2]}" for e in entries]
