"""Conditions and the draft of a Plan. Pure; used by every planner.

`Draft` collects what a pass decides without changing anything in place. A condition's transition time moves only when
its status flips, and nothing here puts counts of waits or the current time into a message: an unchanged world must give
an unchanged status, or the loop would never rest.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any, Generic

from vulcan_operator.api.conditions import Type
from vulcan_operator.api.fields import Condition
from vulcan_operator.plan.core.actions import Action, Need, Note, Plan, Status


@dataclass(frozen=True)
class Verdict:
    """How Ready, Reconciling and Stalled come out."""

    ready: str  # True | False | Unknown
    reason: str
    message: str = ""
    reconciling: bool = False
    stalled: bool = False


@dataclass(frozen=True)
class Draft(Generic[Status]):
    """A Plan in the making."""

    status: Status
    prepare: tuple[Action, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    needs: frozenset[Need] = frozenset()
    look_again: dt.datetime | None = None

    def with_status(self, **fields: Any) -> "Draft[Status]":
        """With these status fields changed."""
        return dataclasses.replace(self, status=self.status.but(**fields))

    def before_status(self, *actions: Action) -> "Draft[Status]":
        """With actions that come before the status is written."""
        return dataclasses.replace(self, prepare=(*self.prepare, *actions))

    def after_status(self, *actions: Action) -> "Draft[Status]":
        """With actions that come after the status is written."""
        return dataclasses.replace(self, actions=(*self.actions, *actions))

    def noting(self, *notes: Note) -> "Draft[Status]":
        """With events (and audit lines)."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def needing(self, *needs: Need) -> "Draft[Status]":
        """Asks for a live read before deciding."""
        return dataclasses.replace(self, needs=self.needs | set(needs))

    def again(self, *times: dt.datetime | None) -> "Draft[Status]":
        """Look again at the earliest of these."""
        known = [t for t in (self.look_again, *times) if t is not None]
        return dataclasses.replace(self, look_again=min(known, default=None))

    def finish(self) -> Plan[Status]:
        """The finished Plan; with needs it does nothing else."""
        if self.needs:
            return Plan(self.status, needs=self.needs)
        return Plan(self.status, self.prepare, self.actions, self.notes, self.look_again)


def condition(conditions: list[Condition], kind: str) -> Condition | None:
    """The condition of a type, if there."""
    return next((c for c in conditions if c.type == kind), None)


def holds(conditions: list[Condition], kind: str) -> bool:
    """Whether a condition is True."""
    found = condition(conditions, kind)
    return found is not None and found.status == "True"


def put(
    conditions: list[Condition], kind: str, status: str, reason: str, message: str, generation: int, now: dt.datetime
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
    return [new if c.type == kind else c for c in conditions] if old is not None else [*conditions, new]


def summarize(conditions: list[Condition], verdict: Verdict, generation: int, now: dt.datetime) -> list[Condition]:
    """Ready, Reconciling and Stalled from one verdict: the only place that sets them."""
    out = put(conditions, Type.READY, verdict.ready, verdict.reason, verdict.message, generation, now)
    for kind, on in ((Type.RECONCILING, verdict.reconciling), (Type.STALLED, verdict.stalled)):
        message = verdict.message if on else ""
        out = put(out, kind, "True" if on else "False", verdict.reason, message, generation, now)
    return out
