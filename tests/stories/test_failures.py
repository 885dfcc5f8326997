"""What becomes of failures: who is waited for, what is tried again, and what needs a human."""

import datetime as dt
import itertools

import pytest

from tests import builders
from tests.fakes import FORBIDDEN
from tests.stories.lives import DAY, MINUTE, alive, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import ABOUT, Reason, Retry
from vulcan_contract.result import Result
from vulcan_operator.kube.resources import JOBS, PODS

GATEWAYS = {Reason.WAREHOUSE_UNREACHABLE, Reason.STATE_UNREACHABLE, Reason.AUTH_FAILED}
GATEWAYS |= {Reason.STATE_IDENTITY, Reason.STATE_LOST, Reason.STATE_OWNERSHIP}  # a probe follows at once


def failing(task: str, reason: Reason, times: int = 1) -> SqlMesh:
    """An environment with Jobs of a task that fail."""
    sqlmesh = fresh(builders.environment())
    sqlmesh.fails[task] = [builders.failed(task, reason, "so it was") for _ in range(times)]
    return sqlmesh


@pytest.mark.parametrize("task", ["plan", "apply"])
@pytest.mark.parametrize(
    "reason", [r for r in Reason if ABOUT[r].retry is Retry.NEVER and ABOUT[r].outcome != "Succeeded"]
)
def test_what_needs_a_human_is_stalled_and_not_tried_again(reason: Reason, task: str) -> None:
    sqlmesh = failing(task, reason)
    sqlmesh.fails["probe"] = [builders.failed("probe", reason)]  # whatever a Job says, the probe agrees
    sqlmesh.work(task, "plan")
    assert sqlmesh.world.says("venv/prod", "Ready", "Stalled", "Reconciling") == {
        "Ready": f"False/{reason}", "Stalled": f"True/{reason}", "Reconciling": f"False/{reason}",
    } or reason in GATEWAYS  # fmt: skip
    assert ABOUT[reason].next_step in str(sqlmesh.world.raw("venv/prod")["status"])
    sqlmesh.work("probe").world.advance(DAY)
    assert len(sqlmesh.world.jobs(task)) == 1


@pytest.mark.parametrize("reason", [r for r in Reason if ABOUT[r].retry is Retry.BACKOFF])
def test_content_and_crashes_are_tried_five_times_more_with_growing_pauses(reason: Reason) -> None:
    sqlmesh = failing("plan", reason, 10)
    sqlmesh.live(DAY)
    assert sqlmesh.world.says("venv/prod")["Stalled"] == f"True/{reason}"
    assert [j.attempt for j in sqlmesh.world.jobs("plan")] == [4, 5, 6]  # the last three are kept
    started = [j.created for j in sqlmesh.world.jobs("plan") if j.created is not None]
    pauses = [later - earlier for earlier, later in itertools.pairwise(started)]
    assert pauses == [dt.timedelta(seconds=241), dt.timedelta(seconds=481)]


@pytest.mark.parametrize(
    "reason",
    [r for r in Reason if ABOUT[r].retry is Retry.WAIT and r not in GATEWAYS and r != Reason.REFERENCE_MISSING],
)
def test_outages_are_waited_for_without_limit(reason: Reason) -> None:
    sqlmesh = failing("plan", reason, 20)
    sqlmesh.live(DAY / 4)
    assert sqlmesh.world.says("venv/prod", "Ready", "Reconciling", "Stalled") == {
        "Ready": f"False/{reason}", "Reconciling": f"True/{reason}", "Stalled": f"False/{reason}",
    }  # fmt: skip
    assert "apply warehouse/prod" in sqlmesh.live(DAY / 3).done


def test_a_failure_says_what_is_next_and_when() -> None:
    sqlmesh = failing("plan", Reason.MODEL_FAILED).work()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert ready.message == (
        "so it was. Fix the model or its data; it is retried meanwhile. Next attempt at 2026-11-22T12:00:32Z."
    )
    assert sqlmesh.world.raw("venv/prod")["status"]["nextAttemptTime"] == "2026-11-22T12:00:32Z"


def test_a_new_revision_starts_counting_again() -> None:
    sqlmesh = failing("plan", Reason.MODEL_FAILED, 6).live(DAY / 4)
    assert sqlmesh.world.says("venv/prod")["Stalled"] == "True/ModelFailed"
    edit(sqlmesh.world, "better")
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_a_request_tries_what_is_stalled_once_more() -> None:
    sqlmesh = failing("plan", Reason.TESTS_FAILED).work()
    sqlmesh.world.annotate("venv/prod", plan_requested_at="2026-11-22")
    assert "apply warehouse/prod" in sqlmesh.work().done
    assert sqlmesh.world.raw("venv/prod")["status"]["lastHandledPlanRequestedAt"] == "2026-11-22"


