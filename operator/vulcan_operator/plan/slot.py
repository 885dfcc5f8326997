"""Whose turn it is to write on a gateway. Pure.

One writer per gateway at any time: SQLMesh itself corrupts data under concurrent writers. Who waits is known from the
statuses of all objects on the gateway; the Lease (`kube.execute`) is what decides in the end.
"""

import datetime as dt
import enum

from vulcan_contract.task import TaskKind
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.plan.seen import SlotSeen, Waiter

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


def needs_slot(kind: TaskKind, gateway: VulcanGateway) -> bool:
    """Writers always; the first probe (it initialises the state); on DuckDB everything, a second process fails."""
    duckdb = "duckdb" in (gateway.spec.connection.type, gateway.spec.state_connection.type)
    first_probe = kind is TaskKind.PROBE and gateway.status.state_identity is None
    touches = kind is not TaskKind.RESOLVE
    return kind.writes or first_probe or (duckdb and touches)


def my_turn(me: Waiter, others: tuple[Waiter, ...], slot: SlotSeen, job: str, now: dt.datetime) -> bool:
    """Whether this object may take the slot now."""
    if slot.holder == job:
        return True
    if slot.holder and slot.live:
        return False
    return all(_rank(me, now) < _rank(other, now) for other in others if other.key != me.key)


def _rank(waiter: Waiter, now: dt.datetime) -> tuple[int, dt.datetime, str]:
    raised = int((now - waiter.since) / _RAISED_EVERY)
    return (waiter.priority - raised, waiter.since, str(waiter.key))
