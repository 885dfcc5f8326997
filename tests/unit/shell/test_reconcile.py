"""reconcile over FakeKube with planners of a few lines: order, writes, conflicts, refusals."""

import copy
import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import environment, gateway
from tests.fakes import FORBIDDEN
from tests.integration.shell import stub
from tests.world import World
from tests.world import _run as run
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import ENVIRONMENTS, JOBS, LEASES
from vulcan_operator.plan.core.actions import (
    CreateJob,
    Key,
    Kind,
    Note,
    Plan,
    ReadJob,
    ReadLabels,
    ReadSlot,
    ReleaseSlot,
    SetFinalizer,
    TakeSlot,
)
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.reconcile import slots
from vulcan_operator.reconcile.reconcile import PlannerLoops, Planners, _refresh

PlanIt = Callable[[EnvironmentSeen, dt.datetime], Plan[EnvironmentStatus]]


def world(plan: PlanIt = stub.plan_environment) -> World:
    made = World(Planners(stub.plan_gateway, plan))
    return made.apply(gateway(), environment())


def ready(seen: EnvironmentSeen, reason: str, now: dt.datetime) -> EnvironmentStatus:
    status = seen.environment.status
    return status.but(conditions=stub.ready(1, status.conditions, "False", reason, now))


def test_intent_is_written_before_the_job_is_made() -> None:
    w = world().settle()
    assert [x for x in w.kube.writes if "environment" in x or "jobs" in x] == [
        "apply-vulcanenvironments/status", "create-jobs", "apply-vulcanenvironments/status",
    ]  # fmt: skip
    assert w.says("venv/prod") == {"Ready": "True/Succeeded"}


def test_ten_idle_passes_write_nothing() -> None:
    w = world().settle()
    with w.no_writes():
        for _ in range(10):
            w.resync().settle()


