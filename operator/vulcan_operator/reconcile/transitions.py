"""Reports what a pass has changed: Events for changed conditions, the audit line.

Used by `reconcile`. Pure except for the audit log.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from vulcan_contract import times
from vulcan_contract.reasons import ABOUT, Outcome, Reason
from vulcan_operator import logs
from vulcan_operator.api.fields import Condition
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.plan.core.actions import Key, Note

_TROUBLE = {r.value for r in Reason if ABOUT[r].outcome in (Outcome.FAILED, Outcome.ERRORED)}


def transitions(
    before: Sequence[Condition], after: Sequence[Condition], notes: Sequence[Note]
) -> Iterator[Note]:
    """Return a Note for each condition whose status or reason changed, one per reason.

    A new condition is reported only if it is Ready or a warning: that nothing has run yet is no
    event. A Note is a warning if any condition with its reason is: Ready and Stalled share theirs.
    """
    known = {c.type: (c.status, c.reason) for c in before}
    warnings = {c.reason for c in after if _is_warning(c)}
    said = {n.reason for n in notes}
    for condition in after:
        was = known.get(condition.type)
        if was == (condition.status, condition.reason) or condition.reason in said:
            continue
        if was is None and condition.type != "Ready" and not _is_warning(condition):
            continue
        said.add(condition.reason)
        message = condition.message or f"{condition.type} is {condition.status}"
        yield Note(condition.reason, message, warning=condition.reason in warnings)


def _is_warning(condition: Condition) -> bool:
    if condition.type in ("Stalled", "RollbackExpiring"):
        return condition.status == "True"
    return condition.status == "False" and condition.reason in _TROUBLE


def audit(key: Key, note: Note) -> None:
    """Write a line to the audit log if the note has one."""
    if note.audit is not None:
        about = {"object": str(key), "kind": key.kind.value}
        about |= {"event": note.reason, "message": note.message}
        logs.audit(about | note.audit.fields())


def unparsable(found: Unparsable, now: dt.datetime) -> dict[str, Any]:
    """Return the status of an object that cannot be parsed: Ready and Stalled say why."""
    message = f"The object does not fit this release: {found.error}."
    message += " Correct it, or install the CRDs of this release."
    ours = {"Ready": "False", "Stalled": "True"}
    kept = [c for c in found.status.get("conditions", []) if c.get("type") not in ours]
    news = [_condition(found, kind, status, message, now) for kind, status in ours.items()]
    return {**found.status, "conditions": [*kept, *news]}


def _condition(
    found: Unparsable, kind: str, status: str, message: str, now: dt.datetime
) -> dict[str, Any]:
    conditions = found.status.get("conditions", [])
    before: dict[str, Any] = next((c for c in conditions if c.get("type") == kind), {})
    changed = before.get("status") != status
    stamp = times.to_second(now)
    return {
        "type": kind, "status": status, "reason": "SpecInvalid", "message": message,
        "observedGeneration": found.metadata.generation,
        "lastTransitionTime": stamp if changed else before["lastTransitionTime"],
    }  # fmt: skip
