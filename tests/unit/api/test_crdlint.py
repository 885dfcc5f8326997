"""What the generator refuses although a server would take it."""

from typing import Any

import pytest

from tools import crdgen, crdlint
from tools.kinds import KINDS

TEXT = {"type": "string", "description": "Text.", "maxLength": 3}


def wrapped(**fields: Any) -> dict[str, Any]:
    """A definition whose spec has these fields."""
    spec = {"type": "object", "description": "Spec.", "properties": fields}
    root = {"type": "object", "description": "Root.", "properties": {"spec": spec}}
    version = {"schema": {"openAPIV3Schema": root}}
    return {"spec": {"names": {"kind": "Thing"}, "versions": [version]}}


def listed(**more: Any) -> dict[str, Any]:
    """A list of objects with a key."""
    item = {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}
    return {
        "type": "array",
        "description": "List.",
        "maxItems": 3,
        "items": item,
        "x-kubernetes-list-type": "atomic",
    } | more


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"type": "string", "description": "Text."}, "Thing.spec.field: a string without maxLength"),
        ({"type": "array", "description": "List.", "items": TEXT}, "a list without maxItems"),
        ({"type": "object", "description": "Map.", "additionalProperties": TEXT}, "a map without maxProperties"),
        (
            {"type": "object", "description": "Free.", "x-kubernetes-preserve-unknown-fields": True},
            "a map without maxProperties",
        ),
        (
            {"type": "array", "description": "L.", "maxItems": 1, "items": {"type": "string"}},
            "Thing.spec.field[]: a string",
        ),
        ({"type": "boolean"}, "Thing.spec.field: no description"),
        (TEXT | {"pattern": "^(?!a)"}, "look-around"),
        (
            TEXT | {"x-kubernetes-validations": [{"rule": "self.matches('(?=a)')", "message": "m"}]},
            "look-around",
        ),
        (TEXT | {"x-kubernetes-validations": [{"rule": "true"}]}, "a rule without a message"),
        (listed(**{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}), "key id must be required"),
        ({k: v for k, v in listed().items() if "list-type" not in k}, "a list of objects without listType"),
        (TEXT | {"enum": ["a"], "default": "b"}, "default 'b' is none of its values"),
        (
            {"type": "object", "description": "O.", "properties": {"a": TEXT}, "required": ["a"], "default": {}},
            "default {} lacks a",
        ),
        (
            listed(items={"type": "object", "properties": {"a": TEXT | {"default": "x"}}}),
            "no defaults in list items",
        ),
    ],
)
def test_refused(field: dict[str, Any], says: str) -> None:
    with pytest.raises(crdlint.Unfit) as caught:
        crdlint.check(wrapped(field=field))
    assert says in str(caught.value)


def test_accepted() -> None:
    crdlint.check(
        wrapped(text=TEXT, list=listed(), time={"type": "string", "format": "date-time", "description": "T."})
    )


def test_every_finding_is_named_at_once() -> None:
    with pytest.raises(crdlint.Unfit) as caught:
        crdlint.check(wrapped(a={"type": "string"}, b={"type": "string"}))
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_our_kinds_are_in_order(kind: crdgen.Kind) -> None:
    crdlint.check(crdgen.crd(kind))
