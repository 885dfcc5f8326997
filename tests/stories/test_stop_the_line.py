"""Promotions wait for their windows, everything that changes views for the end of a freeze, and rollbacks for nothing."""

import datetime as dt
from typing import Any

from tests import builders
from tests.builders import stamp
from tests.stories.lives import ALWAYS, DAY, HOUR, MINUTE, alive, edit, managed
from tests.stories.promotions import NIGHTS, TONIGHT, outcome, promote, steps, verified_badly, windowed
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.reasons import Reason

# It is Sunday noon.
SUNDAYS = {
    "name": "sundays", "kind": "Deny", "rrule": "FREQ=WEEKLY;BYDAY=SU", "start": "2026-01-04T00:00", "duration": "24h",
}  # fmt: skip
TOMORROW_NIGHT = TONIGHT + DAY
FREEZE = {"reason": "year-end close"}
BACK = {"from": None, "rollbackTo": {"promotion": "to-prod"}}


def freeze(sqlmesh: SqlMesh, **spec: Any) -> SqlMesh:
    """Stop the line."""
    sqlmesh.world.change("vgw/warehouse", freeze={**FREEZE, **spec})
    return sqlmesh.work()


def lift(sqlmesh: SqlMesh) -> SqlMesh:
    """And go on."""
    sqlmesh.world.change("vgw/warehouse", freeze=None)
    return sqlmesh.work()


def swapped(sqlmesh: SqlMesh) -> bool:
    return "promote warehouse/prod" in sqlmesh.done


def test_a_promotion_waits_for_its_window_and_starts_when_it_opens() -> None:
    sqlmesh = promote(windowed(NIGHTS))
    assert outcome(sqlmesh) is None
    assert steps(sqlmesh)["Approval"] == "Succeeded"
    assert steps(sqlmesh)["Apply"] == "Waiting"
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Reconciling") == {
        "Ready": "False/OutsideWindow", "Reconciling": "True/OutsideWindow",
    }  # fmt: skip
    message = sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    assert message == "outside Allow window nights; next opening at 2026-11-22T21:00Z"
    for ref in ("vpromo/to-prod", "venv/prod"):
        assert sqlmesh.world.raw(ref)["status"]["nextOpeningTime"] == stamp(TONIGHT)
    sqlmesh.live(TONIGHT - MINUTE - sqlmesh.world.clock.now())
    assert not swapped(sqlmesh)
    sqlmesh.live(2 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
    apply = next(s for s in sqlmesh.world.raw("vpromo/to-prod")["status"]["steps"] if s["name"] == "Apply")
    assert apply["finishedAt"] <= stamp(TONIGHT + dt.timedelta(seconds=5))
    assert "nextOpeningTime" not in sqlmesh.world.raw("vpromo/to-prod")["status"]


def test_an_environment_says_when_it_opens_and_shuts_and_writes_nothing_between() -> None:
    sqlmesh = windowed(NIGHTS, SUNDAYS)
    world = sqlmesh.world
    assert world.says("venv/prod", "ChangesAllowed", "Ready") == {
        "ChangesAllowed": "False/OutsideWindow", "Ready": "True/Ready",
    }  # fmt: skip
    assert world.conditions("venv/prod")["ChangesAllowed"].message == (
        "inside Deny window sundays; next opening at 2026-11-23T00:00Z"
    )
    world.change("venv/prod", schedule={"mode": "Manual"}).settle()
    with world.no_writes():
        world.advance(11 * HOUR)
    world.advance(HOUR)
    assert world.says("venv/prod", "ChangesAllowed") == {"ChangesAllowed": "True/Open"}
    assert world.conditions("venv/prod")["ChangesAllowed"].message == "open until 2026-11-23T01:00Z"
    assert "nextOpeningTime" not in world.raw("venv/prod")["status"]
    world.advance(HOUR)
    assert world.says("venv/prod", "ChangesAllowed") == {"ChangesAllowed": "False/OutsideWindow"}
    world.change("venv/prod", promotionWindows=None).settle()
    assert world.says("venv/prod", "ChangesAllowed") == {"ChangesAllowed": "True/Open"}


def test_an_environment_without_windows_says_nothing_of_them() -> None:
    assert "ChangesAllowed" not in managed().world.says("venv/prod")


def test_what_has_begun_in_its_window_is_not_called_back() -> None:
    sqlmesh = windowed(NIGHTS)
    sqlmesh.world.clock.advance(TONIGHT + 3 * HOUR + 59 * MINUTE - sqlmesh.world.clock.now())
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.world.change("venv/staging", suspend=True)  # nobody who waits for so long that this makes way
    sqlmesh.work("plan", "audit", "run")
    sqlmesh.world.start_job("promote")
    sqlmesh.world.settle()
    sqlmesh.world.advance(HOUR)
    assert sqlmesh.world.says("venv/prod", "ChangesAllowed") == {"ChangesAllowed": "False/OutsideWindow"}
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "Unknown/Promoting"}
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"


