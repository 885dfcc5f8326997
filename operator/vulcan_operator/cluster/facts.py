"""One of our objects as others see it: where its gateway, source and target are, and what of it concerns them.

Used by `cache` for its indexes, by `cluster.wake` to tell whom a change concerns, and by `reconcile.observe`. Pure.
"""

from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.cluster.store import Place
from vulcan_operator.cluster.views import MODELS, Unparsable
from vulcan_operator.plan.core.actions import Key
from vulcan_operator.plan.core.seen import Sibling, TaskSeen, Waiter

Gateway = VulcanGateway | Unparsable
Environment = VulcanEnvironment | Unparsable
Promotion = VulcanPromotion | Unparsable
Custom = VulcanGateway | VulcanEnvironment | VulcanPromotion


def key_of(found: Custom) -> Key:
    """The key of a parsed object."""
    kind = next(kind for kind, model in MODELS.items() if isinstance(found, model))
    return Key(kind, found.metadata.namespace, found.metadata.name)


def target_of(promotion: Promotion) -> Place:
    """Where the environment is that a promotion changes."""
    if isinstance(promotion, Unparsable):
        return ("", "")
    reference = promotion.spec.to.environment_ref
    return (reference.namespace or promotion.metadata.namespace, reference.name)


def source_of(promotion: Promotion) -> Place:
    """Where the environment is that a promotion takes its revision from; nowhere for a way back."""
    if isinstance(promotion, Unparsable) or promotion.spec.from_ is None:
        return ("", "")
    reference = promotion.spec.from_.environment_ref
    return (reference.namespace or promotion.metadata.namespace, reference.name)


def gateway_of(environment: Environment) -> Place:
    """Where an environment's gateway is."""
    if isinstance(environment, Unparsable):
        return ("", "")
    reference = environment.spec.gateway_ref
    return (reference.namespace or environment.metadata.namespace, reference.name)


def sibling_of(environment: VulcanEnvironment) -> Sibling:
    """What others need to know of an environment."""
    status = environment.status
    contacts = [t for t in (status.plan and status.plan.time, status.applied and status.applied.time) if t]
    if status.last_run is not None and status.last_run.succeeded:
        contacts.append(status.last_run.time)
    failures = [f for f in (status.failure, status.run_failure) if f is not None]
    failed = max(failures, key=lambda f: f.time, default=None)
    refused = any(c.type == Type.READY and c.reason == Why.NOT_GRANTED for c in status.conditions)
    return Sibling(
        key=key_of(environment), uid=environment.metadata.uid, created=environment.metadata.creation_timestamp,
        environment=environment.sqlmesh_environment, protected=status.protected, applied=status.applied is not None,
        deleting=environment.metadata.deletion_timestamp is not None,
        refused=refused, failed_reason=failed.reason if failed else "", failed_at=failed.time if failed else None,
        contact=max(contacts, default=None),
        task_job=status.task.job if status.task else "", task_kind=status.task.kind if status.task else "",
        task_state=status.task.state if status.task else "", task_since=status.task.since if status.task else None,
        task_priority=status.task.priority if status.task else 0,
    )  # fmt: skip


def waiter_of(found: VulcanGateway | VulcanEnvironment) -> Waiter | None:
    """Its place in the line for the writer slot."""
    task = found.status.task
    if task is None or task.state != "Waiting":
        return None
    if found.metadata.deletion_timestamp is not None and task.kind != TaskKind.INVALIDATE:
        return None
    return Waiter(key_of(found), task.priority, task.since)


def hands_of(promotion: Promotion | None) -> dict[Place, tuple[TaskSeen, ...]]:
    """Its tasks in hand, by the gateway that they run on."""
    if not isinstance(promotion, VulcanPromotion):
        return {}
    found: dict[Place, tuple[TaskSeen, ...]] = {}
    for t in promotion.status.tasks:
        seen = TaskSeen(key_of(promotion), promotion.metadata.uid, t.kind, t.job, t.state, t.priority, t.since)
        found[t.place] = (*found.get(t.place, ()), seen)
    return found


def waits_of(promotion: Promotion | None, tasks: tuple[TaskSeen, ...]) -> Waiter | None:
    """A promotion's place in the line of one gateway; of a deleted one only for what must come to an end."""
    waiting = next((task for task in tasks if task.state == "Waiting"), None)
    if promotion is None or waiting is None:
        return None
    if promotion.metadata.deletion_timestamp is not None and not TaskKind(waiting.kind).writes:
        return None
    return Waiter(waiting.key, waiting.priority, waiting.since)


def ending_of(promotion: Promotion | None) -> object:
    """What its target and other promotions to it look at."""
    if not isinstance(promotion, VulcanPromotion):
        return None
    status = promotion.status
    ready = next((c.reason for c in status.conditions if c.type == "Ready"), "")
    queued = ready == "Queued"  # one that is let in may take the place of older ones
    began = status.started_at is not None
    said = (status.outcome, status.applied_plan_id, status.superseded_by, status.evidence_ref)
    return (promotion.metadata.uid, *said, queued, began)


def promotable_of(environment: Environment | None) -> object:
    """What promotions look at in an environment."""
    if not isinstance(environment, VulcanEnvironment):
        return environment and environment.metadata.uid
    status = environment.status
    ready = tuple((c.status, c.reason) for c in status.conditions if c.type == "Ready")
    runs = (status.green_runs, status.last_run and status.last_run.time)
    return (
        environment.metadata.uid,
        environment.spec,
        environment.metadata.deletion_timestamp,
        status.applied,
        runs,
        ready,
    )


def noted_of(environment: Environment | None) -> tuple[str, ...]:
    """Which promotions it has noted, by uid: what an ended one waits for."""
    return tuple(p.uid for p in environment.status.promotions) if isinstance(environment, VulcanEnvironment) else ()


def record_of(environment: Environment | None) -> Sibling | None:
    """What others need to know of one that can be read."""
    return sibling_of(environment) if isinstance(environment, VulcanEnvironment) else None


def face_of(gateway: Gateway | None) -> object:
    """What environments look at in a gateway: not who writes or waits, which changes all the time."""
    if not isinstance(gateway, VulcanGateway):
        return gateway and gateway.metadata.uid
    meta, status = gateway.metadata, gateway.status
    conditions = tuple((c.type, c.status, c.reason, c.message) for c in status.conditions)
    return (
        meta.uid,
        gateway.spec,
        meta.deletion_timestamp,
        meta.annotations,
        conditions,
        status.state_identity,
        status.versions,
        status.probe,  # what waits for an outage to end goes on
    )
