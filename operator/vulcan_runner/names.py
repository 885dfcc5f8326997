"""Names of models as users write them. Called by `console`, `summary`, `engine` and `failures`."""

from typing import Any

from sqlglot import exp


def display(fqn: str, catalog: str | None) -> str:
    """`"db"."shop"."orders"` as shop.orders: without quotes and the gateway's own catalog."""
    table = exp.to_table(fqn)
    parts = [part.name for part in table.parts]
    if len(parts) > 2 and catalog is not None and parts[0] == catalog:
        parts = parts[1:]
    return ".".join(parts)


def title(category: Any) -> str:
    """`INDIRECT_NON_BREAKING` as IndirectNonBreaking."""
    words = category.name.split("_") if category is not None else ()
    return "".join(word.capitalize() for word in words)
