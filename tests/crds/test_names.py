"""Names of objects, wherever a spec gives one: the API server takes what can be a name, and says what is wrong."""

import json
from typing import Any

import pytest

from tests.crds.conftest import ROOT, until
from tests.crds.objects import GONE, environment, gateway, promotion
from tests.crds.server import User

Raw = dict[str, Any]
WAYS_OUT = ("../../teamb/configmaps/secretproj", "a/b", "..", ".", "a?x=1", "a%2fb", "a#b", "A", "-a", "a b", "a\n")
CONFIG_MAP = {"project": {"configMap": {"name": "files"}}}
BACK = {"from": GONE, "rollbackTo": {"promotion": "p"}}
OBJECTS = "the name of an object has"
NAMES: list[tuple[str, Raw, str]] = [
    ("gatewayRef", environment(), "gatewayRef.name"),
    ("project", environment(CONFIG_MAP), "project.configMap.name"),
    ("Soda", environment({"checks.soda.configMapRef.name": "quality"}), "checks.soda.configMapRef.name"),
    ("from", promotion(), "from.environmentRef.name"),
    ("to", promotion(), "to.environmentRef.name"),
    ("rollbackTo", promotion(BACK), "rollbackTo.promotion"),
    ("Soda gate", promotion({"gates.checks.soda.configMapRef.name": "q"}), "gates.checks.soda.configMapRef.name"),
    ("Secret", gateway(), "connection.secrets.password.name"),
    ("CA", gateway({"runner.caBundle.name": "ca"}), "runner.caBundle.name"),
    ("account", gateway({"runner.serviceAccountName": "x"}), "runner.serviceAccountName"),
]
SPACES = [
    ("gateway's", environment({"gatewayRef.namespace": "other"}), "gatewayRef.namespace"),
    ("source's", promotion({"from.environmentRef.namespace": "other"}), "from.environmentRef.namespace"),
    ("target's", promotion({"to.environmentRef.namespace": "other"}), "to.environmentRef.namespace"),
]


def _with(document: Raw, path: str, value: str) -> Raw:
    return {**document, "spec": _set(document["spec"], path.split("."), value)}


def _set(node: Raw, path: list[str], value: str) -> Raw:
    first, *rest = path
    return {**node, first: _set(node[first], rest, value) if rest else value}


@pytest.mark.parametrize(("document", "path"), [pytest.param(*row[1:], id=row[0]) for row in NAMES])
def test_what_is_no_name_is_refused(admin: User, document: Raw, path: str) -> None:
    assert admin.create(document, dry_run=True).ok
    assert admin.create(_with(document, path, "a-1.b2.example"), dry_run=True).ok
    for name in WAYS_OUT:
        answer = admin.create(_with(document, path, name), dry_run=True)
        assert answer.code == 422 and OBJECTS in answer.message, (name, answer.message)


@pytest.mark.parametrize(("document", "path"), [pytest.param(*row[1:], id=row[0]) for row in SPACES])
def test_what_is_no_namespace_is_refused(admin: User, document: Raw, path: str) -> None:
    assert admin.create(document, dry_run=True).ok
    for name in (*WAYS_OUT, "a.b"):
        answer = admin.create(_with(document, path, name), dry_run=True)
        assert answer.code == 422 and "the name of a namespace has" in answer.message, (name, answer.message)


@pytest.mark.parametrize("key", ["a/b", "..", ".", "..data", "a b", "ä"])
def test_what_is_no_key_is_refused(admin: User, key: str) -> None:
    secret = gateway()
    secret["spec"]["connection"]["secrets"]["password"]["key"] = key
    files = environment({"project": {"configMap": {"name": "files", "items": [{"key": key, "path": "a.sql"}]}}})
    for document in (secret, files):
        answer = admin.create(document, dry_run=True)
        assert answer.code == 422 and "a key of a ConfigMap or Secret has" in answer.message


def test_label_keys(admin: User) -> None:
    def selecting(key: str) -> Raw:
        selector = {"matchExpressions": [{"key": key, "operator": "Exists"}]}
        return gateway({"grants": [{"namespaces": {"from": "Selector", "selector": selector}}]})

    for key in ("team", "kubernetes.io/metadata.name", "A_b.c"):
        assert admin.create(selecting(key), dry_run=True).ok
    assert "a label key has" in admin.create(selecting("a/b/c"), dry_run=True).message


def test_what_an_older_release_let_through_stays(server: Any, admin: User, bob: User, operator: User) -> None:
    """An object with an odd name from before: the operator writes its status, people change it and delete it."""
    crd = "vulcanenvironments.vulcan.dev"
    field = "spec/properties/project/properties/configMap/properties/name"
    rules = f"/spec/versions/0/schema/openAPIV3Schema/properties/{field}/x-kubernetes-validations"
    server.kubectl("patch", "crd", crd, "--type=json", "-p", json.dumps([{"op": "remove", "path": rules}]))
    old = environment({"project": {"configMap": {"name": "../../teamb/configmaps/secretproj"}}})
    try:
        until(lambda: admin.create(old).ok, "the rule is gone")
    finally:
        path = str(ROOT / "crds" / "vulcan.dev_vulcanenvironments.yaml")
        server.kubectl("apply", "--server-side", "--force-conflicts", "-f", path)
    trial = _with(environment(CONFIG_MAP), "project.configMap.name", "a/b")
    until(lambda: not admin.create(trial, dry_run=True).ok, "the rule is back")
    status = {key: old[key] for key in ("apiVersion", "kind", "metadata")}
    assert operator.apply({**status, "status": {"observedGeneration": 1}}, "vulcan-operator", "/status").ok
    assert bob.patch(old, {"spec": {"suspend": True}}).ok
    assert OBJECTS in bob.patch(old, {"spec": {"project": {"configMap": {"name": "c/d"}}}}).message
    assert bob.patch(old, {"spec": {"project": {"configMap": {"name": "files"}}}}).ok
    assert bob.delete(old).ok
