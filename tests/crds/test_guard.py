"""The operator's own check, against a real API server: it names the policy that is not there."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.crds.conftest import ACCOUNT, ROOT
from tests.crds.objects import environment
from tests.crds.server import User
from vulcan_operator import guard, policies
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


def reinstall(server: Any) -> None:
    server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "deploy" / "policies.yaml"))


async def test_with_everything_in_place_nothing_is_missing(checks: Guard) -> None:
    """All defaults that this server adds are known."""
    assert await checks.check() == ()


@pytest.mark.parametrize("policy", policies.shipped(ACCOUNT).policies)
async def test_a_policy_that_denies_nothing_is_named(checks: Guard, server: Any, policy: str) -> None:
    server.kubectl("delete", "validatingadmissionpolicybinding", policy)
    try:
        assert await finds(checks, (f"{policy}: it has no binding",))
    finally:
        reinstall(server)
    assert await finds(checks, ())


ALWAYS = {"validations": [{"expression": "true"}]}
NEVER = {"matchConditions": [{"name": "never", "expression": "false"}]}


@pytest.mark.parametrize(
    ("policy", "change", "where"),
    [
        pytest.param("vulcan-gateway-grants", ALWAYS, "spec.validations[0].expression", id="it allows everything"),
        pytest.param("vulcan-gateway-grants", NEVER, "spec.matchConditions", id="it is never asked"),
        pytest.param("vulcan-environment-deletion", {"failurePolicy": "Ignore"}, "spec.failurePolicy", id="open"),
    ],
)
async def test_a_rule_that_was_cut_down_is_named(
    checks: Guard, server: Any, policy: str, change: Any, where: str
) -> None:
    patch = json.dumps({"spec": change})
    server.kubectl("patch", "validatingadmissionpolicy", policy, "--type=merge", "-p", patch)
    try:
        assert await finds(checks, (f"{policy}: {where} is not that of this release",))
    finally:
        server.kubectl("delete", "validatingadmissionpolicy", policy)
        reinstall(server)
    assert await finds(checks, ())


async def test_an_administrator_is_not_refused(server: Any, admin: User, checks: Guard) -> None:
    """Whoever may approve cannot tell whether others may not."""
    server.kubectl("create", "clusterrolebinding", "guard", "--clusterrole=cluster-admin",
                   "--serviceaccount=vulcan-system:vulcan-operator")  # fmt: skip
    through = "this account could do what it must refuse"
    try:
        assert await finds(checks, (f"{guard.APPROVALS}: {through}", f"{guard.RULES}: {through}"))
    finally:
        server.kubectl("delete", "clusterrolebinding", "guard")
    assert await finds(checks, ())
