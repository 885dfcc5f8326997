"""The converter from pydantic to structural schemas: what it makes of each construct, and what it refuses."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, computed_field

from tools.crdgen import Kind, Refused, crd, root_schema, structural
from vulcan_operator.api.schemas import Model, cel, schema
from vulcan_operator.api.texts import FreeDict


def properties(model: type[BaseModel]) -> dict[str, Any]:
    """Converted fields."""
    found: dict[str, Any] = structural(model)["properties"]
    return found


class Inner(Model):
    """Something inside."""

    size: int = Field(3, description="How big.")
    name: str = Field(max_length=3, description="A name.")


class WithDefaults(Model):
    """All with defaults."""

    size: int = Field(3, description="How big.")


def test_scalars() -> None:
    class Scalars(Model):
        count: int = Field(1, ge=0, lt=10, description="Count.")
        share: float = Field(0.5, gt=0, description="Share.")
        flag: bool = Field(False, description="Flag.")
        word: Literal["a"] = Field(description="Word.")

    found = properties(Scalars)
    assert found["count"] == {
        "description": "Count. Default: 1.",
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "maximum": 10,
        "exclusiveMaximum": True,
        "default": 1,
    }
    assert found["share"]["minimum"] == 0 and found["share"]["exclusiveMinimum"] is True
    assert found["flag"] == {"description": "Flag. Default: false.", "type": "boolean", "default": False}
    assert found["word"] == {"description": "Word.", "type": "string", "enum": ["a"]}
    assert structural(Scalars)["required"] == ["word"]


def test_optionals_lose_null_and_its_default() -> None:
    class Optional(Model):
        text: Annotated[str, Field(max_length=5)] | None = Field(None, description="Text.")
        inner: Inner | None = Field(None, description="Inner.")

    found = properties(Optional)
    assert found["text"] == {"description": "Text.", "type": "string", "maxLength": 5}
    assert found["inner"]["type"] == "object" and "default" not in found["inner"]
    assert "required" not in structural(Optional)


def test_references_are_put_in_place_and_rules_add_up() -> None:
    class Outer(Model):
        inner: Inner = Field(description="The one.", json_schema_extra=schema(cel("true", "never")))

    found = properties(Outer)["inner"]
    assert found["description"] == "The one."
    assert found["required"] == ["name"]
    assert found["x-kubernetes-validations"] == [{"rule": "true", "message": "never"}]
    assert found["properties"]["size"]["default"] == 3


def test_an_object_with_defaults_inside_gets_an_empty_default() -> None:
    class Outer(Model):
        filled: WithDefaults = Field(WithDefaults(), description="Filled in.")
        nothing: FreeDict = Field({}, description="Free.")

    found = properties(Outer)
    assert found["filled"]["default"] == {}
    assert "default" not in found["nothing"]


def test_list_items_have_no_defaults_but_say_them() -> None:
    class Outer(Model):
        items: list[WithDefaults] = Field(default=[], max_length=3, description="Items.")

    found = properties(Outer)["items"]
    assert "default" not in found
    assert found["items"]["properties"]["size"] == {
        "description": "How big. Default: 3.",
        "type": "integer",
        "format": "int64",
    }


def test_maps_free_objects_and_int_or_string() -> None:
    class Outer(Model):
        labels: dict[str, Annotated[str, Field(max_length=63)]] = Field({}, max_length=4, description="Labels.")
        free: FreeDict = Field(description="Free.")
        port: int | str = Field(description="Port.")

    found = properties(Outer)
    assert found["labels"]["additionalProperties"] == {"type": "string", "maxLength": 63}
    assert found["labels"]["maxProperties"] == 4
    assert found["free"] == {
        "description": "Free.",
        "type": "object",
        "maxProperties": 128,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    assert found["port"] == {
        "description": "Port.",
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    }


def test_words_of_python_go_by_their_alias() -> None:
    class Outer(Model):
        from_: str | None = Field(None, alias="from", max_length=3, description="From.")
        camel_case: bool = Field(False, description="Camel.")

    assert sorted(properties(Outer)) == ["camelCase", "from"]


def test_computed_fields_are_there_and_not_required() -> None:
    class Outer(Model):
        name: str = Field(max_length=3, description="Name.")

        @computed_field(description="Shouted.")  # type: ignore[prop-decorator]
        @property
        def loud(self) -> Annotated[str, Field(max_length=3)]:
            return self.name.upper()

    assert properties(Outer)["loud"] == {"description": "Shouted.", "type": "string", "maxLength": 3}
    assert structural(Outer)["required"] == ["name"]


class Recursive(Model):
    """Contains itself."""

    children: list["Recursive"] = Field(default=[], max_length=3, description="Children.")


class Union(Model):
    """Has a union."""

    value: WithDefaults | bool = Field(description="Either.")


class Tuple(Model):
    """Has a tuple."""

    pair: tuple[int, str] = Field(description="Two.")


class Anything(Model):
    """Has an untyped map."""

    options: dict[str, Any] = Field({}, description="Options.")


class Untyped(Model):
    """Has an untyped value."""

    value: Any = Field(description="Whatever.")


class Nested(Model):
    """Has something refused deep inside."""

    items: list[Union] = Field(default=[], max_length=3, description="Items.")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Recursive, "Recursive.children[]: Recursive contains itself"),
        (Union, "Union.value: a union (WithDefaults | boolean) has no structural schema"),
        (Tuple, "Tuple.pair: prefixItems (a tuple) has no structural schema"),
        (Anything, "Anything.options: a map of anything; give its values a type"),
        (Untyped, "Untyped.value: no type"),
        (Nested, "Nested.items[].value: a union"),
    ],
)
def test_refused_with_the_path_of_the_field(model: type[BaseModel], says: str) -> None:
    with pytest.raises(Refused) as caught:
        structural(model)
    assert says in str(caught.value)


class Thing(Model):
    """A thing."""

    spec: WithDefaults = Field(description="Spec.")
    status: WithDefaults = WithDefaults()


THING = Kind(Thing, "example.com", "v1", "things", ("th",), ("all",), (), (".spec.size",), (cel("true", "no"),))


def test_status_has_no_defaults_but_one() -> None:
    status = root_schema(THING)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert "default" not in status["properties"]["size"]


def test_the_whole_definition() -> None:
    made = crd(THING)
    assert made["metadata"]["name"] == "things.example.com"
    assert made["spec"]["names"]["shortNames"] == ["th"]
    version = made["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"] == [{"jsonPath": ".spec.size"}]
    root = version["schema"]["openAPIV3Schema"]
    assert root["required"] == ["spec"]
    assert root["x-kubernetes-validations"] == [{"rule": "true", "message": "no"}]
    assert root["properties"]["spec"]["properties"]["size"]["default"] == 3
