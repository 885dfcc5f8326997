"""Probe: what the gateway's condition says of every way a system can be wrong."""

import dataclasses
import re

import duckdb
import pytest

from tests.runner.system import System, copy_database
from tools.stand.postgres import Server
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Connection, Owner, SecretRef

Servers = tuple[Server, Server]


def _with_state(system: System, **options: object) -> Connection:
    state = system.gateway.state_connection
    assert state is not None
    return dataclasses.replace(state, options={**state.options, **options})


def test_an_empty_state_is_initialised_once(untouched: System) -> None:
    first, second = untouched.probe().result, untouched.probe().result
    assert first.probe and second.probe
    assert (first.reason, first.probe.initialised) == (Reason.SUCCEEDED, True)
    assert (second.reason, second.probe.initialised) == (Reason.SUCCEEDED, False)
    assert first.probe.state_identity == second.probe.state_identity != ""
    assert first.probe.versions["sqlmesh"] == first.probe.versions["runnerSqlmesh"]


def test_a_missing_secret_is_named(remote: System) -> None:
    (remote.secrets / "warehouse" / "password").unlink()
    ended = remote.probe()
    assert ended.result.reason is Reason.SECRET_MISSING
    assert "warehouse" in ended.result.message


def test_a_missing_key_is_told_from_a_missing_secret(remote: System) -> None:
    (remote.secrets / "warehouse" / "password").rename(remote.secrets / "warehouse" / "passwort")
    ended = remote.probe()
    assert ended.result.reason is Reason.SECRET_KEY_MISSING
    assert "warehouse has no key password" in ended.result.message


@pytest.mark.parametrize("side", ["connection", "state_connection"])
def test_a_wrong_password_names_the_secret(remote: System, side: str) -> None:
    remote.secret("other", token="wrong-password")
    connection = dataclasses.replace(getattr(remote.gateway, side), secrets={"password": SecretRef("other", "token")})
    ended = remote.probe(**{side: connection})
    assert ended.result.reason is Reason.AUTH_FAILED
    assert "other (key token)" in ended.result.message
    assert ended.result.probe is not None
    assert (ended.result.probe.warehouse, ended.result.probe.state) == (side != "connection", side == "connection")


@pytest.mark.parametrize(
    ("side", "reason"),
    [("connection", Reason.WAREHOUSE_UNREACHABLE), ("state_connection", Reason.STATE_UNREACHABLE)],
)
def test_a_server_that_is_down_is_told_by_side(remote: System, side: str, reason: Reason) -> None:
    connection = getattr(remote.gateway, side)
    ended = remote.probe(**{side: dataclasses.replace(connection, options={**connection.options, "port": 1})})
    assert ended.result.reason is reason
    assert "Connection refused" in ended.result.message


def test_an_unknown_engine_is_a_configuration_error(local: System) -> None:
    ended = local.probe(connection=Connection("postgress"))
    assert ended.result.reason is Reason.CONFIG_INVALID
    assert "postgress" in ended.result.message


def test_a_known_state_that_is_empty_is_lost_until_taken_over(remote: System) -> None:
    remote.query_state("drop schema sqlmesh cascade")
    assert remote.probe().result.reason is Reason.STATE_LOST
    again = remote.probe(takeover="empty").result
    assert again.probe is not None
    assert (again.reason, again.probe.initialised) == (Reason.SUCCEEDED, True)


def test_an_empty_state_beside_a_full_warehouse_is_lost(untouched: System) -> None:
    untouched.query("create schema sqlmesh__shop")
    ended = untouched.probe()
    assert ended.result.reason is Reason.STATE_LOST
    assert "sqlmesh__shop" in ended.result.message


def test_another_state_under_the_gateway_is_noticed(remote: System, servers: Servers) -> None:
    copy_database(servers[1], "template0", "other")
    other = _with_state(remote, database="other")
    lost = remote.probe(state_connection=other)
    assert lost.result.reason is Reason.STATE_LOST
    copied = remote.probe(state_connection=other, state_identity=None)
    assert copied.result.reason is Reason.SUCCEEDED
    changed = remote.probe(state_connection=other)
    assert changed.result.reason is Reason.STATE_IDENTITY
    assert copied.result.probe is not None
    identity = copied.result.probe.state_identity
    assert f'set spec.takeover: "{identity}"' in changed.result.message
    assert remote.probe(state_connection=other, takeover=identity).result.reason is Reason.SUCCEEDED


def test_two_gateways_conflict_whatever_host_name_they_use(remote: System) -> None:
    rival = Owner("cluster-1", "analytics", "rival")
    through = _with_state(remote, host="localhost")
    ended = remote.probe(owner=rival, state_connection=through, state_identity=None)
    assert ended.result.reason is Reason.STATE_OWNERSHIP
    quoted = re.search('set spec.takeover: "([^"]+)"', ended.result.message)  # so that no dot is copied along
    assert quoted is not None and quoted[1] == str(remote.gateway.owner)
    taken = remote.probe(owner=rival, state_connection=through, state_identity=None, takeover=quoted[1])
    assert taken.result.reason is Reason.SUCCEEDED
    assert remote.probe().result.reason is Reason.STATE_OWNERSHIP


def test_a_gateway_that_was_created_again_adopts_its_state(anywhere: System) -> None:
    assert anywhere.probe(state_identity=None).result.reason is Reason.SUCCEEDED


@pytest.mark.parametrize(
    ("version", "reason"), [("0.100.0", Reason.STATE_MIGRATION), ("0.999.0", Reason.RUNNER_OUTDATED)]
)
def test_versions_of_state_and_runner_must_fit(local: System, version: str, reason: Reason) -> None:
    local.query_state(f"update sqlmesh._versions set sqlmesh_version = '{version}'")
    ended = local.probe()
    assert ended.result.reason is reason
    assert version in ended.result.message


def test_a_file_that_another_process_holds_is_busy(local: System) -> None:
    with duckdb.connect(str(local.folder / "state.duckdb")):
        assert local.probe().result.reason is Reason.STATE_BUSY


def test_tasks_refuse_a_state_of_another_gateway(local: System) -> None:
    local.gateway = dataclasses.replace(local.gateway, owner=Owner("cluster-2", "a", "b"))
    assert local.run().result.reason is Reason.STATE_OWNERSHIP
