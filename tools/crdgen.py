"""Turns the pydantic models of the custom resources into CustomResourceDefinitions with structural schemas.

Called by `tools.generate` and by tests. Takes only what the API server can hold and refuses the rest with the path of
the field; it must not repair models silently, know any single field, or read and write files.

Defaults: Kubernetes fills them in level by level, so an object's default is `{}` and its fields carry their own. Three
kinds of defaults stay out of the CRD and are named in the description instead: empty ones (same as absent), those in
list items (Argo CD compares lists as a whole and would report every filled-in field as drift), and those in `status`
(a missing fact must not turn into a claim) but for `status.observedGeneration`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_REFUSED = {
    "oneOf": "a union", "allOf": "a combination", "not": "a negation", "prefixItems": "a tuple",
    "patternProperties": "patterned keys", "discriminator": "a tagged union",
    "uniqueItems": "a set (use listType: set)",
}  # fmt: skip
_PLAIN = (
    "description", "type", "format", "enum", "minLength", "maxLength", "pattern", "minimum", "maximum", "multipleOf",
    "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
_VALIDATIONS = "x-kubernetes-validations"
_INT_OR_STRING = "x-kubernetes-int-or-string"


class Refused(ValueError):
    """A model says something that a structural schema cannot; the message names the field and what to do."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")


@dataclass(frozen=True)
class Kind:
    """What a CRD needs besides the schema."""

    model: type[BaseModel]
    group: str
    version: str
    plural: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    selectable: tuple[str, ...] = ()
    rules: tuple[Mapping[str, str], ...] = ()  # CEL on the root, where metadata.name can be read

    @property
    def name(self) -> str:
        """The kind, CamelCase."""
        return self.model.__name__


def crd(kind: Kind) -> Schema:
    """The whole CustomResourceDefinition."""
    version: Schema = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [dict(column) for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> Schema:
    """openAPIV3Schema of one kind."""
    whole = structural(kind.model, kind.name)
    status = whole["properties"]["status"]
    status["default"] = {"observedGeneration": -1}
    return {
        "description": whole["description"],
        "type": "object",
        _VALIDATIONS: [dict(rule) for rule in kind.rules],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {kind.group}/{kind.version}."},
            "kind": {"type": "string", "description": f"Always {kind.name}."},
            "metadata": {"type": "object"},
            "spec": {**whole["properties"]["spec"]},
            "status": status,
        },
    }


def structural(model: type[BaseModel], name: str = "") -> Schema:
    """A model as structural schema, as it is written (aliases, computed fields included)."""
    document = model.model_json_schema(by_alias=True, mode="serialization")
    return _Converter(document.get("$defs", {})).convert(document, name or model.__name__, frozenset(), True)


class _Converter:
    """One walk over one JSON schema; holds its definitions, nothing else."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = definitions

    def convert(self, node: Schema, path: str, within: frozenset[str], defaults: bool) -> Schema:
        """One node. `within` holds the types around it, `defaults` says whether the server may fill in defaults."""
        while "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            if name in within:
                raise Refused(path, f"{name} contains itself; a CRD needs a finite depth")
            within |= {name}
            node = _merged(self.definitions[name], {k: v for k, v in node.items() if k != "$ref"})
        for word, what in _REFUSED.items():
            if node.get(word):
                raise Refused(path, f"{word} ({what}) has no structural schema")
        if "anyOf" in node:
            return self._any_of(node, path, within, defaults)
        if "const" in node:
            node = {**node, "enum": [node["const"]]}
        if "type" not in node and _UNKNOWN not in node:
            raise Refused(path, f"no type; give one, or mark a free value with {_UNKNOWN}")
        return self._typed(node, path, within, defaults)

    def _any_of(self, node: Schema, path: str, within: frozenset[str], defaults: bool) -> Schema:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        around = {k: v for k, v in node.items() if k not in ("anyOf", "title")}
        if len(options) == 1:
            return self.convert(_merged(options[0], around), path, within, defaults)
        if sorted(option.get("type", "") for option in options) == ["integer", "string"]:
            return {
                **({"description": node["description"]} if "description" in node else {}),
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                _INT_OR_STRING: True,
            }
        names = " | ".join(str(option.get("type") or option.get("$ref", "?").split("/")[-1]) for option in options)
        raise Refused(path, f"a union ({names}) has no structural schema; use one optional field per alternative")

    def _typed(self, node: Schema, path: str, within: frozenset[str], defaults: bool) -> Schema:
        out = {key: node[key] for key in _PLAIN if key in node}
        for limit in ("exclusiveMinimum", "exclusiveMaximum"):  # a number in JSON schema, a boolean here
            if limit in node:
                out[limit.replace("exclusiveM", "m")] = node[limit]
                out[limit] = True
        if "enum" in out:
            out.pop("maxLength", None)
        if out.get("type") == "integer":
            out["format"] = "int64"
        match out.get("type"):
            case "array":
                out["items"] = self.convert(node["items"], f"{path}[]", within, False)
            case "object":
                self._object(node, out, path, within, defaults)
        out.update({key: value for key, value in node.items() if key.startswith("x-kubernetes-")})
        _default(node, out, defaults)
        return out

    def _object(self, node: Schema, out: Schema, path: str, within: frozenset[str], defaults: bool) -> None:
        values = node.get("additionalProperties")
        if isinstance(values, Mapping):
            out["additionalProperties"] = self.convert(dict(values), f"{path}.*", within, defaults)
            return
        if values is True and _UNKNOWN not in node and "properties" not in node:
            raise Refused(path, f"a map of anything; give its values a type or mark it with {_UNKNOWN}")
        if "properties" not in node:
            return
        computed = {name for name, field in node["properties"].items() if field.get("readOnly")}
        if required := [name for name in node.get("required", []) if name not in computed]:
            out["required"] = required
        out["properties"] = {
            name: self.convert(field, f"{path}.{name}", within, defaults and not path.endswith(".status"))
            for name, field in node["properties"].items()
        }


def _merged(inner: Schema, around: Schema) -> Schema:
    """Keys at the place of use win over those of the type; CEL rules of both hold."""
    rules = [*inner.get(_VALIDATIONS, []), *around.get(_VALIDATIONS, [])]
    return {**inner, **around, **({_VALIDATIONS: rules} if rules else {})}


def _default(node: Schema, out: Schema, defaults: bool) -> None:
    """Write the default, or say it in the description where the server must not fill it in."""
    value = node.get("default")
    if value is None or value in ([], {}, ""):
        return
    if isinstance(value, Mapping):
        if defaults and any("default" in field for field in out.get("properties", {}).values()):
            out["default"] = {}
        return
    if defaults:
        out["default"] = value
    if "default:" not in out.get("description", "").lower():
        out["description"] = f"{out.get('description', '')} Default: {_shown(value)}.".strip()


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
