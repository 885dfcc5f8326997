"""Conditions and the writers of a gateway from its status and its environments. Pure; used by
`planner`."""

import datetime as dt

from vulcan_contract.reasons import ABOUT, Reason, Side
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.fields import Condition, TaskState
from vulcan_operator.api.gateway import ActiveWriter, GatewayStatus, WaitingWriter
from vulcan_operator.plan.core.actions import Key
from vulcan_operator.plan.core.conditions import Verdict, put, summarize
from vulcan_operator.plan.core.deadlines import REFUSAL_CHECK
from vulcan_operator.plan.core.decision import GatewayDraft
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.seen import Waiter
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.gateways import probe
from vulcan_operator.plan.gateways.steps import STEPS
from vulcan_operator.plan.rules import change_windows, messages, sharing
from vulcan_operator.plan.tasks import slot
from vulcan_operator.plan.tasks.jobs import Progress

# Conflicts about ownership, identity or versions: the databases answered.
_ANSWERED = tuple(r for r in Reason if ABOUT[r].side in (Side.STATE, Side.VERSION))


def finish(
    draft: GatewayDraft,
    seen: GatewaySeen,
    site: Site,
    now: dt.datetime,
    progress: Progress | None,
) -> GatewayDraft:
    """The draft with every condition, the writers and the next attempt set."""
    spec, generation = seen.gateway.spec, seen.gateway.metadata.generation
    since = draft.status.suspended_since or now
    draft = draft.with_status(suspended_since=since if messages.is_suspended(spec, now) else None)
    state = draft.status
    final = _refused(draft, seen) or _verdict(state, seen, site, progress)
    conditions = summarize(list(state.conditions), final, generation, now)
    for kind, (value, reason, message) in _reached(state).items():
        conditions = put(conditions, kind, value, reason, message, generation, now)
    window = change_windows.of_gateway(site.gateway, now)
    is_set = change_windows.is_frozen(site.gateway)
    conditions = change_windows.with_condition(conditions, window, generation, now, is_set=is_set)
    conditions = _with_sharing(conditions, _shared(seen), generation, now)
    failure = state.failure
    known = [state.last_contact_time, *(c.reached for c in seen.contacts)]
    contact = max((t for t in known if t is not None), default=None)
    # Contact times of environments are only taken along when something else changes: no write for
    # each run.
    changed = conditions != list(seen.gateway.status.conditions) or state != seen.gateway.status
    refused = final.reason == Why.NOT_AUTHORIZED
    return draft.with_status(
        conditions=conditions,
        observed_generation=generation,
        next_attempt_time=probe.retry_at(failure) if failure is not None else None,
        last_contact_time=contact if changed else state.last_contact_time,
        active_writer=_writer(seen, site),
        waiting=_waiting(seen, now),
    ).again(window.look_again, now + REFUSAL_CHECK if refused else None)


def _with_sharing(
    conditions: list[Condition], said: str, generation: int, now: dt.datetime
) -> list[Condition]:
    """Set CredentialsShared; a gateway whose environments are alike does not have it."""
    if not said:
        return [c for c in conditions if c.type != Type.SHARED]
    return put(conditions, Type.SHARED, "True", Why.SHARED, said, generation, now)


def _shared(seen: GatewaySeen) -> str:
    gateway = seen.gateway
    grants, namespace = gateway.spec.grants, gateway.metadata.namespace
    return sharing.shared_credentials(seen.claims, grants, namespace)


def _refused(draft: GatewayDraft, seen: GatewaySeen) -> Verdict | None:
    if seen.live.denied is not None:
        account, hosts = seen.settings.operator_account, [seen.gateway.metadata.namespace]
        return messages.refusal(seen.live.denied, account, hosts)
    return messages.still_refused(draft, seen.gateway.status.conditions, None)


def _verdict(
    state: GatewayStatus, seen: GatewaySeen, site: Site, progress: Progress | None
) -> Verdict:
    failure, task = state.failure, state.task
    if state.suspended_since is not None:
        message = messages.suspension(seen.gateway.spec, state.suspended_since)
        usable = state.probe is not None and failure is None
        return Verdict("True" if usable else "Unknown", Why.SUSPENDED, message)
    if progress is not None and progress.detail and task is not None:
        message = f"Job {task.job}: {progress.detail}"
        return Verdict("False", progress.why, message, reconciling=True)
    if failure is not None:
        # Stays the answer while the next probe runs: a status that flickers helps nobody.
        waits, said = probe.retry_at(failure) is not None, failure.message
        return Verdict("False", failure.reason, said, reconciling=waits, stalled=not waits)
    is_current = state.probe is not None and state.probe.inputs == probe.inputs_of(seen, site)
    if (task is None and state.probe is not None) or is_current:
        return Verdict("True", Why.READY, "both connections answer")
    if task is None:
        return Verdict("Unknown", Why.PENDING, "not probed yet", reconciling=True)
    if task.state == TaskState.WAITING:
        message = f"the {task.kind} waits for the writer slot"
        return Verdict("Unknown", Why.WAITING_FOR_WRITER, message, reconciling=True)
    reason, doing = STEPS[TaskKind(task.kind)].doing
    return Verdict("Unknown", reason, f"{doing}, Job {task.job}", reconciling=True)


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


def _writer(seen: GatewaySeen, site: Site) -> ActiveWriter | None:
    for t in seen.tasks:
        if t.state != TaskState.WAITING and slot.needs_slot(TaskKind(t.kind), site.gateway):
            return ActiveWriter(job=t.job, task=t.kind, environment=str(t.key), since=t.since)
    return None


def _waiting(seen: GatewaySeen, now: dt.datetime) -> list[WaitingWriter]:
    """In the order in which they get it."""

    def place(writer: tuple[Key, WaitingWriter, int]) -> tuple[int, dt.datetime, str]:
        return slot.rank(Waiter(writer[0], writer[2], writer[1].since), now)

    found = [
        (t.key, WaitingWriter(environment=str(t.key), task=t.kind, since=t.since), t.priority)
        for t in seen.tasks
        if t.state == TaskState.WAITING
    ]
    return [writer for _, writer, _ in sorted(found, key=place)[:32]]