def test_a_source_that_is_never_what_was_resolved_does_not_spin() -> None:
    git = {"url": "https://git.acme.com/a.git", "ref": "main"}
    sqlmesh = fresh(builders.environment(project={"git": git, "configMap": None}))
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.SOURCE_CHANGED)] * 50
    sqlmesh.live(DAY / 24)
    assert len(sqlmesh.world.jobs()) < 15 and len(sqlmesh.fails["plan"]) > 40


def test_an_unreachable_gateway_stops_all_its_environments_and_both_come_back() -> None:
    sqlmesh = failing("plan", Reason.WAREHOUSE_UNREACHABLE)
    sqlmesh.fails["probe"] = [builders.failed("probe", Reason.WAREHOUSE_UNREACHABLE)]
    sqlmesh.work()
    assert sqlmesh.world.says("vgw/warehouse", "Ready", "WarehouseReachable") == {
        "Ready": "False/WarehouseUnreachable", "WarehouseReachable": "False/WarehouseUnreachable",
    }  # fmt: skip
    assert sqlmesh.world.says("venv/prod")["Ready"] == "False/GatewayNotReady"
    sqlmesh.world.apply(builders.environment("dev", environment="dev")).settle()
    assert len(sqlmesh.world.jobs("plan")) == 1
    sqlmesh.live(MINUTE)
    assert {"apply warehouse/prod", "apply warehouse/dev"} <= set(sqlmesh.done)


def test_a_run_that_finds_the_state_unreachable_has_the_gateway_probed() -> None:
    sqlmesh = alive()
    sqlmesh.fails = {t: [builders.failed(t, Reason.STATE_UNREACHABLE)] for t in ("run", "probe")}
    sqlmesh.live(DAY / 2)
    assert sqlmesh.world.says("vgw/warehouse")["StateReachable"] == "False/StateUnreachable"
    sqlmesh.live(MINUTE)
    assert sqlmesh.world.says("venv/prod", "Ready", "RunSucceeded") == {
        "Ready": "True/Ready", "RunSucceeded": "True/Succeeded",
    }  # fmt: skip


def test_after_an_outage_environments_go_on_as_soon_as_the_probe_succeeds() -> None:
    sqlmesh = failing("plan", Reason.SECRET_MISSING)
    sqlmesh.work()
    sqlmesh.world.clock.advance(dt.timedelta(seconds=5))
    sqlmesh.world.annotate("vgw/warehouse", probe_requested_at="the Secret is there")
    sqlmesh.work()
    assert "apply warehouse/prod" in sqlmesh.done


def test_another_state_stalls_the_gateway_until_takeover_and_the_environment_goes_on_by_itself() -> None:
    sqlmesh = failing("plan", Reason.STATE_IDENTITY)
    sqlmesh.fails["probe"] = [builders.failed("probe", Reason.STATE_IDENTITY)]
    sqlmesh.work()
    assert sqlmesh.world.says("vgw/warehouse", "Ready", "Stalled") == {
        "Ready": "False/StateIdentityChanged", "Stalled": "True/StateIdentityChanged",
    }  # fmt: skip
    sqlmesh.world.advance(DAY)
    assert [j.task for j in sqlmesh.world.jobs()] == ["probe", "plan", "probe"]
    sqlmesh.world.change("vgw/warehouse", takeover="its owner")
    sqlmesh.work()
    assert "apply warehouse/prod" in sqlmesh.done


def test_a_gateway_whose_probe_disagrees_with_an_environment_does_not_spin() -> None:
    sqlmesh = failing("plan", Reason.STATE_IDENTITY, 50)
    sqlmesh.live(DAY / 24)
    assert len(sqlmesh.fails["plan"]) > 40


def test_a_lost_job_is_done_again_under_a_new_name() -> None:
    sqlmesh = fresh(builders.environment())
    world = sqlmesh.world
    world.start_job("plan")
    first = world.settle().job("plan").name
    world.lose_job("plan").settle()
    assert world.says("venv/prod")["Ready"] == "False/Lost"
    world.advance(MINUTE)
    assert world.job("plan").name != first and world.job("plan").attempt == 2
    assert "apply warehouse/prod" in sqlmesh.work().done


def test_a_job_that_vanishes_before_its_pod_ran_is_lost_too() -> None:
    world = fresh(builders.environment()).world
    first = world.job("plan").name
    world.lose_job("plan").settle()
    assert world.jobs("plan") == []
    world.advance(MINUTE)
    assert world.job("plan").name != first


