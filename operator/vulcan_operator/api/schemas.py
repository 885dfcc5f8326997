"""The base model of all kinds, and what their fields say of the OpenAPI schema beside their types.

Used by the modules of `api`; `tools.generate` builds the CRDs from it. Knows no field of any kind.
"""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

NAME_MAX = 40
IDENTIFIER = "^[A-Za-z_][A-Za-z0-9_]*$"


def cel(rule: str, message: str, **more: str) -> dict[str, str]:
    """Build one `x-kubernetes-validations` entry. The message says what to do."""
    return {"rule": rule, "message": message, **more}


def schema(*rules: dict[str, str], **extra: Any) -> dict[str, Any]:
    """Build `json_schema_extra` with CEL rules; `list_type` and `list_keys` mark keyed lists."""
    out: dict[str, Any] = {}
    if rules:
        out["x-kubernetes-validations"] = list(rules)
    if "list_type" in extra:
        out["x-kubernetes-list-type"] = extra.pop("list_type")
    if "list_keys" in extra:
        out["x-kubernetes-list-map-keys"] = extra.pop("list_keys")
    return {**out, **extra}


def rule(text: str, message: str, **more: str) -> dict[str, Any]:
    """Build `json_schema_extra` with one CEL rule."""
    return schema(cel(text, message, **more))


def size_of(*texts: str) -> str:
    """Build a CEL expression for the bytes of texts, which may be missing."""
    return " + ".join(
        f"(has({text}) ? bytes({text}).size() : 0)" if "." in text else f"bytes({text}).size()"
        for text in texts
    )


def listed(
    most: int, description: str, *rules: dict[str, str], key: str = "", read: int = 0
) -> Any:
    """Build the field of a list of at most so many items, empty by default.

    Server-side apply merges it by the key of its items (several are separated by a blank); without
    one it replaces the whole list. `read` is how many an object may have that an earlier release
    let in: the API server lets them stay until somebody changes the list.
    """
    kind: dict[str, Any] = {"list_type": "map", "list_keys": key.split()} if key else {}
    extra = schema(*rules, **(kind or {"list_type": "atomic"}), maxItems=most)
    longest = max(most, read)
    return Field([], max_length=longest, description=description, json_schema_extra=extra)


def immutable(field: str, hint: str) -> dict[str, str]:
    """Build a rule for the parent object: a field may not change, be added or be removed."""
    return cel(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == "
        f"oldSelf.{field})",
        f"{field} is immutable: {hint}",
    )


class Model(BaseModel):
    """Frozen, with camelCase names in JSON.

    Ignores unknown fields: an older operator must work with a newer CRD. Choices in `spec` are
    Literals: an object with an unknown choice does not parse at all, because an unknown approval
    mode must not count as "needs no approval". Choices in `status` are plain text, so that a status
    always parses.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )
    checks_changes: ClassVar[bool] = False  # whether `but` validates: twice the time of a pass

    def to_json(self) -> dict[str, Any]:
        """Dump for the API server: camelCase, without nulls, times in RFC 3339."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def but(self, **changes: Any) -> Self:
        """Return a copy with these fields changed; tests check the values, too.

        Raises TypeError for a name that is no field: it would otherwise be dropped in silence.
        """
        unknown = changes.keys() - type(self).model_fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        if self.checks_changes:
            type(self).model_validate({**self.__dict__, **changes})
        return self.model_copy(update=changes)