@pytest.mark.parametrize("write", ["apply-vulcanenvironments/status", "create-jobs"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_crash_at_any_write_ends_in_the_same_state(write: str, when: str, count: int) -> None:
    w = world()
    w.kube.crash_at(write, when, count)
    w.settle()
    assert [j.name for j in w.jobs()] == ["prod-plan-1"]
    assert w.says("venv/prod") == {"Ready": "True/Succeeded"}


def test_a_conflict_is_observed_again_at_once() -> None:
    w = world()
    w.kube.fail("apply-vulcanenvironments/status", errors.Conflict("modified", status=409))
    w.settle()
    assert w.says("venv/prod") == {"Ready": "True/Succeeded"}
    assert w.retries == []


def test_an_outage_is_retried_with_backoff() -> None:
    w = world()
    w.kube.fail("create-jobs", errors.Unavailable("down"), times=3)
    w.settle()
    assert w.jobs() == []
    w.advance(dt.timedelta(seconds=10))
    assert [j.name for j in w.jobs()] == ["prod-plan-1"]
    assert w.retries == ["down"] * 3


def denying(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    if seen.live.denied is not None:
        return Plan(ready(seen, "OperatorNotAuthorized", now), notes=(Note("Never", "said"),))
    return stub.plan_environment(seen, now)


def test_a_refused_action_becomes_status_and_is_tried_again() -> None:
    w = world(denying)
    w.kube.fail("create-jobs", FORBIDDEN, times=-1)
    w.settle()
    assert w.says("venv/prod") == {"Ready": "False/OperatorNotAuthorized"}
    assert w.notes == []
    w.kube.heal()
    w.advance(dt.timedelta(minutes=2))
    assert w.says("venv/prod") == {"Ready": "True/Succeeded"}


def needing(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    labels = ReadLabels("data")
    others = {ReadSlot("data", "warehouse"), ReadJob("data", "j")}
    if labels not in seen.live.answers:
        return Plan(seen.environment.status, needs=frozenset({labels}))
    if not others <= seen.live.answers.keys():
        return Plan(seen.environment.status, needs=frozenset(others))
    return Plan(ready(seen, seen.live.labels("data")["team"], now))


def test_what_a_planner_needs_is_read_and_it_is_asked_again() -> None:
    w = world(needing).namespace("data", team="Blue").settle()
    assert w.says("venv/prod") == {"Ready": "False/Blue"}


def test_a_planner_that_never_has_enough_is_a_bug() -> None:
    w = world(lambda seen, now: Plan(seen.environment.status, needs=frozenset({ReadLabels("data")})))
    with pytest.raises(PlannerLoops):
        w.settle()


def taking(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    slot = seen.live.slot_if_read("data", "warehouse")
    if slot is not None and slot.live:
        return Plan(ready(seen, f"WaitsFor-{slot.holder}", now))
    return Plan(ready(seen, "Mine", now), prepare=(TakeSlot("data", "warehouse", "mine"),))


def lease(holder: str) -> dict[str, Any]:
    meta = {"name": "vulcan-writer-warehouse", "namespace": "data"}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": meta,
        "spec": {"holderIdentity": holder},
    }


def holder(w: World) -> str:
    return str(w.kube.objects["leases", "data", "vulcan-writer-warehouse"]["spec"]["holderIdentity"])


def job(name: str, **status: Any) -> dict[str, Any]:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "main"}]}}
    meta = {"name": name, "namespace": "data", "labels": {}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": pod}, "status": status}


def test_a_free_slot_is_taken() -> None:
    w = world(taking).settle()
    assert holder(w) == "mine"
    assert w.says("venv/prod") == {"Ready": "False/Mine"}


def test_a_live_holder_keeps_the_slot_and_the_planner_is_told() -> None:
    w = world(taking).apply(job("other"))
    w.kube.put(LEASES, lease("other"))
    w.settle()
    assert holder(w) == "other"
    assert w.says("venv/prod") == {"Ready": "False/WaitsFor-other"}


def test_a_dead_holder_loses_the_slot() -> None:
    ended = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-22T12:00:00Z"}]}
    w = world(taking).apply(job("other", **ended))
    w.kube.put(LEASES, lease("other"))
    w.settle()
    assert holder(w) == "mine"


def test_a_holder_named_in_a_status_is_alive_although_its_job_is_not_there_yet() -> None:
    w = world(taking).apply(environment("dev"))
    task = {"kind": "run", "job": "intended", "inputs": "0", "since": "2026-11-22T12:00:00Z"}
    w.kube.set_status(ENVIRONMENTS, "data", "dev", {"task": task})
    w.kube.put(LEASES, lease("intended"))
    w.settle()
    assert holder(w) == "intended"


def test_releasing_twice_is_releasing_once() -> None:
    def release(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
        return Plan(seen.environment.status, actions=(ReleaseSlot("data", "warehouse", "mine"),))

    w = world(release)
    w.kube.put(LEASES, lease("mine"))
    w.settle()
    assert holder(w) == ""
    with w.no_writes():
        w.resync().settle()


def test_a_job_that_exists_and_is_ours_is_adopted() -> None:
    w = world().settle()
    w.kube.set_status(ENVIRONMENTS, "data", "prod", {"observedGeneration": -1})
    w.restart().settle()
    assert [j.name for j in w.jobs()] == ["prod-plan-1"]
    assert w.says("venv/prod") == {"Ready": "True/Succeeded"}


def test_a_job_of_that_name_that_is_not_ours_is_left_alone() -> None:
    w = world().apply(job("prod-plan-1")).settle()
    assert set(w.retries) == {"Job data/prod-plan-1 exists and was not created for this task"}


def test_a_finalizer_can_be_set_in_the_pass_that_writes_the_status() -> None:
    def finalize(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
        meta = seen.environment.metadata
        if meta.finalizers:
            return Plan(seen.environment.status)
        key = Key(Kind.ENVIRONMENT, meta.namespace, meta.name)
        action = SetFinalizer(key, meta.resource_version, ("vulcan.dev/invalidate",))
        return Plan(ready(seen, "Guarded", now), actions=(action,))

    w = world(finalize).settle()
    assert w.raw("venv/prod")["metadata"]["finalizers"] == ["vulcan.dev/invalidate"]
    assert w.kube.writes.count("patch-vulcanenvironments") == 1


def test_a_status_field_that_the_crd_does_not_know_is_left_out_and_the_loop_rests() -> None:
    w = world()
    schema = w._ports.schema._schemas["VulcanEnvironment"]
    w._ports.schema._schemas = {"VulcanEnvironment": {**schema, "properties": dict(schema["properties"])}}
    del w._ports.schema._schemas["VulcanEnvironment"]["properties"]["task"]
    w.settle()
    assert w._ports.schema.dropped == {"VulcanEnvironment.status.task"}


def test_an_object_that_cannot_be_read_says_so_and_keeps_its_status() -> None:
    w = world().settle()
    raw = w.raw("venv/prod")
    raw["spec"]["gatewayRef"] = {"name": 7}
    raw["metadata"]["resourceVersion"] = w.kube._next_version()
    w.restart()
    before = dict(w.raw("venv/prod")["status"])
    w.settle()
    status = w.raw("venv/prod")["status"]
    assert w.says("venv/prod") == {"Ready": "False/SpecInvalid", "Stalled": "True/SpecInvalid"}
    assert status["observedGeneration"] == before["observedGeneration"]
    with w.no_writes():
        w.resync().settle()


def test_an_event_per_changed_condition_and_none_when_nothing_changed() -> None:
    w = world().settle()
    assert w.events("venv/prod") == ["Planning", "Succeeded"]
    w.resync().settle()
    assert w.events("venv/prod") == ["Planning", "Succeeded"]


def test_notes_are_told_once_even_when_an_action_has_to_be_tried_again() -> None:
    def noting(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
        plan = stub.plan_environment(seen, now)
        starts = seen.environment.status.task is None and bool(plan.actions)
        return dataclasses.replace(plan, notes=(Note("JobStarted", "plan"),)) if starts else plan

    w = world(noting)
    w.kube.fail("create-jobs", errors.Unavailable("down"), times=2)
    w.settle().advance(dt.timedelta(seconds=30))
    assert [note.reason for _, note in w.notes] == ["JobStarted"]


def test_a_deleted_object_is_forgotten_in_the_middle_of_a_pass() -> None:
    w = world()
    w.kube.watchers.clear()  # the deletion is not seen in time
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    w.settle()
    assert not w.cache.environment(("data", "prod"))


def test_a_job_is_made_only_by_a_leader() -> None:
    w = world()
    w.kube.fence = lambda: False
    with pytest.raises(errors.NotLeader):
        w.settle()
    assert w.kube.all(JOBS) == []


def test_create_job_needs_a_namespace() -> None:
    def elsewhere(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
        if seen.live.denied:
            return Plan(ready(seen, "Refused", now))
        manifest = stub.manifest(seen, "j")
        manifest["metadata"]["namespace"] = "nowhere"  # type: ignore[index]
        return Plan(seen.environment.status, actions=(CreateJob(manifest),))

    assert world(elsewhere).settle().says("venv/prod") == {"Ready": "False/Refused"}


def test_after_etcd_was_put_back_a_conflict_brings_the_truth() -> None:
    w = world().settle()
    old = copy.deepcopy(w.raw("venv/prod"))
    w.change("venv/prod", suspend=True).settle()
    w.kube.objects["vulcanenvironments", "data", "prod"] = old  # lower version
    run(_refresh(w._ports, w.key("venv/prod"), old["metadata"]["uid"]))
    found = w.cache.environment(("data", "prod"))
    assert isinstance(found, VulcanEnvironment)
    assert found.metadata.resource_version == old["metadata"]["resourceVersion"]


def test_an_object_that_was_deleted_in_a_future_that_never_came_is_there_again() -> None:
    w = world().settle()
    old = copy.deepcopy(w.raw("venv/prod"))
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    w.settle()
    w.kube.objects["vulcanenvironments", "data", "prod"] = old
    run(_refresh(w._ports, w.key("venv/prod"), old["metadata"]["uid"]))
    assert w.cache.environment(("data", "prod")) is not None


def writer(w: World, owner_uid: str, name: str) -> CreateJob:
    made = stub.manifest(w._ports.observer.environment(w.environment(), Live()), name)
    labels = made["metadata"]["labels"]  # type: ignore[index]
    labels |= {"vulcan.dev/task": "apply", "vulcan.dev/owner-uid": owner_uid}
    return CreateJob(made)


def test_no_writer_is_made_for_an_owner_that_went_after_it_took_the_slot() -> None:
    w = world().settle()
    key, take = w.key("venv/prod"), TakeSlot("data", "warehouse", "first")
    job = writer(w, w.environment().metadata.uid, "first")
    run(w._ports.executor.run(key, (take,), {}))
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    with pytest.raises(errors.Conflict, match="owner"):
        run(w._ports.executor.run(key, (job,), {}))
    assert [j.name for j in w.jobs()] == ["prod-plan-1"]


def test_who_has_just_taken_the_slot_may_still_make_its_job() -> None:
    w = world().settle()
    key = w.key("venv/prod")
    first, second = (TakeSlot("data", "warehouse", name) for name in ("first", "second"))
    run(w._ports.executor.run(key, (first,), {}))
    with pytest.raises(slots.SlotBusy):
        run(w._ports.executor.run(key, (second,), {}))
    w.clock.advance(slots.JUST)
    run(w._ports.executor.run(key, (second,), {}))
    assert w.kube.all(LEASES)[0]["spec"]["holderIdentity"] == "second"
