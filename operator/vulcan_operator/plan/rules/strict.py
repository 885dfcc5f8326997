"""Which rules are in force: of two values of each rule the stricter one. Pure.

An environment's own rules stand in its spec, which its authors write; the floor stands in the
grants of its gateway, which they cannot write. Used by the contexts of environments and promotions
(whose own approval rule is a third party). Nothing else compares rules.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from vulcan_operator.api.environment import EnvironmentSpec
from vulcan_operator.api.environment_history import PromotionHistory
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway import Grant
from vulcan_operator.api.policy import ApprovalPolicy, PlanLimits
from vulcan_operator.api.rules import (
    ApprovalInForce,
    EffectiveRules,
    HistoryInForce,
    LimitsInForce,
    Minimum,
)

_MODES = ("Never", "OnRisk", "Always")
Pick = Callable[[Any, Any], Any]


def _mode(one: str, other: str) -> str:
    return max(one, other, key=_MODES.index)


def _union(one: list[str], other: list[str]) -> list[str]:
    return one if set(other) <= set(one) else sorted({*one, *other})


def _shorter(one: str, other: str) -> str:
    return min(one, other, key=parse_duration)


def _longer(one: str, other: str) -> str:
    return max(one, other, key=parse_duration)


# Rule -> which of two values is the stricter one; equally strict, the first. None is no rule.
STRICTER: dict[str, Pick] = {
    "approval.mode": _mode,
    "approval.risks": _union,
    "approval.count": max,
    "approval.expire_after": _shorter,
    "approval.exclude_author": max,
    "limits.max_backfill_intervals": min,
    "limits.max_rebuilt_models": min,
    "limits.max_history": _shorter,
    "limits.max_removed_percent": min,
    "checks.audits": max,
    "promotion_history.limit": max,
    "promotion_history.max_age": _longer,
}


_PARTS = tuple(dict.fromkeys(rule.split(".")[0] for rule in STRICTER))


def _picked(rule: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return STRICTER[rule](one, other)


def _get(parts: Any, rule: str) -> Any:
    part, field = rule.split(".")
    return getattr(getattr(parts, part), field)


def json_name(rule: str) -> str:
    """A rule as users write it: promotionHistory.maxAge."""
    return ".".join(to_camel(name) for name in rule.split("."))


def floor(grants: Iterable[Grant]) -> Minimum:
    """The strictest minimum of all grants that apply. A protected one asks for approval of every
    plan, unless it says otherwise. (Runner images are judged for each grant by `access`.)"""
    found = Minimum()
    for grant in grants:
        own = grant.minimum
        if grant.protected and own.approval.mode is None:
            own = own.but(approval=own.approval.but(mode="Always"))
        parts: dict[str, Any] = {part: getattr(found, part) for part in _PARTS}
        for rule in STRICTER:
            part, field = rule.split(".")
            picked = _picked(rule, getattr(parts[part], field), _get(own, rule))
            parts[part] = parts[part].but(**{field: picked})
        found = found.but(**parts)
    return found


@dataclass(frozen=True)
class InForce:
    """The rules in force; `from_grant` names those that are not the spec's."""

    approval: ApprovalPolicy
    limits: PlanLimits
    audits: bool
    promotion_history: PromotionHistory
    from_grant: tuple[str, ...] = ()

    @property
    def shown(self) -> EffectiveRules:
        """As the environment's status shows them."""
        return EffectiveRules(
            approval=ApprovalInForce(**self.approval.__dict__),
            limits=LimitsInForce(**self.limits.__dict__),
            audits=self.audits,
            promotion_history=HistoryInForce(**self.promotion_history.__dict__),
            from_grant=list(self.from_grant),
        )


def in_force(spec: EnvironmentSpec, minimum: Minimum) -> InForce:
    """The rules of an environment's spec, made as strict as the minimum."""
    parts: dict[str, Any] = {
        "approval": spec.plan.approval,
        "limits": spec.plan.limits,
        "checks": spec.checks,
        "promotion_history": spec.promotion_history,
    }
    raised = []
    for rule in STRICTER:
        part, field = rule.split(".")
        own = getattr(parts[part], field)
        picked = _picked(rule, own, _get(minimum, rule))
        if picked != own:
            parts[part] = parts[part].but(**{field: picked})
            raised.append(json_name(rule))
    return InForce(
        approval=parts["approval"],
        limits=parts["limits"],
        audits=parts["checks"].audits,
        promotion_history=parts["promotion_history"],
        from_grant=tuple(raised),
    )


def with_rules(spec: EnvironmentSpec, rules: InForce) -> EnvironmentSpec:
    """The spec as if these rules were written in it."""
    return spec.but(
        plan=spec.plan.but(approval=rules.approval, limits=rules.limits),
        checks=spec.checks.but(audits=rules.audits),
        promotion_history=rules.promotion_history,
    )


def stricter_policy(one: ApprovalPolicy, other: ApprovalPolicy) -> ApprovalPolicy:
    """Of two approval rules, the stricter one of each field."""
    fields = type(one).model_fields
    picked = {f: _picked(f"approval.{f}", getattr(one, f), getattr(other, f)) for f in fields}
    return ApprovalPolicy(**picked)
