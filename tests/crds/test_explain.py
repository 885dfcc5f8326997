"""`kubectl explain` is the first documentation people see: every field says what it is."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.crds.server import User
from tools.localcluster.cluster import Cluster

Raw = dict[str, Any]
_CONTAINERS = ("items", "additionalProperties")


@pytest.fixture(scope="session")
def published(admin: User) -> Raw:
    """Schemas as the API server publishes them, by kind."""
    document = admin.call("GET", "/openapi/v3/apis/vulcan.dev/v1alpha1").body
    found = {}
    for schema in document["components"]["schemas"].values():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            found[kind["kind"]] = schema
    return found


def fields(schema: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    """Every property below a schema."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        if name not in ("metadata", "options"):
            yield from fields(field, f"{path}.{name}")
    for container in _CONTAINERS:
        if isinstance(schema.get(container), dict):
            yield from fields(schema[container], f"{path}[]")


@pytest.mark.parametrize("kind", ["VulcanGateway", "VulcanEnvironment", "VulcanPromotion"])
def test_every_field_is_described(published: Raw, kind: str) -> None:
    silent = [
        path
        for path, field in fields(published[kind], kind)
        if len(field.get("description", "")) < 8 and not path.endswith(".metadata")
    ]
    assert silent == []


@pytest.mark.parametrize("kind", ["VulcanGateway", "VulcanEnvironment", "VulcanPromotion"])
def test_descriptions_are_sentences(published: Raw, kind: str) -> None:
    odd = [
        (path, field["description"])
        for path, field in fields(published[kind], kind)
        if path.count(".") > 1 and "metadata" not in path and not field["description"].rstrip().endswith((".", "..."))
    ]
    assert odd == []


def test_explain_shows_defaults_and_choices(server: Cluster) -> None:
    text = server.kubectl("explain", "venv.spec.plan.approval")
    assert "Never: only plans above the limits need approval." in text
    assert "enum: Never, OnRisk, Always" in text
    assert "Default: OnRisk." in text
    assert "REQUIRED" not in server.kubectl("explain", "vpromo.spec.from").split("environmentRef")[0]
    assert "Default: sqlmesh." in server.kubectl("explain", "vgw.spec.stateConnection.schema")


def test_names(server: Cluster) -> None:
    for name in ("venv", "vgw", "vpromo", "vulcanenvironment"):
        server.kubectl("get", name, "-A")
    server.kubectl("get", "vulcan", "-A")
