"""When a writer is told to stop for more urgent work."""

import datetime as dt
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, gw, pod
from vulcan_operator.plan.core.actions import Key, Kind, StopPods
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.facts import TaskFacts
from vulcan_operator.plan.core.seen import Waiter
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.gateways.preempt import preempt
from vulcan_operator.plan.tasks.slot import Priority

STOP = (StopPods("data", "j"),)
RUNS = pod(started=True)


def seen(
    waiter_class: Priority,
    pods: list[Any],
    *,
    minutes: int = 0,
    waits: Kind = Kind.ENVIRONMENT,
    **holder: Any,
) -> GatewaySeen:
    """A preview is applied, somebody of this class waits."""
    fields = {
        "state": "Running",
        "kind": "apply",
        "job": "j",
        "priority": 5,
        "since": NOW,
        **holder,
    }
    task = TaskFacts(Key(Kind.ENVIRONMENT, "data", "dev"), "uid-dev", **fields)
    waiter = Waiter(Key(waits, "data", "other"), waiter_class, NOW - dt.timedelta(minutes=minutes))
    return GatewaySeen(gw(), SETTINGS, tasks=(task,), writer_pods=tuple(pods), waiters=(waiter,))


@pytest.mark.parametrize(
    ("what", "actions", "again"),
    [
        pytest.param(seen(Priority.PROTECTED_RUN, [RUNS]), STOP, None, id="a higher class waits"),
        pytest.param(seen(Priority.PREVIEW, [RUNS]), (), 600, id="the same class: in ten minutes"),
        pytest.param(
            seen(Priority.PREVIEW, [RUNS], minutes=10),
            STOP,
            None,
            id="the same class for ten minutes",
        ),
        pytest.param(seen(Priority.OTHER, [RUNS], priority=1), (), None, id="a lower class never"),
        pytest.param(
            seen(Priority.OTHER, [pod(started=True, deleted=NOW)]),
            (),
            None,
            id="it was told already",
        ),
        pytest.param(seen(Priority.OTHER, [pod("Pending")]), (), 20, id="its pod does not run yet"),
        pytest.param(
            seen(Priority.OTHER, [pod("Succeeded", started=True)]), (), 20, id="it has just ended"
        ),
        pytest.param(seen(Priority.OTHER, []), (), 20, id="its pod was not seen yet"),
        pytest.param(
            seen(Priority.OTHER, [RUNS], kind="invalidate"),
            (),
            None,
            id="an invalidate goes through",
        ),
        pytest.param(
            seen(Priority.OTHER, [RUNS], kind="promote"),
            STOP,
            None,
            id="a promotion that catches up stops",
        ),
        pytest.param(
            seen(Priority.OTHER, [RUNS], kind="rollback"), (), None, id="a way back does not"
        ),
        pytest.param(seen(Priority.OTHER, [RUNS], kind="plan"), (), None, id="so does a plan"),
        pytest.param(
            seen(Priority.OTHER, [RUNS], state="Waiting"), (), None, id="who waits holds nothing"
        ),
        pytest.param(
            seen(Priority.PROTECTED_RUN, [RUNS], waits=Kind.GATEWAY),
            (),
            None,
            id="a probe stops nobody",
        ),
    ],
)
def test_who_is_stopped(
    what: GatewaySeen, actions: tuple[StopPods, ...], again: int | None
) -> None:
    draft = preempt(Draft(what.gateway.status), what, NOW)
    assert draft.actions == actions and bool(draft.notes) == bool(actions)
    assert draft.look_again == (NOW + dt.timedelta(seconds=again) if again is not None else None)
