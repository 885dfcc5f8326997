"""What others do to the operator, a gateway and its line: nobody gets stuck by it, nobody gets what is not theirs."""

import datetime as dt

import pytest

from tests import builders
from tests.stories.lives import DAY, MINUTE, alive, edit, fresh
from vulcan_contract.reasons import Reason
from vulcan_operator.api.environment import RetrySpec
from vulcan_operator.api.fields import FailureStatus
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.plan.core.seen import JobState
from vulcan_operator.plan.rules import schedule
from vulcan_operator.plan.tasks import slot

NO_IMAGE = errors.Forbidden("admission webhook denied the request: unsigned image", status=403)
FAR = {"namespaces": {"from": "Same"}, "environments": ["*"]}


def test_a_job_with_labels_of_anybody_stops_nobody() -> None:
    sqlmesh = alive()
    labels = {"vulcan.dev/managed": "true", "vulcan.dev/install": "test", "vulcan.dev/attempt": "1e3"}
    template = {"metadata": {}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    meta = {"name": "x", "namespace": "data", "labels": labels}
    sqlmesh.world.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}})
    sqlmesh.world.restart().settle()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}


def test_a_writer_whose_job_is_refused_gives_the_slot_back() -> None:
    sqlmesh = alive()
    world = sqlmesh.world.apply(builders.environment("dev")).settle()
    sqlmesh.do("plan")
    world.kube.fail("create-jobs", NO_IMAGE, times=-1)
    world.advance(MINUTE)
    world.kube.heal()
    world.kube.fail("create-jobs", NO_IMAGE, times=1)
    world.annotate("venv/prod", run_requested_at="now").advance(2 * MINUTE)
    assert world.jobs("run", JobState.UNFINISHED) or world.jobs("apply", JobState.UNFINISHED)
    sqlmesh.live(10 * MINUTE)
    assert world.raw("venv/prod")["status"]["lastHandledRunRequestedAt"] == "now"


def test_retain_set_just_before_the_deletion_counts() -> None:
    sqlmesh = fresh(builders.environment("dev", environment="dev", deletionPolicy="Invalidate"))
    world = sqlmesh.work().world
    world.change("venv/dev", suspend=True).settle()
    world.change("venv/dev", deletionPolicy="Retain").settle().delete("venv/dev").settle()
    sqlmesh.work()
    assert not world.exists("venv/dev")
    assert not any(done.startswith("invalidate") for done in sqlmesh.done)


def test_a_refused_clean_up_does_not_hold_a_deletion() -> None:
    sqlmesh = fresh(builders.environment("dev", environment="dev", deletionPolicy="Invalidate"))
    world = sqlmesh.work().world
    world.kube.fail("delete-configmaps", errors.Forbidden("no", status=403), times=-1)
    world.delete("venv/dev")
    sqlmesh.live(MINUTE)
    assert not world.exists("venv/dev")


def test_who_has_no_grant_takes_no_name_also_when_it_is_suspended() -> None:
    sqlmesh = fresh()
    world = sqlmesh.world.apply(builders.gateway(grants=[FAR]))
    reference = {"name": "warehouse", "namespace": "data"}
    world.apply(
        builders.environment("prod2", "evil", environment="staging", gatewayRef=reference, suspend=True)
    ).settle()
    world.clock.advance(MINUTE)
    world.apply(builders.environment(), builders.environment("staging")).settle()
    sqlmesh.work()
    assert world.says("venv/evil/prod2", "Ready") == {"Ready": "False/NotGranted"}
    assert world.says("venv/staging", "Ready") == {"Ready": "True/Ready"}


def test_waiting_raises_one_class_in_ten_minutes_and_not_two() -> None:
    sqlmesh = alive()
    world = sqlmesh.world.apply(builders.environment("dev", ttl="9d", environment="dev")).settle()
    sqlmesh.do("plan")
    world.annotate("venv/prod", run_requested_at="1").settle()
    job = world.jobs(state=JobState.UNFINISHED)
    assert [j.owner_name for j in job] == ["dev"]  # the preview writes
    world.start_job(job[0].name)
    world.settle()
    world.apply(builders.environment("other", environment="other")).settle()
    world.finish_job("plan", sqlmesh.answer(sqlmesh.task(world.job("plan")))).settle()
    world.advance(21 * MINUTE)
    waiting = {w.key.name: w.priority for w in world.cache.waiters(("data", "warehouse"))}
    assert set(waiting.values()) <= {slot.Priority.OTHER, slot.Priority.PROTECTED_RUN}


