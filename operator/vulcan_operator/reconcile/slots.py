"""Takes and releases the writer slot of a gateway: a Lease whose holder is the Job that may write.

Read by `reconcile.reads`, taken and released by `reconcile.execute`, released for orphans by
`collect`. Writes are locked by resourceVersion; a holder that is provably dead is replaced.
"""

import datetime as dt
import re

from vulcan_operator.api import names
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube, Reads, exists
from vulcan_operator.kube.clock import Clock, micro_time
from vulcan_operator.kube.resources import JOBS, LEASES, PODS, Raw
from vulcan_operator.plan.core.actions import ReadSlot
from vulcan_operator.plan.core.seen import JobState, SlotSeen
from vulcan_operator.plan.tasks.slot import is_fenced

JUST = dt.timedelta(seconds=15)
_JOB = re.compile("[a-z0-9][a-z0-9.-]{0,62}")  # it also goes into a label selector


class SlotBusy(Exception):
    """Another Job holds the slot and may still write."""

    def __init__(self, need: ReadSlot, slot: SlotSeen) -> None:
        super().__init__(f"the writer slot is held by {slot.holder}")
        self.need, self.slot = need, slot


def lease_name(gateway: str) -> str:
    """Return the name of the gateway's writer Lease."""
    return f"vulcan-writer-{gateway}"


async def read(kube: Reads, cache: Cache, clock: Clock, namespace: str, gateway: str) -> SlotSeen:
    """Return who holds the slot, and whether it may still write."""
    lease = await exists(kube, LEASES, namespace, lease_name(gateway))
    return await _judge(kube, cache, clock, namespace, gateway, lease)


async def take(
    kube: Kube, cache: Cache, clock: Clock, namespace: str, gateway: str, job: str
) -> None:
    """Make `job` the holder. Raises SlotBusy if a live Job is, Conflict if a write was faster."""
    lease = await exists(kube, LEASES, namespace, lease_name(gateway))
    slot = await _judge(kube, cache, clock, namespace, gateway, lease, taker=job)
    if slot.holder == job:
        return
    if slot.live:
        raise SlotBusy(ReadSlot(namespace, gateway), slot)
    body = _body(namespace, gateway, job, clock, lease)
    if lease is not None:
        await kube.replace(LEASES, namespace, lease_name(gateway), body)
        return
    try:
        await kube.create(LEASES, namespace, body)
    except errors.AlreadyExists as error:
        raise errors.Conflict(error.message, status=409) from error


async def release(kube: Kube, clock: Clock, namespace: str, gateway: str, job: str) -> bool:
    """Release the slot if `job` holds it. Return whether it did."""
    lease = await exists(kube, LEASES, namespace, lease_name(gateway))
    if lease is None or _holder(lease) != job:
        return False
    body = _body(namespace, gateway, "", clock, lease)
    await kube.replace(LEASES, namespace, lease_name(gateway), body)
    return True


def _holder(lease: Raw | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _just_taken(lease: Raw | None, clock: Clock) -> bool:
    """Return whether the pass that took it may still be about to create its Job."""
    text = str(((lease or {}).get("spec") or {}).get("acquireTime") or "")
    try:
        age = clock.now() - dt.datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return False
    return abs(age) < JUST


async def _judge(
    kube: Reads,
    cache: Cache,
    clock: Clock,
    namespace: str,
    gateway: str,
    lease: Raw | None,
    taker: str = "",
) -> SlotSeen:
    holder = _holder(lease)
    if not holder or holder == taker or not _JOB.fullmatch(holder):  # no such Job can exist
        return SlotSeen(holder or None)
    if cache.intends((namespace, gateway), holder):
        return SlotSeen(holder, live=True, detail="its task is in flight")
    raw = await exists(kube, JOBS, namespace, holder)
    if raw is None and _just_taken(lease, clock):
        return SlotSeen(holder, live=True, detail="its Job is about to be created")
    running = [
        pod
        async for page in kube.pages(PODS, namespace, f"{views.JOB_NAME}={holder}")
        for pod in map(views.pod, page.items)
        if not pod.ended
    ]
    found = cache.gateway_facts((namespace, gateway))
    fenced = found is not None and is_fenced(found, holder)
    alive = [pod for pod in running if not (fenced and pod.is_on_dead_node(clock.now()))]
    if alive:
        detail = f"pod {alive[0].name} has not ended ({alive[0].phase})"
        return SlotSeen(holder, live=True, detail=detail)
    if raw is not None and views.job(raw).state is JobState.UNFINISHED and not running:
        return SlotSeen(holder, live=True, detail="its Job has not ended")
    return SlotSeen(holder)


def _body(namespace: str, gateway: str, job: str, clock: Clock, lease: Raw | None) -> Raw:
    now = micro_time(clock.now())
    metadata: Raw = {"name": lease_name(gateway), "namespace": namespace}
    metadata["labels"] = {names.GATEWAY: gateway}
    if lease is not None:
        metadata = {k: v for k, v in lease["metadata"].items() if k != "managedFields"}
    spec = {"holderIdentity": job, "renewTime": now} | ({"acquireTime": now} if job else {})
    return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
