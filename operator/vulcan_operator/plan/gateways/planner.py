"""plan_gateway: everything seen of a VulcanGateway -> its complete new status and what to do. Pure.

A gateway is probed when its connections change, when asked, after failures and every probe.interval; any Job of its
environments that reached both databases counts as a probe. Called by `reconcile` only.
"""

import datetime as dt
from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.fields import TaskStatus, parse_duration
from vulcan_operator.api.gateway import GatewayStatus, ProbeStatus
from vulcan_operator.plan.core.actions import Key, Kind, Need, Note, Plan, ReleaseSlot, TakeSlot
from vulcan_operator.plan.core.deadlines import SLOT_CHECK
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.seen import GatewaySeen, Waiter
from vulcan_operator.plan.gateways import conditions, preempt
from vulcan_operator.plan.rules import schedule
from vulcan_operator.plan.tasks import ended, jobs, life, retention, slot, values
from vulcan_operator.plan.tasks.jobs import Progress, Stage
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

# What a Job says of the gateway and only a probe can settle for all its environments.
_DOUBTFUL = {
    Reason.WAREHOUSE_UNREACHABLE,
    Reason.STATE_UNREACHABLE,
    Reason.AUTH_FAILED,
    Reason.STATE_IDENTITY,
    Reason.STATE_LOST,
    Reason.STATE_OWNERSHIP,
}


def plan_gateway(seen: GatewaySeen, now: dt.datetime) -> Plan[GatewayStatus]:
    """The Plan for one gateway."""
    draft = Draft(seen.gateway.status)
    if seen.denied is not None:
        return conditions.finish(draft, seen, now, None, probe_inputs(seen)).finish()
    if seen.gateway.metadata.deletion_timestamp is not None:
        return draft.finish()
    draft, progress = _in_hand(draft, seen, now)
    if draft.needs:
        return draft.finish()
    if progress is None:
        draft = _advance(draft, seen, now)
    if draft.needs:
        return draft.finish()
    draft = preempt.preempt(_tidy(draft, seen, now), seen, now)
    return conditions.finish(draft, seen, now, progress, probe_inputs(seen)).finish()


def _tidy(draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime) -> Draft[GatewayStatus]:
    current = {draft.status.task.job} if draft.status.task is not None else set()
    return draft.after_status(*retention.let_go_jobs(seen.jobs, seen.pods, current, _terms(seen), now))


def _image(seen: GatewaySeen) -> str:
    return seen.gateway.spec.runner.image or seen.settings.runner_image


def _terms(seen: GatewaySeen, kind: str = "", job: str = "") -> jobs.Terms:
    return slot.terms(seen.gateway, _image(seen), kind, job)


def probe_inputs(seen: GatewaySeen) -> str:
    """Digest of what a probe tests, and with which image."""
    gateway, spec = seen.gateway, seen.gateway.spec
    parts: list[Any] = [spec.connection.to_json(), spec.state_connection.to_json(), spec.takeover, gateway.sqlmesh_name]
    parts += [a.to_json() for a in spec.additional_connections]
    parts += [spec.planning.to_json() if spec.planning else None, _image(seen)]
    return of_json(parts)[:16]


def _in_hand(
    draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime
) -> tuple[Draft[GatewayStatus], Progress | None]:
    task = draft.status.task
    if task is None:
        return draft, None
    terms = _terms(seen, task.kind, task.job)
    found = life.look(task, seen.jobs, seen.pods, terms, now, live=seen.job_is_live, reports={})
    if found.need is not None:
        return draft.needing(found.need), None
    if found.goes is not None:
        draft = draft.again(jobs.next_look(found.goes, terms, now))
        noticed = life.noticed(task)
        return draft if noticed is task else draft.with_status(task=noticed), found.goes
    return (_record(draft, seen, task, found.ended, now) if found.ended is not None else draft), None


