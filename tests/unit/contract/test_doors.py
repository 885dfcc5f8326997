"""Who may reach into SQLMesh's insides: what breaks first when its version changes. import-linter sees
external packages as a whole, so the modules within are listed here."""

import ast
from collections.abc import Iterator
from pathlib import Path

RUNNER = Path(__file__).parents[3] / "operator" / "vulcan_runner"
PUBLIC = {  # documented, or stable for years
    "sqlmesh",
    "sqlmesh.core.config", "sqlmesh.core.config.connection", "sqlmesh.core.console",
    "sqlmesh.core.context", "sqlmesh.core.plan", "sqlmesh.utils", "sqlmesh.utils.date",
    "sqlmesh.utils.errors", "sqlmesh.core",
}  # fmt: skip
INTERNAL = {
    "config": {"sqlmesh.core.config.loader"},
    "diff_side": {"sqlmesh.core.dialect", "sqlmesh.core.snapshot.definition"},
    "diffing": {"sqlmesh.core.engine_adapter.mixins", "sqlmesh.core.table_diff"},
    "engine": {
        "sqlmesh.core.context_diff", "sqlmesh.core.environment", "sqlmesh.core.plan.stages",
        "sqlmesh.core.snapshot.definition",
    },
    "snapshots": {"sqlmesh.core.schema_diff", "sqlmesh.core.snapshot.definition"},
    "sqlmesh_context": {"sqlmesh.core.scheduler", "sqlmesh.core.snapshot.definition"},
    "state": {
        "sqlmesh.core.snapshot.definition", "sqlmesh.core.state_sync",
        "sqlmesh.core.state_sync.base", "sqlmesh.core.state_sync.db.utils",
        "sqlmesh.utils.migration",
    },
}  # fmt: skip
PRIVATE = {  # names with an underscore that are not our own
    "engine": {"_get_plan_default_start_end"},
    "lock": {"_connection_factory", "_connection_factory_with_kwargs"},
    "scratch": {"_is_motherduck"},
    "sqlmesh_context": {"_run"},  # which it overrides, with two more methods
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(RUNNER.glob("*.py")):
        if path.stem != "soda_scan":  # a program of another environment
            yield path.stem, ast.parse(path.read_text(encoding="utf-8"))


def test_sqlmeshs_internals_are_imported_by_these_modules_only() -> None:
    found: dict[str, set[str]] = {}
    for name, tree in modules():
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
        imported = {str(n.module) for n in nodes if str(n.module).split(".")[0] == "sqlmesh"}
        if imported - PUBLIC:
            found[name] = imported - PUBLIC
    assert found == INTERNAL


def test_private_names_of_others_are_used_by_these_modules_only() -> None:
    found: dict[str, set[str]] = {}
    for name, tree in modules():
        foreign = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "os"))
        }
        if foreign:
            found[name] = foreign
    assert found == PRIVATE
