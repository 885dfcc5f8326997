"""One Soda scan. A program of Soda's own environment, started by `checking`; must import nothing
but Soda and the standard library, and nothing of ours.

Reads what to check as JSON from stdin (so that a password reaches no argument, variable or file)
and answers with JSON on stdout: each check's name, table and outcome, and Soda's errors. No value
of any metric is in the answer.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SOURCE = "warehouse"


def main() -> None:
    """Only the answer goes to stdout: whatever else is printed goes to stderr, which is dropped."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _silence()
    try:
        found = _scan(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001  the process edge
        found = {"checks": [], "errors": [f"{type(error).__name__}: {error}"]}
    with answer:
        json.dump(found, answer)


def _silence() -> None:
    """Soda sends usage statistics to its maker unless this file, read at import, forbids it."""
    config = Path.home() / ".soda" / "config.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("send_anonymous_usage_stats: false\nuser_cookie_id: none\n")


def _scan(what: dict[str, Any]) -> dict[str, Any]:
    from soda.sampler.sampler import Sampler
    from soda.scan import Scan, soda_telemetry

    class Nowhere(Sampler):  # type: ignore[misc]  # Soda has no types
        def store_sample(self, sample_context: Any) -> None:
            """Drops the rows that a check has found."""

    if soda_telemetry.soda_config.send_anonymous_usage_stats:
        raise RuntimeError("Soda's usage statistics are not off")
    _name_only_what_was_given()
    files, variables = what["files"], what["variables"]
    unknown = [said for name in files for said in _unknown(name, files[name], variables)]
    if unknown:  # Soda's own message for it is misleading
        return {"checks": [], "errors": unknown}
    scan = Scan()
    scan.sampler = Nowhere()
    scan.set_data_source_name(_SOURCE)
    # Not as YAML: in that, Soda would take `${…}` in a password for a variable.
    scan._configuration.data_source_properties_by_name[_SOURCE] = what["source"]
    scan._configuration.samples_limit = 0
    scan.add_variables(variables)
    for name, text in files.items():
        scan.add_sodacl_yaml_str(text, name)
    if _connected(scan):
        scan.execute()
    checks = [
        {"name": str(c.name), "table": _table(c), "outcome": c.outcome and c.outcome.value}
        for c in scan._checks
    ]
    errors = [(e.message, str(e.exception or "")) for e in scan.get_error_logs()]
    return {"checks": checks, "errors": [" ".join(filter(None, words)) for words in errors]}


def _name_only_what_was_given() -> None:
    """Restricts `${…}` to the scan's variables. By default it also means the process's environment,
    and a typing error means nothing, which could turn into another environment's tables."""
    from jinja2 import StrictUndefined
    from jinja2.runtime import Context
    from soda.common.jinja import Jinja

    Jinja.environment.context_class = Context
    Jinja.environment.undefined = StrictUndefined


def _unknown(name: str, text: str, variables: dict[str, str]) -> list[str]:
    from jinja2 import TemplateSyntaxError, meta
    from soda.common.jinja import Jinja

    try:
        named = meta.find_undeclared_variables(Jinja.environment.parse(text))
    except TemplateSyntaxError:
        return []  # Soda reads it piece by piece, and tells which is wrong
    unknown = sorted(named - set(variables) - {"NOW"})
    known = ", ".join(sorted(variables))
    return [f"{name}: there is no variable {v}, but {known}" for v in unknown]


def _connected(scan: Any) -> bool:
    """Whether the warehouse answers. The data source has no schema and tables are named with
    theirs, so Soda's query for columns must split the name."""
    source = scan._data_source_manager.get_data_source(_SOURCE)
    if source is None:
        return False
    original: Callable[..., str] = source.sql_get_table_columns

    def of_table(table_name: str, *args: Any, **named: Any) -> str:
        source.schema, _, table = table_name.rpartition(".")
        try:
            return original(table, *args, **named)
        finally:
            source.schema = None

    source.sql_get_table_columns = of_table
    return True


def _table(check: Any) -> str:
    partition = getattr(check, "partition", None)
    return str(partition.table.table_name) if partition is not None else ""


if __name__ == "__main__":
    main()
