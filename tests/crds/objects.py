"""The smallest valid object of each kind, and changes to it by dotted paths."""

import copy
import itertools
from typing import Any

Raw = dict[str, Any]

NAMESPACE = "crds"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OTHER_DIGEST = f"sha256:{'fedcba9876543210' * 4}"
_numbers = itertools.count(1)


class _Gone:
    """Says in a change that a field goes. Ids of tests show it, which must be the same in every process."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()
"""As a value: the field is removed."""

NOBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nope", "uid": "00000000-0000-0000-0000-000000000001"}
OWNED = {"metadata": {"ownerReferences": [NOBODY]}}
"""A change: an owner that does not exist, so that the garbage collector deletes the object."""


def _object(kind: str, spec: Raw, changes: Raw) -> Raw:
    name = changes.pop("name", f"{kind.removeprefix('Vulcan').lower()}-{next(_numbers)}")
    document = {
        "apiVersion": "vulcan.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": changes.pop("namespace", NAMESPACE)},
        "spec": spec,
    }
    return changed(document, changes)


def gateway(changes: Raw | None = None, **more: Any) -> Raw:
    """A VulcanGateway on PostgreSQL."""
    connection = {
        "type": "postgres",
        "options": {"host": "db", "port": 5432, "database": "analytics", "user": "vulcan"},
        "secrets": {"password": {"name": "warehouse", "key": "password"}},
    }
    state = {"type": "postgres", "options": {"host": "state", "database": "state", "user": "vulcan"}}
    return _object("VulcanGateway", {"connection": connection, "stateConnection": state}, {**(changes or {}), **more})


def environment(changes: Raw | None = None, **more: Any) -> Raw:
    """A VulcanEnvironment with a project in git."""
    spec = {"gatewayRef": {"name": "production"}, "project": {"git": {"url": "https://git.example.com/analytics.git"}}}
    return _object("VulcanEnvironment", spec, {**(changes or {}), **more})


def promotion(changes: Raw | None = None, **more: Any) -> Raw:
    """A VulcanPromotion from staging to prod."""
    spec = {"from": {"environmentRef": {"name": "staging"}}, "to": {"environmentRef": {"name": "prod"}}}
    return _object("VulcanPromotion", spec, {**(changes or {}), **more})


def changed(document: Raw, changes: Raw) -> Raw:
    """A copy with fields of spec set (or removed) by dotted path."""
    document = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = document["spec"]
        for part in parents:
            node = node.setdefault(part, {})
        if value is GONE:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return document


def approval(by: str, plan: str = DIGEST, **more: str) -> Raw:
    """One item of spec.approvals."""
    return {"plan": plan, "by": by, "decision": "Approve", **more}
