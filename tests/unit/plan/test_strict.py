"""Which rules are in force: every rule of a minimum has a stricter value, whoever writes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plan.seen_objects import env
from vulcan_operator.api.environment_history import PromotionHistory
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway import Grant
from vulcan_operator.api.policy import ApprovalPolicy, ChecksSpec, PlanLimits
from vulcan_operator.api.rules import Minimum
from vulcan_operator.plan.rules import strict

SPEC_OF = {
    "approval": lambda rules: {"plan": {"approval": rules}},
    "limits": lambda rules: {"plan": {"limits": rules}},
    "checks": lambda rules: {"checks": rules},
    "promotionHistory": lambda rules: {"promotionHistory": rules},
}


def in_force(spec: dict[str, Any], minimum: dict[str, Any]) -> strict.InForce:
    return strict.in_force(env(**spec).spec, Minimum.model_validate(minimum))


def value_of(rules: strict.InForce, part: str, field: str) -> Any:
    found = rules.shown.to_json()
    return found["audits"] if part == "checks" else found[part].get(field)


CASES = [  # part, field, weak, strict
    ("approval", "mode", "Never", "OnRisk"),
    ("approval", "mode", "Never", "Always"),
    ("approval", "mode", "OnRisk", "Always"),
    ("approval", "count", 1, 2),
    ("approval", "expireAfter", "72h", "1h"),
    ("approval", "expireAfter", "1d", "23h"),
    ("approval", "excludeAuthor", False, True),
    ("limits", "maxBackfillIntervals", 5000, 10),
    ("limits", "maxRebuiltModels", None, 10),
    ("limits", "maxRebuiltModels", 11, 10),
    ("limits", "maxHistory", None, "30d"),
    ("limits", "maxHistory", "31d", "30d"),
    ("limits", "maxRemovedPercent", 20, 0),
    ("checks", "audits", False, True),
    ("promotionHistory", "limit", 1, 50),
    ("promotionHistory", "maxAge", "1s", "365d"),
]  # fmt: skip


def test_the_cases_name_every_rule() -> None:
    named = {f"{part}.{field}" for part, field, _, _ in CASES} | {"approval.risks"}
    parts = {n: f.annotation for n, f in Minimum.model_fields.items() if n != "runner_images"}
    fields = {f"{p}.{f}" for p, model in parts.items() for f in model.model_fields}  # type: ignore[union-attr]
    assert strict.STRICTER.keys() == fields
    rules = (ApprovalPolicy, PlanLimits, ChecksSpec, PromotionHistory)
    for model, part in zip(rules, parts.values(), strict=True):
        assert part is not None and part.model_fields.keys() == model.model_fields.keys() - {"soda"}
    assert {strict.json_name(rule) for rule in strict.STRICTER} == named


@pytest.mark.parametrize(("part", "field", "weak", "hard"), CASES)
def test_the_stricter_value_is_in_force_whoever_writes_it(
    part: str, field: str, weak: Any, hard: Any
) -> None:
    raised = in_force(SPEC_OF[part]({field: weak}), {part: {field: hard}})
    assert value_of(raised, part, field) == hard and raised.from_grant == (f"{part}.{field}",)
    own = in_force(SPEC_OF[part]({field: hard}), {part: {field: weak}})
    assert value_of(own, part, field) == hard and own.from_grant == ()


def test_without_a_minimum_the_rules_are_those_of_the_spec() -> None:
    spec = env(plan={"approval": {"mode": "Never", "risks": []}}, checks={"audits": False}).spec
    rules = strict.in_force(spec, Minimum())
    assert strict.with_rules(spec, rules) == spec and rules.from_grant == ()


def test_risks_add_up() -> None:
    spec = {"plan": {"approval": {"mode": "OnRisk", "risks": ["Breaking"]}}}
    rules = in_force(spec, {"approval": {"risks": ["Backfill"]}})
    assert rules.approval.risks == ["Backfill", "Breaking"] and rules.from_grant == (
        "approval.risks",
    )


@pytest.mark.parametrize(
    ("grants", "mode"),
    [
        ([{}], None),
        ([{"protected": True}], "Always"),
        ([{"protected": True, "minimum": {"approval": {"mode": "OnRisk"}}}], "OnRisk"),
        ([{"minimum": {"approval": {"mode": "OnRisk"}}}, {"protected": True}], "Always"),
        ([{"protected": True, "minimum": {"approval": {"mode": "Never"}}}, {}], "Never"),
    ],
)
def test_a_protected_grant_asks_for_every_plan_unless_it_says_otherwise(
    grants: list[dict[str, Any]], mode: str | None
) -> None:
    assert strict.floor(map(Grant.model_validate, grants)).approval.mode == mode


def test_of_several_grants_the_strictest_minimum_counts() -> None:
    one = {"approval": {"count": 3, "expireAfter": "2h"}, "limits": {"maxHistory": "9d"}}
    other = {"approval": {"count": 2, "expireAfter": "1h"}, "checks": {"audits": True}}
    found = strict.floor(Grant.model_validate({"minimum": m}) for m in (one, other, {}))
    assert found.approval.count == 3 and found.approval.expire_after == "1h"
    assert found.limits.max_history == "9d" and found.checks.audits


HOURS = st.integers(1, 400).map(lambda n: f"{n}h")
POLICIES = st.builds(
    ApprovalPolicy,
    mode=st.sampled_from(["Never", "OnRisk", "Always"]),
    risks=st.lists(st.sampled_from(["Breaking", "Destructive", "Backfill"]), unique=True),
    count=st.integers(1, 10), expire_after=HOURS, exclude_author=st.booleans(),
)  # fmt: skip


@given(POLICIES, POLICIES)
def test_of_two_policies_none_is_stricter_than_both_together(
    one: ApprovalPolicy, other: ApprovalPolicy
) -> None:
    both = strict.stricter_policy(one, other)
    modes = ("Never", "OnRisk", "Always")
    for policy in (one, other):
        assert modes.index(both.mode) >= modes.index(policy.mode)
        assert set(both.risks) >= set(policy.risks) and both.count >= policy.count
        assert parse_duration(both.expire_after) <= parse_duration(policy.expire_after)
        assert both.exclude_author >= policy.exclude_author
    again = strict.stricter_policy(both, one)
    assert again.but(risks=sorted(again.risks)) == both.but(risks=sorted(both.risks))
