"""SQLMesh's own table diff of a model between two environments: `python bare_diff.py WAREHOUSE STATE` in a project's folder.

Run by `diff` in the runner's environment. What anybody would write who uses the API for this and nothing else.
"""

import sys
from pathlib import Path

from sqlmesh.core.config import Config, GatewayConfig, ModelDefaultsConfig
from sqlmesh.core.config.connection import DuckDBConnectionConfig
from sqlmesh.core.console import NoopConsole, set_console
from sqlmesh.core.context import Context


def main(warehouse: str, state: str) -> None:
    """Prints rows before, after, joined and equal."""
    set_console(NoopConsole())
    connections = {
        "connection": DuckDBConnectionConfig(database=warehouse),
        "state_connection": DuckDBConnectionConfig(database=state),
    }
    config = Config(
        gateways={"main": GatewayConfig(**connections)}, model_defaults=ModelDefaultsConfig(dialect="duckdb")
    )
    context = Context(paths=[Path.cwd()], config=config)
    (found,) = context.table_diff("prod", "staging", select_models=["bench.orders"], show=False)
    rows = found.row_diff()
    print(rows.source_count, rows.target_count, rows.join_count, rows.full_match_count)
    context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
