"""The operator's way of writing status, with every field there is: nothing is lost, refused or filled in."""

import datetime as dt
from typing import Any

import pytest

from tests.crds.objects import environment, gateway, promotion
from tests.crds.server import User
from tools import crdgen
from tools.kinds import KINDS
from vulcan_operator.api.names import STATUS_MANAGER
from vulcan_operator.reconcile.schema import StatusSchema

Raw = dict[str, Any]
_BUILD = {"VulcanGateway": gateway, "VulcanEnvironment": environment, "VulcanPromotion": promotion}
_KINDS = {kind.name: kind for kind in KINDS}
_SCHEMAS = {kind.name: crdgen.root_schema(kind)["properties"]["status"] for kind in KINDS}


def full(schema: Raw, name: str = "", number: int = 0) -> Any:
    """A value that fills every field of a schema; `number` tells list items apart."""
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    match schema["type"]:
        case "object" if "properties" in schema:
            return {key: full(field, key, number) for key, field in schema["properties"].items()}
        case "object":
            return {f"{name}-{i}": full(schema["additionalProperties"], name, i) for i in range(2)}
        case "array":
            return [full(schema["items"], name, i) for i in range(2)]
        case "integer":
            return 3 + number
        case "number":
            return 0.5
        case "boolean":
            return True
        case "string" if schema.get("format") == "date-time":
            return f"2026-11-22T10:0{number}:00Z"
        case "string":
            return f"{name} {number} ÄÖ"[: schema["maxLength"]]
    raise AssertionError(schema)


@pytest.mark.parametrize("kind", sorted(_BUILD))
def test_every_field_makes_the_round_trip(operator: User, admin: User, kind: str) -> None:
    document = _BUILD[kind]()
    assert admin.create(document).ok
    status = full(_SCHEMAS[kind])
    answer = write(operator, document, status)
    assert answer.ok, answer.message
    assert admin.get(document).body["status"] == status


@pytest.mark.parametrize("kind", sorted(_BUILD))
def test_models_write_what_they_read(operator: User, admin: User, kind: str) -> None:
    document = _BUILD[kind]()
    assert admin.create(document).ok
    model = _KINDS[kind].model
    seen = model.model_validate({**admin.get(document).body, "status": full(_SCHEMAS[kind])})
    written = seen.status.to_json()  # type: ignore[attr-defined]  # every kind has a status
    assert write(operator, document, written).ok
    again = model.model_validate(admin.get(document).body)
    assert again.status == seen.status  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(_BUILD))
def test_a_new_object_is_not_observed_yet(admin: User, kind: str) -> None:
    document = _BUILD[kind]()
    assert admin.create(document).body["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", sorted(_BUILD))
def test_the_smallest_status_is_written_as_it_is(operator: User, admin: User, kind: str) -> None:
    document = _BUILD[kind]()
    assert admin.create(document).ok
    status = _KINDS[kind].model.model_fields["status"].default.to_json()
    assert write(operator, document, status).ok
    assert admin.get(document).body["status"] == status


def test_a_stale_version_is_refused(operator: User, admin: User) -> None:
    document = environment()
    version = admin.create(document).body["metadata"]["resourceVersion"]
    assert write(operator, document, {"observedGeneration": 1}, version).ok
    assert write(operator, document, {"observedGeneration": 2}, version).code == 409


def test_too_long_messages_are_cut() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": dt.datetime.now(dt.UTC)}
    status = _KINDS["VulcanEnvironment"].model.model_fields["status"].annotation
    assert status is not None
    cut = status.model_validate({"conditions": [{**condition, "message": "x" * 5000}]})
    assert len(cut.conditions[0].message) == 4096
    assert cut.conditions[0].message.endswith("…")


def test_columns(operator: User, admin: User, server: Any) -> None:
    document = environment({"environment": "columns", "suspend": True})
    assert admin.create(document).ok
    status = full(_SCHEMAS["VulcanEnvironment"])
    status["conditions"][0]["type"] = "Ready"
    status["conditions"][0]["message"] = "all is well"
    status["applied"]["shortRevision"] = "0123456789ab"
    assert write(operator, document, status).ok
    name = document["metadata"]["name"]
    lines = server.kubectl("get", "venv", name, "-n", "crds", "-o", "wide").splitlines()
    wide = "NAME READY ENV GATEWAY REVISION PLAN LAST-RUN NEXT-RUN BEHIND AGE SUSPENDED MESSAGE"
    assert lines[0].split() == wide.split()
    assert "<invalid>" not in lines[1].replace(lines[1].split()[6], "")
    for text in ("True", "production", "0123456789ab", "Pending", "2026-11-22T10:00:00Z", "3", "true", "all is well"):
        assert text in lines[1]
    chosen = server.kubectl("get", "venv", "-n", "crds", "--field-selector=spec.gatewayRef.name=nobody")
    assert "No resources" in chosen or not chosen.strip()


def write(user: User, document: Raw, status: Raw, version: str = "") -> Any:
    """As the operator does it: server-side apply on /status."""
    body = {key: document[key] for key in ("apiVersion", "kind")}
    metadata = {**document["metadata"], **({"resourceVersion": version} if version else {})}
    return user.apply({**body, "metadata": metadata, "status": status}, STATUS_MANAGER, "/status")


def test_what_comes_back_empty_is_written_as_if_it_had_never_been_there(operator: User, admin: User) -> None:
    """For server-side apply a map that had our entries, went and comes back as {} is null, which the schema refuses."""
    document = promotion()
    assert admin.create(document).ok
    began, again = ({"name": "Plan", "state": "Running", "evidence": found} for found in ({"job": "j"}, {}))
    rest = {"name": "Audits", "state": "Succeeded", "evidence": {"job": "a"}}
    schema = StatusSchema()
    assert write(operator, document, {"steps": [began, rest]}).ok
    assert not write(operator, document, {"steps": [again, rest]}).ok  # or this test proves nothing
    assert write(operator, document, schema.prune("VulcanPromotion", {"steps": [again, rest]})).ok