def test_a_retry_waits_for_the_next_window_unless_it_may_be_half_done() -> None:
    for reason, goes_on in ((Reason.WAREHOUSE_UNREACHABLE, False), (Reason.RUNNER_CRASHED, True)):
        sqlmesh = windowed(NIGHTS, retry={"backoff": "2m"})
        sqlmesh.world.clock.advance(TONIGHT + 3 * HOUR + 59 * MINUTE - sqlmesh.world.clock.now())
        sqlmesh.fails["promote"] = [builders.failed("promote", reason)]
        promote(sqlmesh)
        sqlmesh.live(HOUR)
        assert swapped(sqlmesh) is goes_on
        sqlmesh.live(DAY)
        assert outcome(sqlmesh) == "Succeeded"


def test_a_catch_up_waits_as_well() -> None:
    sqlmesh = windowed(NIGHTS)
    sqlmesh.summary = {"catch_up_intervals": 3}
    promote(sqlmesh)
    assert steps(sqlmesh)["CatchUp"] == "Waiting" and not swapped(sqlmesh)


def test_a_rollback_waits_for_no_window_and_no_freeze() -> None:
    sqlmesh = promote(managed())
    sqlmesh.world.change("venv/prod", promotionWindows=[NIGHTS, SUNDAYS])
    freeze(sqlmesh)
    sqlmesh.world.apply(builders.promotion("undo", **BACK)).settle()
    sqlmesh.work()
    assert outcome(sqlmesh, "undo") == "Succeeded" and "rollback warehouse/prod" in sqlmesh.done


def test_the_way_back_after_a_failed_verification_does_not_wait_either() -> None:
    sqlmesh = windowed(NIGHTS)
    sqlmesh.world.clock.advance(TONIGHT + MINUTE - sqlmesh.world.clock.now())
    sqlmesh.fails["rollback"] = [builders.failed("rollback", Reason.WAREHOUSE_UNREACHABLE)]
    verified_badly(sqlmesh)
    freeze(sqlmesh)
    sqlmesh.live(HOUR)
    assert outcome(sqlmesh) == "RolledBack"


def test_a_freeze_lets_people_approve_and_goes_on_when_it_is_lifted() -> None:
    sqlmesh = promote(managed(plan=ALWAYS))
    freeze(sqlmesh)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/AwaitingApproval"}
    sqlmesh.world.approve("vpromo/to-prod")
    sqlmesh.work()
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Reconciling", "Stalled", "AwaitingApproval") == {
        "Ready": "False/Frozen", "Reconciling": "False/Frozen", "Stalled": "False/Frozen",
        "AwaitingApproval": "False/NotNeeded",
    }  # fmt: skip
    message = sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    assert message == "VulcanGateway data/warehouse is frozen until spec.freeze is removed: year-end close"
    runs = sqlmesh.done.count("run warehouse/prod")
    sqlmesh.live(3 * DAY)
    assert not swapped(sqlmesh) and sqlmesh.done.count("run warehouse/prod") >= runs + 3
    assert sqlmesh.world.says("vgw/warehouse", "ChangesAllowed", "Ready") == {
        "ChangesAllowed": "False/Frozen", "Ready": "True/Ready",
    }  # fmt: skip
    lift(sqlmesh)
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.world.says("vgw/warehouse", "ChangesAllowed") == {"ChangesAllowed": "True/Open"}


