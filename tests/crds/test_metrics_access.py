"""The operator's account asks the real API server who may read /metrics."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vulcan_operator.kube.access import Access
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.transport import Transport
from vulcan_operator.metrics_access import MetricsAccess


@pytest.fixture
async def kube(server: Any, tmp_path: Path) -> AsyncIterator[HttpKube]:
    """The operator's client, with the rights of deploy/rbac.yaml."""
    path = server.service_account_kubeconfig("vulcan-system", "vulcan-operator", tmp_path / "operator")
    transport = Transport(Access(str(path)))
    await transport.open()
    yield HttpKube(transport)
    await transport.close()


async def test_an_account_needs_the_role(server: Any, kube: HttpKube, tmp_path: Path) -> None:
    server.kubectl("create", "serviceaccount", "prometheus", "-n", "default")
    path = server.service_account_kubeconfig("default", "prometheus", tmp_path / "prometheus")
    token = json.loads(path.read_text())["users"][0]["user"]["token"]

    async def refusal() -> Any:
        return await MetricsAccess(kube).refusal(f"Bearer {token}")

    assert (await refusal()).status == 403
    server.kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=vulcan-metrics-reader",
                   "--serviceaccount=default:prometheus")  # fmt: skip
    for _ in range(50):
        if await refusal() is None:
            break
        await asyncio.sleep(0.1)
    assert await refusal() is None
    assert (await MetricsAccess(kube).refusal(f"Bearer {token[:-4]}XXXX")).status == 401
