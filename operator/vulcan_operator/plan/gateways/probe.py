"""The probe of a gateway: when one is due, what its Job gets, what its result says. Pure; used by
`planner`."""

import datetime as dt
from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import ABOUT, Outcome, Reason, Side
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.environment import RetrySpec
from vulcan_operator.api.fields import FailureStatus, TaskStatus, parse_duration
from vulcan_operator.api.gateway import GatewayStatus, ProbeStatus
from vulcan_operator.plan.core.actions import AuditEntry, Note
from vulcan_operator.plan.core.decision import GatewayDraft
from vulcan_operator.plan.core.moves import Done, Move, Order, Site
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.rules import schedule
from vulcan_operator.plan.tasks import ended, life

# Probes are cheap and everything waits for them: retried sooner than an environment's tasks.
_RETRY = RetrySpec(limit=100, backoff="10s", max_backoff="2m")
# What a Job says of the gateway and only a probe can settle for all its environments.
_DOUBTFUL = tuple(r for r in Reason if ABOUT[r].side in (Side.DATABASE, Side.STATE))


def next(state: GatewayStatus, site: Site, seen: GatewaySeen, now: dt.datetime) -> Move:
    """Whether a probe is due: asked for, never done, of other connections, after trouble, by
    interval."""
    inputs = inputs_of(seen, site)
    failure, settles = state.failure, dict[str, Any]()
    if failure is not None and failure.inputs != inputs:
        # It is of connections that the spec no longer has.
        failure, settles = None, {"failure": None}

    def order(why: str, request: str | None = None) -> Order:
        return Order(TaskKind.PROBE, inputs, why[:256], site, request=request, settles=settles)

    asked = seen.gateway.metadata.annotations.get(names.PROBE_REQUESTED, "")[:64]
    if asked and asked != state.last_handled_probe_requested_at:
        return order("requested", asked)
    if failure is not None:
        at = retry_at(failure)
        due = at is not None and at <= now
        return order("the last probe failed") if due else Done(settles=settles, until=at)
    if state.probe is None or state.probe.inputs != inputs:
        return order("never probed" if state.probe is None else "the connections changed")
    reached = [c.reached for c in seen.contacts if c.reached is not None]
    contact = max([state.probe.time, *reached])
    doubts = (c.failed_at for c in seen.contacts if c.failed_reason in _DOUBTFUL)
    if any(at is not None and at > contact for at in doubts):
        return order("a Job found it unusable")
    # Not if it has a takeover itself, with which its probe might take the state back at once.
    was_taken = seen.taken_over is not None and seen.taken_over > contact
    if was_taken and seen.gateway.spec.takeover is None:
        return order("another gateway has taken over its state")
    interval = parse_duration(seen.gateway.spec.probe.interval)
    if not interval:
        return Done(settles=settles)
    due_at = contact + max(interval, dt.timedelta(seconds=30))
    return order("probe.interval") if due_at <= now else Done(settles=settles, until=due_at)


def inputs_of(seen: GatewaySeen, site: Site) -> str:
    """Digest of what a probe tests, and with which image."""
    gateway, spec = seen.gateway, seen.gateway.spec
    parts: list[Any] = [spec.connection.to_json(), spec.state_connection.to_json(), spec.takeover]
    parts += [gateway.sqlmesh_name, *(a.to_json() for a in spec.additional_connections)]
    parts += [spec.planning.to_json() if spec.planning else None, site.image]
    return of_json(parts)[:16]


def task(base: contract.Task, current: TaskStatus) -> life.Extras:
    """A probe needs nothing but the gateway."""
    return life.Extras(base)


def judge(
    draft: GatewayDraft, found: life.Ended, seen: GatewaySeen, now: dt.datetime
) -> GatewayDraft:
    """The draft with the end of a probe in it."""
    result, ended_task, meta = found.result, found.task, seen.gateway.metadata
    good = result.outcome is Outcome.SUCCEEDED
    update: dict[str, Any] = {"task": None}
    if ended_task.request is not None:
        update["last_handled_probe_requested_at"] = ended_task.request
    if good and result.probe is not None:
        update |= {
            "failure": None,
            "probe": ProbeStatus(inputs=ended_task.inputs, time=now),
            "versions": dict(result.probe.versions),
            "state_identity": result.probe.state_identity,
            "last_contact_time": now,
        }
    else:
        update["failure"] = ended.failure(draft.status.failure, ended_task, result, now)
    audit = AuditEntry(
        operation="probe", gateway=meta.name, outcome=result.outcome, reason=result.reason,
        job=ended_task.job, why=ended_task.why,
    )  # fmt: skip
    said = "both connections answer" if good else ended.message_of(result)
    note = Note(result.reason, f"probe: {said}", warning=not good, audit=audit)
    return draft.with_status(**update).noting(note)


def retry_at(failure: FailureStatus) -> dt.datetime | None:
    """When a failed probe is tried again: without limit, for everything waits for it."""
    return schedule.retry_time(failure.but(counted=0), _RETRY)
