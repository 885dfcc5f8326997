"""What the installed CRD does not know is left out of status, and said once."""

from typing import Any

from tests.fakes import FakeKube
from vulcan_operator.reconcile.schema import StatusSchema


def document(**status: Any) -> dict[str, Any]:
    kind = [{"group": "vulcan.dev", "kind": "VulcanGateway", "version": "v1alpha1"}]
    schema = {"x-kubernetes-group-version-kind": kind, "properties": {"status": {"properties": status}}}
    return {"components": {"schemas": {"x": schema, "list": {"x-kubernetes-group-version-kind": kind}}}}


def test_unknown_fields_and_nulls_go_at_every_depth() -> None:
    schema = StatusSchema()
    item = {"properties": {"type": {"type": "string"}}}
    schema.load(document(conditions={"items": item}, versions={"additionalProperties": {"type": "string"}}, a={}))
    before = {
        "conditions": [{"type": "Ready", "new": 1}], "versions": {"x": "1"}, "future": {"y": 1}, "a": {"any": 1}, "n": None,
    }  # fmt: skip
    assert schema.prune("VulcanGateway", before) == {
        "conditions": [{"type": "Ready"}],
        "versions": {"x": "1"},
        "a": {"any": 1},
    }
    assert schema.dropped == {"VulcanGateway.status.conditions[].new", "VulcanGateway.status.future"}


def test_without_a_schema_everything_stays() -> None:
    assert StatusSchema().prune("VulcanGateway", {"a": {"b": [1]}, "c": None}) == {"a": {"b": [1]}}


async def test_it_is_read_from_the_server() -> None:
    schema = StatusSchema()
    await schema.read(FakeKube())
    assert schema.prune("VulcanEnvironment", {"observedGeneration": 1, "nonsense": 1}) == {"observedGeneration": 1}


def test_empty_maps_are_left_out_everywhere() -> None:
    status = {"steps": [{"name": "Plan", "evidence": {}}], "versions": {}}
    assert StatusSchema().prune("VulcanPromotion", status) == {"steps": [{"name": "Plan"}]}
