"""The operator's own check, against a real API server: it names the policy that is not there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.crds.conftest import ACCOUNT, ROOT
from tests.crds.objects import environment
from tests.crds.server import User
from vulcan_operator import guard
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.guard import Guard
from vulcan_operator.kube.access import Access
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.kube.transport import Transport

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")


@pytest.fixture
async def checks(server: Any, admin: User, tmp_path: Any) -> AsyncIterator[Guard]:
    """The guard as the operator's account, which knows one environment."""
    document = environment()
    assert admin.create(document).ok
    cache = Cache()
    Intake(cache, "test", lambda key: None).event(ENVIRONMENTS, admin.get(document).body)
    path = server.service_account_kubeconfig("vulcan-system", "vulcan-operator", tmp_path / "config")
    transport = Transport(Access(str(path)))
    await transport.open()
    yield Guard(HttpKube(transport), cache, ACCOUNT, lambda: None)
    await transport.close()


async def finds(checks: Guard, missing: tuple[str, ...]) -> bool:
    """Whether it comes to this: what changes about a policy takes effect after about a second."""
    for _ in range(100):
        if await checks.check() == missing:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_with_everything_in_place_nothing_is_missing(checks: Guard) -> None:
    assert await checks.check() == ()


@pytest.mark.parametrize("policy", [guard.APPROVALS, guard.RULES, guard.CREATED_BY, *guard.READ])
async def test_a_policy_that_denies_nothing_is_named(checks: Guard, server: Any, policy: str) -> None:
    server.kubectl("delete", "validatingadmissionpolicybinding", policy)
    try:
        assert await finds(checks, (policy,))
    finally:
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy" / "policies.yaml"))
    assert await finds(checks, ())


async def test_an_administrator_is_not_refused(server: Any, admin: User, checks: Guard) -> None:
    """Whoever may approve cannot tell whether others may not."""
    server.kubectl("create", "clusterrolebinding", "guard", "--clusterrole=cluster-admin",
                   "--serviceaccount=vulcan-system:vulcan-operator")  # fmt: skip
    try:
        assert await finds(checks, (guard.APPROVALS, guard.RULES))
    finally:
        server.kubectl("delete", "clusterrolebinding", "guard")
    assert await finds(checks, ())
