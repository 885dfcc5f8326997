"""Admission policies repeat defaults of the API, because a field that is absent is not stored: they must agree."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vulcan_operator.api.environment import EnvironmentSpec, EnvironmentStatus
from vulcan_operator.api.gateway import GatewaySpec, Grant, RunnerSpec
from vulcan_operator.api.policy import PlanLimits

POLICIES = Path(__file__).resolve().parents[3] / "deploy" / "policies.yaml"
ROOTS: dict[str, type[BaseModel]] = {
    "variables.old": EnvironmentSpec,
    "object.spec": EnvironmentSpec,
    "dyn(object.spec)": EnvironmentSpec,
    "oldObject.spec": EnvironmentSpec,
    "variables.oldLimits": PlanLimits,
    "variables.newLimits": PlanLimits,
    "oldObject.?status": EnvironmentStatus,
    "g": Grant,
    "variables.oldGateway": GatewaySpec,
    "variables.newGateway": GatewaySpec,
    "variables.oldRunner": RunnerSpec,
    "variables.newRunner": RunnerSpec,
}
"""The expressions of the policies that start at an object of ours, and its model."""
_DEFAULTED = re.compile(
    r"(?<![\w.])(" + "|".join(re.escape(root) for root in ROOTS) + r")((?:\.\?\w+)+)\.orValue\(([^()]*)\)"
)


def expressions(value: Any) -> list[str]:
    """Every CEL expression of a document."""
    if isinstance(value, dict):
        own = [text for key, text in value.items() if key in ("expression", "messageExpression")]
        return own + [text for item in value.values() for text in expressions(item)]
    return [text for item in value for text in expressions(item)] if isinstance(value, list) else []


def field(model: type[BaseModel], path: list[str]) -> FieldInfo:
    """The field below a model that the API calls by these names."""
    first, *rest = path
    found = next(info for name, info in model.model_fields.items() if (info.alias or name) == first)
    inner = found.annotation
    return field(inner, rest) if rest and isinstance(inner, type) and issubclass(inner, BaseModel) else found


def repeated() -> list[tuple[str, str, Any]]:
    """Root, path and value of each default that a policy names."""
    texts = [text for document in yaml.safe_load_all(POLICIES.read_text()) for text in expressions(document)]
    return sorted({found.groups() for text in texts for found in _DEFAULTED.finditer(text)})


def literal(text: str) -> Any:
    """A CEL literal as a value of Python."""
    return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))


@pytest.mark.parametrize(("root", "path", "text"), repeated())
def test_a_policy_and_the_model_have_the_same_default(root: str, path: str, text: str) -> None:
    names = [name for name in path.split(".?") if name]
    info = field(ROOTS[root], names)
    default = info.get_default(call_default_factory=True)
    said = literal(text)
    if default is None and isinstance(said, int) and not isinstance(said, bool):  # no limit: above every limit
        most = next(bound.le for bound in info.metadata if hasattr(bound, "le"))
        assert said > most
    else:
        assert said == ("" if default is None else default), f"{path}: deploy/policies.yaml says {text}"


def test_no_limit_of_a_plan_can_be_raised_without_a_policy() -> None:
    guarded = {path.split(".?")[-1] for root, path, _ in repeated() if root == "variables.newLimits"}
    assert guarded == {info.alias or name for name, info in PlanLimits.model_fields.items()}


def test_no_default_of_a_policy_is_overlooked() -> None:
    found = {path.split(".?")[-1] for _, path, _ in repeated()}
    assert found == {
        "mode", "risks", "count", "excludeAuthor", "maxBackfillIntervals", "maxRemovedPercent", "maxRebuiltModels",
        "maxHistory", "audits", "revisionFrom", "promotionWindows", "ttlAction", "protected", "approvals",
        "categories", "categorization", "effectiveFrom", "skipTests", "skipLinter", "allowDestructiveModels",
        "allowAdditiveModels", "operations", "limit", "maxAge", "takeover", "additionalConnections", "gitCredentials",
        "grants", "allowedImages", "podLabels", "podAnnotations", "env", "volumes",
    }  # fmt: skip
