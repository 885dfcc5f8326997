"""A warehouse and a state database that go away and come back: no Job meanwhile, no word of a human afterwards."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import Stage, System
from tests.integration.projects import TINY
from tools.stand.postgres import Server

WHAT = ("warehouse", "state")
CONDITION = {"warehouse": "WarehouseReachable", "state": "StateReachable"}
REASON = {"warehouse": "WarehouseUnreachable", "state": "StateUnreachable"}


@pytest.fixture(scope="module")
def servers(stage: Stage) -> Iterator[dict[str, Server]]:
    """A server for each that can be stopped."""
    made = {what: Server.create(state=stage.cluster.state, name=f"outage-{what}") for what in WHAT}
    yield made
    for server in made.values():
        server.remove()


@pytest.fixture(scope="module")
def down(stage: Stage, servers: dict[str, Server], module_systems: Systems) -> dict[str, System]:
    """Two systems in full work, then one loses its warehouse, the other its state."""
    made = {
        "warehouse": module_systems("warehouse-down", server=servers["warehouse"], state_server=stage.server),
        "state": module_systems("state-down", state_server=servers["state"]),
    }
    for system in made.values():
        system.apply_gateway()
    for system in made.values():
        system.gateway.wait_ready()
        system.environment("prod", TINY)
    for what, system in made.items():
        system.environment("prod", TINY).wait_ran()
        servers[what].stop()
        system.environment("prod", TINY).request("run")
    return made


@pytest.mark.parametrize("what", WHAT)
def test_the_gateway_says_so(down: dict[str, System], what: str) -> None:
    gateway = down[what].gateway
    gateway.wait_reason(REASON[what], seconds=120)
    conditions = gateway.conditions()
    assert conditions[CONDITION[what]]["status"] == "False"
    assert conditions["Reconciling"]["status"] == "True"


@pytest.mark.parametrize("what", WHAT)
def test_no_environment_starts_a_job(down: dict[str, System], what: str) -> None:
    system = down[what]
    prod = system.existing("prod")
    assert system.gateway.name in prod.wait_reason("GatewayNotReady", seconds=90)
    before = len(prod.jobs())
    prod.request("run")
    system.environment("dev", TINY)
    prod.stage.throughout(lambda: len(prod.jobs()) == before, "no further Job", 3)
    assert system.environment("dev", TINY).jobs() == []


@pytest.mark.parametrize("what", WHAT)
def test_it_comes_back_by_itself(down: dict[str, System], servers: dict[str, Server], what: str) -> None:
    for server in servers.values():
        server.start()
    down[what].gateway.wait_ready(180)
    prod = down[what].existing("prod")
    prod.wait(
        lambda s: s.get("lastRun", {}).get("succeeded") and "runFailure" not in s and "task" not in s,
        "the run that was asked for is done",
        120,
    )
    prod.wait_ready()