def test_a_freeze_ends_by_itself_and_then_the_windows_count() -> None:
    sqlmesh = promote(freeze(windowed(NIGHTS), until=stamp(TONIGHT + 6 * HOUR)))
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Reconciling") == {
        "Ready": "False/Frozen", "Reconciling": "True/Frozen",
    }  # fmt: skip
    assert sqlmesh.world.raw("venv/prod")["status"]["nextOpeningTime"] == stamp(TOMORROW_NIGHT)
    sqlmesh.live(TONIGHT + 7 * HOUR - sqlmesh.world.clock.now())
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/OutsideWindow"}
    assert sqlmesh.world.says("vgw/warehouse", "ChangesAllowed") == {"ChangesAllowed": "True/Open"}
    sqlmesh.live(TOMORROW_NIGHT + MINUTE - sqlmesh.world.clock.now())
    assert outcome(sqlmesh) == "Succeeded"


def test_an_earlier_end_of_a_freeze_is_noticed() -> None:
    sqlmesh = promote(freeze(managed(), until=stamp(TONIGHT + 9 * DAY)))
    freeze(sqlmesh, until=stamp(TONIGHT))
    sqlmesh.live(TONIGHT + MINUTE - sqlmesh.world.clock.now())
    assert outcome(sqlmesh) == "Succeeded"


def test_a_freeze_holds_an_environments_own_applies_and_not_its_plans_and_runs() -> None:
    sqlmesh = freeze(alive())
    before = list(sqlmesh.done)
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    sqlmesh.world.annotate("venv/prod", run_requested_at="now")
    sqlmesh.work("plan")
    status = sqlmesh.world.raw("venv/prod")["status"]
    assert (status["plan"]["state"], status["task"]["kind"]) == ("Pending", "run")
    assert sqlmesh.world.says("venv/prod", "Ready", "ChangesAllowed") == {
        "Ready": "False/Frozen", "ChangesAllowed": "False/Frozen",
    }  # fmt: skip
    sqlmesh.work()
    assert sqlmesh.done == [*before, "run warehouse/prod"]
    lift(sqlmesh)
    assert sqlmesh.done[len(before) + 1] == "apply warehouse/prod"
    assert sqlmesh.world.says("venv/prod", "Ready", "ChangesAllowed") == {
        "Ready": "True/Ready", "ChangesAllowed": "True/Open",
    }  # fmt: skip


def test_a_suspended_gateway_does_nothing_at_all_where_a_frozen_one_still_looks() -> None:
    frozen = promote(freeze(managed()))
    suspended = managed()
    suspended.world.change("vgw/warehouse", suspend=True).settle()
    promote(suspended)
    assert steps(frozen)["Audits"] == "Succeeded" and steps(suspended) == {}


def test_a_window_that_cannot_be_kept_is_told_and_holds() -> None:
    sqlmesh = promote(windowed(NIGHTS | {"cron": "0 0 31 2 *"}))
    assert sqlmesh.world.says("venv/prod", "ChangesAllowed", "Ready") == {
        "ChangesAllowed": "False/SpecInvalid", "Ready": "True/Ready",
    }  # fmt: skip
    assert sqlmesh.world.says("vpromo/to-prod", "Ready", "Stalled") == {
        "Ready": "False/SpecInvalid", "Stalled": "True/SpecInvalid",
    }  # fmt: skip
    assert "spec.promotionWindows: window nights: cron" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message
    sqlmesh.live(DAY)
    assert not swapped(sqlmesh)
    sqlmesh.world.change("venv/prod", promotionWindows=[])
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"


def test_what_made_way_for_more_urgent_work_goes_on_although_its_window_is_over() -> None:
    sqlmesh = windowed(NIGHTS)
    sqlmesh.world.clock.advance(TONIGHT + 3 * HOUR + 59 * MINUTE - sqlmesh.world.clock.now())
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.CANCELLED)]
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit", "run")
    job = sqlmesh.world.job("promote").name
    sqlmesh.world.start_job(job)
    sqlmesh.world.clock.advance(HOUR)
    sqlmesh.world.finish_job(job, sqlmesh.answer(sqlmesh.task(sqlmesh.world.job(job)))).settle()
    sqlmesh.work()
    assert outcome(sqlmesh) == "Succeeded"
