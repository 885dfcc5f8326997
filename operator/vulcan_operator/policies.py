"""Compares the admission policies that are installed with those that this release ships.

Called by `guard`, with what it has listed. `policies.json` is made from deploy/policies.yaml by
`tools.generate`, so that the operator knows what it was built for: an older file, a rule that was
cut down and a binding that only audits all show. Specs are compared field by field after defaults
were taken out, since a hash of what the server stores would change with its version. Makes no
request.
"""

import functools
import importlib.resources
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vulcan_operator.config import DEFAULT_ACCOUNT
from vulcan_operator.kube.resources import Raw

_FILE = "policies.json"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_DEFAULTS = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "scope": "*"}
"""What the API server fills in; what is empty means the same as what is absent, too."""


@dataclass(frozen=True)
class Shipped:
    """Holds the specs of this release: policies by name, bindings by the name of their policy."""

    policies: dict[str, Raw]
    bindings: dict[str, Raw]


@functools.cache
def shipped(account: str) -> Shipped:
    """Return what this release ships, for an operator that has this account.

    Whoever installs it under another account changes the name in the policies; and the namespace in
    the reference to the ConfigMap with the images, which is that of the operator.
    """
    text = importlib.resources.files("vulcan_operator").joinpath(_FILE).read_text("utf-8")
    if account.startswith(_SERVICE_ACCOUNT):
        here, there = (a.split(":")[2] for a in (DEFAULT_ACCOUNT, account))
        text = text.replace(json.dumps(here), json.dumps(there))
    found = json.loads(text.replace(DEFAULT_ACCOUNT, json.dumps(account)[1:-1]))
    return Shipped(found["policies"], found["bindings"])


def differences(
    ours: Shipped, policies: Iterable[Raw], bindings: Iterable[Raw]
) -> Iterator[tuple[str, str]]:
    """Yield each shipped policy that is not installed as shipped, and what is wrong with it.

    An overlay may give names a prefix or a suffix, so that any policy whose name contains the
    shipped one may be it. Further policies and bindings can only refuse more.
    """
    installed = {raw["metadata"]["name"]: raw["spec"] for raw in policies}
    bound = [raw["spec"] for raw in bindings]
    for name, spec in ours.policies.items():
        meant = sorted((n for n in installed if name in n), key=len)
        flaws = [_flaw(n, spec, installed[n], ours.bindings[name], bound) for n in meant]
        if not flaws:
            yield name, "it is not installed"
        elif None not in flaws:
            yield name, str(flaws[0])


def _flaw(name: str, spec: Raw, installed: Raw, binding: Raw, bound: list[Raw]) -> str | None:
    """Return what is wrong with one policy that is installed under this name."""
    where = _where(_plain(spec), _plain(installed), "spec")
    if where is not None:
        return f"{where} is not that of this release"
    its = [other for other in bound if other["policyName"] == name]
    if not its:
        return "it has no binding"
    wrong = [_where(_plain(binding), _plain({**b, "policyName": None}), "spec") for b in its]
    return None if None in wrong else f"its binding's {wrong[0]} is not that of this release"


def _plain(value: Any) -> Any:
    """Return a value without defaults; lists become maps by the names of their items, or places."""
    if isinstance(value, list):
        names = [
            item.get("name", i) if isinstance(item, dict) else i for i, item in enumerate(value)
        ]
        return {f"[{name}]": _plain(item) for name, item in zip(names, value, strict=True)}
    if isinstance(value, dict):
        kept = {k: _plain(v) for k, v in value.items() if _DEFAULTS.get(k) != v}
        return {k: v for k, v in kept.items() if v not in ({}, "", None)}
    return value


def _where(ours: Any, theirs: Any, path: str) -> str | None:
    """Return the path of the first field that differs."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return None if ours == theirs else path
    for key in (*ours, *(k for k in theirs if k not in ours)):
        step = key if key.startswith("[") else f".{key}"
        where = _where(ours.get(key), theirs.get(key), f"{path}{step}")
        if where is not None:
            return where
    return None
