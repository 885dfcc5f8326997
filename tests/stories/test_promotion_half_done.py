"""Promotions whose views may be half changed are brought to an end, whatever is shut or lost."""

import datetime as dt

from tests import builders
from tests.stories.lives import HOUR, MINUTE, managed
from tests.stories.promotions import NIGHTS, TONIGHT, found, in_the_swap, outcome, promote, windowed
from vulcan_contract.reasons import Reason
from vulcan_operator.kube import errors
from vulcan_operator.plan.core.seen import JobState


def test_half_changed_views_are_brought_to_an_end_whatever_is_shut() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.world.change("venv/prod", suspend=True).delete("venv/staging").settle()
    sqlmesh.world.lose_job(job)
    sqlmesh.live(5 * MINUTE)
    assert outcome(sqlmesh) == "Succeeded"
    assert sqlmesh.done.count("promote warehouse/prod") == 1


def test_half_changed_views_wait_for_no_window_whatever_the_next_attempt_meets() -> None:
    sqlmesh = windowed(NIGHTS, retry={"backoff": "2m"})
    sqlmesh.world.clock.advance(TONIGHT + 3 * HOUR + 59 * MINUTE - sqlmesh.world.clock.now())
    met = (Reason.RUNNER_CRASHED, Reason.WAREHOUSE_UNREACHABLE)
    sqlmesh.fails["promote"] = [builders.failed("promote", reason) for reason in met]
    promote(sqlmesh)
    sqlmesh.live(HOUR)
    assert outcome(sqlmesh) == "Succeeded"


def test_a_job_that_could_not_be_made_has_changed_nothing() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan")
    sqlmesh.world.kube.fail("create-jobs", errors.Forbidden("exceeded quota: jobs", status=403), times=-1)
    sqlmesh.do(sqlmesh.world.job("audit"))
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/OperatorNotAuthorized"}
    sqlmesh.world.change("venv/prod", suspend=True).settle()
    sqlmesh.world.kube.heal()
    sqlmesh.live(10 * MINUTE)
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/Suspended"}
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.live(MINUTE)
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert "promote warehouse/prod" not in sqlmesh.done
    assert any("nothing had been changed" in note.message for _, note in sqlmesh.world.notes)


def test_half_changed_views_are_not_forgotten_when_it_is_planned_again() -> None:
    sqlmesh = managed()
    job = in_the_swap(sqlmesh)
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.PLAN_CHANGED)]
    sqlmesh.world.lose_job(job)
    sqlmesh.world.advance(2 * MINUTE)
    sqlmesh.do(sqlmesh.world.job("promote"))
    assert found(sqlmesh, "Apply")["touched"] is True
    sqlmesh.world.delete("vpromo/to-prod").settle()
    sqlmesh.world.advance(dt.timedelta(minutes=15))
    assert not sqlmesh.world.exists("vpromo/to-prod")
    assert any("some views may be changed" in note.message for _, note in sqlmesh.world.notes)


def test_deleted_it_still_waits_in_line_for_what_must_come_to_an_end() -> None:
    sqlmesh = managed()
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.work("promote")
    sqlmesh.world.annotate("venv/staging", run_requested_at="now").settle()
    run = sqlmesh.world.job("run")
    sqlmesh.world.start_job(run.name)
    sqlmesh.do(next(j for j in sqlmesh.world.jobs("audit", JobState.UNFINISHED)))
    assert found(sqlmesh, "Rollback")["task"]["state"] == "Waiting"
    sqlmesh.world.delete("vpromo/to-prod").settle()
    assert [w.key.name for w in sqlmesh.world.cache.waiters(("data", "warehouse"))] == ["to-prod"]
    sqlmesh.world.finish_job(run.name, sqlmesh.answer(sqlmesh.task(run))).settle()
    sqlmesh.live(MINUTE)
    assert any(h.promotion == "data/to-prod" for h in sqlmesh.world.environment().status.held)
