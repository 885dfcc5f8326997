"""Whose turn it is to write on a gateway. Pure.

One writer per gateway at any time: SQLMesh itself corrupts data under concurrent writers. Who waits
is known from the statuses of all objects on the gateway; the Lease (`reconcile.slots`) decides.
"""

import datetime as dt
import enum

from vulcan_contract import engines
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.plan.core.facts import GatewayFacts
from vulcan_operator.plan.core.seen import SlotSeen, Waiter
from vulcan_operator.plan.tasks import jobs
from vulcan_operator.plan.tasks.manifest import runner_digest

_RAISED_EVERY = dt.timedelta(minutes=10)


class Priority(enum.IntEnum):
    """Classes of work, the most urgent first."""

    ROLLBACK = 0
    PROTECTED_RUN = 1
    PROTECTED_APPLY = 2
    PROMOTION = 3
    OTHER = 4
    PREVIEW = 5


def priority(kind: TaskKind, *, protected: bool, preview: bool) -> Priority:
    """Class of a task; previews are environments with a ttl."""
    if protected:
        return Priority.PROTECTED_RUN if kind is TaskKind.RUN else Priority.PROTECTED_APPLY
    return Priority.PREVIEW if preview else Priority.OTHER


def needs_slot(kind: TaskKind, gateway: GatewayFacts) -> bool:
    """Writers; the first probe, which initialises the state; all on an engine for one process."""
    spec, traits = gateway.spec, kind.traits
    first = traits.may_initialise and gateway.state_identity is None
    alone = engines.is_one_process(spec.connection.type, spec.state_connection.type)
    return traits.writes or first or (alone and traits.connects)


def is_fenced(gateway: GatewayFacts, job: str) -> bool:
    """Whether a Job's pod on a dead node may be given up: the lock in the state database decides
    whether it still writes, or a human has said that it does not."""
    said = gateway.metadata.annotations.get(names.WRITER_GONE) == job
    return said or engines.is_fenced(gateway.spec.state_connection.type)


def job_policy(gateway: GatewayFacts, image: str, kind: str = "", job: str = "") -> jobs.JobPolicy:
    """What a gateway's spec of today means for a Job that was made earlier."""
    runner = gateway.spec.runner
    # A task that takes no slot hurts nobody.
    harmless = not kind or not needs_slot(TaskKind(kind), gateway) or is_fenced(gateway, job)
    deadline = parse_duration(runner.start_deadline)
    return jobs.JobPolicy(deadline, runner_digest(image, runner), harmless, gateway.metadata.name)


def my_turn(
    me: Waiter, others: tuple[Waiter, ...], slot: SlotSeen, job: str, now: dt.datetime
) -> bool:
    """Whether this object may take the slot now."""
    if slot.holder and (slot.holder == job or slot.live):
        return slot.holder == job
    return first_in_line(me, others, now)


def first_in_line(me: Waiter, others: tuple[Waiter, ...], now: dt.datetime) -> bool:
    """Whether nobody who waits goes before this object, whoever holds the slot."""
    return all(rank(me, now) < rank(other, now) for other in others if other.key != me.key)


def rank(waiter: Waiter, now: dt.datetime) -> tuple[int, dt.datetime, str]:
    """Order in the line."""
    return (aged(waiter.priority, waiter.since, now), waiter.since, str(waiter.key))


def aged(priority: int, since: dt.datetime, now: dt.datetime) -> int:
    """Ten minutes of waiting raise one class, but none to that of a rollback."""
    if priority == Priority.ROLLBACK:
        return priority
    return max(priority - max(int((now - since) / _RAISED_EVERY), 0), Priority.PROTECTED_RUN)


def rises_above(waiter: Waiter, priority: int) -> dt.datetime | None:
    """When a waiter's class will be above this one; None: never."""
    if aged(waiter.priority, waiter.since, waiter.since + 10 * _RAISED_EVERY) >= priority:
        return None
    return waiter.since + max(waiter.priority - priority + 1, 0) * _RAISED_EVERY
