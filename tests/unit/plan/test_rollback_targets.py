"""Earlier revisions of an environment as status tells them, and which of them is in danger."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan import seen_objects
from vulcan_contract.result import RollbackOption, Work
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.conditions import condition
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.environments import rollback_targets
from vulcan_operator.plan.environments.context import Context

DAY = dt.timedelta(days=1)


def stamp(days: float) -> str:
    """So many days after NOW."""
    return builders.stamp(NOW + days * DAY)


def option(
    plan_id: str = "p1", replaced: float = 0, expires: float | None = None, **fields: Any
) -> RollbackOption:
    """An earlier apply."""
    ends = stamp(expires) if expires is not None else None
    return RollbackOption(
        plan_id, f"sha256:{plan_id}", stamp(replaced - 1), stamp(replaced), ends, **fields
    )


def told(*options: RollbackOption, **status: Any) -> EnvironmentStatus:
    """A status after a run that has looked."""
    return rollback_targets.noted(EnvironmentStatus.model_validate(status), Work(rollback=options))


def warning(*options: RollbackOption, window: str = "7d", days: float = 0) -> str | None:
    """The warning's message so many days after NOW; None: there is none."""
    context = Context(
        seen_objects.seen(seen_objects.env(rollback={"window": window})), NOW + days * DAY
    )
    found = condition(
        rollback_targets.watch(Draft(told(*options)), context).status.conditions, "RollbackExpiring"
    )
    assert found is not None
    return found.message if found.status == "True" else None


def test_a_target_is_called_by_the_revision_that_status_knows() -> None:
    item = {"revision": "a" * 40, "planId": "p1", "sourceDigest": "sha256:p1", "time": stamp(-1)}
    status = told(option("p1"), option("p2"), history=[item])
    assert [t.revision for t in status.rollback_targets] == ["a" * 40, ""]
    without_history = status.but(history=[])
    again = rollback_targets.noted(without_history, Work(rollback=(option("p1"),)))
    assert again.rollback_targets[0].revision == "a" * 40


def test_a_job_that_did_not_look_changes_nothing_and_one_that_found_none_does() -> None:
    status = told(option())
    assert (
        rollback_targets.noted(status, Work()) is status
        and rollback_targets.noted(status, None) is status
    )
    assert rollback_targets.noted(status, Work(rollback=())).rollback_targets == []


def test_what_cannot_be_gone_back_to_says_why_and_what_was_taken_back_is_held() -> None:
    status = told(
        option("p1", unavailable="The snapshots of s.a are not in the state any more."),
        option("p2"),
    )
    held = {
        "id": "h",
        "revision": "r",
        "sourceDigest": "sha256:p2",
        "promotion": "data/x",
        "time": stamp(0),
    }
    status = EnvironmentStatus.model_validate({**status.to_json(), "held": [held]})
    context = Context(seen_objects.seen(seen_objects.env()), NOW)
    found = rollback_targets.watch(Draft(status), context).status
    assert [(t.state, "s.a" in t.message) for t in found.rollback_targets] == [
        ("Unavailable", True),
        ("Held", False),
    ]
    let_go = rollback_targets.watch(Draft(found.but(held=[])), context).status
    assert [t.state for t in let_go.rollback_targets] == ["Unavailable", "Available"]


@pytest.mark.parametrize(
    ("options", "window", "days", "names"),
    [
        pytest.param([option(expires=7)], "7d", 0, None, id="a week's ttl serves a week's window"),
        pytest.param([option(expires=6.98)], "7d", 0, None, id="views change before the Job's end"),
        pytest.param(
            [option(expires=3)], "7d", 0, "p1", id="a ttl that is too short is told at once"
        ),
        pytest.param(
            [option(expires=3)], "7d", 5, "may have been lost", id="it may be gone by now"
        ),
        pytest.param([option(expires=3)], "7d", 7, None, id="the window is over"),
        pytest.param([option(expires=3)], "3d", 0, None, id="the window is as short"),
        pytest.param([option(expires=3)], "0", 0, None, id="nothing is expected"),
        pytest.param([option(expires=None)], "7d", 0, None, id="environments need all of it"),
        pytest.param(
            [option(expires=3, unavailable="gone")], "7d", 0, None, id="it is lost already"
        ),
        pytest.param(
            [option("p2", 1, 5), option("p1", 0, 4)], "7d", 0, "p1", id="the first to go is named"
        ),
        pytest.param(
            [option("p2", 1, 5), option("p1", 0, 4)],
            "7d",
            7.5,
            "p2",
            id="the next one when its time is over",
        ),
    ],
)
def test_a_warning_when_the_janitor_may_come_inside_the_window(
    options: list[RollbackOption], window: str, days: float, names: str | None
) -> None:
    said = warning(*options, window=window, days=days)
    assert (said is None) if names is None else (said is not None and names in said)


def test_it_looks_again_when_the_words_change() -> None:
    context = Context(seen_objects.seen(seen_objects.env()), NOW)
    watched = rollback_targets.watch(Draft(told(option(expires=3))), context)
    assert watched.look_again == NOW + 3 * DAY
    later = rollback_targets.watch(
        Draft(told(option(expires=3))), Context(context.seen, NOW + 3 * DAY)
    )
    assert later.look_again == NOW + 7 * DAY
    assert rollback_targets.watch(Draft(told(option(expires=8))), context).look_again is None
