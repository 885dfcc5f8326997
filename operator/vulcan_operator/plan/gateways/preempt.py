"""More urgent work needs the gateway: whether the writer is to stop at its next batch boundary.
Pure.

The stopped task ends as Cancelled, resumes and counts no retry; it cannot win the slot back before
who waits for it, because its class is the lower one. Nothing is remembered: a pod that is being
deleted was told already.
"""

import datetime as dt

from vulcan_contract.reasons import Reason
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.fields import TaskState
from vulcan_operator.plan.core.actions import Kind, Note, StopPods
from vulcan_operator.plan.core.deadlines import SLOT_CHECK
from vulcan_operator.plan.core.decision import GatewayDraft
from vulcan_operator.plan.core.facts import TaskFacts
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.tasks import slot


def preempt(draft: GatewayDraft, seen: GatewaySeen, now: dt.datetime) -> GatewayDraft:
    """Stops the pod of a run, apply or promotion while somebody of a higher class waits."""
    holder = _holder(seen)
    if holder is None:
        return draft
    waiters = [w for w in seen.waiters if w.key.kind is not Kind.GATEWAY]
    times = [t for w in waiters if (t := slot.rises_above(w, holder.priority)) is not None]
    if not times or min(times) > now:
        return draft.again(min(times, default=None))
    pods = [p for p in seen.writer_pods if p.job == holder.job and not p.ended]
    if any(p.deleting for p in pods):
        return draft
    if not any(p.started for p in pods):
        return draft.again(now + SLOT_CHECK)
    message = f"{holder.kind} of {holder.key} is stopped: more urgent work waits"
    stop = StopPods(seen.gateway.metadata.namespace, holder.job)
    return draft.noting(Note(Reason.PREEMPTED, message)).after_status(stop)


def _holder(seen: GatewaySeen) -> TaskFacts | None:
    running = (t for t in seen.tasks if t.state == TaskState.RUNNING)
    return next((t for t in running if TaskKind(t.kind).traits.stoppable), None)
