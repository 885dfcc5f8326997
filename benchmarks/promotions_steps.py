"""How soon a promotion goes on after a step's Job has ended, with hundreds of promotions in flight on one operator.

Called by `promotions`. API server and operator are real, Jobs end as `lives` ends them. Each promotion has a gateway of its
own, so that none waits for another's writer slot; all are in flight at once.
"""

import asyncio
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import lives, objects
from benchmarks.api import Api, background
from benchmarks.figures import Figure
from benchmarks.lives import Lives
from benchmarks.meter import Meter
from tools.localcluster import components
from tools.localcluster.cluster import Cluster
from tools.stand.stand import Stand
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.kube.resources import JOBS, PROMOTIONS, Raw

NAMESPACE = "bench-steps"
_PATIENCE = 900


@dataclass(frozen=True)
class Scale:
    """How many promotions, and between how many and how many seconds a Job takes."""

    promotions: int
    lasting: tuple[float, float]


def measure(scale: Scale) -> list[Figure]:
    """The 95th percentile."""
    with (
        tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder,
        Stand(Path(folder), "steps") as stand,
    ):
        assert isinstance(stand.cluster, Cluster), "the bench stops controllers, so it needs the local cluster"
        stand.namespace(NAMESPACE)
        stand.kubectl("wait", "--for=create", "serviceaccount/default", "-n", NAMESPACE, "--timeout=30s")
        for name in (components.NODE, components.CONTROLLER_MANAGER, components.SCHEDULER):
            stand.cluster.kill(name)
        # An image has its packages compiled; a development environment may forbid Python to keep what it compiles.
        compiled = str(stand.cluster.state / "compiled")
        operator = stand.start_operator(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=compiled)
        operator.wait_ready()
        waits = asyncio.run(_measure(stand.cluster, Meter(operator), scale))
        operator.stop()
    cuts = [1000 * cut for cut in statistics.quantiles(waits, n=100, method="inclusive")]
    print(
        f"   {len(waits)} steps: p50 {cuts[49]:.0f}, p95 {cuts[94]:.0f}, p99 {cuts[98]:.0f}, most {1000 * max(waits):.0f} ms"
    )
    return [Figure("promotion_step_p95_ms", cuts[94])]


async def _measure(cluster: Cluster, meter: Meter, scale: Scale) -> list[float]:
    count, chance = scale.promotions, random.Random(1)
    async with Api(cluster.kubeconfig, "admin") as api:
        ended = Lives(api, NAMESPACE)
        async with background(ended.run()):
            await lives.create_gateways(api, NAMESPACE, count)
            await ended.recorded("probe", count, _PATIENCE)
            await lives.create_environments(api, NAMESPACE, count, count)
            await ended.recorded("run", count, _PATIENCE)
        await lives.create(api, [_target(i) for i in range(count)])
        await asyncio.to_thread(meter.settled)
        steps = Steps(api)
        cpu, began = meter.cpu_seconds(), time.monotonic()
        ended = Lives(api, NAMESPACE, lambda: chance.uniform(*scale.lasting), steps.ending)
        version = (await api.list(JOBS, NAMESPACE))["metadata"]["resourceVersion"]
        async with background(ended.run(), steps.run(version)):
            await lives.create(api, [_promotion(i) for i in range(count)])
            await _all_over(api, count)
        busy = (meter.cpu_seconds() - cpu) / (time.monotonic() - began)
    print(
        f"   {count} promotions in {time.monotonic() - began:.0f} s, the operator took {busy:.2f} of a core", flush=True
    )
    return steps.waits


async def _all_over(api: Api, count: int) -> None:
    async with asyncio.timeout(_PATIENCE):
        while True:
            await asyncio.sleep(5)
            found = [raw.get("status", {}) for raw in (await api.list(PROMOTIONS, NAMESPACE))["items"]]
            outcomes = [status["outcome"] for status in found if "outcome" in status]
            bad = next((s for s in found if s.get("outcome", "Succeeded") != "Succeeded"), None)
            if bad is not None:
                raise RuntimeError(f"a promotion did not succeed: {bad}")
            if len(outcomes) == count:
                return


class Steps:
    """From the end of a promotion's Job until a watch sees its next one. The end is the moment before its pod's end is sent
    to the API server: the operator waits for the pod, not for the Job's own status, which comes later."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._ended: dict[str, float] = {}
        self.waits: list[float] = []

    async def run(self, version: str) -> None:
        """For ever. A promotion's Job is the next step of the Job of it that ended last before."""
        async for kind, job in self._api.watch(JOBS, NAMESPACE, version):
            owner = _promotion_of(job)
            if kind == "ADDED" and owner in self._ended:
                self.waits.append(time.monotonic() - self._ended[owner])

    def ending(self, job: Raw) -> None:
        """Its pod is about to end."""
        owner = _promotion_of(job)
        if owner is not None:
            self._ended[owner] = time.monotonic()


def _promotion_of(job: Raw) -> str | None:
    labels = job["metadata"]["labels"]
    return str(labels[names.OWNER_NAME]) if labels[names.OWNER_KIND] == PROMOTIONS.kind else None


def _target(index: int) -> Raw:
    """An environment that takes its revision from promotions."""
    body = objects.environment(f"t{index}", NAMESPACE, f"g{index}")
    del body["spec"]["project"]
    body["spec"]["revisionFrom"] = "Promotion"
    return body


def _promotion(index: int) -> Raw:
    sides = {"from": {"environmentRef": {"name": f"e{index}"}}, "to": {"environmentRef": {"name": f"t{index}"}}}
    meta = {"name": f"p{index}", "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": PROMOTIONS.kind, "metadata": meta, "spec": sides}
