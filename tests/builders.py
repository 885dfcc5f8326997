"""Objects for tests, with defaults so that a row shows only what matters. Used by unit tests and stories."""

import datetime as dt
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.result import ModelChange, PlanSummary, Probe, Result, Work
from vulcan_operator.api import API_VERSION

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.timezone.utc)
PROJECT = {"config.yaml": "model_defaults: {dialect: duckdb}", "models__a.sql": "MODEL (name s.a); SELECT 1 AS x"}


def stamp(moment: dt.datetime) -> str:
    """RFC 3339, as the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Deep merge of dictionaries; everything else is replaced, and None takes it away."""
    out = dict(base)
    for key, value in over.items():
        old = out.pop(key, None)
        if value is None:
            continue
        out[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return out


def gateway(name: str = "warehouse", namespace: str = "data", **spec: Any) -> dict[str, Any]:
    """A VulcanGateway on PostgreSQL."""
    default = {
        "connection": {
            "type": "postgres",
            "options": {"host": "warehouse", "database": "w", "user": "u"},
            "secrets": {"password": {"name": "credentials", "key": "password"}},
        },
        "stateConnection": {"type": "postgres", "options": {"host": "state", "database": "s", "user": "u"}},
        "runner": {"image": "runner:1"},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "VulcanGateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": merged(default, spec),
    }


def environment(name: str = "prod", namespace: str = "data", **spec: Any) -> dict[str, Any]:
    """A VulcanEnvironment that takes its project from ConfigMap `project` and needs no approval."""
    default: dict[str, Any] = {
        "gatewayRef": {"name": "warehouse"},
        "project": {"configMap": {"name": "project"}},
        "plan": {"approval": {"mode": "Never"}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "VulcanEnvironment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": merged(default, spec),
    }


def promotion(name: str = "to-prod", namespace: str = "data", **spec: Any) -> dict[str, Any]:
    """A VulcanPromotion from staging to prod."""
    default: dict[str, Any] = {
        "from": {"environmentRef": {"name": "staging"}},
        "to": {"environmentRef": {"name": "prod"}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "VulcanPromotion",
        "metadata": {"name": name, "namespace": namespace},
        "spec": merged(default, spec),
    }


def config_map(name: str = "project", namespace: str = "data", **files: str) -> dict[str, Any]:
    """A project in a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": files or PROJECT,
    }


def probed(**fields: Any) -> Result:
    """A successful probe."""
    seen = Probe(warehouse=True, state=True, state_identity="pg:1/s/sqlmesh", versions={"sqlmesh": "0.236.4"})
    return Result("probe", Reason.SUCCEEDED, probe=seen, **fields)


def planned(target: str = "t1", base: str = "b0", *, changes: bool = True, **summary: Any) -> Result:
    """A successful plan; without report, so that no log is needed."""
    default: dict[str, Any] = {"has_changes": changes, "total_models": 4, "base_plan_id": base}
    if changes:
        default |= {
            "added": 1,
            "models": (ModelChange("s.a", "Added", "Breaking", "FULL", 1),),
            "backfill_intervals": 1,
        }
    return Result("plan", Reason.SUCCEEDED, summary=PlanSummary(target=target, base=base, **{**default, **summary}))


def applied(plan_id: str = "p1", **work: Any) -> Result:
    """A successful apply."""
    return Result("apply", Reason.SUCCEEDED, work=Work(plan_id=plan_id, models=1, **work))


def ran(next_run: dt.datetime | None = None, plan_id: str = "p1", **work: Any) -> Result:
    """A successful run, due again at `next_run`."""
    following = stamp(next_run) if next_run is not None else None
    return Result("run", Reason.SUCCEEDED, work=Work(plan_id=plan_id, next_run=following, **work))


def failed(task: str, reason: Reason, message: str = "", **fields: Any) -> Result:
    """A task that did not succeed."""
    return Result(task, reason, message, **fields)
