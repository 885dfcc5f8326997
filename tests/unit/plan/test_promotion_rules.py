"""Tables of what a promotion decides by: whose rule is stricter, who goes first, what an environment was given."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.promotions.cases import promotion, route, status
from tests.unit.plan.seen_objects import env
from vulcan_operator.api.policy import ApprovalPolicy
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.rules import promoted_revision
from vulcan_operator.plan.rules.promotion_facts import promotion_facts


def policy(theirs: dict[str, Any], own: dict[str, Any] | None) -> ApprovalPolicy:
    """The policy of a promotion with this rule to a target with that one."""
    spec = {"approval": own} if own is not None else {}
    return route(status(), spec, target={"plan": {"approval": theirs}}).policy


POLICIES = ["Never", "OnRisk", "Always"]


@pytest.mark.parametrize("theirs", POLICIES)
@pytest.mark.parametrize("own", [None, *POLICIES])
def test_the_stricter_mode_counts(theirs: str, own: str | None) -> None:
    found = policy({"mode": theirs, "count": 3}, {"mode": own, "count": 2} if own else None)
    assert found.mode == max(theirs, own or "Never", key=POLICIES.index)
    assert found.count == 3


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_the_author_is_excluded_by_either_rule(theirs: bool, own: bool) -> None:
    assert policy({"excludeAuthor": theirs}, {"excludeAuthor": own}).exclude_author is (
        theirs or own
    )


@pytest.mark.parametrize(
    ("theirs", "own", "counts"), [("24h", "72h", "24h"), ("90m", "1h", "1h"), ("72h", "3d", "72h")]
)
def test_the_shorter_time_to_decide_counts(theirs: str, own: str, counts: str) -> None:
    assert policy({"expireAfter": theirs}, {"expireAfter": own}).expire_after == counts


def test_risks_of_both_rules_count() -> None:
    mine, theirs = ({"mode": "OnRisk", "risks": [risk]} for risk in ("Backfill", "Breaking"))
    found = policy(theirs, mine)
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
    assert (route(status(), {"name": "p"}, rival).ahead() is not None) is goes_first


DONE = {
    "outcome": "Succeeded", "appliedPlanId": "new", "revision": "rev-new", "sourceDigest": "d-new",
    "finishedAt": builders.stamp(NOW), "previous": {"revision": "rev-old", "sourceDigest": "d-old", "planId": "old"},
}  # fmt: skip
BACK = {"state": "Succeeded", "planId": "back", "time": builders.stamp(NOW), "message": "audits"}


@pytest.mark.parametrize(
    ("ended", "revision", "held"),
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
def test_what_an_environment_was_given(
    ended: dict[str, Any], revision: str | None, held: str | None
) -> None:
    environment = env(revisionFrom="Promotion", project=None)
    facts = [promotion_facts(promotion(status=ended))]
    found = promoted_revision.adopt(Draft(environment.status), environment, facts, NOW).status
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
    facts = [promotion_facts(promotion(status=DONE))]
    found = promoted_revision.adopt(Draft(environment.status), environment, facts, NOW).status
    assert found == environment.status
