"""Whose state it is: two gateways on one, a state that was emptied, and another one in its place."""

import re

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import TINY


@pytest.fixture(scope="module")
def three(module_systems: Systems) -> dict[str, System]:
    """Systems that work; started side by side."""
    made = {name: module_systems(f"state-{name}") for name in ("first", "emptied", "swapped")}
    for system in made.values():
        system.apply_gateway()
    for name in ("emptied", "swapped"):
        made[name].environment("prod", TINY)
    for system in made.values():
        system.gateway.wait_ready()
    return made


def test_two_gateways_on_one_state(three: dict[str, System], systems: Systems) -> None:
    first, second = three["first"], systems("second")
    second.secret("others", {"state": first.password("state")})
    state = first.connection("state")
    state["secrets"]["password"]["name"] = "others"
    gateway = second.apply_gateway(stateConnection=state)
    prod = second.environment("prod", TINY)
    message = gateway.wait_reason("StateOwnershipConflict", seconds=90)
    owner = re.search(rf"\S+/{first.namespace}/system", message)
    assert owner is not None, message
    assert gateway.conditions()["Stalled"]["status"] == "True"
    prod.wait_reason("GatewayNotReady")
    assert prod.jobs() == []
    assert first.gateway.ready(), "the owner is not disturbed"

    gateway.patch(takeover=owner.group(0).strip("(`'\",."))
    gateway.wait_ready()
    prod.wait_ready()
    first.gateway.request("probe")
    assert f"/{second.namespace}/system" in first.gateway.wait_reason("StateOwnershipConflict", seconds=90)


def test_a_state_that_was_emptied_stops_everything(three: dict[str, System]) -> None:
    system = three["emptied"]
    prod = system.existing("prod")
    prod.wait_ran()
    system.rows("drop schema sqlmesh cascade", "state")
    prod.request("run")
    message = system.gateway.wait_reason("StateLost", "StateIdentityChanged", seconds=120)
    assert system.gateway.conditions()["Stalled"]["status"] == "True"
    assert "takeover" in message
    prod.wait_reason("GatewayNotReady", "StateLost", "StateIdentityChanged")
    before = len(prod.jobs())
    prod.request("plan")
    prod.stage.throughout(lambda: len(prod.jobs()) == before, "no Job starts", 3)
    assert system.rows("select x from t.one") == [(1,)], "the data is as it was"
    assert system.rows("select count(*) from information_schema.schemata where schema_name = 'sqlmesh'", "state") == [
        (0,)
    ], "nobody initialised it again"

    system.gateway.patch(takeover="empty")
    system.gateway.wait_ready()


def test_another_state_in_its_place_stops_everything(three: dict[str, System]) -> None:
    system = three["swapped"]
    prod = system.existing("prod")
    prod.wait_ran()
    identity = system.gateway.status()["stateIdentity"]
    assert system.state_server is not None
    role = system.database("state")
    system.state_server.execute(f'create database "{role}-2" owner "{role}"')
    system.gateway.patch(stateConnection={"options": {"database": f"{role}-2"}})
    message = system.gateway.wait_reason("StateLost", "StateIdentityChanged", seconds=90)
    assert "takeover" in message
    prod.wait_reason("GatewayNotReady")
    assert system.gateway.status()["stateIdentity"] == identity
    system.gateway.patch(stateConnection={"options": {"database": role}})
    system.gateway.wait_ready()
    prod.wait_ready()
