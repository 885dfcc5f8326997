"""Lives of gateways and environments, for `record`."""

from typing import Any

from tests import builders
from tests.stories.lives import ALWAYS, DAY, MINUTE, edit, fresh
from tests.stories.sqlmesh import SqlMesh
from tests.upgrade.telling import QUALITY, SODA, Moments, dies, end, life, named, start, through
from tests.world import World
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result

GIT = {
    "git": {"url": "https://git.acme.com/a.git", "ref": "main", "pollInterval": "6h"},
    "configMap": None,
}
CONNECTION = {"type": "duckdb", "options": {"database": "w.db"}, "secrets": None}


@life
def a_gateway() -> Moments:
    """Probed for the first time."""
    sqlmesh = SqlMesh(World().apply(builders.gateway()))
    yield from named("gateway", through(sqlmesh, "probe"))
    yield "gateway-ready", sqlmesh.work()


@life
def a_gateway_on_duckdb() -> Moments:
    """Its probe waits, since a second process must not come near the file."""
    world = World().apply(builders.gateway(connection=CONNECTION), builders.config_map())
    sqlmesh = SqlMesh(world).work()
    world.apply(builders.environment(), builders.environment("dev")).settle()
    start(sqlmesh, "plan").world.annotate("vgw/warehouse", probe_requested_at="now").settle()
    assert world.gateway().status.task is not None
    yield "duckdb-probe-waiting", sqlmesh


@life
def an_environment() -> Moments:
    """From a branch, with approval, from its creation to its second plan."""
    sqlmesh = fresh()
    world = sqlmesh.world.apply(builders.environment(plan=ALWAYS, project=GIT))
    yield from named("environment", through(sqlmesh, "resolve"))
    yield from named("environment", through(sqlmesh, "plan"))
    yield "environment-report-stored", dies(sqlmesh, "create-configmaps", "after")
    world.restart().settle()
    yield "environment-awaiting-approval", sqlmesh
    world.approve("venv/prod")
    yield "environment-approved", sqlmesh
    yield "environment-apply-without-slot", dies(sqlmesh, "replace-leases")
    world.restart()
    yield from named("environment", through(sqlmesh, "apply"))
    yield from named("environment", through(sqlmesh, "run"))
    yield "environment-run-recorded", dies(sqlmesh, "merge-jobs")
    world.restart()
    yield "environment-ready", sqlmesh.work()
    sqlmesh.refs["main"] = "e" * 40
    sqlmesh.live(DAY / 4).world.annotate("venv/prod", run_requested_at="now").settle()
    yield "environment-awaiting-approval-while-running", start(sqlmesh, "run")


@life
def an_environment_that_fails() -> Moments:
    """Each task, first to be tried again, then for good."""
    sqlmesh = fresh(builders.environment(retry={"limit": 1, "backoff": "5m"}))
    sqlmesh.fails["plan"] = [builders.failed("plan", Reason.MODEL_FAILED)]
    yield "failing-plan-backoff", sqlmesh.work()
    sqlmesh.fails["apply"] = [builders.failed("apply", Reason.MODEL_FAILED, "division by zero") for _ in range(2)]
    sqlmesh.world.advance(10 * MINUTE)
    yield "failing-apply-backoff", sqlmesh.work()
    sqlmesh.world.advance(10 * MINUTE)
    yield "failing-apply-for-good", sqlmesh.work()
    sqlmesh.world.annotate("venv/prod", plan_requested_at="again")
    sqlmesh.fails["run"] = [builders.failed("run", Reason.AUDIT_FAILED) for _ in range(2)]
    yield "failing-run-backoff", sqlmesh.work()
    sqlmesh.world.advance(10 * MINUTE)
    yield "failing-run-for-good", sqlmesh.work()
    sqlmesh.live(DAY)
    edit(sqlmesh.world, "two")
    start(sqlmesh, "plan").world.lose_job("plan")
    yield "failing-plan-lost", sqlmesh
    sqlmesh.live(10 * MINUTE)
    edit(sqlmesh.world, "three")
    sqlmesh.fails["apply"] = [builders.failed("apply", Reason.PLAN_CHANGED)]
    sqlmesh.work("plan")
    start(sqlmesh, "apply")
    yield "failing-plan-changed", end(sqlmesh, "apply")