def test_what_is_being_deleted_stands_in_nobodys_way() -> None:
    sqlmesh = alive()
    world = sqlmesh.world.apply(builders.environment("dev", environment="dev")).settle()
    sqlmesh.do("plan")
    world.start_job(world.job("apply").name)
    world.settle()
    world.apply(builders.environment("gone", environment="gone")).settle()
    world.finish_job("plan", sqlmesh.answer(sqlmesh.task(world.job("plan")))).settle()
    assert [w.key.name for w in world.cache.waiters(("data", "warehouse"))] == ["gone"]
    world.kube.objects[ENVIRONMENTS.plural, "data", "gone"]["metadata"]["finalizers"] = ["example.com/other"]
    world.delete("venv/gone").settle()
    assert world.exists("venv/gone") and world.cache.waiters(("data", "warehouse")) == ()
    sqlmesh.do(world.job("apply").name)
    world.annotate("venv/prod", run_requested_at="1").settle()
    sqlmesh.live(MINUTE)
    assert world.raw("venv/prod")["status"]["lastHandledRunRequestedAt"] == "1"


@pytest.mark.parametrize("zone", ["Europe", "America", "Nowhere/City"])
def test_a_time_zone_that_is_none_is_told(zone: str) -> None:
    with pytest.raises(schedule.ScheduleError):
        schedule.next_tick("* * * * *", zone, dt.datetime.now(dt.UTC))


def test_waiting_for_ever_does_not_overflow() -> None:
    failure = FailureStatus(
        task="plan", inputs="i", reason="StateUnreachable", attempts=5000, time=dt.datetime.now(dt.UTC), retry="Wait"
    )
    assert schedule.retry_time(failure, RetrySpec(backoff="30d", max_backoff="60d")) is not None


def test_an_apply_ends_what_a_run_before_it_had_stopped_for() -> None:
    sqlmesh = alive()
    sqlmesh.fails["run"] = [builders.failed("run", Reason.MANUAL_CHECK)]
    world = sqlmesh.world.annotate("venv/prod", run_requested_at="1")
    sqlmesh.work()
    assert world.says("venv/prod", "Stalled") == {"Stalled": "True/ManualCheckRequired"}
    edit(world, "cleaned up")
    sqlmesh.work()
    assert world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    before = len(world.jobs("run"))
    sqlmesh.live(DAY)
    assert len(world.jobs("run")) >= before


def test_missing_rights_are_told_for_the_namespace_that_lacks_them() -> None:
    everybody = [{"namespaces": {"from": "All"}, "environments": ["*"]}]
    sqlmesh = fresh()
    world = sqlmesh.world.apply(builders.gateway(grants=everybody), builders.config_map(namespace="team"))
    refused = errors.Forbidden(
        'User "op" cannot get resource "configmaps" in API group "" in the namespace "team"', status=403
    )
    world.kube.fail("get-configmaps", refused, times=-1)
    reference = {"name": "warehouse", "namespace": "data"}
    world.apply(builders.environment("prod", "team", gatewayRef=reference)).settle()
    message = world.conditions("venv/team/prod")["Ready"].message
    assert "--clusterrole=vulcan-environment" in message and "--namespace=team" in message


def test_what_cannot_be_read_does_not_hold_its_deletion_for_ever() -> None:
    sqlmesh = fresh(builders.environment("dev", environment="dev", deletionPolicy="Invalidate"))
    world = sqlmesh.work().world
    raw = world.kube.objects[ENVIRONMENTS.plural, "data", "dev"]
    raw["spec"]["gatewayRef"] = "of another release"
    raw["metadata"]["resourceVersion"] = world.kube._next_version()
    world.delete("venv/dev").restart().advance(5 * MINUTE)
    assert world.exists("venv/dev")
    world.advance(6 * MINUTE)
    assert not world.exists("venv/dev")


@pytest.mark.parametrize("holder", ["../../pods/x", "x,a in (b)", "a=b", ".."])
def test_a_holder_that_can_be_no_job_holds_nothing(holder: str) -> None:
    """Who may write Leases there may write anything into it; it must not get into a URL or a label selector."""
    sqlmesh = alive()
    world = sqlmesh.world
    lease = ("leases", "data", "vulcan-writer-warehouse")
    world.kube.objects[lease]["spec"]["holderIdentity"] = holder
    world.annotate("venv/prod", run_requested_at="1").settle()
    sqlmesh.work()
    assert world.raw("venv/prod")["status"]["lastHandledRunRequestedAt"] == "1"