def _record(
    draft: Draft[GatewayStatus], seen: GatewaySeen, task: TaskStatus, progress: Progress, now: dt.datetime
) -> Draft[GatewayStatus]:
    result, meta = progress.result, seen.gateway.metadata
    assert result is not None
    update: dict[str, Any] = {"task": None}
    if task.request is not None:
        update["last_handled_probe_requested_at"] = task.request
    if result.outcome is Outcome.SUCCEEDED and result.probe is not None:
        update |= {
            "failure": None,
            "probe": ProbeStatus(inputs=task.inputs, time=now),
            "versions": dict(result.probe.versions),
            "state_identity": result.probe.state_identity,
            "last_contact_time": now,
        }
    else:
        update["failure"] = ended.failure(draft.status.failure, task, result, now)
    note = Note(
        result.reason,
        f"probe: {ended.message_of(result) if result.outcome is not Outcome.SUCCEEDED else 'both connections answer'}",
        warning=result.outcome is not Outcome.SUCCEEDED,
        audit={
            "operation": "probe",
            "gateway": meta.name,
            "outcome": result.outcome,
            "reason": result.reason,
            "job": task.job,
            "why": task.why,
        },
    )
    draft = draft.with_status(**update).noting(note)
    if slot.needs_slot(TaskKind.PROBE, seen.gateway) and progress.stage is Stage.ENDED:
        return draft.after_status(ReleaseSlot(meta.namespace, meta.name, task.job))
    return draft


def _advance(draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime) -> Draft[GatewayStatus]:
    """Starts a probe if one of the triggers fires."""
    if conditions.suspended(seen, now):
        return draft.with_status(task=None).again(seen.gateway.spec.suspend_until)
    inputs = probe_inputs(seen)
    if draft.status.failure is not None and draft.status.failure.inputs != inputs:
        draft = draft.with_status(failure=None)  # of connections that are not in the spec any more
    why, request, again = _trigger(draft.status, seen, inputs, now)
    draft = draft.again(again)
    if why is None:
        return draft.with_status(task=None) if draft.status.task is not None else draft
    task = life.announce(
        seen.gateway.metadata,
        seen.jobs,
        TaskKind.PROBE,
        inputs,
        (draft.status.failure, draft.status.task),
        now,
        priority=slot.Priority.PROTECTED_RUN,
        request=request,
        why=why[:256],
    )
    return _launch(draft.with_status(task=task), seen, task, now)


def _trigger(
    state: GatewayStatus, seen: GatewaySeen, inputs: str, now: dt.datetime
) -> tuple[str | None, str | None, dt.datetime | None]:
    """(why a probe is needed now or None, the request it answers, when to look again)."""
    asked = seen.gateway.metadata.annotations.get(names.PROBE_REQUESTED, "")[:64]
    if asked and asked != state.last_handled_probe_requested_at:
        return "requested", asked, None
    failure = state.failure
    if failure is not None:
        at = schedule.retry_time(failure.but(counted=0), conditions.RETRY)
        return ("the last probe failed", None, None) if at is not None and at <= now else (None, None, at)
    if state.probe is None or state.probe.inputs != inputs:
        return ("never probed" if state.probe is None else "the connections changed"), None, None
    contact = max([state.probe.time, *(s.contact for s in seen.environments if s.contact is not None)])
    trouble = [s.failed_at for s in seen.environments if s.failed_reason in _DOUBTFUL and s.failed_at is not None]
    if any(t > contact for t in trouble):
        return "a Job found it unusable", None, None
    interval = parse_duration(seen.gateway.spec.probe.interval)
    if interval:
        due = contact + max(interval, dt.timedelta(seconds=30))
        return ("probe.interval", None, None) if due <= now else (None, None, due)
    return None, None, None


def _launch(draft: Draft[GatewayStatus], seen: GatewaySeen, task: TaskStatus, now: dt.datetime) -> Draft[GatewayStatus]:
    gateway, meta = seen.gateway, seen.gateway.metadata
    key = Key(Kind.GATEWAY, meta.namespace, meta.name)
    if slot.needs_slot(TaskKind.PROBE, gateway):
        if seen.slot is None:
            return draft.needing(Need.SLOT)
        if not slot.my_turn(Waiter(key, task.priority, task.since), seen.waiters, seen.slot, task.job, now):
            return draft.with_status(task=task.but(state="Waiting")).again(now + SLOT_CHECK)
        draft = draft.after_status(TakeSlot(meta.namespace, meta.name, task.job))
    built = contract.Task(
        kind=TaskKind.PROBE,
        job=task.job,
        nonce=of_json([task.job, meta.uid, task.since])[:16],
        gateway=values.gateway_of(gateway, seen.settings, planning=False),
    )
    install = seen.settings.install
    parts = JobParts(key, meta.uid, install, task.inputs, task.attempt, task.why, _image(seen), gateway)
    return draft.after_status(build_job(built, parts))
