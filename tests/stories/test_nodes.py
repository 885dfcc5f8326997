"""Pods that never start until somebody corrects the spec, and pods whose node has died."""

import datetime as dt

import pytest

from tests import builders
from tests.stories.lives import MINUTE, alive, fresh
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract.reasons import Reason
from vulcan_operator.kube.resources import PODS
from vulcan_operator.plan.core.seen import JobState

GRACE = dt.timedelta(minutes=5)
DUCKDB = {
    "connection": {"type": "duckdb", "options": {"database": "/w.db"}},
    "stateConnection": {"type": "duckdb", "options": {"database": "/s.db"}},
}


def lose_node(world: World, job: str) -> str:
    """The node of a Job's pod dies; five minutes later the pod is told to stop, and nobody answers. The pod's name."""
    pod = world.start_job(job)
    ends = (world.clock.time + GRACE).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.kube.ask_to_end(PODS, pod.namespace, pod.name, ends)
    world.settle()
    return pod.name


def test_a_writer_on_a_dead_node_is_given_up_two_minutes_past_its_grace_where_the_state_has_a_lock() -> None:
    sqlmesh = alive(schedule={"mode": "Manual"})
    world = sqlmesh.world.annotate("venv/prod", run_requested_at="1").settle()
    lost = world.job("run").name
    lose_node(world, lost)
    world.advance(GRACE + MINUTE)
    assert world.environment().status.task is not None and world.environment().status.task.job == lost
    world.advance(2 * MINUTE)
    assert any(note.reason == Reason.LOST for _, note in world.notes)
    following = next(j for j in world.jobs("run", JobState.UNFINISHED) if j.name != lost)
    assert following.attempt == 2


def test_without_a_lock_the_writer_stays_unknown_until_a_human_says_that_it_is_dead() -> None:
    world = World()
    world.apply(builders.gateway(**DUCKDB), builders.config_map(), builders.environment())
    sqlmesh = SqlMesh(world).work("probe", "plan")
    lost = world.job("apply").name
    pod = lose_node(world, lost)
    world.advance(GRACE + 20 * MINUTE)
    assert world.says("venv/prod", "Ready") == {"Ready": "False/WriterUnknown"}
    message = world.conditions("venv/prod")["Ready"].message
    assert (
        pod in message
        and f"kubectl annotate vulcangateway warehouse -n data --overwrite vulcan.dev/writer-gone={lost}" in message
    )
    assert [j.name for j in world.jobs("apply")] == [lost]
    with world.no_writes():
        world.advance(60 * MINUTE)
    world.annotate("vgw/warehouse", writer_gone=lost).advance(MINUTE)
    assert [j.attempt for j in world.jobs("apply")] == [1, 2]
    world.lose_job(lost)
    sqlmesh.work()
    assert world.environment().status.applied is not None


def test_a_pod_that_ends_within_its_grace_is_not_given_up() -> None:
    sqlmesh = alive(schedule={"mode": "Manual"})
    world = sqlmesh.world.annotate("venv/prod", run_requested_at="1").settle()
    lose_node(world, "run")
    world.advance(GRACE)
    world.finish_job("run", builders.failed("run", Reason.CANCELLED)).settle()
    world.advance(5 * MINUTE)
    assert not any(note.reason == Reason.LOST for _, note in world.notes)


@pytest.mark.parametrize(
    "correction",
    [
        pytest.param({"image": "runner:2"}, id="another image"),
        pytest.param({"image": "runner:1", "nodeSelector": {"disk": "fast"}}, id="another node"),
    ],
)
def test_a_probe_that_cannot_start_is_recreated_when_the_gateway_is_corrected(correction: dict[str, object]) -> None:
    world = World()
    world.apply(builders.gateway(runner={"image": "runner:1", "nodeSelector": {"disk": "none"}})).settle()
    first = world.job("probe").name
    world.change("vgw/warehouse", runner=correction).advance(MINUTE)
    again = [j.name for j in world.jobs("probe", JobState.UNFINISHED)]
    assert len(again) == 1 and again != [first]
    world.finish_job("probe", builders.probed()).settle()
    assert world.says("vgw/warehouse", "Ready") == {"Ready": "True/Ready"}


def test_a_correction_of_what_has_no_part_in_starting_lets_the_pod_wait() -> None:
    world = World()
    world.apply(builders.gateway(runner={"image": "runner:1"})).settle()
    first = world.job("probe").name
    world.change("vgw/warehouse", runner={"image": "runner:1", "startDeadline": "20m"}).settle()
    assert [j.name for j in world.jobs("probe")] == [first]
    world.advance(19 * MINUTE)
    assert [j.name for j in world.jobs("probe")] == [first]


def test_a_plan_that_cannot_start_is_recreated_when_the_gateways_image_is_corrected() -> None:
    sqlmesh = fresh()
    world = sqlmesh.world.apply(builders.environment()).settle()
    first = world.job("plan").name
    world.change("vgw/warehouse", runner={"image": "runner:2"}).settle()
    sqlmesh.work()
    assert first not in {j.name for j in world.jobs()}
    assert world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}


def test_a_running_job_is_left_alone_when_the_image_changes() -> None:
    sqlmesh = fresh()
    world = sqlmesh.world.apply(builders.environment()).settle()
    first = world.job("plan").name
    world.start_job(first)
    world.settle()
    world.change("vgw/warehouse", runner={"image": "runner:2"}).settle()
    sqlmesh.work("probe")
    assert [j.name for j in world.jobs("plan")] == [first]
