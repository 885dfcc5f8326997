"""The largest valid objects are valid, larger ones are refused with words, and those of earlier releases go on."""

import copy
import json
from typing import Any

import pytest
import yaml

from tests import worst
from tests.crds import objects
from tests.crds.conftest import ROOT, until
from tests.crds.server import User
from tools.localcluster.cluster import Cluster

Raw = dict[str, Any]
FILE = ROOT / "crds" / "vulcan.dev_vulcanenvironments.yaml"


def _object(kind: str, name: str, spec: Raw) -> Raw:
    meta = {"name": name, "namespace": objects.NAMESPACE}
    return {"apiVersion": "vulcan.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VulcanEnvironment", worst.environment()),
        ("VulcanEnvironment", worst.environment(promoted=True)),
        ("VulcanPromotion", worst.promotion()),
    ],
    ids=["environment", "promoted", "promotion"],
)
def test_the_largest_specs_are_valid(admin: User, kind: str, spec: Raw) -> None:
    answer = admin.create(_object(kind, "largest", spec), dry_run=True)
    assert answer.ok, answer.message


LONG = "x" * 500
R60 = range(60)
MODELS = [f"{number:03d}{LONG}" for number in range(40)]
TOO_LARGE = [
    ({"plan.selectModels": MODELS}, "have more than 8192 bytes in all: use selectors"),
    ({"plan.categories": dict.fromkeys(MODELS, "Breaking")}, "have more than 8192 bytes in all: use selectors"),
    ({"plan.categories": {"x" * 9000: "Breaking"}}, "have more than 8192 bytes in all: use selectors"),
    ({"plan.allowAdditiveModels": ["🦆" * 500] * 5}, "have more than 8192 bytes in all: use selectors"),
    ({"operations": [{"id": "a", "models": MODELS}]}, "with more than 6144 bytes in all: use selectors"),
    ({"operations": [{"id": f"o{n}", "models": ["m"]} for n in range(17)]}, "must have at most 16 items"),
    (
        {"approvals": [{"plan": objects.DIGEST, "by": f"a{n}", "comment": LONG} for n in range(20)]},
        "more than 6144 bytes in all: remove those of old plans",
    ),
    (
        {"project": {"configMap": {"name": "c", "items": [{"key": f"k{n}", "path": f"p{n}{LONG[:200]}"} for n in R60]}}},
        "keys and paths of items have more than 8192 bytes in all",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), TOO_LARGE)
def test_larger_ones_are_refused(admin: User, changes: Raw, says: str) -> None:
    answer = admin.create(objects.environment(changes), dry_run=True)
    assert not answer.ok
    assert says in answer.message


@pytest.mark.parametrize("part", ["INTERVAL=0", "INTERVAL=10000", "COUNT=-1", "COUNT=99999", "INTERVAL=1,2"])
def test_rules_count_to_9999(admin: User, part: str) -> None:
    window = {"name": "w", "kind": "Deny", "rrule": f"FREQ=DAILY;{part}", "start": "2026-11-27T22:00", "duration": "1h"}
    document = {"revisionFrom": "Promotion", "project": objects.GONE, "promotionWindows": [window]}
    answer = admin.create(objects.environment(document), dry_run=True)
    assert "INTERVAL and COUNT are numbers from 1 to 9999" in answer.message


def test_too_large_a_data_diff_is_refused(admin: User) -> None:
    models = [f"{number:03d}{LONG}" for number in range(40)]
    answer = admin.create(objects.promotion({"gates.dataDiff": {"expectedChanges": models}}), dry_run=True)
    assert "expectedChanges has more than 16384 bytes in all" in answer.message


def _without_rules(node: Any) -> Any:
    """A schema as of a release that bounded nothing."""
    if isinstance(node, list):
        return [_without_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {k: _without_rules(v) for k, v in node.items() if k not in ("maxItems", "x-kubernetes-validations")}


def test_a_larger_one_of_an_earlier_release_goes_on(server: Cluster, admin: User, operator: User) -> None:
    old = copy.deepcopy(yaml.safe_load(FILE.read_text()))
    version = old["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"] = _without_rules(version["schema"]["openAPIV3Schema"])
    large = objects.environment(
        {"plan.selectModels": MODELS, "operations": [{"id": "a", "models": MODELS}]}, name="old"
    )
    try:
        server.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(old))
        until(lambda: admin.create(large, dry_run=True).ok, "the earlier release's CRD is served")
        assert admin.create(large).ok
    finally:
        server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(FILE))
    another = {**large, "metadata": {**large["metadata"], "name": "new"}}
    until(lambda: not admin.create(another, dry_run=True).ok, "this release's CRD is served")
    status = {**{k: large[k] for k in ("apiVersion", "kind", "metadata")}, "status": {"observedGeneration": 1}}
    answer = operator.apply(status, "vulcan-operator", "/status")
    assert answer.ok, answer.message
    answer = admin.patch(large, {"spec": {"suspend": True}})
    assert answer.ok, answer.message
    answer = admin.patch(large, {"spec": {"plan": {"selectModels": [*MODELS, "one.more"]}}})
    assert "8192 bytes in all" in answer.message
