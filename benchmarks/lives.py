"""Jobs' ends, written by the bench in place of controllers and nodes, and the lives of environments that follow from them.

Used by `operator` and `promotions_steps`. The bench only watches Jobs: an environment's life is over when its run's Job was
marked as recorded, which the operator does right after writing the status.
"""

import asyncio
from collections.abc import Callable, Iterable

from benchmarks import objects
from benchmarks.api import Api
from vulcan_operator.api import names
from vulcan_operator.kube.resources import CUSTOM, JOBS, PODS, Raw
from vulcan_operator.plan.core.actions import Kind

_ENDERS = 8
"""Together with the operator's workers: the concurrency of the bare loop."""


class Lives:
    """Watches the Jobs of a namespace and ends them as they come, or after the seconds that `lasting` says."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        lasting: Callable[[], float] = lambda: 0,
        ending: Callable[[Raw], None] = lambda job: None,
    ) -> None:
        self._api, self._namespace, self._lasting, self._ending = api, namespace, lasting, ending
        self._queue: asyncio.Queue[Raw] = asyncio.Queue()
        self._recorded: dict[str, set[str]] = {}
        self._news = asyncio.Event()
        self.first_job: float | None = None
        self.writes = 0

    async def run(self) -> None:
        """For ever."""
        found = await self._api.list(JOBS, self._namespace)
        for job in found["items"]:
            if "completionTime" not in job.get("status", {}):
                self._queue.put_nowait(job)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(found["metadata"]["resourceVersion"]))
            for _ in range(_ENDERS):
                group.create_task(self._end())

    async def recorded(self, task: str, count: int, seconds: float) -> None:
        """Until so many objects have had a Job of this task recorded."""
        async with asyncio.timeout(seconds):
            while len(self._recorded.get(task, ())) < count:
                self._news.clear()
                await self._news.wait()

    async def _watch(self, version: str) -> None:
        async for kind, job in self._api.watch(JOBS, self._namespace, version):
            if kind == "ADDED":
                self.first_job = self.first_job or asyncio.get_running_loop().time()
                self._later(job)
            elif kind == "MODIFIED" and job["spec"].get("ttlSecondsAfterFinished"):
                labels = job["metadata"]["labels"]
                self._recorded.setdefault(labels[names.TASK], set()).add(labels[names.OWNER_NAME])
                self._news.set()

    def _later(self, job: Raw) -> None:
        seconds = self._lasting()
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, job)
        else:
            self._queue.put_nowait(job)

    async def _end(self) -> None:
        while True:
            job = await self._queue.get()
            await end_job(self._api, job, self._ending)
            self.writes += 3


async def end_job(api: Api, job: Raw, ending: Callable[[Raw], None] = lambda job: None) -> None:
    """The three writes of an ended Job: its pod, the pod's end, its own. `ending` is called right before the second."""
    namespace, pod = job["metadata"]["namespace"], objects.pod(job)
    await api.create(PODS, namespace, pod)
    ending(job)
    await api.status(PODS, namespace, pod["metadata"]["name"], objects.pod_status(job))
    await api.status(JOBS, namespace, job["metadata"]["name"], objects.job_status())


async def create_gateways(api: Api, namespace: str, count: int) -> None:
    """g0, g1, … at concurrency 16."""
    await create(api, [objects.gateway(f"g{i}", namespace) for i in range(count)])


async def create_environments(api: Api, namespace: str, count: int, gateways: int) -> None:
    """e0, e1, … spread over the gateways."""
    await create(api, [objects.environment(f"e{i}", namespace, f"g{i % gateways}") for i in range(count)])


async def create(api: Api, bodies: Iterable[Raw]) -> None:
    """Objects of ours, at concurrency 16."""
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            await api.create(CUSTOM[Kind(body["kind"])], body["metadata"]["namespace"], body)

    await asyncio.gather(*(work() for _ in range(16)))


def unfinished(found: Iterable[Raw]) -> list[str]:
    """Names of objects that are not Ready, with their reasons; empty is what should be."""
    out = []
    for raw in found:
        conditions = {c["type"]: c for c in raw.get("status", {}).get("conditions", [])}
        ready = conditions.get("Ready", {})
        if ready.get("status") != "True":
            out.append(f"{raw['metadata']['name']}: {ready.get('reason')} {ready.get('message', '')[:200]}")
    return out
