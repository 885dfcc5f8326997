"""The schedule's figures: how many run Jobs a day costs, and how late a due run starts.

Called by `__main__`. The first is simulated with the tests' World (the real planners, cache and queue), the second is
measured with the real operator, control plane, node, runner and PostgreSQL.
"""

import collections
import datetime as dt
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import figures, project
from benchmarks.figures import Figure
from tests import builders
from tests.world import World
from tools.localcluster.cluster import Cluster
from tools.stand import postgres
from tools.stand.stand import Stand
from vulcan_operator.plan.core.seen import JobState

_DAYS = 7
_NAMESPACE = "bench-schedule"
_RUN_TAKES = dt.timedelta(seconds=90)


def measure() -> list[Figure]:
    """All figures of this group."""
    return [Figure("daily_run_jobs_per_day", daily()), Figure("due_to_run_s", due_to_run())]


def daily() -> int:
    """The most run Jobs of one day."""
    world = World()
    world.apply(builders.gateway(), builders.config_map(), builders.environment()).settle()
    world.finish_job("probe", builders.probed()).settle()
    world.finish_job("plan", builders.planned()).settle()
    world.finish_job("apply", builders.applied()).settle()
    began, made = world.clock.now(), dict[str, dt.date]()
    for hour in range(24 * _DAYS):
        world.restart() if hour % 2 else world.resync()
        until = began + dt.timedelta(hours=hour + 1)
        while world.clock.now() < until:
            world.advance(min(_RUN_TAKES, until - world.clock.now()))
            for job in world.jobs("run", JobState.UNFINISHED):  # finished ones are collected in time
                made[job.name] = world.clock.now().date()
                world.finish_job(job.name, builders.ran(_midnight(world.clock.now()))).settle()
    by_day = collections.Counter(made.values())
    if len(by_day) < _DAYS:
        raise RuntimeError(f"only on {len(by_day)} of {_DAYS} days something ran: {sorted(by_day)}")
    return max(by_day.values())


def _midnight(now: dt.datetime) -> dt.datetime:
    """When a daily model is due next."""
    return (now + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def due_to_run() -> float:
    """Seconds; the larger of two."""
    with tempfile.TemporaryDirectory(prefix="vulcan-bench-", dir="/tmp") as folder, Stand(Path(folder), "due") as stand:
        assert isinstance(stand.cluster, Cluster)
        server = postgres.Server.create(state=stand.cluster.state)
        operator = stand.start_operator()
        operator.wait_ready()
        stand.namespace(_NAMESPACE)
        _apply(stand, server, Path(folder) / "pulse")
        began, late = time.monotonic(), dict[str, float]()
        while len(late) < 2:
            if time.monotonic() - began > 1200:
                raise TimeoutError(f"no scheduled run: {_status(stand)}")
            late |= _delays(stand)
            time.sleep(1)
        operator.stop()
    print("   due to run:", ", ".join(f"{due} +{seconds:.0f} s" for due, seconds in sorted(late.items())), flush=True)
    return max(late.values())


def _apply(stand: Stand, server: postgres.Server, folder: Path) -> None:
    """Gateway, Secret, git repository and environment."""
    models = folder / "models"
    models.mkdir(parents=True)
    (folder / "config.yaml").write_text("model_defaults: {dialect: postgres}\n")
    (models / "pulse.sql").write_text(project.FIVE_MINUTES)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "pulse"]):
        person = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        subprocess.run(["git", "-C", folder, *person, *command], check=True, capture_output=True)
    connections: dict[str, Any] = {}
    for role, field in (("warehouse", "connection"), ("state", "stateConnection")):
        server.create_database(role, role, f"{role}-password")
        options = {"host": "127.0.0.1", "port": server.port, "database": role, "user": role}
        secret = {"password": {"name": "credentials", "key": role}}
        connections[field] = {"type": "postgres", "options": options, "secrets": secret}
    schedule = {"mode": "Cron", "cron": {"cron": "* * * * *"}} if figures.quick() else {"mode": "Auto"}
    spec = {
        "gatewayRef": {"name": "main"}, "plan": {"approval": {"mode": "Never"}}, "schedule": schedule,
        "project": {"git": {"url": f"file://{folder}", "ref": "main"}},
    }  # fmt: skip
    api, data = "vulcan.dev/v1alpha1", {role: f"{role}-password" for role in ("warehouse", "state")}
    stand.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": _meta("credentials"), "stringData": data},
        {"apiVersion": api, "kind": "VulcanGateway", "metadata": _meta("main"), "spec": connections},
        {"apiVersion": api, "kind": "VulcanEnvironment", "metadata": _meta("prod"), "spec": spec},
    )


def _meta(name: str) -> dict[str, str]:
    return {"name": name, "namespace": _NAMESPACE}


def _status(stand: Stand) -> dict[str, Any]:
    return dict((stand.get("vulcanenvironment", _NAMESPACE, "prod") or {}).get("status", {}))


def _delays(stand: Stand) -> dict[str, float]:
    """Due time -> seconds until the container of its run started; only of runs that became due by a cron.

    The run that follows the apply at once says nothing: its due time is when the apply ended.
    """
    last, found = _status(stand).get("lastRun", {}), dict[str, float]()
    due = last.get("due")
    if not due or not due.endswith(":00Z") or not last["succeeded"]:
        return {}
    for pod in json.loads(stand.kubectl("get", "pods", "-n", _NAMESPACE, "-o", "json"))["items"]:
        if pod["metadata"]["labels"].get("batch.kubernetes.io/job-name") == last["job"]:
            main = next(c for c in pod["status"]["containerStatuses"] if c["name"] == "main")
            began = dt.datetime.fromisoformat(main["state"]["terminated"]["startedAt"])
            found[due] = (began - dt.datetime.fromisoformat(due)).total_seconds()
    return found
