"""Frozen dataclasses to and from JSON, driven by their type hints, and the check of their bounds.

Called by Task, Result and DiffReport only. Absent and null are the same; fields at their default
are left out, which keeps the termination message small. Unknown keys are ignored, so that a newer
peer may say more; a missing required one raises. `decode` checks types alone: what may come from
project code is checked against the bounds of its fields as well (`check`).
"""

import dataclasses
import datetime as dt
import enum
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any


class ContractError(ValueError):
    """The JSON does not have the shape of the dataclass it was read as."""


_MOST = 2**63 - 1  # the schemas' int64
_LAST_YEAR = 9000  # later times leave no room to compute with
_hints = functools.cache(typing.get_type_hints)


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a field's text and collections must be besides their type: `Annotated[str, Bound(64)]`.

    Nested dataclasses have bounds of their own. Numbers are finite, not negative and of 63 bits
    everywhere.
    """

    longest: int | None = None  # characters of text
    most: int | None = None  # elements of a collection
    highest: int | None = None  # number
    filled: bool = False  # no text is empty
    time: bool = False  # text is RFC 3339 with a zone; empty only where it need not be filled


def check(value: object, default: Bound, bound: Bound | None = None, name: str = "") -> None:
    """Raises ContractError for a value outside its field's bounds. `default` holds for fields that
    do not say more, and for keys of mappings; `bound` and `name` are those of the field."""
    own = bound or default
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        bounds = _bounds(type(value))
        for f in dataclasses.fields(value):
            check(getattr(value, f.name), default, bounds.get(f.name), f.name)
    elif isinstance(value, (Mapping, tuple)):
        if len(value) > (own.most or default.most or len(value)):
            raise ContractError(f"{name}: {len(value)} elements are too many")
        for inner in value.values() if isinstance(value, Mapping) else value:
            check(inner, default, bound, name)
        for key in value if isinstance(value, Mapping) else ():
            _check_text(key, default, default.longest, f"a key of {name}")
    elif isinstance(value, (int, float)) and not 0 <= value <= (own.highest or _MOST):  # nor NaN
        raise ContractError(f"{name}: {value} is out of range")
    elif isinstance(value, str):
        _check_text(value, own, own.longest or default.longest, name)


def _check_text(text: str, bound: Bound, longest: int | None, name: str) -> None:
    if longest is not None and len(text) > longest:
        raise ContractError(f"{name}: longer than {longest} characters")
    if not text and bound.filled:
        raise ContractError(f"{name}: empty")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ContractError(f"{name}: half of a surrogate pair")
    if text and bound.time:
        _check_time(text, name)


def _check_time(text: str, name: str) -> None:
    try:
        time = dt.datetime.fromisoformat(text)
        known = time.tzinfo is not None and time.astimezone(dt.UTC).year < _LAST_YEAR
    except (ValueError, OverflowError) as error:
        raise ContractError(f"{name}: {error}") from error
    if not known:
        raise ContractError(f"{name}: {text} has no zone, or is too far in the future")


@functools.cache
def _bounds(kind: type) -> dict[str, Bound]:
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {name: _bound_in(hint) for name, hint in hints.items()}
    return {name: bound for name, bound in found.items() if bound is not None}


def _bound_in(hint: Any) -> Bound | None:
    """The one Bound that a hint mentions, however deep within it."""
    inner = typing.get_args(hint)
    own = next((part for part in inner if isinstance(part, Bound)), None)
    return own or next(filter(None, map(_bound_in, inner)), None)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every text in it changed, keys of mappings included."""
    if isinstance(value, enum.Enum):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        changed = {f.name: mapped(getattr(value, f.name), change) for f in fields}
        return dataclasses.replace(value, **changed)
    if isinstance(value, Mapping):
        return {change(key): mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(mapped(inner, change) for inner in value)
    return change(value) if isinstance(value, str) else value


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
    got = type(data).__name__
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, Mapping):
            raise ContractError(f"{where or kind.__name__}: expected an object, got {got}")
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
            raise ContractError(f"{where}: expected a list, got {got}")
        inside = typing.get_args(kind)[0]
        return tuple(decode(inside, v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin in (dict, Mapping):
        if not isinstance(data, Mapping):
            raise ContractError(f"{where}: expected an object, got {got}")
        return {k: decode(typing.get_args(kind)[1], v, f"{where}.{k}") for k, v in data.items()}
    wrong = isinstance(data, bool) and kind is not bool
    if kind is float and isinstance(data, int) and not wrong:
        try:
            return float(data)
        except OverflowError as error:
            raise ContractError(f"{where}: {error}") from error
    if kind in (str, int, bool, float) and (wrong or not isinstance(data, kind)):
        raise ContractError(f"{where}: expected {kind.__name__}, got {got}")
    return data


def load(text: str) -> Any:
    """Any JSON; raises ContractError for all else, including NaN and nesting that is too deep."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"not JSON: {error}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(value == field.default) and type(value) is type(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return False
