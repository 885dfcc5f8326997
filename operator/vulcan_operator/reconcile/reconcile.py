"""Reconciles one object in one pass: observe, plan, execute, write the status, report.

Called by `worker` for each key of the queue, and by the tests' World; `explain` uses `decide`. The
planners decide what is done, `cluster.wake` decides which objects are reconciled next.
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
from vulcan_operator.kube.client import Kube, exists
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
    """A planner keeps asking for answers that it has, which is a bug."""


@dataclass(frozen=True)
class Planners:
    """Holds the pure functions that decide; tests of the shell replace them."""

    gateway: PlanGateway = plan_gateway
    environment: PlanEnvironment = plan_environment
    promotion: PlanPromotion = plan_promotion


@dataclass(frozen=True)
class Look:
    """Says how one kind is observed and planned."""

    observe: Callable[[Observer, Any, Live], Any]
    plan: Callable[[Planners], Callable[[Any, dt.datetime], AnyPlan]]


LOOKS: dict[Kind, Look] = {
    Kind.GATEWAY: Look(Observer.gateway, lambda planners: planners.gateway),
    Kind.ENVIRONMENT: Look(Observer.environment, lambda planners: planners.environment),
    Kind.PROMOTION: Look(Observer.promotion, lambda planners: planners.promotion),
}


@dataclass(frozen=True)
class Ports:
    """Holds everything that a pass needs; made once, by `assemble`."""

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
    """Says when to requeue the object: at a time, at once, or after a growing delay (and why)."""

    at: dt.datetime | None = None
    now: bool = False
    retry: str = ""


async def reconcile(ports: Ports, key: Key) -> Next:
    """Reconcile one object. Raises errors.KubeError or errors.NotLeader."""
    found = ports.cache.custom(key)
    if found is None:
        return Next()
    try:
        if isinstance(found, Unparsable):
            version, status = found.metadata.resource_version, found.status
            refused = transitions.unparsable(found, ports.clock.now())
            await _write_status(ports, key, version, status, refused)
            return await _release_unparsable(ports, key, found)
        return await _pass(ports, key, found)
    except (errors.Conflict, errors.NotFound):
        await _refresh(ports, key, found.metadata.uid)
        return Next(now=True)
    except AttemptTaken as error:
        return Next(retry=str(error))


async def _release_unparsable(ports: Ports, key: Key, found: Unparsable) -> Next:
    """Remove our finalizer from a deleted object in time: this release cannot invalidate it."""
    meta = found.metadata
    if meta.deletion_timestamp is None or names.FINALIZER not in meta.finalizers:
        return Next()
    ends = meta.deletion_timestamp + GIVE_UP
    if ports.clock.now() < ends:
        return Next(at=ends)
    await ports.executor.run(key, (SetFinalizer.ours(key, meta, there=False),), {})
    return Next()


async def _pass(ports: Ports, key: Key, found: Custom) -> Next:
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
    """Plan, read what the planner needs, and plan again. Changes nothing on the server."""
    look = LOOKS[key.kind]
    for _ in range(_ROUNDS):
        plan = look.plan(planners)(look.observe(observer, found, live), reader.clock.now())
        if not plan.needs:
            return plan, live
        if plan.needs <= live.answers.keys():
            raise PlannerLoops(f"{key}: the planner asks again for {plan.needs}")
        live = await reader.read(found, plan.needs, live)
    raise PlannerLoops(f"{key}: the planner asks for more after {_ROUNDS} rounds")


async def _carry_out(
    ports: Ports, key: Key, found: Custom, plan: AnyPlan, denied: str | None
) -> Next:
    """Carry out `prepare`, write the status if it differs, carry out `actions`, report `notes`.

    What was refused before is not tried again in this pass, except the removal of our finalizer.
    """
    versions: dict[str, str] = {}
    if denied is None:
        await ports.executor.run(key, plan.prepare, versions)
    version, written = found.metadata.resource_version, None
    before, after = found.status, plan.status
    if after != before:  # mostly equal, and comparing models is cheaper than comparing JSON
        current = versions.get(version, version)
        written = await _write_status(ports, key, current, before.to_json(), after.to_json())
    if written is not None:
        versions[version] = written["metadata"]["resourceVersion"]
        changes = transitions.transitions(before.conditions, after.conditions, plan.notes)
        for note in changes:
            _emit(ports, key, found, note)
    if denied is not None:
        if found.metadata.deletion_timestamp is not None:
            last = [action for action in plan.actions if isinstance(action, SetFinalizer)]
            with contextlib.suppress(Refused):  # the status says so already
                await ports.executor.run(key, last, versions)
                _report(ports, key, found, plan)
        return Next(retry=denied)
    try:
        await ports.executor.run(key, plan.actions, versions)
    finally:
        # Also if an action has to be repeated: the status is written, so no later pass reports it.
        _report(ports, key, found, plan)
    if plan.confirmed is not None and plan.confirmed != plan.status:
        current = versions.get(version, version)
        await _write_status(ports, key, current, plan.status.to_json(), plan.confirmed.to_json())
    return Next(at=plan.look_again)


def _emit(ports: Ports, key: Key, found: Custom, note: Note) -> None:
    about = found.metadata
    ports.recorder.emit(key.kind, about, note.reason, note.message, warning=note.warning)


def _report(ports: Ports, key: Key, found: Custom, plan: AnyPlan) -> None:
    for note in plan.notes:
        _emit(ports, key, found, note)
        transitions.audit(key, note)
        ports.noted(key, note)


async def _write_status(
    ports: Ports, key: Key, version: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Apply a status on the server side if it differs, with the resourceVersion as lock."""
    status = ports.schema.prune(key.kind, dict(after))
    if status == ports.schema.prune(key.kind, dict(before)):
        return None
    resource = KINDS[key.kind].resource
    metadata = {"name": key.name, "namespace": key.namespace, "resourceVersion": version}
    body = {"apiVersion": API_VERSION, "kind": key.kind.value, "metadata": metadata}
    body["status"] = status
    raw = await ports.kube.apply(
        resource, key.namespace, key.name, body, names.STATUS_MANAGER, sub="status"
    )
    ports.intake.event(resource, raw, by=key)
    return raw


async def _refresh(ports: Ports, key: Key, uid: str) -> None:
    """Put the API server's version into the cache: another client has changed the object."""
    resource = KINDS[key.kind].resource
    raw = await exists(ports.kube, resource, key.namespace, key.name)
    if raw is not None:
        ports.intake.live(resource, raw)
        return
    gone = {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}}
    ports.intake.event(resource, gone, deleted=True)
