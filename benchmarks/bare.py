"""The bare loop: the writes of environments' lives without an operator, as fast as the API server takes them.

Used by `operator`. How many writes of each kind comes from the operator's metrics of the run before, their contents are
taken from what that run left behind. No reads, no watches, no decisions.
"""

import asyncio
import copy
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from benchmarks import lives, objects
from benchmarks.api import APPLY, MERGE, Api
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.kube.resources import ENVIRONMENTS, EVENTS, GATEWAYS, JOBS, LEASES, Raw, Resource

CONCURRENCY = 16
ENDS = "end-jobs"
"""A Job's end, three writes by the bench."""
_ORDER = (
    "apply-vulcanenvironments/status", "create-leases", "replace-leases", "create-jobs", "create-events",
    "merge-events", "apply-vulcangateways/status", ENDS, "merge-jobs",
)  # fmt: skip
"""Of the kinds of writes within a life; a kind that is not here is an error, so that nothing is left out."""


class Templates:
    """Real objects of one namespace, to be written again under other names."""

    def __init__(self, jobs: list[Raw], environment: Raw, gateway: Raw, event: Raw, lease: Raw) -> None:
        self.jobs, self.environment, self.gateway, self.event, self.lease = jobs, environment, gateway, event, lease

    @classmethod
    async def read(cls, api: Api, namespace: str) -> "Templates":
        """From environment e0 and gateway g0."""
        jobs = [
            j for j in (await api.list(JOBS, namespace))["items"] if j["metadata"]["labels"][names.OWNER_NAME] == "e0"
        ]
        events = (await api.list(EVENTS, namespace))["items"]
        lease = (await api.list(LEASES, namespace))["items"][0]
        environment = await api.send("GET", ENVIRONMENTS, namespace, "e0")
        gateway = await api.send("GET", GATEWAYS, namespace, "g0")
        return cls(
            [_typed(j, JOBS) for j in jobs], environment, gateway, _typed(events[0], EVENTS), _typed(lease, LEASES)
        )


def _typed(raw: Raw, resource: Resource) -> Raw:
    """Items of a list lack these two."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **raw}


class BareLoop:
    """Writes `counts` (`<verb>-<resource>` as in the operator's metrics) for so many environments."""

    def __init__(self, operator: Api, admin: Api, namespace: str, gateways: int, templates: Templates) -> None:
        self._operator, self._admin, self._namespace, self._gateways = operator, admin, namespace, gateways
        self._templates = templates
        self._number = itertools.count(1)
        self._leases: dict[str, Raw] = {}
        self._locks = [asyncio.Lock() for _ in range(gateways)]
        self._write: Mapping[str, Callable[[int, int], Coroutine[Any, Any, None]]] = {
            "apply-vulcanenvironments/status": self._environment_status,
            "apply-vulcangateways/status": self._gateway_status,
            "create-leases": self._lease,
            "replace-leases": self._lease,
            "create-jobs": self._create_job,
            "merge-jobs": self._keep_job,
            "create-events": self._event,
            "merge-events": self._event,
            ENDS: self._end_job,
        }

    async def run(self, counts: Mapping[str, int], environments: int) -> float:
        """Seconds it took."""
        unknown = set(counts) - set(_ORDER)
        if unknown:
            raise ValueError(f"the bare loop does not know how to write {sorted(unknown)}")
        waiting = iter(range(environments))
        began = time.monotonic()
        await asyncio.gather(*(self._work(waiting, counts, environments) for _ in range(CONCURRENCY)))
        return time.monotonic() - began

    async def _work(self, waiting: Iterator[int], counts: Mapping[str, int], environments: int) -> None:
        for index in waiting:
            shares = {k: (index + 1) * n // environments - index * n // environments for k, n in counts.items()}
            # Round by round, so that kinds of writes are mixed as they are in a life.
            for turn in range(max(shares.values())):
                for kind in _ORDER:
                    if turn < shares.get(kind, 0):
                        await self._write[kind](index, turn)

    async def _environment_status(self, index: int, turn: int) -> None:
        await self._status(
            ENVIRONMENTS, f"e{index}", self._templates.environment["status"], "lastHandledRunRequestedAt"
        )

    async def _gateway_status(self, index: int, turn: int) -> None:
        gateway = f"g{index % self._gateways}"
        await self._status(GATEWAYS, gateway, self._templates.gateway["status"], "lastHandledProbeRequestedAt")

    async def _status(self, resource: Resource, name: str, status: Raw, changing: str) -> None:
        body = {
            "apiVersion": API_VERSION, "kind": resource.kind, "metadata": {"name": name, "namespace": self._namespace},
            "status": {**status, changing: str(next(self._number))},
        }  # fmt: skip
        params = {"fieldManager": names.STATUS_MANAGER, "force": "true"}
        send = self._operator.send
        await send("PATCH", resource, self._namespace, name, body, sub="status", content=APPLY, params=params)

    async def _lease(self, index: int, turn: int) -> None:
        name = f"vulcan-writer-g{index % self._gateways}"
        async with self._locks[index % self._gateways]:
            known = self._leases.get(name)
            body = objects.fresh(self._templates.lease, name=name, namespace=self._namespace)
            body["spec"] = {**body["spec"], "holderIdentity": f"holder-{next(self._number)}"}
            if known is None:
                self._leases[name] = await self._operator.create(LEASES, self._namespace, body)
                return
            body["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
            self._leases[name] = await self._operator.send("PUT", LEASES, self._namespace, name, body)

    def _job(self, index: int, turn: int) -> Raw:
        template = self._templates.jobs[turn % len(self._templates.jobs)]
        job = objects.fresh(copy.deepcopy(template), name=f"e{index}-{turn}", namespace=self._namespace)
        # The server sets these, and refuses them from others.
        job["spec"].pop("selector", None)
        job["spec"].pop("ttlSecondsAfterFinished", None)
        for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
            labels[names.OWNER_NAME] = f"e{index}"
            for own in [label for label in labels if "controller-uid" in label or label.endswith("job-name")]:
                del labels[own]
        return job

    async def _create_job(self, index: int, turn: int) -> None:
        await self._operator.create(JOBS, self._namespace, self._job(index, turn))

    async def _end_job(self, index: int, turn: int) -> None:
        await lives.end_job(self._admin, self._job(index, turn))

    async def _keep_job(self, index: int, turn: int) -> None:
        change = {"spec": {"ttlSecondsAfterFinished": 3 * 24 * 3600}}
        await self._operator.send("PATCH", JOBS, self._namespace, f"e{index}-{turn}", change, content=MERGE)

    async def _event(self, index: int, turn: int) -> None:
        name = f"e{index}.{next(self._number):x}"
        body = objects.fresh(self._templates.event, name=name, namespace=self._namespace)
        body["regarding"] = {**body["regarding"], "name": f"e{index}", "namespace": self._namespace}
        await self._operator.create(EVENTS, self._namespace, body)
