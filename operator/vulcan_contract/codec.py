"""Frozen dataclasses to and from JSON, driven by their type hints.

Called by Task and Result only. Absent and null are the same; fields at their default are left out, which keeps the
termination message small. Unknown keys are ignored, so a newer peer may say more; a missing required one raises.
"""

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any


class ContractError(ValueError):
    """The JSON does not have the shape of the dataclass it was read as."""


def encode(value: Any) -> Any:
    """JSON-ready form of a dataclass, enum, mapping, sequence or scalar."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: encode(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not _is_default(f, getattr(value, f.name))
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    return value


def decode(kind: type, data: Any, where: str = "") -> Any:
    """Inverse of `encode`; raises ContractError naming the path that does not fit."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [a for a in typing.get_args(kind) if a is not type(None)]
        return None if data is None else decode(inner[0], data, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, Mapping):
            raise ContractError(f"{where or kind.__name__}: expected an object, got {type(data).__name__}")
        hints = _hints(kind)
        known = {
            f.name: decode(hints[f.name], data[f.name], f"{where}.{f.name}")
            for f in dataclasses.fields(kind)
            if f.name in data
        }
        try:
            return kind(**known)
        except TypeError as error:
            raise ContractError(f"{where or kind.__name__}: {error}") from error
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(data)
        except ValueError as error:
            raise ContractError(f"{where}: {error}") from error
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise ContractError(f"{where}: expected a list, got {type(data).__name__}")
        return tuple(decode(typing.get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin in (dict, Mapping):
        if not isinstance(data, Mapping):
            raise ContractError(f"{where}: expected an object, got {type(data).__name__}")
        return {k: decode(typing.get_args(kind)[1], v, f"{where}.{k}") for k, v in data.items()}
    wrong = isinstance(data, bool) and kind is not bool
    if kind is float and isinstance(data, int) and not wrong:
        return _float(data, where)
    if kind in (str, int, bool, float) and (wrong or not isinstance(data, kind)):
        raise ContractError(f"{where}: expected {kind.__name__}, got {type(data).__name__}")
    return data


def load(text: str) -> Any:
    """Any JSON; raises ContractError for everything else, also for what only Python takes (NaN, endless nesting)."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"not JSON: {error}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _float(number: int, where: str) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise ContractError(f"{where}: {error}") from error


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(value == field.default) and type(value) is type(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return False
