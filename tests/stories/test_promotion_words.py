"""What people are asked by a promotion, what they read, and what they are not told twice."""

import datetime as dt

from tests import builders
from tests.stories.lives import ALWAYS, MINUTE, managed
from tests.stories.promotions import SODA, outcome, promote

# --- words


def test_words_that_stand_are_not_recorded_again_when_there_are_many() -> None:
    sqlmesh = managed(plan=ALWAYS)
    promote(sqlmesh)
    words = [{"plan": f"sha256:{'0' * 64}", "by": f"u{i}", "decision": "Approve"} for i in range(64)]
    sqlmesh.world.change("vpromo/to-prod", approvals=words).settle()
    first = sqlmesh.world.raw("vpromo/to-prod")["status"]["approvals"][0]
    sqlmesh.world.clock.advance(MINUTE)
    sqlmesh.world.kube.writes.clear()
    words[-1] = {"plan": f"sha256:{'1' * 64}", "by": "u63", "decision": "Approve"}
    sqlmesh.world.change("vpromo/to-prod", approvals=words).settle()
    heard = sqlmesh.world.raw("vpromo/to-prod")["status"]["approvals"]
    assert len(heard) == 64
    assert heard[0] == first
    assert sqlmesh.world.kube.writes.count("apply-vulcanpromotions/status") == 1


# --- what people are asked, and what they read


def test_nobody_is_asked_for_a_plan_that_the_target_has_moved_away_from() -> None:
    sqlmesh = promote(managed(plan=ALWAYS))
    digest = sqlmesh.world.raw("vpromo/to-prod")["status"]["plan"]["digest"]
    applied = sqlmesh.world.environment().status.history[0]
    sqlmesh.world.apply(builders.promotion("back", rollbackTo={"planId": applied.plan_id}, **{"from": None})).settle()
    sqlmesh.plan_ids["warehouse/prod"] = "somewhere-else"  # as if it had been another one
    moved = sqlmesh.world.raw("venv/prod")["status"]
    moved["applied"]["planId"] = "somewhere-else"
    sqlmesh.world.restart()
    sqlmesh.work()
    again = sqlmesh.world.raw("vpromo/to-prod")["status"]
    assert again["plans"] == 1 and again["plan"]["digest"] != digest
    assert sqlmesh.world.says("vpromo/to-prod", "Ready") == {"Ready": "False/AwaitingApproval"}


def test_a_word_that_comes_too_late_is_asked_for_the_plan_of_today() -> None:
    sqlmesh = promote(managed(plan={"approval": {"mode": "Always", "expireAfter": "1h"}}))
    plans = len(sqlmesh.world.jobs("plan"))
    sqlmesh.world.clock.advance(dt.timedelta(hours=2))  # nobody looks meanwhile
    sqlmesh.world.approve("vpromo/to-prod").settle()
    assert len(sqlmesh.world.jobs("plan")) == plans + 1 and "promote warehouse/prod" not in sqlmesh.done


def test_steps_are_in_their_order_and_none_is_left_open_when_it_is_over() -> None:
    sqlmesh = promote(promote(managed()), "again", gates={"soak": {"duration": "9d"}})
    told = sqlmesh.world.raw("vpromo/again")["status"]["steps"]
    assert [s["name"] for s in told] == ["Resolve", "Plan", "Tests", "Audits", "Diff", "Checks", "Soak"]
    assert {s["state"] for s in told} == {"Succeeded", "Skipped"}
    assert "nothing was changed" in sqlmesh.world.conditions("vpromo/again")["Ready"].message


def test_an_environment_is_not_promoted_to_itself() -> None:
    here = {"environmentRef": {"name": "prod", "namespace": "data"}}
    sqlmesh = promote(managed(), **{"from": here})
    assert outcome(sqlmesh) == "Failed"
    assert "the same environment" in sqlmesh.world.conditions("vpromo/to-prod")["Ready"].message


def test_one_that_waits_for_its_checks_holds_up_nobody() -> None:
    sqlmesh = promote(managed(), "first", gates=SODA)
    sqlmesh.world.clock.advance(dt.timedelta(minutes=1))
    promote(sqlmesh)
    assert outcome(sqlmesh) == "Succeeded"
