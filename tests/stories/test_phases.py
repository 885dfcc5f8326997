"""Status wiped, spec changed, object deleted or recreated, suspended: in every phase of a life."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import builders
from tests.stories.lives import ALWAYS, DAY, MINUTE, alive, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import ENVIRONMENTS

PHASES: dict[str, Callable[..., SqlMesh]] = {}


def phase(make: Callable[..., SqlMesh]) -> Callable[..., SqlMesh]:
    """Registers a moment of a life under its sentence."""
    assert make.__doc__ is not None
    PHASES[make.__doc__] = make
    return make


@phase
def planning(**spec: Any) -> SqlMesh:
    """while it is planned"""
    return fresh(builders.environment(**spec))


@phase
def waiting(**spec: Any) -> SqlMesh:
    """while a plan waits for people"""
    return fresh(builders.environment(**{"plan": ALWAYS, **spec})).work()


@phase
def applying(**spec: Any) -> SqlMesh:
    """while it is applied"""
    return fresh(builders.environment(**spec)).work("plan")


@phase
def running(**spec: Any) -> SqlMesh:
    """while it runs"""
    return fresh(builders.environment(**spec)).work("plan", "apply")


@phase
def resting(**spec: Any) -> SqlMesh:
    """while it rests"""
    return fresh(builders.environment(**spec)).work()


@phase
def failed(**spec: Any) -> SqlMesh:
    """while a failed plan waits for its next attempt"""
    sqlmesh = fresh(builders.environment(**spec))
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.MODEL_FAILED)]
    return sqlmesh.work()


@phase
def stalled(**spec: Any) -> SqlMesh:
    """while it is stalled"""
    sqlmesh = fresh(builders.environment(**spec))
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.TESTS_FAILED)]
    return sqlmesh.work()


every_phase = pytest.mark.parametrize("begin", list(PHASES.values()), ids=list(PHASES))


def go_on(sqlmesh: SqlMesh) -> SqlMesh:
    """Approve what waits, and let it come to rest."""
    sqlmesh.live(2 * MINUTE)
    if sqlmesh.world.says("venv/prod", "AwaitingApproval")["AwaitingApproval"].startswith("True"):
        sqlmesh.world.approve("venv/prod")
    return sqlmesh.live(2 * MINUTE)


@every_phase
def test_a_wiped_status_recovers_without_applying_again_what_is_applied(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    sqlmesh.world.kube.set_status(ENVIRONMENTS, "data", "prod", {})
    go_on(sqlmesh)
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert sqlmesh.done.count("apply warehouse/prod") == 1
    assert len({j.name for j in sqlmesh.world.jobs()}) == len(sqlmesh.world.jobs())


@every_phase
def test_a_changed_source_is_what_is_applied_in_the_end(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    edit(sqlmesh.world, "newer")
    go_on(sqlmesh)
    world = sqlmesh.world
    status = world.environment().status
    assert status.applied is not None and status.revision is not None
    assert status.applied.source_digest == status.revision.digest
    assert world.says("venv/prod", "Ready", "Applied") == {"Ready": "True/Ready", "Applied": "True/UpToDate"}


@every_phase
def test_a_retained_object_goes_at_once_and_its_data_stays(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    sqlmesh.world.delete("venv/prod").settle()
    assert not sqlmesh.world.exists("venv/prod")
    assert "invalidate warehouse/prod" not in sqlmesh.work().done


@every_phase
def test_an_invalidated_object_goes_after_its_views(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin(environment="dev", deletionPolicy="Invalidate")
    lived = sqlmesh.world.environment().status.plan is not None
    sqlmesh.world.delete("venv/prod").settle()
    assert sqlmesh.world.exists("venv/prod") or not lived
    sqlmesh.live(2 * MINUTE)
    assert not sqlmesh.world.exists("venv/prod")
    assert sqlmesh.done.count("invalidate warehouse/dev") == 1 or not lived


@every_phase
def test_recreated_under_the_same_name_it_lives_its_own_life(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    old = {j.name for j in sqlmesh.world.jobs()}
    sqlmesh.world.delete("venv/prod").apply(builders.environment()).settle()
    assert {j.owner_uid for j in sqlmesh.world.jobs() if j.name not in old} == {
        sqlmesh.world.environment().metadata.uid
    }
    go_on(sqlmesh)
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert sqlmesh.done.count("apply warehouse/prod") == 1


@every_phase
def test_suspended_no_job_starts_and_what_runs_is_recorded(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    sqlmesh.world.change("venv/prod", suspend=True, suspendReason="month end").settle()
    before = {j.name for j in sqlmesh.world.jobs()}
    sqlmesh.live(DAY)
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert ready.reason == "Suspended" and ready.message.startswith("suspended since 2026-11-22T12:0")
    assert ready.message.endswith(": month end")
    assert {j.name for j in sqlmesh.world.jobs()} <= before
    assert all(j.ttl for j in sqlmesh.world.jobs())
    sqlmesh.world.change("venv/prod", suspend=False)
    if begin is stalled:
        sqlmesh.world.annotate("venv/prod", plan_requested_at="now")
    assert go_on(sqlmesh).world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}


@every_phase
def test_a_suspended_gateway_starts_no_job_of_any_environment(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    sqlmesh.world.change("vgw/warehouse", suspend=True).settle()
    before = {j.name for j in sqlmesh.world.jobs()}
    sqlmesh.live(DAY)
    assert {j.name for j in sqlmesh.world.jobs()} <= before
    assert sqlmesh.world.says("vgw/warehouse", "Ready") == {"Ready": "True/Suspended"}
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/GatewayNotReady"


@every_phase
def test_ten_passes_in_which_nothing_happens_write_nothing(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    sqlmesh.world.resync().settle()
    with sqlmesh.world.no_writes():
        for _ in range(10):
            sqlmesh.world.resync().settle()


@every_phase
def test_time_alone_writes_nothing(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    if begin is failed:
        sqlmesh.world.change("venv/prod", retry={"backoff": "1h", "maxBackoff": "1h"}).settle()
    with sqlmesh.world.no_writes():
        for _ in range(4):
            sqlmesh.world.advance(MINUTE)
            sqlmesh.world.resync().settle()


@every_phase
def test_a_restart_writes_nothing(begin: Callable[..., SqlMesh]) -> None:
    sqlmesh = begin()
    with sqlmesh.world.no_writes():
        sqlmesh.world.restart().settle()


def test_a_suspension_ends_by_itself() -> None:
    sqlmesh = fresh(builders.environment(suspend=True, suspendUntil="2026-11-22T13:00:00Z"))
    assert sqlmesh.world.jobs("plan") == []
    assert "until 2026-11-22T13:00Z" in sqlmesh.world.conditions("venv/prod")["Ready"].message
    sqlmesh.live(DAY / 20)
    assert "apply warehouse/prod" in sqlmesh.done


def test_a_preview_expires_and_applies_nothing_until_its_spec_changes() -> None:
    git = {"url": "https://git.acme.com/a.git", "ref": "main", "pollInterval": "10m"}
    dev = builders.environment("dev", environment="dev", ttl="2h", project={"git": git, "configMap": None})
    sqlmesh = fresh(dev).live(DAY / 8)
    assert sqlmesh.world.says("venv/dev")["Ready"] == "True/Expired"
    resolved = len(sqlmesh.done)
    sqlmesh.refs["main"] = "f" * 40
    assert len(sqlmesh.live(2 * DAY).done) == resolved
    sqlmesh.world.change("venv/dev", project={"git": {"ref": "other"}})
    sqlmesh.work()
    assert sqlmesh.done.count("apply warehouse/dev") == 2
    assert sqlmesh.world.says("venv/dev")["Ready"] == "True/Ready"


def test_an_expired_preview_deletes_itself_if_it_is_to() -> None:
    sqlmesh = fresh(builders.environment("dev", environment="dev", ttl="2h", ttlAction="Delete"))
    sqlmesh.live(DAY / 8)
    assert not sqlmesh.world.exists("venv/dev")


def test_deletion_ends_without_its_gateway() -> None:
    sqlmesh = applied_preview()
    sqlmesh.world.delete("vgw/warehouse").delete("venv/dev").settle()
    assert not sqlmesh.world.exists("venv/dev")
    assert sqlmesh.world.notes[-1][1].reason == "InvalidateGivenUp"


def test_deletion_ends_where_jobs_may_not_be_read_any_more() -> None:
    sqlmesh = applied_preview()
    sqlmesh.world.delete("venv/dev").settle()
    for read in ("get-jobs", "list-jobs", "get-pods", "list-pods"):
        sqlmesh.world.kube.fail(read, errors.Forbidden("jobs is forbidden", status=403), times=-1)
    sqlmesh.world.lose_job(sqlmesh.world.jobs("invalidate")[-1].name).settle()
    assert sqlmesh.world.says("venv/dev")["Ready"] == "False/OperatorNotAuthorized"
    sqlmesh.world.advance(45 * MINUTE)
    assert not sqlmesh.world.exists("venv/dev")
    assert sqlmesh.world.notes[-1][1].reason == "InvalidateGivenUp"


def test_deletion_ends_at_a_deadline_and_says_that_it_was_forced() -> None:
    sqlmesh = applied_preview()
    sqlmesh.fails["invalidate"] = [builders.failed("invalidate", Reason.STATE_BUSY)] * 99
    sqlmesh.world.delete("venv/dev")
    sqlmesh.live(9 * MINUTE)
    assert sqlmesh.world.exists("venv/dev")
    sqlmesh.live(2 * MINUTE)
    assert not sqlmesh.world.exists("venv/dev")
    assert sqlmesh.world.notes[-1][1].reason == "InvalidateGivenUp"
    assert "StateBusy" in sqlmesh.world.notes[-1][1].message


@pytest.mark.parametrize("suspend", [True, False], ids=["suspended", "unreachable"])
def test_a_gateway_that_is_not_to_be_used_is_not_used_for_a_deletion_either(suspend: bool) -> None:
    sqlmesh = applied_preview()
    sqlmesh.fails["probe"] = [builders.failed("probe", Reason.WAREHOUSE_UNREACHABLE)] * 999
    sqlmesh.world.change("vgw/warehouse", suspend=suspend).annotate("vgw/warehouse", probe_requested_at="now")
    sqlmesh.work()
    sqlmesh.world.delete("venv/dev").settle()
    assert "waiting for its gateway" in sqlmesh.world.conditions("venv/dev")["Ready"].message
    sqlmesh.live(11 * MINUTE)
    assert sqlmesh.world.jobs("invalidate") == [] and not sqlmesh.world.exists("venv/dev")


def test_deletion_ends_although_a_job_never_ends() -> None:
    sqlmesh = applied_preview()
    sqlmesh.world.delete("venv/dev").settle()
    sqlmesh.world.start_job("invalidate")
    sqlmesh.world.advance(11 * MINUTE)
    assert not sqlmesh.world.exists("venv/dev")


def test_deletion_does_not_wait_for_a_long_apply_but_stops_it() -> None:
    world = applying(environment="dev", deletionPolicy="Invalidate").world
    world.start_job("apply")
    world.delete("venv/prod").settle()
    assert "delete-pods" in world.kube.writes


def test_an_invalidate_that_failed_is_tried_again() -> None:
    sqlmesh = applied_preview()
    sqlmesh.fails["invalidate"] = [builders.failed("invalidate", Reason.STATE_BUSY)]
    sqlmesh.world.delete("venv/dev")
    sqlmesh.live(2 * MINUTE)
    assert not sqlmesh.world.exists("venv/dev") and "invalidate warehouse/dev" in sqlmesh.done


def test_prod_never_gets_our_finalizer() -> None:
    world = alive(deletionPolicy="Invalidate").world
    assert world.environment().metadata.finalizers == []


def test_finalizers_of_others_stay() -> None:
    sqlmesh = applied_preview()
    raw = sqlmesh.world.raw("venv/dev")
    raw["metadata"]["finalizers"].append("others.example/hold")
    sqlmesh.world.delete("venv/dev")
    sqlmesh.live(MINUTE)
    assert sqlmesh.world.raw("venv/dev")["metadata"]["finalizers"] == ["others.example/hold"]


def applied_preview() -> SqlMesh:
    """A preview with Invalidate that has been applied."""
    sqlmesh = fresh(builders.environment("dev", environment="dev", deletionPolicy="Invalidate")).work()
    assert sqlmesh.world.environment("venv/dev").metadata.finalizers == ["vulcan.dev/invalidate"]
    return sqlmesh
