"""Lives of promotions, for `record`."""

import itertools
from typing import Any

from tests import builders
from tests.stories.lives import ALWAYS, DAY, MINUTE, edit, managed
from tests.stories.promotions import ACROSS, two
from tests.stories.sqlmesh import SqlMesh
from tests.upgrade.telling import QUALITY, SODA, Moments, dies, end, life, named, start, through
from vulcan_contract.diff_report import ColumnStatistics, ModelStatistics
from vulcan_contract.reasons import Reason

GATES: dict[str, Any] = {"checks": SODA, "dataDiff": {"maxChangedRowsPercent": 1}}
UNDO: dict[str, Any] = {"from": None, "rollbackTo": {"promotion": "to-prod"}}


@life
def a_promotion() -> Moments:
    """Within a system, with all gates, from its creation to its end."""
    sqlmesh = managed(plan=ALWAYS)
    world = sqlmesh.world.apply(QUALITY, builders.promotion(gates={**GATES, "soak": {"duration": "2h"}}))
    yield "promotion-new", sqlmesh
    yield from named("promotion", through(sqlmesh, "plan"))
    world.settle()
    yield "promotion-gates-running", start(sqlmesh, "audit", "diff", "checks")
    yield "promotion-gates-ended", end(sqlmesh, "audit", "diff", "checks")
    world.settle()
    yield "promotion-soaking", sqlmesh
    sqlmesh.live(DAY / 8)
    yield "promotion-awaiting-approval", sqlmesh
    world.annotate("venv/staging", run_requested_at="now").settle()
    start(sqlmesh, "run").world.approve("vpromo/to-prod")
    yield "promotion-approved", sqlmesh
    world.settle()
    yield "promotion-apply-waiting", sqlmesh
    end(sqlmesh, "run")
    yield "promotion-finalizer-set", dies(sqlmesh, "create-jobs")
    world.restart()
    yield from named("promotion", itertools.islice(through(sqlmesh, "promote"), 1, None))
    yield "promotion-verify-announced", dies(sqlmesh, "create-jobs")
    world.restart().settle()
    yield "promotion-verify-running", start(sqlmesh, "audit")
    yield "promotion-verify-ended", end(sqlmesh, "audit")
    yield "promotion-without-evidence", dies(sqlmesh, "create-configmaps")
    world.restart()
    yield "promotion-with-finalizer", dies(sqlmesh, "patch-vulcanpromotions")
    world.restart().settle()
    yield "promotion-succeeded", sqlmesh


@life
def a_promotion_that_catches_up() -> Moments:
    """Recent intervals are computed before views change."""
    sqlmesh = managed()
    sqlmesh.summary = {"catch_up_intervals": 3}
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit")
    yield "catch-up-running", start(sqlmesh, "promote")
    yield "catch-up-ended", end(sqlmesh, "promote")


@life
def a_promotion_that_goes_back() -> Moments:
    """Audits of the target fail; the revision is held afterwards."""
    sqlmesh = _verifying(managed())
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED, "a.b: 3 rows")]
    sqlmesh.behind = {"intervals_behind": 2, "complete_until": "2026-11-21T06:00:00Z"}
    yield "back-verify-failed", end(sqlmesh, "audit")
    yield from named("back", through(sqlmesh, "rollback"))
    yield "back-recorded", dies(sqlmesh, "merge-jobs")
    sqlmesh.world.restart()
    yield "back-without-evidence", dies(sqlmesh, "create-configmaps")
    sqlmesh.world.restart()
    yield "back-with-finalizer", dies(sqlmesh, "patch-vulcanpromotions")
    sqlmesh.world.restart()
    yield "back-run-waits", sqlmesh.work("rollback")
    yield "held", sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("again")).settle()
    yield "held-promoted-again", sqlmesh.work()


def _verifying(sqlmesh: SqlMesh, **spec: Any) -> SqlMesh:
    """Its views are changed, its target is asked."""
    sqlmesh.world.apply(builders.promotion(**spec)).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.do("promote")
    return start(sqlmesh, "audit")


@life
def a_promotion_that_stays() -> Moments:
    """Audits of the target fail, people decide; they go back by hand."""
    sqlmesh = _verifying(managed(), onFailure="Hold")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED, "a.b: 3 rows")]
    end(sqlmesh, "audit")
    yield "stays-not-verified", sqlmesh.work()
    sqlmesh.world.apply(builders.promotion("undo", **UNDO))
    yield "stays-undo-new", sqlmesh
    sqlmesh.work("plan", "audit")
    yield "stays-undo-running", start(sqlmesh, "rollback")
    yield "stays-undo-ended", end(sqlmesh, "rollback")


