"""plan_gateway: everything seen of a VulcanGateway -> its complete new status and what to do. Pure.

A gateway is probed when its connections change, when asked, after failures and every probe.interval; any Job of its
environments that reached both databases counts as a probe. Called by `reconcile` only.
"""

import datetime as dt
from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import ABOUT, Outcome, Reason, Retry
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import RetrySpec
from vulcan_operator.api.fields import TaskStatus, parse_duration
from vulcan_operator.api.gateway import ActiveWriter, GatewayStatus, ProbeStatus, VulcanGateway, WaitingWriter
from vulcan_operator.plan import jobs, record, schedule, slot, status, tasks
from vulcan_operator.plan.actions import DeleteJob, KeepJob, Key, Kind, Need, Note, Plan, ReleaseSlot, TakeSlot
from vulcan_operator.plan.jobs import Progress, Stage
from vulcan_operator.plan.manifest import JobParts, build_job
from vulcan_operator.plan.seen import GatewaySeen, JobState, Waiter
from vulcan_operator.plan.status import Draft, Verdict

# Probes are cheap and everything waits for them: retried sooner than an environment's tasks.
_RETRY = RetrySpec(limit=100, backoff="10s", max_backoff="2m")
_SLOT_CHECK = dt.timedelta(seconds=20)
_KEPT_PROBES = 3
_UNREACHED = {Reason.WAREHOUSE_UNREACHABLE, Reason.STATE_UNREACHABLE, Reason.AUTH_FAILED}


def plan_gateway(seen: GatewaySeen, now: dt.datetime) -> Plan[GatewayStatus]:
    """The Plan for one gateway."""
    draft = Draft(seen.gateway.status)
    if seen.denied is not None:
        return _finish(draft, seen, now, _denied(seen), None).again(now + dt.timedelta(seconds=30)).plan()
    if seen.gateway.metadata.deletion_timestamp is not None:
        return draft.plan()
    draft, progress = _in_hand(draft, seen, now)
    if draft.needs:
        return draft.plan()
    if progress is None:
        draft = _advance(draft, seen, now)
    return draft.plan() if draft.needs else _finish(draft, seen, now, None, progress).plan()


def probe_inputs(gateway: VulcanGateway) -> str:
    """Digest of what a probe tests."""
    spec = gateway.spec
    parts: list[Any] = [spec.connection.to_json(), spec.state_connection.to_json(), spec.takeover, gateway.sqlmesh_name]
    parts += [a.to_json() for a in spec.additional_connections]
    parts += [spec.planning.to_json() if spec.planning else None, spec.runner.image]
    return of_json(parts)[:16]


