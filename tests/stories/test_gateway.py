"""A gateway's own life: probed when there is a reason, and at rest otherwise."""

import pytest

from tests import builders
from tests.fakes import FORBIDDEN
from tests.stories.lives import DAY, MINUTE, alive, fresh
from vulcan_contract.reasons import ABOUT, Reason, Retry


def probes(sqlmesh: object) -> int:
    return len(sqlmesh.world.jobs("probe"))  # type: ignore[attr-defined]


def test_a_new_gateway_is_probed_once_and_ready() -> None:
    sqlmesh = fresh().live(10 * DAY)
    assert probes(sqlmesh) == 1
    assert sqlmesh.world.says("vgw/warehouse") == {
        "Ready": "True/Ready", "Reconciling": "False/Ready", "Stalled": "False/Ready",
        "WarehouseReachable": "True/Reached", "StateReachable": "True/Reached",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({"connection": {"options": {"host": "elsewhere"}}}, 2),
        ({"stateConnection": {"options": {"host": "elsewhere"}}}, 2),
        ({"takeover": "somebody"}, 2),
        ({"variables": {"a": 1}}, 1),
        ({"grants": [{"environments": ["*"]}]}, 1),
    ],
    ids=["warehouse", "state", "takeover", "variables", "grants"],
)
def test_it_is_probed_again_when_its_connections_change(spec: dict[str, object], count: int) -> None:
    sqlmesh = fresh()
    sqlmesh.world.change("vgw/warehouse", **spec)
    sqlmesh.work()
    assert probes(sqlmesh) == count


def test_an_interval_is_kept_and_jobs_that_reached_it_count_as_probes() -> None:
    sqlmesh = fresh(builders.gateway(probe={"interval": "1h"}), builders.environment())
    sqlmesh.every = DAY / 48  # runs every half hour
    sqlmesh.live(DAY / 4)
    assert probes(sqlmesh) == 1
    sqlmesh.world.change("venv/prod", suspend=True)
    sqlmesh.live(2 * MINUTE * 60)
    assert probes(sqlmesh) == 2 or probes(sqlmesh) == 3


@pytest.mark.parametrize(
    "reason", [r for r in Reason if r.startswith(("State", "Warehouse", "Auth", "Secret", "RunnerO"))]
)
def test_a_failed_probe_says_why_and_is_tried_again_where_that_can_help(reason: Reason) -> None:
    sqlmesh = fresh()
    sqlmesh.fails["probe"] = [builders.failed("probe", reason, "so it was")]
    sqlmesh.world.annotate("vgw/warehouse", probe_requested_at="now")
    sqlmesh.work()
    never = ABOUT[reason].retry is Retry.NEVER
    assert sqlmesh.world.says("vgw/warehouse", "Ready", "Stalled", "Reconciling") == {
        "Ready": f"False/{reason}", "Stalled": f"{never}/{reason}", "Reconciling": f"{not never}/{reason}",
    }  # fmt: skip
    sqlmesh.live(DAY)
    assert sqlmesh.world.says("vgw/warehouse")["Ready"] == (f"False/{reason}" if never else "True/Ready")


def test_a_failure_of_connections_that_were_taken_back_is_forgotten() -> None:
    sqlmesh = fresh()
    sqlmesh.fails["probe"] = [builders.failed("probe", Reason.WAREHOUSE_UNREACHABLE)]
    sqlmesh.world.change("vgw/warehouse", connection={"options": {"host": "wrong"}})
    sqlmesh.work()
    sqlmesh.world.change("vgw/warehouse", connection={"options": {"host": "warehouse"}})
    sqlmesh.work()
    assert sqlmesh.world.says("vgw/warehouse", "Ready", "WarehouseReachable") == {
        "Ready": "True/Ready", "WarehouseReachable": "True/Reached",
    }  # fmt: skip
    assert "nextAttemptTime" not in sqlmesh.world.raw("vgw/warehouse")["status"]


def test_ready_does_not_flicker_while_a_good_gateway_is_probed() -> None:
    world = alive().world
    world.annotate("vgw/warehouse", probe_requested_at="now").settle()
    assert world.job("probe") and world.says("vgw/warehouse")["Ready"] == "True/Ready"


def test_a_probe_that_waits_for_its_image_says_so() -> None:
    sqlmesh = fresh()
    sqlmesh.world.annotate("vgw/warehouse", probe_requested_at="now").settle()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}
    sqlmesh.world._pod(sqlmesh.world.job("probe"), "Pending", waiting)
    assert sqlmesh.world.settle().says("vgw/warehouse")["Ready"] == "False/PodWaiting"


def test_runs_do_not_write_the_gateway_just_to_say_that_they_reached_it() -> None:
    sqlmesh = alive()
    writes = [w for w in sqlmesh.world.kube.writes if w == "apply-vulcangateways/status"]
    sqlmesh.live(DAY)
    more = [w for w in sqlmesh.world.kube.writes if w == "apply-vulcangateways/status"]
    assert len(more) - len(writes) <= 2  # who writes: one came and went


def test_the_api_server_refuses_the_probe_then_the_gateway_says_it_and_rests() -> None:
    sqlmesh = fresh()
    sqlmesh.world.kube.fail("create-jobs", FORBIDDEN, times=-1)
    sqlmesh.world.annotate("vgw/warehouse", probe_requested_at="now").settle()
    assert sqlmesh.world.says("vgw/warehouse")["Ready"] == "False/OperatorNotAuthorized"
    before = sqlmesh.world.kube.writes.count("apply-vulcangateways/status")
    sqlmesh.world.advance(10 * MINUTE)
    assert sqlmesh.world.kube.writes.count("apply-vulcangateways/status") == before
    sqlmesh.world.kube.heal()
    sqlmesh.live(2 * MINUTE)
    assert sqlmesh.world.says("vgw/warehouse")["Ready"] == "True/Ready"
