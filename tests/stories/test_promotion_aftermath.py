"""What an environment says of itself after a promotion that was taken back, or that was not verified."""

from tests import builders
from tests.stories.lives import DAY, edit, managed
from tests.stories.promotions import outcome, promote, verified_badly
from vulcan_contract.reasons import Reason


def test_a_way_back_tells_the_age_of_the_data_until_a_run_has_computed_what_was_missing() -> None:
    sqlmesh = managed()
    sqlmesh.behind = {"intervals_behind": 2, "complete_until": "2026-11-21T06:00:00Z"}
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED)]
    sqlmesh.work("promote", "audit", "rollback")
    assert outcome(sqlmesh) == "RolledBack"
    rollback = sqlmesh.world.raw("vpromo/to-prod")["status"]["rollback"]
    assert (rollback["intervalsBehind"], rollback["completeUntil"]) == (2, "2026-11-21T06:00:00Z")
    said = "Data is complete up to 2026-11-21T06:00:00Z; 2 intervals are missing until the run that follows."
    assert rollback["message"] == f"swapped. {said}"
    fresh = sqlmesh.world.conditions("venv/prod")["Fresh"]
    assert fresh.status == "False"
    assert fresh.reason == "StaleAfterRollback"
    assert "data complete up to 2026-11-21T06:00:00Z, 30h" in fresh.message
    assert sqlmesh.world.environment().status.intervals_behind == 2
    sqlmesh.work()
    assert sqlmesh.world.conditions("venv/prod")["Fresh"].status == "True"
    assert sqlmesh.world.says("venv/prod", "Ready", "Verified") == {
        "Ready": "True/Ready",
        "Verified": "Unknown/NotVerified",
    }


def test_an_environment_says_that_views_that_stay_changed_are_not_verified() -> None:
    sqlmesh = verified_badly(managed(), onFailure="Hold")
    says = {"Ready": "False/VerifyFailed", "Stalled": "True/VerifyFailed", "Verified": "False/VerifyFailed"}
    assert sqlmesh.world.says("venv/prod", "Ready", "Stalled", "Verified") == says
    message = sqlmesh.world.conditions("venv/prod")["Ready"].message
    assert "a.b: 3 rows" in message and "rollbackTo: {promotion: to-prod}" in message
    sqlmesh.live(2 * DAY)  # runs go on and settle nothing
    sqlmesh.world.delete("vpromo/to-prod").settle()
    assert sqlmesh.world.says("venv/prod", "Ready", "Stalled", "Verified") == says
    edit(sqlmesh.world, "three")
    sqlmesh.work()
    promote(sqlmesh, "fixed")
    assert sqlmesh.world.says("venv/prod", "Ready", "Verified") == {"Ready": "True/Ready", "Verified": "True/Verified"}


def test_what_audits_said_of_a_promotion_is_not_said_of_a_project_that_took_its_place() -> None:
    sqlmesh = verified_badly(managed(), onFailure="Hold")
    project = {"configMap": {"name": "project"}}
    sqlmesh.world.change("venv/prod", revisionFrom="Source", project=project).settle()
    sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert "Verified" not in sqlmesh.world.conditions("venv/prod")