def _in_hand(
    draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime
) -> tuple[Draft[GatewayStatus], Progress | None]:
    task = draft.status.task
    if task is None or task.state == "Waiting":
        return draft, None
    deadline = seen.gateway.spec.runner.start_deadline
    progress = jobs.classify(task, seen.jobs, seen.pods, deadline, now)
    match progress.stage:
        case Stage.PENDING:
            created = progress.job.created if progress.job is not None else None
            return draft.again(created + parse_duration(deadline) if created else None), progress
        case Stage.RUNNING:
            running = task.model_copy(update={"state": "Running"})
            return draft if task.state == "Running" else draft.having(task=running), progress
        case Stage.ABSENT if not seen.job_is_live:
            return draft.needing(Need.JOB), None
        case Stage.ABSENT if task.state == "Running":
            lost = Result(task.kind, Reason.LOST, f"Job {task.job} vanished before its result was recorded")
            return _record(draft, seen, task, Progress(Stage.ENDED, result=lost), now), None
        case Stage.ABSENT:
            return _launch(draft, seen, task, now), Progress(Stage.PENDING)
        case Stage.STUCK:
            stuck = _record(draft, seen, task, progress, now)
            return stuck.then(DeleteJob(seen.gateway.metadata.namespace, task.job)), None
        case _:
            ended = progress.pod is not None and progress.pod.termination
            if not ended and not seen.job_is_live:
                return draft.needing(Need.JOB), None
            return _record(draft, seen, task, progress, now), None


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
        update["failure"] = record.failure(draft.status.failure, task, result, now)
    note = Note(
        result.reason,
        f"probe: {record.message_of(result) if result.outcome is not Outcome.SUCCEEDED else 'both connections answer'}",
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
    draft = draft.having(**update).saying(note)
    if progress.stage is Stage.ENDED and progress.job is not None:
        draft = draft.then(KeepJob(meta.namespace, task.job, jobs.KEEP_RECORDED))
    if slot.needs_slot(TaskKind.PROBE, seen.gateway):
        draft = draft.then(ReleaseSlot(meta.namespace, meta.name, task.job))
    old = sorted(
        (j for j in seen.jobs if j.state is not JobState.UNFINISHED and j.ttl and j.name != task.job),
        key=lambda j: (j.created or now, j.name),
    )
    return draft.then(*(DeleteJob(j.namespace, j.name) for j in old[: max(0, len(old) - _KEPT_PROBES)]))


def _advance(draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime) -> Draft[GatewayStatus]:
    """Starts a probe if one of the triggers fires."""
    if _suspended(seen, now):
        return draft.having(task=None).again(seen.gateway.spec.suspend_until)
    inputs = probe_inputs(seen.gateway)
    why, request, again = _trigger(draft.status, seen, inputs, now)
    draft = draft.again(again)
    if why is None:
        return draft.having(task=None) if draft.status.task is not None else draft
    meta, failed, waiting = seen.gateway.metadata, draft.status.failure, draft.status.task
    known = failed.last_attempt if failed is not None and failed.inputs == inputs else 0
    attempt = jobs.next_attempt(seen.jobs, TaskKind.PROBE, inputs, known)
    task = TaskStatus(
        kind=TaskKind.PROBE,
        job=jobs.job_name(meta.name, meta.uid, TaskKind.PROBE, inputs, attempt),
        inputs=inputs,
        attempt=attempt,
        state="Started",
        priority=slot.Priority.PROTECTED_RUN,
        since=waiting.since if waiting is not None else now,
        request=request,
        why=why[:256],
    )
    return _launch(draft.having(task=task), seen, task, now)


def _trigger(
    state: GatewayStatus, seen: GatewaySeen, inputs: str, now: dt.datetime
) -> tuple[str | None, str | None, dt.datetime | None]:
    """(why a probe is needed now or None, the request it answers, when to look again)."""
    asked = seen.gateway.metadata.annotations.get(names.PROBE_REQUESTED, "")[:64]
    if asked and asked != state.last_handled_probe_requested_at:
        return "requested", asked, None
    failure = state.failure
    if failure is not None and failure.inputs == inputs:
        at = schedule.retry_time(failure.model_copy(update={"counted": 0}), _RETRY)
        return ("the last probe failed", None, None) if at is not None and at <= now else (None, None, at)
    if state.probe is None or state.probe.inputs != inputs:
        return ("never probed" if state.probe is None else "the connections changed"), None, None
    contact = max([state.probe.time, *(s.contact for s in seen.environments if s.contact is not None)])
    trouble = [s.failed_at for s in seen.environments if s.failed_reason in _UNREACHED and s.failed_at is not None]
    if any(t > contact for t in trouble):
        return "a Job could not reach it", None, None
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
            return draft.having(task=task.model_copy(update={"state": "Waiting"})).again(now + _SLOT_CHECK)
        draft = draft.first(TakeSlot(meta.namespace, meta.name, task.job))
    built = contract.Task(
        kind=TaskKind.PROBE,
        job=task.job,
        nonce=of_json([task.job, meta.uid, task.since])[:16],
        gateway=tasks.gateway_of(gateway, seen.settings, planning=False),
    )
    image = gateway.spec.runner.image or seen.settings.runner_image
    install = seen.settings.install
    return draft.then(
        build_job(built, JobParts(key, meta.uid, install, task.inputs, task.attempt, task.why, image, gateway))
    )


def _suspended(seen: GatewaySeen, now: dt.datetime) -> bool:
    spec = seen.gateway.spec
    return spec.suspend and (spec.suspend_until is None or spec.suspend_until > now)


def _finish(
    draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime, verdict: Verdict | None, progress: Progress | None
) -> Draft[GatewayStatus]:
    state, generation = draft.status, seen.gateway.metadata.generation
    final = verdict or _verdict(state, seen, progress, now)
    conditions = status.summarize(list(state.conditions), final, generation, now)
    for kind, (value, reason, message) in _reached(state).items():
        conditions = status.put(conditions, kind, value, reason, message, generation, now)
    failure = state.failure
    contact = max((s.contact for s in seen.environments if s.contact is not None), default=None)
    known = [t for t in (state.last_contact_time, contact) if t is not None]
    # Contact times of environments are only taken along when something else changes: no write for each run.
    changed = conditions != list(seen.gateway.status.conditions) or state != seen.gateway.status
    return draft.having(
        conditions=conditions,
        observed_generation=generation,
        next_attempt_time=schedule.retry_time(failure.model_copy(update={"counted": 0}), _RETRY) if failure else None,
        last_contact_time=max(known, default=None) if changed else state.last_contact_time,
        active_writer=_writer(seen),
        waiting=_waiting(seen),
    )


def _verdict(state: GatewayStatus, seen: GatewaySeen, progress: Progress | None, now: dt.datetime) -> Verdict:
    spec, failure, probed = seen.gateway.spec, state.failure, state.probe is not None
    if _suspended(seen, now):
        until = f" until {spec.suspend_until:%Y-%m-%dT%H:%MZ}" if spec.suspend_until else ""
        why = f": {spec.suspend_reason}" if spec.suspend_reason else ""
        return Verdict("True" if probed and failure is None else "Unknown", Why.SUSPENDED, f"suspended{until}{why}")
    task = state.task
    if progress is not None and progress.detail and task is not None:
        return Verdict("False", Why.POD_WAITING, f"Job {task.job}: {progress.detail}", reconciling=True)
    if failure is not None and failure.inputs == probe_inputs(seen.gateway):
        # Stays the answer while the next probe runs: nobody is helped by a status that flickers.
        waits = schedule.retry_time(failure.model_copy(update={"counted": 0}), _RETRY) is not None
        return Verdict("False", failure.reason, failure.message, reconciling=waits, stalled=not waits)
    if task is not None:
        current = state.probe is not None and state.probe.inputs == task.inputs
        if current:
            return Verdict("True", Why.READY, "both connections answer")
        waiting = task.state == "Waiting"
        reason = Why.WAITING_FOR_WRITER if waiting else Why.PROBING
        message = "the probe waits for the writer slot" if waiting else f"testing both connections, Job {task.job}"
        return Verdict("Unknown", reason, message, reconciling=True)
    if probed:
        return Verdict("True", Why.READY, "both connections answer")
    return Verdict("Unknown", Why.PENDING, "not probed yet", reconciling=True)


def _reached(state: GatewayStatus) -> dict[str, tuple[str, str, str]]:
    failure = state.failure
    unknown = ("Unknown", str(Why.UNKNOWN), "")
    if failure is None:
        both = ("True", str(Why.REACHED), "") if state.probe is not None else unknown
        return {Type.WAREHOUSE: both, Type.STATE: both}
    blame = ("False", failure.reason, failure.message)
    if failure.reason == Reason.STATE_UNREACHABLE:
        return {Type.WAREHOUSE: unknown, Type.STATE: blame}
    if failure.reason == Reason.WAREHOUSE_UNREACHABLE:
        return {Type.WAREHOUSE: blame, Type.STATE: unknown}
    if ABOUT[Reason(failure.reason)].retry is Retry.NEVER:
        # A conflict about ownership, identity or versions: the databases answered.
        reached = ("True", str(Why.REACHED), "")
        return {Type.WAREHOUSE: reached, Type.STATE: reached}
    return {Type.WAREHOUSE: unknown, Type.STATE: unknown}


def _writer(seen: GatewaySeen) -> ActiveWriter | None:
    for s in seen.environments:
        if s.task_state in ("Started", "Running") and slot.needs_slot(TaskKind(s.task_kind), seen.gateway):
            return ActiveWriter(job=s.task_job, task=s.task_kind, environment=str(s.key), since=s.task_since)
    return None


def _waiting(seen: GatewaySeen) -> list[WaitingWriter]:
    waiting = [s for s in seen.environments if s.task_state == "Waiting" and s.task_since is not None]
    ordered = sorted(waiting, key=lambda s: (s.task_since or s.created, str(s.key)))[:32]
    return [
        WaitingWriter(environment=str(s.key), task=s.task_kind, since=s.task_since)
        for s in ordered
        if s.task_since is not None
    ]


def _denied(seen: GatewaySeen) -> Verdict:
    account = seen.settings.operator_account.removeprefix("system:serviceaccount:").partition(":")
    namespace = seen.gateway.metadata.namespace
    message = (
        f"the operator may not work in namespace {namespace}: kubectl create rolebinding vulcan-operator"
        f" --clusterrole=vulcan-gateway --serviceaccount={account[0]}:{account[2]} --namespace={namespace}"
        f" ({(seen.denied or '')[:300]})"
    )
    return Verdict("False", Why.NOT_AUTHORIZED, message, stalled=True)
