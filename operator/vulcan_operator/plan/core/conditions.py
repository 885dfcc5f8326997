"""Conditions of an object. Pure; used by every planner.

A condition's transition time moves only when its status flips, and no message has a count of waits
or the current time: an unchanged world must give an unchanged status, or the loop would never rest.
"""

import datetime as dt
from dataclasses import dataclass

from vulcan_operator.api.conditions import Type
from vulcan_operator.api.fields import Condition


@dataclass(frozen=True)
class Verdict:
    """How Ready, Reconciling and Stalled come out."""

    ready: str  # True | False | Unknown
    reason: str
    message: str = ""
    reconciling: bool = False
    stalled: bool = False


def condition(conditions: list[Condition], kind: str) -> Condition | None:
    """The condition of a type, if there."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: list[Condition], kind: str) -> bool:
    """Whether a condition is True."""
    found = condition(conditions, kind)
    return found is not None and found.status == "True"


def put(
    conditions: list[Condition],
    kind: str,
    status: str,
    reason: str,
    message: str,
    generation: int,
    now: dt.datetime,
) -> list[Condition]:
    """The list with one condition set; the order of the others is kept."""
    old = condition(conditions, kind)
    since = old.last_transition_time if old is not None and old.status == status else now
    new = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:4096],
        observed_generation=generation,
        last_transition_time=since,
    )
    kept = [new if c.type == kind else c for c in conditions]
    return kept if old is not None else [*kept, new]


def summarize(
    conditions: list[Condition], verdict: Verdict, generation: int, now: dt.datetime
) -> list[Condition]:
    """Ready, Reconciling and Stalled from one verdict: the only place that sets them."""
    reason, message = verdict.reason, verdict.message
    out = put(conditions, Type.READY, verdict.ready, reason, message, generation, now)
    for kind, on in ((Type.RECONCILING, verdict.reconciling), (Type.STALLED, verdict.stalled)):
        value, said = ("True", message) if on else ("False", "")
        out = put(out, kind, value, reason, said, generation, now)
    return out
