"""What a text of a spec can reach: every one is set to a way out of its URL, and the operator lives with it.

A text that reaches a request (a URL or a label selector) is a name, so the CRD has a pattern for it; and whatever the
CRD let through before, no request goes elsewhere and nothing breaks.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import builders
from tests.fakes import FakeKube
from tests.stories.lives import MINUTE, fresh, managed
from tests.stories.sqlmesh import SqlMesh
from tools import crdgen, crdlint
from tools.kinds import KINDS
from vulcan_operator.api.texts import NAME_RULES
from vulcan_operator.kube.resources import Resource

Raw = dict[str, Any]
MARK = "../z9"
SCHEMAS = {kind.name: crdgen.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}
SODA = {"configMapRef": {"name": "quality"}}
GIT = {"git": {"url": "https://git.example.com/a.git"}, "configMap": None}
IMAGE = {"image": f"project@sha256:{'0' * 64}", "configMap": None}
BEGINNINGS: dict[str, list[tuple[Callable[[], SqlMesh], Raw]]] = {
    "VulcanGateway": [(lambda: fresh(builders.environment()), builders.gateway())],
    "VulcanEnvironment": [
        (fresh, builders.environment(checks={"soda": SODA})),
        (fresh, builders.environment(project=GIT)),
        (fresh, builders.environment(project=IMAGE)),
    ],
    "VulcanPromotion": [
        (managed, builders.promotion(gates={"checks": {"soda": SODA}, "dataDiff": {}})),
        (managed, builders.promotion(rollbackTo={"promotion": "another"}, **{"from": None})),
    ],
}
REACH = {
    "VulcanEnvironment.spec.project.configMap.name",
    "VulcanEnvironment.spec.checks.soda.configMapRef.name",
    "VulcanPromotion.spec.gates.checks.soda.configMapRef.name",
}
"""Some that do reach a request, so that this test is known to see them."""


def texts() -> Iterator[str]:
    """Paths of all texts in specs that can be anything. No release has taken a duration that is none."""
    for kind, schema in SCHEMAS.items():
        for path, node in crdlint.walk(schema["properties"]["spec"], f"{kind}.spec"):
            durations = any("a duration is" in rule["message"] for rule in node.get("x-kubernetes-validations", []))
            if node.get("type") == "string" and not ("enum" in node or "format" in node or durations):
                yield path


def schema_of(path: str) -> Raw:
    kind, _, _ = path.partition(".")
    return dict(next(n for p, n in crdlint.walk(SCHEMAS[kind]["properties"]["spec"], f"{kind}.spec") if p == path))


def filled(schema: Raw) -> Any:
    """The smallest value of a schema."""
    match schema.get("type"):
        case "object":
            known = schema.get("properties", {})
            return {name: filled(known[name]) for name in schema.get("required", ())}
        case "array":
            return [filled(schema["items"])] * schema.get("minItems", 0)
        case "string":
            return "2026-11-22T12:00:00Z" if "format" in schema else schema.get("enum", ["1h"])[0]
        case "boolean":
            return False
        case _:
            return schema.get("minimum", 1)


def marked(document: Raw, path: str) -> Raw:
    """The document with MARK at this path; what is missing on the way is filled in."""
    document = copy.deepcopy(document)
    names = [part for name in path.split(".")[2:] for part in name.replace("[]", " []").split()]
    node: Any = document["spec"]
    schema = SCHEMAS[path.partition(".")[0]]["properties"]["spec"]
    for name, following in zip(names, [*names[1:], None], strict=True):
        if name == "[]":
            schema, at = schema["items"], 0
            node[:1] = node[:1] or [filled(schema)]
        elif name == "*":
            schema, at = schema["additionalProperties"], next(iter(node), "key")
        else:
            schema, at = schema["properties"][name], name
        if following is None:
            node[at] = MARK
        elif name != "[]" and at not in node:
            node[at] = filled(schema)
        node = node[at]
    return document


@pytest.mark.parametrize("path", sorted(texts()))
def test_a_text_that_reaches_a_request_is_a_name(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = list[str]()
    real_path, real_pages = Resource.path, FakeKube.pages

    def asked(self: Resource, namespace: Any = None, name: Any = None, sub: str = "") -> str:
        reached.extend(part for part in (namespace, name) if part and "z9" in part)
        url = real_path(self, namespace, name, sub)
        assert ".." not in url and "/z9" not in url
        return url

    def listed(self: FakeKube, resource: Resource, namespace: str | None = None, labels: str = "") -> Any:
        reached.extend([labels] if "z9" in labels else [])
        return real_pages(self, resource, namespace, labels)

    for begin, document in BEGINNINGS[path.partition(".")[0]]:
        sqlmesh = begin()
        with monkeypatch.context() as patched:
            patched.setattr(Resource, "path", asked)
            patched.setattr(FakeKube, "pages", listed)
            sqlmesh.world.apply(marked(document, path))
            sqlmesh.live(5 * MINUTE)
    if reached:
        assert has_a_pattern(path), f"{path} reaches requests ({reached[0]}), so it needs the pattern of a name"
    assert bool(reached) or path not in REACH


def has_a_pattern(path: str) -> bool:
    """Whether the CRD takes nothing but a name."""
    rules = [found["rule"] for found in schema_of(path).get("x-kubernetes-validations", [])]
    return any(rule in rules for rule in NAME_RULES)


def test_a_way_out_that_an_older_release_let_through_is_waited_for_in_words() -> None:
    path = "VulcanEnvironment.spec.project.configMap.name"
    world = fresh(marked(builders.environment(), path)).live(30 * MINUTE).world
    assert world.says("venv/prod", "Ready")["Ready"].startswith("False/")
    assert MARK in world.conditions("venv/prod")["Ready"].message
    before = world.writes
    world.advance(30 * MINUTE)
    assert world.writes - before <= 3, "it does not loop"
    assert not world.jobs("plan")
