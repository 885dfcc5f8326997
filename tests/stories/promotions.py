"""Promotions to begin a story with, and what they have come to. Used by the stories of promotions."""

import dataclasses
import datetime as dt
from typing import Any

from tests import builders
from tests.stories.lives import edit, fresh, managed
from tests.stories.sqlmesh import SqlMesh
from vulcan_contract.diff_report import ColumnStatistics, ModelStatistics
from vulcan_contract.reasons import Reason

FINALIZER = "vulcan.dev/invalidate"
ACROSS: dict[str, Any] = {"to": {"environmentRef": {"name": "prod", "namespace": "live"}}}
DIFF: dict[str, Any] = {"dataDiff": {"maxChangedRowsPercent": 1}}
EARLY, LATE = "2026-11-20T00:00:00+00:00", "2026-11-22T00:00:00+00:00"
SODA = {"checks": {"soda": {"configMapRef": {"name": "quality"}}}}
NO_FLOOR: dict[str, Any] = {"approval": {"mode": "Never"}}
FILES = builders.config_map("quality", **{"orders.yml": "checks for orders:\n  - row_count > 0\n"})
NIGHTS = {"name": "nights", "kind": "Allow", "cron": "0 22 * * *", "duration": "4h", "timeZone": "Europe/Berlin"}
TONIGHT = dt.datetime(2026, 11, 22, 21, 0, tzinfo=dt.timezone.utc)


def promote(sqlmesh: SqlMesh, name: str = "to-prod", **spec: Any) -> SqlMesh:
    """Create a promotion from staging to prod, and let it go as far as it goes."""
    sqlmesh.world.apply(builders.promotion(name, **spec)).settle()
    return sqlmesh.work()


def steps(sqlmesh: SqlMesh, name: str = "to-prod") -> dict[str, str]:
    """Name -> state."""
    return {s["name"]: s["state"] for s in sqlmesh.world.raw(f"vpromo/{name}")["status"]["steps"]}


def outcome(sqlmesh: SqlMesh, name: str = "to-prod") -> str | None:
    """How it ended."""
    found: str | None = sqlmesh.world.raw(f"vpromo/{name}")["status"].get("outcome")
    return found


def verified_badly(sqlmesh: SqlMesh, **spec: Any) -> SqlMesh:
    """The source's audits pass, those of the target do not."""
    sqlmesh.world.apply(builders.promotion(**spec)).settle()
    sqlmesh.work("plan").do("audit")
    sqlmesh.fails["audit"] = [builders.failed("audit", Reason.AUDIT_FAILED, "a.b: 3 rows")]
    return sqlmesh.work()


def two(engine: str = "postgres", floor: dict[str, Any] = NO_FLOOR, **prod: Any) -> SqlMesh:
    """staging on gateway `warehouse` in `data`, and prod without a revision on gateway `production` in `live`."""
    sqlmesh = fresh(builders.environment("base", environment="prod"), builders.environment("staging"))
    sqlmesh.work()
    edit(sqlmesh.world, "two")
    sqlmesh.work()
    grants = [
        {"namespaces": {"from": "All"}, "environments": ["*"], "promotions": True},
        {"environments": ["prod"], "protected": True, "minimum": floor},
    ]
    connection = {"type": engine, "options": {"database": "/data/x.db"}, "secrets": None} if engine == "duckdb" else {}
    gateway = builders.gateway(
        "production", "live", grants=grants, **({"connection": connection} if connection else {})
    )
    target = builders.environment(
        "prod", "live", gatewayRef={"name": "production"}, revisionFrom="Promotion", project=None, **prod
    )
    sqlmesh.world.apply(gateway, target)
    return sqlmesh.work()


def in_the_swap(sqlmesh: SqlMesh) -> str:
    """A promotion whose Job runs that changes the views; the Job's name."""
    sqlmesh.world.apply(builders.promotion()).settle()
    sqlmesh.work("plan", "audit")
    job = sqlmesh.world.job("promote").name
    sqlmesh.world.start_job(job)
    sqlmesh.world.settle()
    assert sqlmesh.world.raw("vpromo/to-prod")["metadata"]["finalizers"] == [FINALIZER]
    return job


def found(sqlmesh: SqlMesh, step: str, name: str = "to-prod") -> dict[str, Any]:
    """A step of a promotion."""
    return next(s for s in sqlmesh.world.raw(f"vpromo/{name}")["status"]["steps"] if s["name"] == step)


def counted(rows: int, end: str = LATE, amount: int = 100) -> ModelStatistics:
    """One model on one side."""
    return ModelStatistics(
        "s.a", "code", rows=rows, end=end, restricted=True, columns={"x": ColumnStatistics(0, rows, str(amount))}
    )


def left(sqlmesh: SqlMesh) -> list[str]:
    """ConfigMaps that a promotion's gates have made."""
    names = [name for kind, _, name in sqlmesh.world.kube.objects if kind == "configmaps"]
    return [name for name in names if "-diff-" in name or "-checks-" in name]


def moved(sqlmesh: SqlMesh) -> None:
    """staging has another revision than prod."""
    sqlmesh.world.apply(
        builders.config_map("project", **{"config.yaml": "x", "models__a.sql": "three"})
    ).resync().settle()
    sqlmesh.work()


def behind(sqlmesh: SqlMesh) -> None:
    """The source cannot be counted as far as it is asked to: it has less."""
    really = sqlmesh._diff

    def diff(task: Any) -> Any:
        report = really(task)
        if task.gateway.sqlmesh_name != "warehouse":
            return report
        return dataclasses.replace(report, counted=(counted(100, EARLY),))

    sqlmesh._diff = diff  # type: ignore[method-assign]


def windowed(*windows: dict[str, str], **spec: Any) -> SqlMesh:
    """prod, managed by promotions, with these windows."""
    sqlmesh = managed(**spec)
    sqlmesh.world.change("venv/prod", promotionWindows=list(windows)).settle()
    return sqlmesh
