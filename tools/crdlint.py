"""Refuses a CRD that a server would accept but users would regret: unbounded, undescribed or with wrong defaults.

Called by `tools.generate` and tests, on what `tools.crdgen` made. Only reports; must not change the schema.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Rule = Callable[[str, Schema], Iterator[str]]

_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
_BOUNDED_FORMATS = {"date-time", "date", "duration", "byte"}


class Unfit(ValueError):
    """All findings, one a line, each with the path of its field."""


def check(crd: Schema) -> None:
    """Raise Unfit unless every version is in order."""
    kind = crd["spec"]["names"]["kind"]
    findings = [
        finding
        for version in crd["spec"]["versions"]
        for path, node in walk(version["schema"]["openAPIV3Schema"], kind)
        for rule in RULES
        for finding in rule(path, node)
    ]
    if findings:
        raise Unfit("\n".join(findings))


def walk(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its path, `metadata` left out."""
    yield path, node
    for name, field in node.get("properties", {}).items():
        if name != "metadata" or "." in path:
            yield from walk(field, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), Mapping):
        yield from walk(node["additionalProperties"], f"{path}.*")


def _bounds(path: str, node: Schema) -> Iterator[str]:
    top = path.count(".") == 1  # apiVersion and kind
    match node.get("type"):
        case "string" if not top and not (
            "maxLength" in node or "enum" in node or node.get("format") in _BOUNDED_FORMATS
        ):
            yield f"{path}: a string without maxLength"
        case "array" if "maxItems" not in node:
            yield f"{path}: a list without maxItems"
        case "object" if ("additionalProperties" in node or node.get(_UNKNOWN)) and "maxProperties" not in node:
            yield f"{path}: a map without maxProperties"


def _described(path: str, node: Schema) -> Iterator[str]:
    if not path.endswith(("[]", ".*", ".options.password")) and not node.get("description") and ".options." not in path:
        yield f"{path}: no description"


def _regular_expressions(path: str, node: Schema) -> Iterator[str]:
    texts = [node.get("pattern", ""), *(rule["rule"] for rule in node.get("x-kubernetes-validations", []))]
    if any(re.search(r"\(\?[=!<]|\\[1-9]", text) for text in texts):
        yield f"{path}: look-around or back-reference; the server has RE2 only"


def _list_keys(path: str, node: Schema) -> Iterator[str]:
    if node.get("type") != "array":
        return
    items = node["items"]
    if (
        items.get("type") == "object"
        and "x-kubernetes-list-type" not in node
        and ".spec" in path
        and _UNKNOWN not in items
    ):
        yield f"{path}: a list of objects without listType (map with keys, or atomic)"
    for key in node.get("x-kubernetes-list-map-keys", []):
        if key not in items.get("required", []) and "default" not in items.get("properties", {}).get(key, {}):
            yield f"{path}: key {key} must be required"


def _defaults(path: str, node: Schema) -> Iterator[str]:
    if "default" not in node:
        return
    value = node["default"]
    if ("[]" in path or ".status." in path) and not path.endswith(".status"):
        yield f"{path}: no defaults in list items (Argo CD reports them as drift) nor in status"
    if "enum" in node and value not in node["enum"]:
        yield f"{path}: default {value!r} is none of its values"
    if value == {} and (missing := node.get("required")):
        yield f"{path}: default {{}} lacks {', '.join(missing)}"


def _messages(path: str, node: Schema) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", []):
        if not rule.get("message"):
            yield f"{path}: a rule without a message: {rule['rule']}"


RULES: tuple[Rule, ...] = (_bounds, _described, _regular_expressions, _list_keys, _defaults, _messages)
