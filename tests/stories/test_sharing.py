"""Several environments on one gateway: names, grants, quota, and one writer at a time."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import DAY, MINUTE, alive, fresh
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_operator.kube.resources import LEASES, PODS
from vulcan_operator.plan.core.seen import JobState

DUCKDB = {"connection": {"type": "duckdb", "options": {"database": "w.db"}, "secrets": None}}
NO_FLOOR = {"approval": {"mode": "Never"}}
GRANTS = {"grants": [{"environments": ["prod"], "protected": True, "minimum": NO_FLOOR}, {"environments": ["*"]}]}


def dev(name: str = "dev", **spec: Any) -> dict[str, Any]:
    """An environment beside prod."""
    return builders.environment(name, **spec)


def holder(sqlmesh: SqlMesh) -> str:
    """Who has the writer slot."""
    leases = sqlmesh.world.kube.all(LEASES)
    return str(leases[0]["spec"].get("holderIdentity", "")) if leases else ""


def test_two_environments_never_write_at_once_and_the_waiting_one_starts_when_the_first_ends() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(dev("a"), dev("b")).settle()
    sqlmesh.work("plan")
    assert [j.owner_name for j in sqlmesh.world.jobs("apply", JobState.UNFINISHED)] == ["a"]
    ready = sqlmesh.world.conditions("venv/b")["Ready"]
    assert ready.reason == "WaitingForWriter" and sqlmesh.world.job("apply").name in ready.message
    sqlmesh.do("apply")
    assert holder(sqlmesh) == sqlmesh.world.jobs(state=JobState.UNFINISHED)[0].name
    sqlmesh.work()
    assert sqlmesh.done[2:] == ["apply warehouse/a", "apply warehouse/b", "run warehouse/a", "run warehouse/b"]


def test_who_waits_and_who_writes_is_on_the_gateway() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(dev("a"), dev("b")).settle()
    sqlmesh.work("plan")
    status = sqlmesh.world.gateway().status
    assert status.active_writer is not None
    assert (status.active_writer.environment, [w.environment for w in status.waiting]) == ("data/a", ["data/b"])
    sqlmesh.work()
    assert (sqlmesh.world.gateway().status.active_writer, sqlmesh.world.gateway().status.waiting) == (None, [])


def test_a_protected_environment_goes_before_others_and_a_preview_last() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(builders.gateway(**GRANTS)).settle()
    sqlmesh.world.apply(dev("first"), dev("preview", ttl="10d"), dev("other")).settle()
    sqlmesh.work("plan")
    sqlmesh.world.annotate("venv/prod", run_requested_at="now").settle()
    sqlmesh.work()
    order = [d.partition("/")[2] for d in sqlmesh.done[2:] if d.startswith(("apply", "run warehouse/prod"))]
    assert order.index("prod") < order.index("other") < order.index("preview")


def test_a_dead_holder_is_taken_over() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(dev("gone")).settle()
    sqlmesh.work("plan")
    dead = sqlmesh.world.job("apply").name
    sqlmesh.world.delete("venv/gone")
    sqlmesh.world.apply(dev("b")).settle()
    sqlmesh.work("plan")
    assert holder(sqlmesh) == dead and len(sqlmesh.world.jobs("apply", JobState.UNFINISHED)) == 1
    sqlmesh.world.lose_job(dead)
    sqlmesh.live(MINUTE)
    assert "apply warehouse/b" in sqlmesh.done


def test_an_announced_writer_has_the_slot_even_before_its_job_is_there() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(dev("a"), dev("b")).settle()
    sqlmesh.work("plan")
    sqlmesh.do("apply")
    sqlmesh.world.kube.crash_at("replace-leases", "after")
    for _ in range(10):
        sqlmesh.check_single_writer()
        sqlmesh.live(dt.timedelta(seconds=10))
    assert {"apply warehouse/a", "apply warehouse/b"} <= set(sqlmesh.done)


def test_duckdb_lets_one_job_at_a_time_near_its_file() -> None:
    sqlmesh = SqlMesh(fresh().world)
    world = sqlmesh.world.apply(builders.gateway(**DUCKDB)).settle()
    sqlmesh.work("probe")
    world.apply(builders.environment(), *(dev(n) for n in "abc")).settle()
    for _ in range(40):
        jobs = world.jobs(state=JobState.UNFINISHED)
        assert len(jobs) <= 1, jobs
        if not jobs:
            break
        sqlmesh.do(jobs[0])
    sqlmesh.live(5 * MINUTE)
    assert {f"apply warehouse/{n}" for n in ("prod", "a", "b", "c")} <= set(sqlmesh.done)


def preempting() -> SqlMesh:
    """A preview is applied while the protected prod waits to run."""
    sqlmesh = alive()
    sqlmesh.world.apply(builders.gateway(**GRANTS)).settle()
    sqlmesh.world.apply(dev("preview", ttl="10d")).settle()
    sqlmesh.work("plan")
    sqlmesh.world.start_job("apply")
    sqlmesh.world.settle().annotate("venv/prod", run_requested_at="now").settle()
    return sqlmesh


def test_a_waiting_higher_class_stops_a_lower_holder_and_goes_first() -> None:
    sqlmesh = preempting()
    world = sqlmesh.world
    assert world.kube.writes.count("delete-pods") == 1
    assert "Preempted" in world.events("vgw/warehouse")
    stopped = Result("apply", Reason.CANCELLED, "told to stop")
    world.finish_job("apply", stopped, exit_code=3).settle()
    assert [(j.owner_name, j.task) for j in world.jobs(state=JobState.UNFINISHED)] == [("prod", "run")]
    sqlmesh.work()
    assert sqlmesh.done[-3:] == ["run warehouse/prod", "apply warehouse/preview", "run warehouse/preview"]


def test_being_stopped_counts_no_retry_and_the_result_of_a_deleted_pod_is_not_lost() -> None:
    sqlmesh = preempting()
    world = sqlmesh.world
    job = world.job("apply")
    word = Result("apply", Reason.CANCELLED).to_message()
    pod = world._pod(job, "Failed", {"terminated": {"exitCode": 3, "message": word}})
    pod["metadata"] |= {"deletionTimestamp": "2026-11-22T12:00:09Z", "resourceVersion": "9999"}
    world.intake.event(PODS, pod)
    world.settle()
    failure = world.environment("venv/preview").status.failure
    assert failure is not None and (failure.reason, failure.counted) == ("Cancelled", 0)


def test_the_same_class_is_not_stopped_before_the_other_has_waited_long() -> None:
    sqlmesh = alive()
    sqlmesh.world.apply(dev("a"), dev("b")).settle()
    sqlmesh.work("plan")
    sqlmesh.world.start_job("apply")
    sqlmesh.world.advance(9 * MINUTE)
    assert "delete-pods" not in sqlmesh.world.kube.writes
    sqlmesh.world.advance(2 * MINUTE)
    assert sqlmesh.world.kube.writes.count("delete-pods") == 1


def test_of_two_objects_with_one_name_the_oldest_has_it_and_then_the_other() -> None:
    sqlmesh = alive()
    sqlmesh.world.clock.advance(MINUTE)
    sqlmesh.world.apply(dev("second", environment="prod")).settle()
    ready = sqlmesh.world.conditions("venv/second")["Ready"]
    assert ready.reason == "EnvironmentNameTaken" and "data/prod" in ready.message
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"
    sqlmesh.world.delete("venv/prod")
    sqlmesh.work()
    assert sqlmesh.world.says("venv/second")["Ready"] == "True/Ready"
    assert sqlmesh.done.count("apply warehouse/prod") == 1  # it was there already


def test_who_may_not_use_the_gateway_takes_no_name_away() -> None:
    sqlmesh = fresh(builders.environment("prod", "elsewhere", gatewayRef={"namespace": "data"}))
    sqlmesh.world.clock.advance(MINUTE)
    sqlmesh.world.apply(builders.environment()).settle()
    assert sqlmesh.world.says("venv/elsewhere/prod")["Ready"] == "False/NotGranted"
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_another_namespace_needs_a_grant_that_selects_it_by_label() -> None:
    selector = {"from": "Selector", "selector": {"matchLabels": {"team": "bi"}}}
    grants = [{"environments": ["prod"]}, {"namespaces": selector, "environments": ["dev_*"], "maxEnvironments": 1}]
    sqlmesh = alive()
    world = sqlmesh.world.apply(builders.gateway(grants=grants)).namespace("bi").settle()
    project = builders.config_map(namespace="bi")
    world.apply(project, builders.environment("dev-x", "bi", gatewayRef={"namespace": "data"})).settle()
    assert world.says("venv/bi/dev-x", "Ready", "Stalled") == {
        "Ready": "False/NotGranted",
        "Stalled": "True/NotGranted",
    }
    world.namespace("bi", team="bi").resync()
    sqlmesh.work()
    assert world.says("venv/bi/dev-x")["Ready"] == "True/Ready"
    assert {j.namespace for j in world.jobs()} == {"data"}
    world.clock.advance(MINUTE)
    world.apply(builders.environment("dev-y", "bi", gatewayRef={"namespace": "data"})).settle()
    assert world.says("venv/bi/dev-y")["Ready"] == "False/EnvironmentQuotaExceeded"


@pytest.mark.parametrize(
    ("image", "reason"),
    [("registry.acme.com/runner:2", "False/Planning"), ("evil.example/runner:1", "False/ImageNotAllowed")],
)
def test_only_images_that_the_gateway_allows(image: str, reason: str) -> None:
    sqlmesh = fresh(builders.gateway(runner={"allowedImages": ["registry.acme.com/*"]}))
    sqlmesh.world.apply(builders.environment(runner={"image": image})).settle()
    assert sqlmesh.world.says("venv/prod")["Ready"] == reason


def test_without_a_gateway_it_waits_and_goes_on_when_it_comes() -> None:
    sqlmesh = fresh(dev(environment="prod", gatewayRef={"name": "later"}))
    assert sqlmesh.world.says("venv/dev")["Ready"] == "False/GatewayNotFound"
    sqlmesh.world.apply(builders.gateway("later"))
    assert "apply later/prod" in sqlmesh.work().done


def test_a_day_with_three_environments_has_one_writer_at_a_time() -> None:
    sqlmesh = fresh(builders.environment(), dev("a"), dev("b", ttl="10d"))
    sqlmesh.every = dt.timedelta(hours=6)
    sqlmesh.live(DAY)
    assert {d: sqlmesh.done.count(d) for d in sorted(set(sqlmesh.done)) if d.startswith("run")} == {
        "run warehouse/a": 5, "run warehouse/b": 5, "run warehouse/prod": 5,
    }  # fmt: skip
