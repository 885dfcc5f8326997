"""Where SQLMesh's table diff puts the join of two tables, so that it needs no right to create
anything in the warehouse and leaves nothing behind.

Called by `diffing`. PostgreSQL has temporary tables, DuckDB takes a file of the pod beside the
warehouse's; other engines use SQLMesh's own schema `sqlmesh_temp`, whose tables SQLMesh drops.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_numbers = itertools.count(1)


@contextmanager
def place(adapter: Any, folder: Path) -> Iterator[tuple[Any, str | None]]:
    """An adapter of the same session, and the schema for temporary tables (None: SQLMesh's)."""
    if adapter.dialect == "postgres":
        yield _without_schemas(adapter), "pg_temp"
    elif adapter.dialect == "duckdb" and not adapter._is_motherduck:
        catalog = f"vulcan_scratch_{next(_numbers)}"
        file = folder / f"{catalog}.duckdb"
        adapter.execute(f"ATTACH '{_quoted(file)}' AS {catalog}")
        try:
            yield _without_schemas(adapter), f"{catalog}.main"
        finally:
            adapter.execute(f"DETACH {catalog}")
            file.unlink(missing_ok=True)
    else:
        yield adapter, None


def _without_schemas(adapter: Any) -> Any:
    """SQLMesh would create the schema; these exist, and nobody may create them."""
    own = adapter.with_settings()
    own.create_schema = lambda *args, **kwargs: None
    return own


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
