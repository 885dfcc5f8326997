"""Tables of what a promotion decides by: whose rule is stricter, who goes first, what an environment was given."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, env, gw
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.seen import PromotionSeen
from vulcan_operator.plan.promotions.context import PromotionContext
from vulcan_operator.plan.rules import promoted_revision


def promotion(
    name: str = "p", *, minutes: int = 0, status: dict[str, Any] | None = None, **spec: Any
) -> VulcanPromotion:
    """A VulcanPromotion, created so many minutes after NOW."""
    raw = builders.promotion(name, **spec)
    created = builders.stamp(NOW + dt.timedelta(minutes=minutes))
    meta = {"uid": f"uid-{name}", "resourceVersion": "1", "generation": 1, "creationTimestamp": created}
    return VulcanPromotion.model_validate({**raw, "metadata": {**meta, **raw["metadata"]}, "status": status or {}})


def context(mine: VulcanPromotion, *rivals: VulcanPromotion, **target: Any) -> PromotionContext:
    """What a pass over it knows."""
    seen = PromotionSeen(mine, SETTINGS, target=env(**target), source=env("staging"), gateway=gw(), rivals=rivals)
    return PromotionContext(seen, NOW)


POLICIES = ["Never", "OnRisk", "Always"]


@pytest.mark.parametrize("theirs", POLICIES)
@pytest.mark.parametrize("own", [None, *POLICIES])
def test_the_stricter_mode_counts(theirs: str, own: str | None) -> None:
    mine = promotion(**({"approval": {"mode": own, "count": 2}} if own else {}))
    found = context(mine, plan={"approval": {"mode": theirs, "count": 3}}).policy
    assert found.mode == max(theirs, own or "Never", key=POLICIES.index)
    assert found.count == 3


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_the_author_is_excluded_by_either_rule(theirs: bool, own: bool) -> None:
    mine = promotion(approval={"excludeAuthor": own})
    assert context(mine, plan={"approval": {"excludeAuthor": theirs}}).policy.exclude_author is (theirs or own)


@pytest.mark.parametrize(
    ("theirs", "own", "counts"), [("24h", "72h", "24h"), ("90m", "1h", "1h"), ("72h", "3d", "72h")]
)
def test_the_shorter_time_to_decide_counts(theirs: str, own: str, counts: str) -> None:
    mine = promotion(approval={"expireAfter": own})
    assert context(mine, plan={"approval": {"expireAfter": theirs}}).policy.expire_after == counts


def test_risks_of_both_rules_count() -> None:
    mine = promotion(approval={"mode": "OnRisk", "risks": ["Backfill"]})
    found = context(mine, plan={"approval": {"mode": "OnRisk", "risks": ["Breaking"]}}).policy
    assert set(found.risks) == {"Backfill", "Breaking"}


@pytest.mark.parametrize(
    ("rival", "goes_first"),
    [
        pytest.param(promotion("a", minutes=-1), True, id="older"),
        pytest.param(promotion("a", minutes=1), False, id="younger"),
        pytest.param(promotion("a"), True, id="of the same second, by name"),
        pytest.param(promotion("a", minutes=-1, status={"outcome": "Failed"}), False, id="over"),
        pytest.param(
            promotion("a", minutes=-1, status={"conditions": [
                {"type": "Stalled", "status": "True", "reason": "X", "lastTransitionTime": builders.stamp(NOW)}]}),
            False, id="can go nowhere",
        ),
    ],
)  # fmt: skip
def test_who_goes_first(rival: VulcanPromotion, goes_first: bool) -> None:
    assert (context(promotion("p"), rival).ahead() is not None) is goes_first


DONE = {
    "outcome": "Succeeded", "appliedPlanId": "new", "revision": "rev-new", "sourceDigest": "d-new",
    "finishedAt": builders.stamp(NOW), "previous": {"revision": "rev-old", "sourceDigest": "d-old", "planId": "old"},
}  # fmt: skip
BACK = {"state": "Succeeded", "planId": "back", "time": builders.stamp(NOW), "message": "audits"}


@pytest.mark.parametrize(
    ("status", "revision", "held"),
    [
        pytest.param(DONE, "rev-new", None, id="given"),
        pytest.param({**DONE, "outcome": "Failed"}, "rev-new", None, id="given, and failed afterwards"),
        pytest.param({**DONE, "outcome": "Failed", "appliedPlanId": ""}, None, None, id="failed before it gave anything"),
        pytest.param({**DONE, "outcome": None}, None, None, id="not over"),
        pytest.param(
            {**DONE, "outcome": "RolledBack", "appliedPlanId": "back", "rollback": BACK}, "rev-old", "rev-new",
            id="taken back",
        ),
    ],
)  # fmt: skip
def test_what_an_environment_was_given(status: dict[str, Any], revision: str | None, held: str | None) -> None:
    environment = env(revisionFrom="Promotion", project=None)
    found = promoted_revision.take(Draft(environment.status), environment, [promotion(status=status)], NOW).status
    assert (found.applied.revision if found.applied else None) == revision
    assert [h.revision for h in found.held] == ([held] if held else [])


def test_what_the_environment_got_since_is_not_taken_back_by_an_old_promotion() -> None:
    applied = {
        "revision": "own",
        "sourceDigest": "d",
        "inputs": "i",
        "planId": "own",
        "time": builders.stamp(NOW + dt.timedelta(1)),
    }
    environment = env(revisionFrom="Promotion", project=None, status={"applied": applied})
    found = promoted_revision.take(Draft(environment.status), environment, [promotion(status=DONE)], NOW).status
    assert found == environment.status