@life
def promotions_in_a_queue() -> Moments:
    """One is first, one waits, one takes the place of both."""
    sqlmesh = managed(plan=ALWAYS)
    world = sqlmesh.world.apply(builders.promotion("first")).settle()
    sqlmesh.work()
    world.clock.advance(MINUTE)
    world.apply(builders.promotion("second")).settle()
    yield "queue-waiting", sqlmesh
    world.clock.advance(MINUTE)
    world.apply(builders.promotion("third", queue="Supersede"))
    yield "queue-superseding", sqlmesh
    world.settle()
    yield "queue-superseded", sqlmesh
    world.delete("vpromo/third")
    yield "queue-deleted", sqlmesh


@life
def a_promotion_that_is_cancelled() -> Moments:
    """Deleted while its Job changes the views."""
    sqlmesh = managed()
    world = sqlmesh.world.apply(builders.promotion()).settle()
    start(sqlmesh.work("plan", "audit"), "promote")
    world.delete("vpromo/to-prod")
    yield "cancelled-unseen", sqlmesh
    world.settle()
    yield "cancelling", sqlmesh
    world.finish_job("promote", builders.failed("promote", Reason.CANCELLED))
    yield "cancelled-ended", sqlmesh
    yield "cancelled-without-evidence", dies(sqlmesh, "create-configmaps")


@life
def a_promotion_whose_swap_is_lost() -> Moments:
    """It was done, and nobody heard of it; then it was deleted."""
    sqlmesh = managed()
    world = sqlmesh.world.apply(builders.promotion()).settle()
    start(sqlmesh.work("plan", "audit"), "promote")
    sqlmesh.answer(sqlmesh.task(world.job("promote")))
    world.lose_job("promote")
    yield "lost-swap", sqlmesh
    world.settle()
    yield "lost-swap-backoff", sqlmesh
    world.delete("vpromo/to-prod").settle()
    yield "lost-swap-deleted", sqlmesh


@life
def a_promotion_that_fails() -> Moments:
    """Its Job crashes: to be tried again, then never more."""
    sqlmesh = managed(retry={"limit": 1, "backoff": "5m"})
    sqlmesh.fails["promote"] = [builders.failed("promote", Reason.RUNNER_CRASHED) for _ in range(2)]
    sqlmesh.world.apply(builders.promotion()).settle()
    yield "errors-backoff", sqlmesh.work()
    yield "errored", sqlmesh.live(DAY / 24)


@life
def a_promotion_outside_its_window() -> Moments:
    """It waits for the night; so does one for a suspended target."""
    nights = {
        "name": "nights",
        "kind": "Allow",
        "cron": "0 22 * * *",
        "duration": "4h",
        "timeZone": "Europe/Berlin",
    }
    sqlmesh = managed()
    sqlmesh.world.change("venv/prod", promotionWindows=[nights]).apply(builders.promotion()).settle()
    yield "window-shut", sqlmesh.work()
    sqlmesh.world.change("venv/prod", suspend=True, suspendReason="month end").settle()
    yield "window-suspended", sqlmesh.work()


@life
def a_promotion_across_systems() -> Moments:
    """Data is counted on both sides, the target computes the revision itself."""
    sqlmesh = two()
    world = sqlmesh.world.apply(QUALITY, builders.promotion("first", **ACROSS)).settle()
    sqlmesh.work()
    sides = ("warehouse", "production")
    sqlmesh.models |= {side: _counted() for side in sides}
    edit(world, "three")
    sqlmesh.work()
    world.apply(builders.promotion(gates=GATES, **ACROSS))
    yield "across-new", sqlmesh
    yield "across-copied", dies(sqlmesh, "create-configmaps", "after")
    world.restart().settle()
    yield "across-plan-running", start(sqlmesh, "plan", "audit", "diff", "checks")
    yield "across-gates-ended", end(sqlmesh, "plan", "audit", "diff", "checks")
    yield "across-target-counted", dies(sqlmesh, "create-configmaps", "after")
    world.restart().settle()
    yield "across-source-counting", start(sqlmesh, "diff")
    yield "across-source-counted", end(sqlmesh, "diff")
    yield "across-compared", dies(sqlmesh, "delete-configmaps")
    world.restart()
    yield from named("across", through(sqlmesh, "apply"))
    world.settle()
    yield "across-verify-running", start(sqlmesh, "audit")
    yield "across-verify-ended", end(sqlmesh, "audit")
    yield "across-ended", dies(sqlmesh, "delete-configmaps")
    world.restart().settle()
    yield "across-run-running", start(sqlmesh, "run")


def _counted() -> ModelStatistics:
    end_, columns = "2026-11-22T00:00:00+00:00", {"x": ColumnStatistics(0, 100, "9")}
    return ModelStatistics("s.a", "code", rows=100, end=end_, restricted=True, columns=columns)
