"""Conditions and the writers of a gateway from its status and its environments. Pure; used by `planner`."""

import datetime as dt

from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import RetrySpec
from vulcan_operator.api.gateway import ActiveWriter, GatewayStatus, WaitingWriter
from vulcan_operator.plan.core import decision
from vulcan_operator.plan.core.actions import Key
from vulcan_operator.plan.core.decision import Draft, Verdict
from vulcan_operator.plan.core.seen import GatewaySeen, Waiter
from vulcan_operator.plan.rules import change_windows, messages, schedule
from vulcan_operator.plan.tasks import slot
from vulcan_operator.plan.tasks.jobs import Progress

# Probes are cheap and everything waits for them: retried sooner than an environment's tasks.
RETRY = RetrySpec(limit=100, backoff="10s", max_backoff="2m")


# Conflicts about ownership, identity or versions: the databases answered.
_ANSWERED = {
    Reason.STATE_OWNERSHIP,
    Reason.STATE_LOST,
    Reason.STATE_IDENTITY,
    Reason.STATE_MIGRATION,
    Reason.RUNNER_OUTDATED,
}


def suspended(seen: GatewaySeen, now: dt.datetime) -> bool:
    """Whether no Job may start."""
    spec = seen.gateway.spec
    return spec.suspend and (spec.suspend_until is None or spec.suspend_until > now)


def finish(
    draft: Draft[GatewayStatus], seen: GatewaySeen, now: dt.datetime, progress: Progress | None, inputs: str
) -> Draft[GatewayStatus]:
    """The draft with every condition, the writers and the next attempt set; `inputs`: of a probe today."""
    state, generation = draft.status, seen.gateway.metadata.generation
    final = _refused(draft, seen) or _verdict(state, seen, progress, inputs, now)
    conditions = decision.summarize(list(state.conditions), final, generation, now)
    for kind, (value, reason, message) in _reached(state).items():
        conditions = decision.put(conditions, kind, value, reason, message, generation, now)
    line, frozen = change_windows.of_gateway(seen.gateway, now), change_windows.is_frozen(seen.gateway)
    conditions = change_windows.told(conditions, line, generation, now, is_set=frozen)
    failure = state.failure
    contact = max((s.contact for s in seen.environments if s.contact is not None), default=None)
    known = [t for t in (state.last_contact_time, contact) if t is not None]
    # Contact times of environments are only taken along when something else changes: no write for each run.
    changed = conditions != list(seen.gateway.status.conditions) or state != seen.gateway.status
    return draft.with_status(
        conditions=conditions,
        observed_generation=generation,
        next_attempt_time=schedule.retry_time(failure.but(counted=0), RETRY) if failure else None,
        last_contact_time=max(known, default=None) if changed else state.last_contact_time,
        active_writer=_writer(seen),
        waiting=_waiting(seen, now),
    ).again(line.look_again, now + dt.timedelta(seconds=30) if final.reason == Why.NOT_AUTHORIZED else None)


def _refused(draft: Draft[GatewayStatus], seen: GatewaySeen) -> Verdict | None:
    if seen.denied is not None:
        return messages.refusal(seen.denied, seen.settings.operator_account, [seen.gateway.metadata.namespace])
    return messages.still_refused(draft, seen.gateway.status.conditions, None)


def _verdict(
    state: GatewayStatus, seen: GatewaySeen, progress: Progress | None, inputs: str, now: dt.datetime
) -> Verdict:
    spec, failure, probed = seen.gateway.spec, state.failure, state.probe is not None
    if suspended(seen, now):
        ready = decision.condition(seen.gateway.status.conditions, Type.READY)
        message = messages.suspension(spec.suspend_reason, spec.suspend_until, ready, now)
        return Verdict("True" if probed and failure is None else "Unknown", Why.SUSPENDED, message)
    task = state.task
    if progress is not None and progress.detail and task is not None:
        return Verdict("False", progress.why, f"Job {task.job}: {progress.detail}", reconciling=True)
    if failure is not None:
        # Stays the answer while the next probe runs: nobody is helped by a status that flickers.
        waits = schedule.retry_time(failure.but(counted=0), RETRY) is not None
        return Verdict("False", failure.reason, failure.message, reconciling=waits, stalled=not waits)
    if task is not None:
        current = state.probe is not None and state.probe.inputs == inputs
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
    if failure.reason in _ANSWERED:
        reached = ("True", str(Why.REACHED), "")
        return {Type.WAREHOUSE: reached, Type.STATE: reached}
    return {Type.WAREHOUSE: unknown, Type.STATE: unknown}


def _writer(seen: GatewaySeen) -> ActiveWriter | None:
    for t in seen.tasks:
        if t.state in ("Started", "Running") and slot.needs_slot(TaskKind(t.kind), seen.gateway):
            return ActiveWriter(job=t.job, task=t.kind, environment=str(t.key), since=t.since)
    return None


def _waiting(seen: GatewaySeen, now: dt.datetime) -> list[WaitingWriter]:
    """In the order in which they get it."""

    def place(writer: tuple[Key, WaitingWriter, int]) -> tuple[int, dt.datetime, str]:
        return slot.rank(Waiter(writer[0], writer[2], writer[1].since), now)

    found = [
        (t.key, WaitingWriter(environment=str(t.key), task=t.kind, since=t.since), t.priority)
        for t in seen.tasks
        if t.state == "Waiting"
    ]
    return [writer for _, writer, _ in sorted(found, key=place)[:32]]
