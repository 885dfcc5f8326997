"""One look at one object: observe -> plan -> execute -> write the status -> tell.

Called by `loop` for each key of the queue (and by the tests' World). Decisions are the planner's; who is to be looked
at next is `cluster.wake`'s.
"""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vulcan_operator.api import API_VERSION, names
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.kinds import KINDS
from vulcan_operator.cluster.places import Custom
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.events import Recorder
from vulcan_operator.plan.core.actions import Key, Kind, Note, Plan, SetFinalizer
from vulcan_operator.plan.core.deadlines import GIVE_UP, must_go
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.world import EnvironmentSeen, GatewaySeen, PromotionSeen
from vulcan_operator.plan.environments.planner import plan_environment
from vulcan_operator.plan.gateways.planner import plan_gateway
from vulcan_operator.plan.promotions.planner import plan_promotion
from vulcan_operator.reconcile import slots, transitions
from vulcan_operator.reconcile.execute import AttemptTaken, Executor, Refused
from vulcan_operator.reconcile.observe import Observer
from vulcan_operator.reconcile.reads import Reader
from vulcan_operator.reconcile.schema import StatusSchema

PlanGateway = Callable[[GatewaySeen, dt.datetime], Plan[GatewayStatus]]
PlanEnvironment = Callable[[EnvironmentSeen, dt.datetime], Plan[EnvironmentStatus]]
PlanPromotion = Callable[[PromotionSeen, dt.datetime], Plan[PromotionStatus]]
AnyPlan = Plan[GatewayStatus] | Plan[EnvironmentStatus] | Plan[PromotionStatus]
_ROUNDS = 8


class PlannerLoops(Exception):
    """A bug: the planner keeps asking for what it has got."""


@dataclass(frozen=True)
class Planners:
    """The pure functions that decide; tests of the shell have others."""

    gateway: PlanGateway = plan_gateway
    environment: PlanEnvironment = plan_environment
    promotion: PlanPromotion = plan_promotion


@dataclass(frozen=True)
class Look:
    """How one kind is seen and planned."""

    observe: Callable[[Observer, Any, Live], Any]
    plan: Callable[[Planners], Callable[[Any, dt.datetime], AnyPlan]]


LOOKS: dict[Kind, Look] = {
    Kind.GATEWAY: Look(Observer.gateway, lambda planners: planners.gateway),
    Kind.ENVIRONMENT: Look(Observer.environment, lambda planners: planners.environment),
    Kind.PROMOTION: Look(Observer.promotion, lambda planners: planners.promotion),
}


@dataclass(frozen=True)
class Ports:
    """Everything a reconcile needs, made once."""

    kube: Kube
    cache: Cache
    intake: Intake
    reader: Reader
    observer: Observer
    executor: Executor
    schema: StatusSchema
    recorder: Recorder
    clock: Clock
    planners: Planners
    noted: Callable[[Key, Note], None] = lambda key, note: None


@dataclass(frozen=True)
class Next:
    """When to look again: at a time, at once, or (with why) after a growing delay."""

    at: dt.datetime | None = None
    now: bool = False
    retry: str = ""


async def reconcile(ports: Ports, key: Key) -> Next:
    """Look at one object. Raises errors.KubeError or errors.NotLeader."""
    found = ports.cache.custom(key)
    if found is None:
        return Next()
    try:
        if isinstance(found, Unparsable):
            await _write_status(
                ports,
                key,
                found.metadata.resource_version,
                found.status,
                transitions.unparsable(found, ports.clock.now()),
            )
            return await _let_go_unread(ports, key, found)
        return await _look(ports, key, found)
    except (errors.Conflict, errors.NotFound):
        await _refresh(ports, key, found.metadata.uid)
        return Next(now=True)
    except AttemptTaken as error:
        return Next(retry=str(error))


async def _let_go_unread(ports: Ports, key: Key, found: Unparsable) -> Next:
    """Deletion always ends, also of what this release cannot read: nobody can invalidate it, so it is let go in time."""
    meta = found.metadata
    if meta.deletion_timestamp is None or names.FINALIZER not in meta.finalizers:
        return Next()
    ends = meta.deletion_timestamp + GIVE_UP
    if ports.clock.now() < ends:
        return Next(at=ends)
    await ports.executor.run(key, (SetFinalizer.ours(key, meta, there=False),), {})
    return Next()


