"""What the crash tests share on top of the harness: projects that count their batches, kills, and a ledger of Jobs.

The models note every batch in the table `public.batches`, in the batch's own transaction: what was computed twice shows
there. `OwnStage` is for tests that disturb the cluster or run several operators. Decides nothing about what is right.
"""

import contextlib
import http.client
import json
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.harness import FAST_RETRY, Stage, System, Thing
from tests.integration.projects import Files
from tests.integration.recorder import Api, Raw, Recorder
from tools.stand.postgres import Server
from tools.stand.stand import Operator

T = TypeVar("T")
QUICK = {"VULCAN_LEASE_DURATION": "3", "VULCAN_RENEW_DEADLINE": "2"}
MANUAL: dict[str, Any] = {"schedule": {"mode": "Manual"}, "retry": FAST_RETRY}
AWAY = (OSError, http.client.HTTPException, AssertionError, ValueError)

CONFIG = "model_defaults: {dialect: postgres, start: 2026-01-01}\n"
_DAYS = """
MODEL (name t.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day, batch_size 1, batch_concurrency 1),
  start '2026-01-01', end '2026-01-04', grain day, audits (not_null(columns := (day))));
@IF(@runtime_stage = 'evaluating',
  INSERT INTO public.batches (model, day) SELECT 'n={n}', CAST(@start_ds AS TEXT) FROM (SELECT pg_sleep({pause})) AS s);
SELECT CAST(d.day AS DATE) AS day, {n} AS n
FROM GENERATE_SERIES(CAST(@start_ds AS TIMESTAMP), CAST(@end_ds AS TIMESTAMP), INTERVAL '1 DAY') AS d(day);
"""
_APPENDED = """
MODEL (name t.appended, kind INCREMENTAL_UNMANAGED, start '2026-01-01', end '2026-01-04');
@IF(@runtime_stage IN ('creating', 'evaluating'),
  INSERT INTO public.batches (model, day) SELECT 'appended', CAST(@start_ds AS TEXT) FROM (SELECT pg_sleep({pause})) AS s);
SELECT 1 AS n;
"""


def days(n: int = 1, pause: float = 0.0) -> Files:
    """One model with four days, a batch each that takes `pause` seconds; another `n` is another revision."""
    return {"config.yaml": CONFIG, "models/days.sql": _DAYS.format(n=n, pause=pause)}


def appended(pause: float) -> Files:
    """One append-only model."""
    return {"config.yaml": CONFIG, "models/appended.sql": _APPENDED.format(pause=pause)}


