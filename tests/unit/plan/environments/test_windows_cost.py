"""Windows are judged only where there is something to promote to."""

import pytest

from tests.builders import NOW, stamp
from tests.unit.plan.seen_objects import env, gw, seen
from vulcan_operator.api.conditions import Type
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.plan.environments.planner import plan_environment
from vulcan_operator.plan.rules import windows

NIGHTS = {"name": "nights", "kind": "Allow", "cron": "0 22 * * *", "duration": "4h"}
SHUT = {
    "type": "ChangesAllowed",
    "status": "False",
    "reason": "OutsideWindow",
    "message": "",
    "lastTransitionTime": stamp(NOW),
}


def _without_gateway(known: EnvironmentSeen) -> EnvironmentSeen:
    return EnvironmentSeen(known.environment, known.settings, None, claims=known.claims)


@pytest.mark.parametrize("case", ["no gateway", "no grant"])
def test_nobody_judges_windows_of_an_environment_that_may_not_be(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object) -> windows.Look:
        raise AssertionError("the windows were judged")

    monkeypatch.setattr(windows, "look", look)
    environment = env(
        revisionFrom="Promotion",
        project=None,
        promotionWindows=[NIGHTS],
        status={"conditions": [SHUT], "nextOpeningTime": stamp(NOW)},
    )
    known = seen(environment, gw(grants=[{"environments": ["other"]}]))
    known = _without_gateway(known) if case == "no gateway" else known
    plan = plan_environment(known, NOW)
    assert Type.CHANGES not in {c.type for c in plan.status.conditions}
    assert plan.status.next_opening_time is None


def test_where_it_may_be_they_are() -> None:
    environment = env(revisionFrom="Promotion", project=None, promotionWindows=[NIGHTS])
    plan = plan_environment(seen(environment), NOW)
    assert Type.CHANGES in {c.type for c in plan.status.conditions}