async def _look(ports: Ports, key: Key, found: Custom) -> Next:
    live = Live()
    for _ in range(_ROUNDS):
        plan, live = await decide(ports.planners, ports.observer, ports.reader, key, found, live)
        try:
            return await _carry_out(ports, key, found, plan, live.denied)
        except slots.SlotBusy as busy:
            live = live.having(busy.need, busy.slot)
        except Refused as refused:
            live = dataclasses.replace(live, denied=str(refused))
        except errors.Unavailable as error:
            if live.denied is not None or not must_go(found.metadata, ports.clock.now()):
                raise  # tried again
            live = dataclasses.replace(live, denied=error.message)
        current = ports.cache.custom(key)
        if current is None or isinstance(current, Unparsable):
            return Next(now=True)
        found = current  # our own status write may have made it newer
    raise PlannerLoops(f"{key}: no plan could be carried out in {_ROUNDS} rounds")


async def decide(
    planners: Planners, observer: Observer, reader: Reader, key: Key, found: Custom, live: Live
) -> tuple[AnyPlan, Live]:
    """Plan, read what the plan says it needs, and plan again. Changes nothing on the server."""
    look = LOOKS[key.kind]
    for _ in range(_ROUNDS):
        plan = look.plan(planners)(look.observe(observer, found, live), reader.clock.now())
        if not plan.needs:
            return plan, live
        if plan.needs <= live.answers.keys():
            raise PlannerLoops(f"{key}: {plan.needs} were read")
        live = await reader.read(found, plan.needs, live)
    raise PlannerLoops(f"{key}: never has enough")


async def _carry_out(ports: Ports, key: Key, found: Custom, plan: AnyPlan, denied: str | None) -> Next:
    """`prepare`, the status if it differs, `actions`, `notes`. What was refused before is not tried again now; an object
    that is being deleted is let go in any case."""
    versions: dict[str, str] = {}
    if denied is None:
        await ports.executor.run(key, plan.prepare, versions)
    version, written = found.metadata.resource_version, None
    if plan.status != found.status:  # most looks change nothing: equal models need not be turned into JSON to see that
        current = versions.get(version, version)
        written = await _write_status(ports, key, current, found.status.to_json(), plan.status.to_json())
    if written is not None:
        versions[version] = written["metadata"]["resourceVersion"]
        for event in transitions.transitions(found.status.conditions, plan.status.conditions, plan.notes):
            ports.recorder.emit(key.kind, found.metadata, event.reason, event.message, warning=event.warning)
    if denied is not None:
        if found.metadata.deletion_timestamp is not None:
            last = [action for action in plan.actions if isinstance(action, SetFinalizer)]
            with contextlib.suppress(Refused):  # which is said already
                await ports.executor.run(key, last, versions)
                _tell(ports, key, found, plan)
        return Next(retry=denied)
    try:
        await ports.executor.run(key, plan.actions, versions)
    finally:
        # Also when an action has to be tried again: the status that announces it is written, so this is not said twice.
        _tell(ports, key, found, plan)
    if plan.confirmed is not None and plan.confirmed != plan.status:
        current = versions.get(version, version)
        await _write_status(ports, key, current, plan.status.to_json(), plan.confirmed.to_json())
    return Next(at=plan.look_again)


def _tell(ports: Ports, key: Key, found: Custom, plan: AnyPlan) -> None:
    for note in plan.notes:
        ports.recorder.emit(key.kind, found.metadata, note.reason, note.message, warning=note.warning)
        transitions.audit(key, note)
        ports.noted(key, note)


async def _write_status(
    ports: Ports, key: Key, version: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Server-side apply with the resourceVersion as lock, unless nothing would change."""
    status = ports.schema.prune(key.kind, dict(after))
    if status == ports.schema.prune(key.kind, dict(before)):
        return None
    resource = KINDS[key.kind].resource
    metadata = {"name": key.name, "namespace": key.namespace, "resourceVersion": version}
    body = {"apiVersion": API_VERSION, "kind": key.kind.value, "metadata": metadata, "status": status}
    raw = await ports.kube.apply(resource, key.namespace, key.name, body, names.STATUS_MANAGER, sub="status")
    ports.intake.event(resource, raw, by=key)
    return raw


async def _refresh(ports: Ports, key: Key, uid: str) -> None:
    """Somebody else changed the object: take what the API server has now."""
    resource = KINDS[key.kind].resource
    try:
        ports.intake.live(resource, await ports.kube.get(resource, key.namespace, key.name))
    except errors.NotFound:
        ports.intake.event(
            resource, {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}}, deleted=True
        )