def test_a_job_deleted_by_hand_after_its_pod_ended_has_not_lost_its_result() -> None:
    world = fresh(builders.environment()).world
    plan = world.job("plan")
    world.start_job("plan")
    world.settle()
    world.finish_job("plan", builders.planned())
    world.kube.remove(JOBS, plan.namespace, plan.name)
    assert world.settle().says("venv/prod")["Ready"] == "False/Applying"


def test_an_image_that_cannot_be_pulled_is_told_at_once_and_tried_again_after_the_start_deadline() -> None:
    world = fresh(builders.environment()).world
    first = world.job("plan")
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    world._pod(first, "Pending", waiting)
    world.settle()
    ready = world.conditions("venv/prod")["Ready"]
    assert ready.reason == "PodWaiting" and "cannot be pulled" in ready.message
    world.advance(5 * MINUTE)
    assert world.says("venv/prod")["Ready"] == "False/ImagePullFailed"
    assert first.name not in [j.name for j in world.jobs()]
    world.kube.remove(PODS, first.namespace, world.pods(first.name)[0].name)
    world.advance(MINUTE)
    assert world.job("plan").attempt == 2


def test_a_stuck_job_goes_even_if_the_operator_dies_before_it_deletes_it() -> None:
    world = fresh(builders.environment()).world
    stuck = world.job("plan").name
    world.kube.crash_at("delete-jobs", "before")
    world.advance(6 * MINUTE)
    assert stuck not in [j.name for j in world.jobs()]


def test_a_run_whose_pod_waits_says_so_and_keeps_ready() -> None:
    sqlmesh = alive()
    sqlmesh.world.advance(DAY / 2 + MINUTE)
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no such key"}}
    sqlmesh.world._pod(sqlmesh.world.job("run"), "Pending", waiting)
    assert sqlmesh.world.settle().says("venv/prod")["Ready"] == "True/PodWaiting"
    sqlmesh.do("run")
    assert sqlmesh.world.says("venv/prod")["Ready"] == "True/Ready"


FORGED = '{"task":"plan","reason":"PlanRejected","message":"forged"}'


@pytest.mark.parametrize(("killed", "reason"), [("OOMKilled", "OutOfMemory"), ("Error", "RunnerCrashed")])
@pytest.mark.parametrize("message", ["", "{}", "nonsense", '{"task":"plan","reason":"Succeeded"}', FORGED])
def test_a_job_without_a_word_or_with_rubbish_is_a_crash(message: str, killed: str, reason: str) -> None:
    """What is in the file of a container that was killed need not be its supervisor's word."""
    world = fresh(builders.environment()).world
    world.finish_job("plan", message, exit_code=0 if "Succ" in message else 137, reason=killed).settle()
    ready = world.conditions("venv/prod")["Ready"]
    assert ready.reason == reason and killed in ready.message


def test_a_success_that_the_exit_code_denies_is_a_crash() -> None:
    world = fresh(builders.environment()).world
    world.finish_job("plan", builders.planned(), exit_code=1).settle()
    assert world.says("venv/prod")["Ready"] == "False/RunnerCrashed"


def test_the_result_of_another_task_is_a_crash() -> None:
    world = fresh(builders.environment()).world
    world.finish_job("plan", builders.applied()).settle()
    assert world.says("venv/prod")["Ready"] == "False/RunnerCrashed"


def test_a_deadline_counts_although_the_runner_says_that_it_was_told_to_stop() -> None:
    sqlmesh = fresh(builders.environment()).work("plan")
    world = sqlmesh.world
    stopped = Result("apply", Reason.CANCELLED, "told to stop")
    world.finish_job("apply", stopped, exit_code=3, reason="DeadlineExceeded").settle()
    assert world.says("venv/prod")["Ready"] == "False/DeadlineExceeded"
    failure = world.environment().status.failure
    assert failure is not None and failure.counted == 1


def test_the_api_server_refuses_then_the_status_has_the_command_and_rests() -> None:
    sqlmesh = fresh()
    sqlmesh.world.kube.fail("create-jobs", FORBIDDEN, times=-1)
    sqlmesh.world.apply(builders.environment()).settle()
    ready = sqlmesh.world.conditions("venv/prod")["Ready"]
    assert ready.reason == "OperatorNotAuthorized"
    assert "kubectl create rolebinding vulcan-operator --clusterrole=vulcan-gateway" in ready.message
    before = sqlmesh.world.kube.writes.count("apply-vulcanenvironments/status")
    sqlmesh.world.advance(10 * MINUTE)
    assert sqlmesh.world.kube.writes.count("apply-vulcanenvironments/status") == before
    sqlmesh.world.kube.heal()
    sqlmesh.world.advance(2 * MINUTE)
    assert "apply warehouse/prod" in sqlmesh.work().done
