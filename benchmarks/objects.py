"""What the bench applies, and how its Jobs end: gateways, environments, pods, results. Pure; used by `lives` and `bare`."""

import datetime as dt
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.result import ModelChange, PlanSummary, Probe, Result, Work
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.cluster.views import JOB_NAME
from vulcan_operator.kube.resources import Raw

COMMIT = "4" * 40


def gateway(name: str, namespace: str) -> Raw:
    """On PostgreSQL, as people write it."""

    def connection(role: str) -> Raw:
        options = {"host": f"{role}.example.com", "port": 5432, "database": role, "user": "vulcan"}
        secret = {"name": "credentials", "key": role}
        return {"type": "postgres", "options": options, "secrets": {"password": secret}}

    spec = {"connection": connection("warehouse"), "stateConnection": connection("state")}
    return {
        "apiVersion": API_VERSION, "kind": "VulcanGateway", "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }  # fmt: skip


def environment(name: str, namespace: str, gateway_name: str) -> Raw:
    """A commit of a git repository, no approval, the models' own crons."""
    spec = {
        "gatewayRef": {"name": gateway_name},
        "project": {"git": {"url": "https://git.example.com/analytics.git", "ref": COMMIT, "path": "warehouse"}},
        "plan": {"approval": {"mode": "Never"}},
        "schedule": {"mode": "Auto"},
    }
    return {
        "apiVersion": API_VERSION, "kind": "VulcanEnvironment", "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }  # fmt: skip


def result(task: str, about: str) -> Result:
    """A success of that task, of the usual size. Without a report: its log would need a node."""
    match task:
        case "probe":
            versions = {"sqlmesh": "0.236.4", "sqlglot": "30.8.0", "schema": "102"}
            return Result(task, Reason.SUCCEEDED, probe=Probe(True, True, f"pg:{about}", True, versions))
        case "plan":
            models = tuple(ModelChange(f"shop.model_{i}", "Added", "Breaking", "FULL", 1) for i in range(10))
            summary = PlanSummary(
                target="t" * 64, base="b" * 64, has_changes=True, added=10, total_models=10, backfill_intervals=10,
                rebuilt_models=10, tests_run=4, models=models,
            )  # fmt: skip
            return Result(task, Reason.SUCCEEDED, "10 added; 10 intervals to compute.", summary=summary)
        case "promote":
            return Result(task, Reason.SUCCEEDED, "Applied.", work=Work(plan_id="p" * 32))
        case "audit":
            return Result(task, Reason.SUCCEEDED, "10 audits.", work=Work(plan_id="p" * 32, audits_run=10))
        case "apply":
            return Result(task, Reason.SUCCEEDED, "Applied.", work=Work(plan_id="p" * 32, models=10, batches=10))
        case _:
            tomorrow = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
            work = Work(plan_id="p" * 32, models=10, batches=10, rows=1000, next_run=tomorrow)
            return Result(task, Reason.SUCCEEDED, "10 batches of 10 models computed.", work=work)


def pod(job: Raw) -> Raw:
    """The pod that the Job controller would make."""
    meta, template = job["metadata"], job["spec"]["template"]
    labels = {**template["metadata"].get("labels", {}), JOB_NAME: meta["name"]}
    annotations = template["metadata"].get("annotations", {})
    own = {"name": f"{meta['name']}-0", "namespace": meta["namespace"], "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": template["spec"]}


def pod_status(job: Raw) -> Raw:
    """Ended well, with the result of its task."""
    labels = job["metadata"]["labels"]
    now = stamp()
    message = result(labels[names.TASK], labels[names.OWNER_NAME]).to_message()
    ended = {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": now, "finishedAt": now}
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    container: dict[str, Any] = {"name": "main", "image": image, "imageID": image, "ready": False, "restartCount": 0}
    return {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": ended}}]}


def job_status() -> Raw:
    """As the Job controller says it."""
    now = stamp()
    conditions = [
        {"type": kind, "status": "True", "reason": "CompletionsReached", "message": "", "lastProbeTime": now,
         "lastTransitionTime": now}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]  # fmt: skip
    return {
        "startTime": now, "completionTime": now, "succeeded": 1, "ready": 0, "terminating": 0,
        "uncountedTerminatedPods": {}, "conditions": conditions,
    }  # fmt: skip


def stamp() -> str:
    """Now, as the API server writes it."""
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def fresh(raw: Raw, **metadata: Any) -> Raw:
    """An object read from the server as it could be created again."""
    kept = {k: v for k, v in raw["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
    body = {k: v for k, v in raw.items() if k != "status"}
    return {**body, "metadata": {**kept, **metadata}}
