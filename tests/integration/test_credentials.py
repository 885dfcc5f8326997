"""Secrets that are missing, incomplete or wrong: said in status, and corrected without anybody asking for a retry."""

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import TINY

CASES = {
    "no-secret": ("SecretMissing", "credentials"),
    "no-key": ("SecretKeyMissing", "warehouse"),
    "wrong-password": ("AuthFailed", "password"),
    "wrong-state-password": ("AuthFailed", "password"),
}
Broken = dict[str, System]


@pytest.fixture(scope="module")
def broken(module_systems: Systems) -> Broken:
    """One system for each case, all broken at the same time; each has an environment that waits."""
    made = {name: module_systems(name) for name in CASES}
    made["no-secret"].stage.kubectl("delete", "secret", "credentials", "-n", made["no-secret"].namespace)
    made["no-key"].stage.kubectl(
        "patch", "secret", "credentials", "-n", made["no-key"].namespace, "--type=json", "-p",
        '[{"op": "remove", "path": "/data/warehouse"}]',
    )  # fmt: skip
    for name, role in (("wrong-password", "warehouse"), ("wrong-state-password", "state")):
        system = made[name]
        system.secret("credentials", {role: system.password("of-somebody-else")})
    for system in made.values():
        system.apply_gateway()
        system.environment("prod", TINY)
    return made


@pytest.fixture(scope="module")
def corrected(broken: Broken) -> Broken:
    """The Secrets as they should have been; nothing else is touched."""
    for system in broken.values():
        system.gateway.wait(lambda s: s.get("failure"), "the failure is recorded", 90)
    for system in broken.values():
        system.secret("credentials", {role: system.password(role) for role in ("warehouse", "state")})
    return broken


@pytest.mark.parametrize("case", CASES)
def test_status_says_what_is_wrong(broken: Broken, case: str) -> None:
    system, (reason, word) = broken[case], CASES[case]
    message = system.gateway.wait_reason(reason, seconds=90)
    assert word in message
    conditions = system.gateway.conditions()
    assert conditions["Reconciling"]["status"] == "True", "it is tried again by itself"
    assert system.gateway.status()["nextAttemptTime"]


@pytest.mark.parametrize("case", CASES)
def test_no_environment_starts_a_job_meanwhile(broken: Broken, case: str) -> None:
    system = broken[case]
    prod = system.existing("prod")
    message = prod.wait_reason("GatewayNotReady")
    assert system.gateway.name in message
    assert prod.jobs() == []


@pytest.mark.parametrize("case", CASES)
def test_corrected_it_recovers_by_itself(corrected: Broken, case: str) -> None:
    system = corrected[case]
    system.gateway.wait_ready(150)
    system.existing("prod").wait_ready(120)
    assert system.rows("select x from t.one") == [(1,)]
    assert "annotations" not in (system.gateway.get() or {})["metadata"] or not [
        a for a in (system.gateway.get() or {})["metadata"]["annotations"] if a.startswith("vulcan.dev/")
    ]