class Ledger:
    """Every Job that ever was: one name must stand for one Job, whatever was killed meanwhile."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._uids: dict[str, set[str]] = defaultdict(set)
        self._jobs: dict[str, Raw] = {}
        threading.Thread(target=self._follow, daemon=True).start()

    def of(self, system: System) -> list[Raw]:
        """The latest of each Job of a namespace, deleted ones included."""
        return [job for job in list(self._jobs.values()) if job["metadata"]["namespace"] == system.namespace]

    def twice(self) -> list[str]:
        """Names that stood for two Jobs."""
        return [name for name, uids in self._uids.items() if len(uids) > 1]

    def _follow(self) -> None:
        path = "/apis/batch/v1/jobs"
        while True:
            with contextlib.suppress(*AWAY):
                listed = self._api.get(path) or {}
                for job in listed["items"]:
                    self._saw(job)
                for event in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "BOOKMARK":
                        self._saw(event["object"])
            threading.Event().wait(0.2)

    def _saw(self, job: Raw) -> None:
        meta = job["metadata"]
        self._uids[f"{meta['namespace']}/{meta['name']}"].add(meta["uid"])
        self._jobs[meta["uid"]] = job


class OwnStage(Stage):
    """A cluster whose operators are started by the test itself, with short leases."""

    def start(self, *, crds: bool = True) -> None:
        """Everything but an operator."""
        self.stand.up(crds=crds)
        self.api = Api(self.cluster.kubeconfig)
        self.server = Server.create(state=self.cluster.state, name="shared")
        self.recorder = Recorder(self.api)
        self.ledger = Ledger(self.api)

    def start_operator(self, **env: str) -> Operator:
        """An operator, ready."""
        return super().start_operator(**(QUICK | env))

    def spawn(self, **env: str) -> Operator:
        """An operator that may die before it is ready."""
        operator = self.stand.start_operator(**(QUICK | {"VULCAN_RETRY_PERIOD": "0.5"} | env))
        self.operators.append(operator)
        return operator

    def ensure_operator(self) -> None:
        """Tests here start their own."""


def own_stage(folder: Path, name: str, *, crds: bool = True) -> OwnStage:
    """Started; to be ended by the caller, also when this fails."""
    stage = OwnStage(folder, name)
    try:
        stage.start(crds=crds)
    except BaseException:
        stage.stand.down()
        raise
    return stage


def prepare(system: System, **runner_env: str) -> System:
    """The table of batches, and the gateway applied; `runner_env`: variables of its Jobs."""
    user = system.database("warehouse")
    system.rows("create table public.batches (model text, day text)")
    system.rows(f'grant all on public.batches to "{user}"')
    system.apply_gateway(runner={"env": [{"name": k, "value": v} for k, v in runner_env.items()]})
    return system


def crashing(system: System, point: str) -> System:
    """With a gateway whose Jobs crash at a point (`vulcan_runner.crash`) until `next_point`."""
    return prepare(system, CRASH_TEST_AT=point)


def next_point(system: System, point: str) -> None:
    """Where Jobs that are made from now on crash; empty: nowhere."""
    system.gateway.patch(runner={"env": [{"name": "CRASH_TEST_AT", "value": point}] if point else []})


def calm(look: Callable[[], T]) -> T | None:
    """What is seen, or None while the API server is away."""
    try:
        return look()
    except AWAY:
        return None


def settled(thing: Thing) -> bool:
    """Ready about the spec of now, and the run that follows the last apply has ended."""
    found = calm(thing.get)
    if not found or not calm(thing.ready):
        return False
    status = found.get("status", {})
    last, applied = status.get("lastRun"), status.get("applied")
    return bool(last and applied and last["time"] >= applied["time"] and "task" not in status)


def settle(thing: Thing, seconds: float = 150) -> Raw:
    """Its status once it is at rest; also over an outage of the API server."""
    thing.stage.wait_for(lambda: settled(thing), lambda: f"{thing} at rest; {thing.tell()}", seconds)
    return thing.status()


def in_hand(thing: Thing, task: str, state: str = "Running", seconds: float = 120) -> str:
    """The name of the Job of a current task; without `state` in any, also as one that waits for its turn."""

    def look() -> str | None:
        status = thing.status()
        hands = [status.get("task"), *(step.get("task") for step in status.get("steps", ()))]
        found = (h["job"] for h in hands if h and h["kind"] == task and state in ("", h["state"]))
        return next(found, None)

    found = thing.stage.wait_for(look, lambda: f"{thing}: {task} {state}; {thing.tell()}", seconds)
    return str(found)


def wait_begun(promotion: Thing, step: str, seconds: float = 120) -> None:
    """Until a step of a promotion has a Job, whatever became of that since."""

    def begun(status: Raw) -> bool:
        return any(s["name"] == step and s.get("job") for s in status.get("steps", ()))

    promotion.wait(begun, f"{step} has begun", seconds)


def kill_operator(system: System) -> None:
    """SIGKILL, and another one."""
    system.stage.operators[-1].kill()
    system.stage.start_operator()


def kill_pod(thing: Thing, job: str) -> None:
    """SIGKILL the main process of a Job's pod, as the kernel does when memory runs out."""
    system = thing.system
    path = f"/api/v1/namespaces/{system.namespace}/pods?labelSelector=batch.kubernetes.io/job-name={job}"

    def kill() -> bool:
        pods = (thing.stage.api.get(path) or {"items": []})["items"]
        found = [thing.stage.cluster.pod_process(pod["metadata"]["uid"], "main") for pod in pods]
        return any(process is not None and process.signal(signal.SIGKILL) for process in found)

    thing.stage.wait_for(kill, f"a process of {job}", 30)


