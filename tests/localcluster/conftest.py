"""One real cluster for all tests of the session; skipped with the reason where none can be built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.localcluster.pods import Pods, declared_images
from tools.localcluster import build
from tools.localcluster.cluster import Cluster


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The built control plane."""
    try:
        return build.ensure(print)
    except build.BuildError as error:
        pytest.skip(f"cannot build the control plane: {error}")


@pytest.fixture(scope="session")
def cluster(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of this session."""
    with Cluster(tmp_path_factory.mktemp("localcluster"), "shared", images=declared_images()) as running:
        yield running


@pytest.fixture
def pods(cluster: Cluster) -> Pods:
    """Pods of the session's cluster."""
    return Pods(cluster)
