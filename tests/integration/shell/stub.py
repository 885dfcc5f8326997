"""An operator with planners of a few lines, as a process: `python -m tests.integration.shell.stub`.

Used by the shell's integration tests, which care for processes, leases and writes, not for plans. The planner starts
one Job per environment (intent in status first) and then says Ready.
"""

import asyncio
import datetime as dt
import os
import sys

from vulcan_operator import logs
from vulcan_operator.api import names
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import Condition, TaskStatus
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.cli import serve
from vulcan_operator.config import Config
from vulcan_operator.plan.core.actions import CreateJob, Plan, ReadJob
from vulcan_operator.plan.core.world import EnvironmentSeen, GatewaySeen
from vulcan_operator.reconcile.reconcile import Planners


def ready(generation: int, before: list[Condition], status: str, reason: str, now: dt.datetime) -> list[Condition]:
    """One condition; the time moves only when the status does."""
    known = next((c for c in before if c.type == "Ready"), None)
    since = known.last_transition_time if known and known.status == status else now.replace(microsecond=0)
    return [
        Condition(
            type="Ready", status=status, reason=reason, message=reason, observed_generation=generation,
            last_transition_time=since,
        )
    ]  # fmt: skip


def manifest(seen: EnvironmentSeen, name: str) -> dict[str, object]:
    """A Job that does nothing."""
    meta = seen.environment.metadata
    labels = {
        names.MANAGED: "true", names.INSTALL: seen.settings.install, names.OWNER_KIND: "VulcanEnvironment",
        names.OWNER_NAMESPACE: meta.namespace, names.OWNER_NAME: meta.name, names.OWNER_UID: meta.uid,
        names.TASK: "plan", names.INPUTS: "0" * 16, names.ATTEMPT: "1", names.GATEWAY: "g",
    }  # fmt: skip
    container = {"name": "main", "image": seen.settings.runner_image, "command": ["true"]}
    pod = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": meta.namespace, "labels": labels},
        "spec": {"backoffLimit": 0, "podReplacementPolicy": "Failed", "template": pod},
    }  # fmt: skip


def plan_environment(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    """Intent, act, observe, record."""
    environment, status = seen.environment, seen.environment.status
    generation = environment.metadata.generation
    name = f"{environment.metadata.name}-plan-1"
    if status.observed_generation == generation and status.task is None:
        return Plan(status)
    if status.task is None:
        task = TaskStatus(kind="plan", job=name, inputs="0" * 16, since=now.replace(microsecond=0))
        conditions = ready(generation, status.conditions, "Unknown", "Planning", now)
        return Plan(
            status.but(task=task, conditions=conditions),
            actions=(CreateJob(manifest(seen, name)),),
            look_again=None if seen.jobs else now,  # its own writes do not wake it
        )
    if not any(job.name == status.task.job for job in seen.jobs):
        need = ReadJob(environment.metadata.namespace, status.task.job)
        if need not in seen.live.answers:
            return Plan(status, needs=frozenset({need}))
        return Plan(
            status, actions=(CreateJob(manifest(seen, status.task.job)),), look_again=None if seen.jobs else now
        )
    conditions = ready(generation, status.conditions, "True", "Succeeded", now)
    update = {"task": None, "conditions": conditions, "observed_generation": generation}
    return Plan(status.but(**update))


def plan_gateway(seen: GatewaySeen, now: dt.datetime) -> Plan[GatewayStatus]:
    """Ready at once."""
    gateway = seen.gateway
    conditions = ready(gateway.metadata.generation, gateway.status.conditions, "True", "Reachable", now)
    update = {"conditions": conditions, "observed_generation": gateway.metadata.generation}
    return Plan(gateway.status.but(**update))


PLANNERS = Planners(plan_gateway, plan_environment)

if __name__ == "__main__":
    config = Config.from_env(os.environ)
    logs.setup(config.log_level)
    sys.exit(asyncio.run(serve(config, PLANNERS)))
