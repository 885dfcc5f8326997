"""What 1,000 hostile objects of one namespace do to an honest one elsewhere: latency, memory, the Lease.

Run by hand (`python -m benchmarks hostile`), not with the others: it judges a promise rather than a change of speed. The
hostile objects are as large and as slow as the CRDs allow, and name no gateway or one that grants them nothing.
"""

import asyncio
import itertools
import os
import re
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import figures, lives
from benchmarks.api import MERGE, Api, background
from benchmarks.figures import Figure
from benchmarks.meter import Meter
from benchmarks.operator import CONTROLLERS, LATENCY, Bench, Running, Scale
from tests import worst
from tools.localcluster.cluster import Cluster
from tools.stand.stand import ACCOUNT, Operator, Stand
from vulcan_operator.api import API_VERSION
from vulcan_operator.kube.resources import ENVIRONMENTS, JOBS, Raw

NAMESPACE = "bench-hostile"
_HOURS = ",".join(map(str, range(24)))
_RULES = (
    f"FREQ=DAILY;BYHOUR={_HOURS}",
    "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;COUNT=9999",
    "FREQ=MONTHLY;BYSETPOS=1,2,-1;BYDAY=MO,TU,WE,TH,FR,SA,SU",
)


def measure() -> list[Figure]:
    """All figures of this group."""
    count, created = (200, 20) if figures.quick() else (1000, 60)
    with (
        tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder,
        Stand(Path(folder), "bench") as stand,
    ):
        return asyncio.run(_measure(stand, count, created))


async def _measure(stand: Stand, count: int, created: int) -> list[Figure]:
    assert isinstance(stand.cluster, Cluster), "the bench stops controllers, so it needs the local cluster"
    account = stand.cluster.service_account_kubeconfig(*ACCOUNT, stand.cluster.state / "bench.kubeconfig")
    async with Api(stand.cluster.kubeconfig, "admin") as admin, Api(account) as operator:
        scale = Scale(environments=0, gateways=10, pairs=0, created=created, idle=0)
        bench = _Hostile(stand, stand.cluster, scale, admin, operator)
        bench.prepare()
        stand.namespace(NAMESPACE)
        return await bench.figures(count)


def objects(count: int) -> Iterator[Raw]:
    """Windows that are slow to judge, every fifth with lists that are long, too; claims to the names of honest ones.

    Not all of them are large: the API server would take minutes for a thousand of these, and it is not what is judged.
    """
    for number, rule in zip(range(count), itertools.cycle(_RULES), strict=False):
        windows = worst.windows(rule, start="2001-09-01T00:00", duration="30m", timeZone="Asia/Tokyo")
        spec = worst.environment(promoted=True) if number % 5 == 0 else {"revisionFrom": "Promotion"}
        spec |= {"environment": f"e{number % 60}", "promotionWindows": windows, "suspend": False}
        spec["gatewayRef"] = {"name": f"g{number % 10}", **({"namespace": LATENCY} if number % 3 == 0 else {})}
        for name in ("schedule", "ttl", "runner"):
            spec.pop(name, None)
        meta = {"name": f"x{number}", "namespace": NAMESPACE}
        yield {"apiVersion": API_VERSION, "kind": "VulcanEnvironment", "metadata": meta, "spec": spec}


class _Hostile(Bench):
    """The same cluster and gateways as for the latency among honest ones."""

    async def figures(self, count: int) -> list[Figure]:
        """While somebody edits the hostile objects all the time, and once more after a restart among them."""
        async with self._operator(LATENCY) as (process, meter):
            await self._beside(process, meter, "nobody")
            await self._clear_honest()
            await lives.create(self._admin, objects(count))
            await asyncio.to_thread(meter.settled, 600)
            print(f"   {count} hostile objects are there, peak {meter.peak_rss_mb():.0f} MB", flush=True)
            async with background(self._edit(count)):
                first = await self._beside(process, meter, "edits of them")
            await asyncio.to_thread(meter.settled, 300)
        await self._clear_honest()
        with Running(self._stand) as process:
            await asyncio.to_thread(process.wait_ready)
            second = await self._beside(process, Meter(process), "a restart")
            await asyncio.to_thread(Meter(process).settled, 300)
        p95, peak, lost, late = (max(pair) for pair in zip(first, second, strict=True))
        return [
            Figure("hostile_create_to_job_p95_ms", 1000 * p95),
            Figure("hostile_operator_peak_rss_mb", peak),
            Figure("hostile_leases_lost", lost),
            Figure("hostile_loop_late_s", late),
        ]

    async def _clear_honest(self) -> None:
        """Away with the honest environments and their Jobs."""
        await self._admin.clear(ENVIRONMENTS, LATENCY)
        await self._admin.clear(JOBS, LATENCY)

    async def _edit(self, count: int) -> None:
        """One change after another: what the API server does not take in time is not the operator's."""
        for number in itertools.count():
            body = {"spec": {"suspendReason": f"{number}"}}
            await self._admin.send("PATCH", ENVIRONMENTS, NAMESPACE, f"x{number % count}", body, content=MERGE)

    async def _beside(self, process: Operator, meter: Meter, what: str) -> tuple[float, float, int, float]:
        """The honest ones' p95 in seconds, the operator's peak in MB, Leases lost, seconds the loop was late."""
        taken = await self._create_slowly(self._scale.created, from_answer=True)
        said = [str(entry.get("message", "")) for entry in process.entries()]
        lost = sum("not leading any more" in message for message in said)
        found = (re.search(r"([0-9.]+) s late", message) for message in said)
        late = max((float(match[1]) for match in found if match), default=0.0)
        peak = meter.peak_rss_mb()
        load = os.getloadavg()[0]
        print(
            f"   beside {what}, load {load:.0f}: {sorted(round(1000 * t) for t in taken)} ms, peak {peak:.0f} MB",
            flush=True,
        )
        return statistics.quantiles(taken, n=100, method="inclusive")[94], peak, lost, late

    @asynccontextmanager
    async def _operator(self, namespace: str) -> AsyncIterator[tuple[Operator, Meter]]:
        """An operator with ten ready gateways, and then the controllers."""
        with Running(self._stand) as process:
            await asyncio.to_thread(process.wait_ready)
            ended = lives.Lives(self._admin, namespace)
            async with background(ended.run()):
                await lives.create_gateways(self._admin, namespace, self._scale.gateways)
                await ended.recorded("probe", self._scale.gateways, 60)
            for name in CONTROLLERS:
                await asyncio.to_thread(self._cluster.restart, name)
            await asyncio.sleep(2)
            yield process, Meter(process)
