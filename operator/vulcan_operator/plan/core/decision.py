"""The draft of a Plan: what a pass decides, collected without changing anything in place. Pure."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.plan.core.actions import Action, Note, Plan, Status


@dataclass(frozen=True)
class Draft(Generic[Status]):
    """A Plan in the making."""

    status: Status
    prepare: tuple[Action, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    look_again: dt.datetime | None = None
    confirm: Callable[[Status], Status] | None = None  # the status once the actions are done

    def with_status(self, **fields: Any) -> "Draft[Status]":
        """With these status fields changed."""
        return dataclasses.replace(self, status=self.status.but(**fields)) if fields else self

    def with_new(self, status: Status) -> "Draft[Status]":
        """With another status."""
        return dataclasses.replace(self, status=status)

    def before_status(self, *actions: Action) -> "Draft[Status]":
        """With actions that come before the status is written."""
        return dataclasses.replace(self, prepare=(*self.prepare, *actions))

    def after_status(self, *actions: Action) -> "Draft[Status]":
        """With actions that come after the status is written."""
        return dataclasses.replace(self, actions=(*self.actions, *actions))

    def noting(self, *notes: Note) -> "Draft[Status]":
        """With events (and audit lines)."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def again(self, *times: dt.datetime | None) -> "Draft[Status]":
        """Look again at the earliest of these."""
        known = [t for t in (self.look_again, *times) if t is not None]
        return dataclasses.replace(self, look_again=min(known, default=None))

    def finish(self) -> Plan[Status]:
        """The finished Plan."""
        confirmed = self.confirm(self.status) if self.confirm is not None else None
        return Plan(self.status, self.prepare, self.actions, self.notes, self.look_again, confirmed)


EnvironmentDraft = Draft[EnvironmentStatus]
GatewayDraft = Draft[GatewayStatus]
