"""The models read what the API server stores, survive what they do not know, and agree with the CRDs about defaults."""

import copy
from typing import Any

import pydantic
import pytest

from tests.crds.objects import GONE, environment, gateway, promotion
from tools import crdgen
from tools.kinds import KINDS
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import AppliedStatus
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion

Raw = dict[str, Any]
_SCHEMAS = {kind.name: crdgen.root_schema(kind) for kind in KINDS}
_MODELS: dict[str, Any] = {kind.name: kind.model for kind in KINDS}

DOCUMENTS = [
    environment(),
    environment(
        {"schedule": {"mode": "Cron", "cron": {"cron": "0 3 * * *"}}, "plan": {"limits": {"maxHistory": "30d"}}}
    ),
    environment({"operations": [{"id": "a", "models": ["m"]}], "approvals": [{"plan": "0" * 64, "by": "a"}]}),
    environment({"project": {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}}),
    gateway(),
    gateway({"grants": [{}, {"namespaces": {"from": "All"}, "protected": True}], "variables": {"a": [1, {"b": None}]}}),
    gateway({"runner": {"env": [{"name": "A", "value": "b"}]}, "planning": {}}),
    promotion(),
    promotion({"from": GONE, "rollbackTo": {"promotion": "p"}}),
    promotion({"gates": {"dataDiff": {"maxChangedRowsPercent": 1}, "soak": {}}, "approval": {}}),
]
_IDS = [f"{d['kind']}-{i}" for i, d in enumerate(DOCUMENTS)]


def read(document: Raw) -> Any:
    """As `cluster.views` does it."""
    return _MODELS[document["kind"]].model_validate(
        {**document, "metadata": {"uid": "u", "creationTimestamp": "2026-11-22T10:00:00Z", **document["metadata"]}}
    )


def filled_in(schema: Raw, value: Any) -> Any:
    """What the API server's defaulting makes of a value."""
    if isinstance(value, list) and "items" in schema:
        return [filled_in(schema["items"], item) for item in value]
    if not isinstance(value, dict) or not schema:
        return value
    out = copy.deepcopy(value)
    fields = schema.get("properties", {})
    for name, field in fields.items():
        if name not in out and "default" in field:
            out[name] = copy.deepcopy(field["default"])
    other = schema.get("additionalProperties", {})
    return {name: filled_in(fields.get(name, other), item) for name, item in out.items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_IDS)
def test_defaults_are_the_same_with_and_without_the_server(document: Raw) -> None:
    schema = _SCHEMAS[document["kind"]]["properties"]["spec"]
    stored = {**document, "spec": filled_in(schema, document["spec"])}
    assert read(stored).spec == read(document).spec


@pytest.mark.parametrize("document", DOCUMENTS, ids=_IDS)
def test_round_trip(document: Raw) -> None:
    first = read(document)
    assert read({**document, "spec": first.spec.to_json()}) == first


@pytest.mark.parametrize("document", DOCUMENTS, ids=_IDS)
def test_fields_of_a_newer_crd_are_ignored(document: Raw) -> None:
    def sprinkled(value: Any) -> Any:
        if isinstance(value, list):
            return [sprinkled(item) for item in value]
        if not isinstance(value, dict):
            return value
        free = {"options", "secrets", "variables", "env", "volumes", "categories"}
        return {k: v if k in free else sprinkled(v) for k, v in value.items()} | {"fromTheFuture": {"a": 1}}

    newer = {**document, "spec": sprinkled(document["spec"]), "status": {"fromTheFuture": [1], "observedGeneration": 7}}
    assert read(newer).spec == read(document).spec
    assert read(newer).status.observed_generation == 7


@pytest.mark.parametrize(
    "document",
    [
        environment({"plan.approval.mode": "OnFridays"}),
        environment({"deletionPolicy": "Shred"}),
        gateway({"grants": [{"namespaces": {"from": "Elsewhere"}}]}),
        promotion({"gates.tests": "Maybe"}),
    ],
)
def test_choices_of_a_newer_crd_are_not_half_understood(document: Raw) -> None:
    """Such an object is reported as SpecInvalid; treating an unknown mode as some known one could open a gate."""
    with pytest.raises(pydantic.ValidationError):
        read(document)


def test_a_status_of_a_newer_operator_is_read() -> None:
    status = {"plan": {"state": "Superseded", "digest": "d", "inputs": "i", "target": "t", "base": "b", "revision": "r",
                       "sourceDigest": "s", "time": "2026-11-22T10:00:00Z"}}  # fmt: skip
    assert read({**environment(), "status": status}).status.plan.state == "Superseded"


@pytest.mark.parametrize("model", [VulcanGateway, VulcanEnvironment, VulcanPromotion])
def test_models_are_frozen(model: Any) -> None:
    assert model.model_config["frozen"]


def test_names_default_to_the_objects() -> None:
    assert read(environment(name="dev-x")).sqlmesh_environment == "dev_x"
    assert read(environment({"environment": "prod"}, name="dev-x")).sqlmesh_environment == "prod"
    assert read(gateway(name="gw")).sqlmesh_name == "gw"
    assert read(gateway({"sqlmeshName": "a_b"}, name="gw")).sqlmesh_name == "a_b"


def test_what_has_been_applied_carries_its_short_revision() -> None:
    applied = AppliedStatus.model_validate(
        {"revision": "ab" * 20, "sourceDigest": "d", "inputs": "i", "time": "2026-11-22T10:00:00Z"}
    )
    assert applied.to_json()["shortRevision"] == "ab" * 6
    assert applied.but(revision="cd" * 20).to_json()["shortRevision"] == "cd" * 6
    assert AppliedStatus.model_validate(applied.to_json()) == applied


def test_secrets_and_words_of_python_keep_their_names() -> None:
    made = read(gateway({"connection.secrets": {"password": {"name": "w", "key": "p", "as": "Path"}}}))
    written = made.spec.to_json()
    assert written["connection"]["secrets"]["password"]["as"] == "Path"
    assert written["stateConnection"]["schema"] == "sqlmesh"
    assert read(promotion()).spec.to_json()["from"] == {"environmentRef": {"name": "staging"}}
