"""What stops changes of views: the gateway's freeze, and for promotions the target's windows. Pure.

Steps that change views ask before their Job is started, never for one that was started, and never
for a rollback. Environments and gateways show the answer as their condition ChangesAllowed.
"""

import datetime as dt
from dataclasses import dataclass

from vulcan_contract import times
from vulcan_contract.reasons import ABOUT, Leaves, Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import EnvironmentSpec
from vulcan_operator.api.fields import Condition, FailureStatus
from vulcan_operator.plan.core.conditions import Verdict, condition, put
from vulcan_operator.plan.core.facts import GatewayFacts
from vulcan_operator.plan.rules import windows

# Attempts that may have ended between two views: finishing them is better than leaving readers with
# a mixture. And those that were preempted: they had begun in time.
_HALF_DONE = tuple(r for r in Reason if ABOUT[r].leaves is not Leaves.NOTHING)

_A_DAY = dt.timedelta(days=1)  # an opening that is too far away to be found comes nearer


@dataclass(frozen=True)
class ChangeWindow:
    """Whether views may be changed; when to look again; and when they may be again, if known."""

    why: Why
    message: str
    look_again: dt.datetime | None = None
    opens: dt.datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether they may be changed now."""
        return self.why == Why.OPEN

    @property
    def verdict(self) -> Verdict:
        """What waits for it says so."""
        waits, wrong = self.opens is not None, self.why == Why.INVALID
        return Verdict("False", self.why, self.message, reconciling=waits, stalled=wrong)


NOT_JUDGED = ChangeWindow(Why.OPEN, "no gateway may be used")


def of_gateway(gateway: GatewayFacts | None, now: dt.datetime) -> ChangeWindow:
    """What stops every change on a gateway: its freeze."""
    freeze = gateway.spec.freeze if gateway is not None else None
    if gateway is None or freeze is None or (freeze.until is not None and freeze.until <= now):
        return ChangeWindow(Why.OPEN, "no freeze")
    until = freeze.until
    ends = _text(until) if until is not None else "spec.freeze is removed"
    name = f"VulcanGateway {gateway.metadata.full_name}"
    message = f"{name} is frozen until {ends}: {freeze.reason}"
    return ChangeWindow(Why.FROZEN, message[:900], until, until)


def of_promotions(
    spec: EnvironmentSpec, gateway: GatewayFacts | None, now: dt.datetime
) -> ChangeWindow:
    """What stops promotions to an environment: the freeze, then its windows."""
    frozen = of_gateway(gateway, now)
    if frozen.is_open:
        return _windows(spec, now)
    if frozen.opens is None:
        return frozen
    after = _windows(spec, frozen.opens)
    if after.is_open:
        return frozen
    message = f"{frozen.message}; then {after.message}"
    return ChangeWindow(Why.FROZEN, message, frozen.opens, after.opens)


def closed_for(
    spec: EnvironmentSpec,
    gateway: GatewayFacts | None,
    failure: FailureStatus | None,
    now: dt.datetime,
) -> ChangeWindow | None:
    """What a promotion's Job that changes views waits for."""
    window = of_promotions(spec, gateway, now)
    applied = failure is not None and failure.task == TaskKind.APPLY
    kind = TaskKind.APPLY if applied else TaskKind.PROMOTE
    return window if blocks(window, failure, kind) else None


def blocks(window: ChangeWindow, failure: FailureStatus | None, task: str) -> bool:
    """Whether a Job of this kind must not be started now."""
    half_done = failure is not None and failure.task == task and failure.reason in _HALF_DONE
    return not window.is_open and not half_done


def is_frozen(gateway: GatewayFacts | None) -> bool:
    """Whether there is a freeze, over or not."""
    return gateway is not None and gateway.spec.freeze is not None


def with_condition(
    conditions: list[Condition],
    window: ChangeWindow,
    generation: int,
    now: dt.datetime,
    *,
    is_set: bool,
) -> list[Condition]:
    """With the condition ChangesAllowed, where there is anything to say, or was."""
    if not is_set and condition(conditions, Type.CHANGES) is None:
        return conditions
    allowed = "True" if window.is_open else "False"
    return put(conditions, Type.CHANGES, allowed, window.why, window.message, generation, now)


def _windows(spec: EnvironmentSpec, now: dt.datetime) -> ChangeWindow:
    all_ = spec.promotion_windows
    if not all_:
        return ChangeWindow(Why.OPEN, "no freeze, and no windows are set")
    tomorrow = windows.after(now, _A_DAY)
    try:
        look = windows.look(all_, now)
    except windows.WindowError as error:
        return ChangeWindow(Why.INVALID, f"spec.promotionWindows: {error}"[:900], tomorrow)
    changes, again = look.changes, look.changes or min(tomorrow, look.searched)
    two_years = look.searched >= windows.after(now, windows.HORIZON)
    if look.is_open:
        least = "for two years" if two_years else f"until {_text(look.searched)}"
        ends = f"until {_text(changes)}" if changes is not None else f"{least} at least"
        return ChangeWindow(Why.OPEN, f"open {ends}", again)
    allow = ", ".join(w.name for w in all_ if w.kind == "Allow")
    inside = f"inside Deny window {', '.join(look.denied_by)}"
    where = inside if look.denied_by else f"outside Allow window {allow}"
    never = "within two years" if two_years else f"before {_text(look.searched)}"
    opening = f"next opening at {_text(changes)}" if changes else f"no opening {never}"
    return ChangeWindow(Why.OUTSIDE_WINDOW, f"{where[:800]}; {opening}", again, changes)


def _text(moment: dt.datetime) -> str:
    return times.to_minute(moment)