@life
def an_environment_that_is_suspended() -> Moments:
    """While it is applied, and at rest."""
    sqlmesh = fresh(builders.environment()).work("plan")
    start(sqlmesh, "apply").world.change("venv/prod", suspend=True, suspendReason="month end").settle()
    yield "suspended-while-applied", sqlmesh
    sqlmesh.work().world.advance(DAY)
    yield "suspended", sqlmesh


@life
def a_gateway_that_is_frozen() -> Moments:
    """Before a change is applied."""
    sqlmesh = fresh(builders.environment()).work()
    sqlmesh.world.change("vgw/warehouse", freeze={"reason": "year-end close"}).settle()
    edit(sqlmesh.world, "two")
    yield "frozen", sqlmesh.work()


@life
def a_preview() -> Moments:
    """Applied, expired, deleted, invalidated."""
    spec: dict[str, Any] = {"environment": "dev", "ttl": "2h", "deletionPolicy": "Invalidate"}
    sqlmesh = fresh(builders.environment("dev", **spec)).work()
    yield "preview-ready", sqlmesh
    yield "preview-expired", sqlmesh.live(DAY / 8)
    sqlmesh.world.delete("venv/dev")
    yield "preview-deleted", sqlmesh
    yield from named("preview", through(sqlmesh, "invalidate"))
    yield "preview-invalidated", dies(sqlmesh, "patch-vulcanenvironments")


@life
def an_environment_with_checks() -> Moments:
    """Soda looks at what was applied."""
    sqlmesh = fresh(QUALITY, builders.environment(checks=SODA, retry={"backoff": "10m"})).work("plan", "apply")
    sqlmesh.fails["checks"] = [builders.failed("checks", Reason.CHECKS_FAILED, "s.a: row_count > 0")]
    yield "checks-running", start(sqlmesh, "checks")
    yield "checks-ended", end(sqlmesh, "checks")
    yield "checks-failed", sqlmesh.work()


@life
def a_rejection() -> Moments:
    """A plan that people do not want."""
    sqlmesh = fresh(builders.environment(plan=ALWAYS)).work()
    sqlmesh.world.approve("venv/prod", by="bob", decision="Reject")
    yield "rejected-unseen", sqlmesh
    yield "rejected", sqlmesh.work()


@life
def three_on_one_gateway() -> Moments:
    """One writes, others wait, and one that is more urgent stops it."""
    grants = [{"environments": ["prod"], "protected": True}, {"environments": ["*"]}]
    sqlmesh = fresh(builders.environment()).work()
    sqlmesh.world.apply(builders.gateway(grants=grants)).settle()
    sqlmesh.world.apply(builders.environment("a"), builders.environment("b", ttl="10d")).settle()
    start(sqlmesh.work("plan"), "apply")
    sqlmesh.world.advance(3 * MINUTE)
    yield "line-apply-waiting", sqlmesh
    sqlmesh.world.annotate("venv/prod", run_requested_at="now").settle()
    yield "line-run-waiting", sqlmesh
    stopped = Result("apply", Reason.CANCELLED, "told to stop")
    sqlmesh.world.finish_job("apply", stopped, exit_code=3)
    yield "line-stopped", sqlmesh
    sqlmesh.world.settle()
    yield "line-run-first", sqlmesh


@life
def two_runs_on_one_gateway() -> Moments:
    """One goes on, the other one waits for it."""
    sqlmesh = fresh(builders.environment(), builders.environment("dev")).work()
    for name in ("prod", "dev"):
        sqlmesh.world.annotate(f"venv/{name}", run_requested_at="now").settle()
    yield "runs-waiting", start(sqlmesh, "run")
    yield "runs-first-ended", end(sqlmesh, "run")


@life
def an_operation() -> Moments:
    """A one-shot that is applied once, by a Job that no node takes."""
    sqlmesh = fresh(builders.environment(plan=ALWAYS)).work()
    sqlmesh.world.approve("venv/prod")
    sqlmesh.work()
    sqlmesh.world.change("venv/prod", operations=[{"id": "fix-fx", "models": ["s.a"], "start": "2026-11-01"}])
    sqlmesh.work().world.approve("venv/prod").settle()
    yield "operation-apply-pending", sqlmesh
    sqlmesh.world.clock.advance(6 * MINUTE)
    yield "operation-apply-stuck", sqlmesh
