"""One revision from the non-production system to production: two PostgreSQL servers in networks that see only themselves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import crash_kit as kit
from tests.integration.conftest import Systems
from tests.integration.harness import Stage, System, Thing
from tests.integration.test_promotion import over
from tools.localcluster import networks
from tools.stand.postgres import Server

GRANTS = [{"namespaces": {"from": "All"}, "environments": ["*"], "promotions": True}]
REACH = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


@pytest.fixture(scope="module")
def servers(stage: Stage) -> Iterator[dict[str, Server]]:
    """A server in a network of its own for each side."""
    made = {}
    for side in ("lower", "upper"):
        name = f"vulcan-{os.getpid()}-{side}"
        networks.add(name)
        made[side] = Server.create(state=stage.cluster.state, name=side, network=name)
    yield made
    for server in made.values():
        server.remove()
        networks.remove(server.network)


def system(systems: Systems, server: Server, name: str, **spec: Any) -> System:
    """A gateway whose Jobs are in the network of its server."""
    runner = {"podAnnotations": {networks.ANNOTATION: server.network}}
    return kit.prepare(systems(name, server=server, gateway_spec={"runner": runner, "grants": GRANTS, **spec}))


def pair(systems: Systems, servers: dict[str, Server], files: dict[str, str]) -> tuple[System, System]:
    """staging with a revision on one side, prod without any on the other."""
    lower, upper = (system(systems, servers[side], side) for side in ("lower", "upper"))
    lower.gateway.wait_ready()
    upper.gateway.wait_ready()
    lower.environment("prod", files, **kit.MANUAL).wait_ran(180)
    lower.environment("staging", files, **kit.MANUAL, deletionPolicy="Retain").wait_ran(180)
    upper.environment("prod", revisionFrom="Promotion", **kit.MANUAL)
    return lower, upper


def promotion(lower: System, upper: System, name: str = "to-prod", **spec: Any) -> Thing:
    """In the namespace of production."""
    source = {"environmentRef": {"name": "staging", "namespace": lower.namespace}}
    return upper.promotion(name, **{"from": source, **spec})


def reaches(inside: Server, other: Server) -> bool:
    """Whether somebody in the network of one server gets through to the other's port."""
    command = [*networks.inside(inside.network), sys.executable, "-c", REACH, str(other.port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_across_two_servers_that_cannot_reach_each_other(systems: Systems, servers: dict[str, Server]) -> None:
    assert [reaches(a, b) for a in servers.values() for b in servers.values()] == [True, False, False, True]
    lower, upper = pair(systems, servers, kit.days(1))
    there = promotion(lower, upper, approval={"mode": "Always"})
    there.wait_plan(120)
    there.run_approve_command("alice")
    status = over(there, "Succeeded")
    assert (status["relation"], status["approvedBy"]) == ("AcrossSystems", ["alice"])
    prod = upper.existing("prod")
    wanted = lower.existing("staging").status()["applied"]["sourceDigest"]
    prod.wait(lambda s: s.get("applied", {}).get("sourceDigest") == wanted, "prod has it", 30)
    prod.wait_ran(120)
    assert upper.rows("select distinct n from t.days") == [(1,)]
    assert kit.batches(upper) == kit.each_once(1)
    here, elsewhere = there.jobs(), there.jobs(namespace=lower.namespace)
    assert ({kit.label(j, "task") for j in here}, {kit.label(j, "task") for j in elsewhere}) == (
        {"plan", "apply", "audit"}, {"audit"},
    )  # fmt: skip
    assert str(servers["lower"].port) not in json.dumps(here) and str(servers["upper"].port) not in json.dumps(
        elsewhere
    )


def test_across_systems_with_the_operator_killed_at_every_step(systems: Systems, servers: dict[str, Server]) -> None:
    lower, upper = pair(systems, servers, kit.days(1))
    there = promotion(lower, upper)
    for step in ("Plan", "Audits", "Apply", "Verify"):
        kit.wait_begun(there, step)
        kit.kill_operator(upper)
    status = over(there, "Succeeded", 180)
    upper.existing("prod").wait_ran(120)
    assert kit.batches(upper) == kit.each_once(1)
    assert [len(there.jobs(task)) for task in ("plan", "apply")] == [1, 1]
    assert all(step["state"] in ("Succeeded", "Skipped") for step in status["steps"])


def test_across_systems_a_job_that_is_killed_goes_on_where_it_was(systems: Systems, servers: dict[str, Server]) -> None:
    lower, upper = pair(systems, servers, kit.days(1, pause=0.7))
    there = promotion(lower, upper)
    job = kit.in_hand(there, "apply")
    upper.stage.wait_for(lambda: kit.batches(upper), "a batch is done", 60)
    kit.kill_pod(there, job)
    over(there, "Succeeded", 180)
    upper.existing("prod").wait_ran(120)
    assert len(there.jobs("apply")) == 2
    assert upper.rows("select count(*), count(distinct day) from t.days") == [(4, 4)]


def test_deleted_while_it_computes_it_ends_cleanly_and_says_so(systems: Systems, servers: dict[str, Server]) -> None:
    lower, upper = pair(systems, servers, kit.days(1, pause=1.5))
    there = promotion(lower, upper)
    kit.in_hand(there, "apply")
    upper.stage.wait_for(lambda: kit.batches(upper), "a batch is done", 60)
    there.delete()
    there.wait_gone(90)
    said = [event["note"] for event in there.events() if event["reason"] == "PromotionCancelled"]
    assert said and "nothing had been changed" in said[0]
    assert "applied" not in upper.existing("prod").status()
    over(promotion(lower, upper, "again"), "Succeeded", 180)
    upper.existing("prod").wait_ran(120)
    assert upper.rows("select count(*), count(distinct day) from t.days") == [(4, 4)]