def wait_started(thing: Thing, task: str, attempt: int) -> None:
    """Until the container of an attempt has run: from then on its Job goes its way, whatever the specs say."""

    def look() -> bool:
        jobs = [job["metadata"]["name"] for job in thing.jobs(task) if label(job, "attempt") == str(attempt)]
        path = f"/api/v1/namespaces/{thing.system.namespace}/pods?labelSelector=batch.kubernetes.io/job-name"
        pods = (thing.stage.api.get(f"{path}={jobs[0]}") or {"items": []})["items"] if jobs else []
        states = [c["state"] for pod in pods for c in pod["status"].get("containerStatuses", [])]
        return any("waiting" not in state for state in states)

    thing.stage.wait_for(look, lambda: f"attempt {attempt} of {task}; {thing.tell()}", 60)


def delete_job(thing: Thing, job: str) -> None:
    """As people do."""
    thing.stage.kubectl("delete", "job", job, "-n", thing.system.namespace, "--wait=false")


def outcomes(thing: Thing, task: str) -> dict[int, str]:
    """Attempt -> Complete, Failed or nothing, of the Jobs of a task that are there."""
    return {int(label(job, "attempt")): ended(job) for job in thing.jobs(task)}


def label(job: Raw, name: str) -> str:
    """A label of ours."""
    return str(job["metadata"].get("labels", {}).get(f"vulcan.dev/{name}", ""))


def ended(job: Raw) -> str:
    """Complete or Failed; empty while it goes on."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), "")


def batches(system: System) -> Counter[str]:
    """How many times each batch was computed and committed."""
    return Counter(f"{model} {day}" for model, day in system.rows("select model, day from public.batches"))


def each_once(*revisions: int, times: int = 1) -> Counter[str]:
    """What `batches` are when every batch of these revisions of `days` was computed so many times."""
    return Counter({f"n={n} 2026-01-0{day}": times for n in revisions for day in range(1, 5)})


def wait_batches(thing: Thing, count: int) -> None:
    """Until so many are committed."""
    what = f"{count} batches"
    thing.stage.wait_for(lambda: batches(thing.system).total() >= count, lambda: f"{what}; {thing.tell()}", 120)


def forget_intervals(system: System) -> None:
    """SQLMesh takes everything for missing: the next run has work to do."""
    system.rows("delete from sqlmesh._intervals", "state")


def records(system: System) -> list[tuple[Any, ...]]:
    """(environment, token, phase) of each apply, as the runner's own record says."""
    if not system.rows("select 1 from pg_tables where tablename = '_vulcan_apply'", "state"):
        return []
    return system.rows("select environment, token, phase from sqlmesh._vulcan_apply order by 1", "state")


def finalised(system: System) -> dict[str, tuple[str, bool]]:
    """Environment -> its plan id in SQLMesh's state, and whether it is finalised."""
    sql = "select name, plan_id, finalized_ts is not null from sqlmesh._environments"
    return {name: (plan, done) for name, plan, done in system.rows(sql, "state")}


def said(operator: Operator, text: str) -> int:
    """How many lines of its log have this text."""
    return sum(text in json.dumps(entry) for entry in operator.entries())


def leads(stage: Stage, operator: Operator) -> bool:
    """Whether it says so in its metrics."""
    with contextlib.suppress(*AWAY):
        return operator.alive() and "vulcan_leader 1.0" in stage._metrics(operator)
    return False


def wait_dead(stage: Stage, operator: Operator, seconds: float) -> bool:
    """Whether it ended by itself in time."""
    end = time.monotonic() + seconds
    while operator.alive() and time.monotonic() < end:
        stage.recorder.wait(0.1)
    return not operator.alive()
