"""World: the real reconcile, cache, queue and wake rules over a FakeKube and a clock that stands still.

For stories: apply objects, `settle`, `finish_job`, `settle`, look at conditions. Nothing is mocked but the API server.

    world = World()
    world.apply(gateway(), config_map(), environment()).settle()
    world.finish_job("probe", probed()).settle()
    assert world.says("venv/prod") == {"Ready": "Unknown/Planning", ...}
"""

import copy
import datetime as dt
import random
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes import NOW, Crashed, FakeClock, FakeKube
from vulcan_contract.reasons import Outcome
from vulcan_contract.result import Result
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import Condition
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.assemble import assemble
from vulcan_operator.cluster import views
from vulcan_operator.kube import errors, resources
from vulcan_operator.kube.resources import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS, Raw, Resource
from vulcan_operator.plan.core.actions import DeleteJob, Key, Kind, Note, StopPods
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen, Settings
from vulcan_operator.reconcile.reconcile import Planners, decide, reconcile
from vulcan_operator.worker import schedule

NAMESPACE = "data"
SETTINGS = Settings(install="test", cluster="cluster-uid", runner_image="runner:1")
_SHORT = {"venv": Kind.ENVIRONMENT, "vgw": Kind.GATEWAY, "vpromo": Kind.PROMOTION}
_KINDS: dict[str, Resource] = {r.kind: r for r in (*resources.CUSTOM.values(), JOBS, PODS, CONFIG_MAPS, NAMESPACES)}
_MAX_PASSES = 2000
Ref = Key | Raw | str
"""An object: its Key, what was applied, or `venv/prod`, `vgw/warehouse`, `venv/other-namespace/prod`."""

NODE_DIGEST = f"sha256:{'1' * 64}"


class World:
    """One cluster with one operator that leads."""

    def __init__(
        self, planners: Planners | None = None, *, now: dt.datetime = NOW, guarded: bool | None = True,
        settings: Settings = SETTINGS, order: random.Random | None = None,
    ) -> None:  # fmt: skip
        """`order`: passes come in any order, and watch events late; without, both as they happen."""
        self._order, self._late = order, list[tuple[Resource, Raw, bool]]()
        self.clock = FakeClock(now)
        self.kube = FakeKube(self.clock)
        self._guarded, self.settings = guarded, settings
        self.checks_rest = True
        self.notes: list[tuple[str, Note]] = []
        self.retries: list[str] = []
        self._planners = planners or Planners()
        self.namespace("kube-system").namespace(NAMESPACE)
        self.kube.watchers.append(self._watch)
        self._start()

    @classmethod
    def load(cls, objects: dict[tuple[str, str, str], Raw], now: dt.datetime, version: int) -> "World":
        """A cluster that holds these objects, at this time, in which the operator has just started."""
        world = cls(now=now)
        world.kube.load(objects, version)
        return world.restart()

    # --- what people and the cluster do

    def namespace(self, name: str, **labels: str) -> "World":
        """Create or label a namespace."""
        labels = {"kubernetes.io/metadata.name": name, **labels}
        self.kube.put(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
        return self

    def apply(self, *objects: Raw) -> "World":
        """Create or update objects; their namespaces are made on the way."""
        for raw in objects:
            namespace = raw["metadata"].get("namespace", "")
            if namespace and (NAMESPACES.plural, "", namespace) not in self.kube.objects:
                self.namespace(namespace)
            self.kube.put(_KINDS[raw["kind"]], raw)
        return self

    def change(self, ref: Ref, **spec: Any) -> "World":
        """Merge into spec."""
        key = self.key(ref)
        resource = resources.CUSTOM[key.kind]
        return self._done(self.kube.merge_patch(resource, key.namespace, key.name, {"spec": spec}))

    def annotate(self, ref: Ref, **annotations: str) -> "World":
        """Names are given with _ for - and without `vulcan.dev/`: run_requested_at="now"."""
        key = self.key(ref)
        named = {f"vulcan.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
        change = {"metadata": {"annotations": named}}
        return self._done(self.kube.merge_patch(resources.CUSTOM[key.kind], key.namespace, key.name, change))

    def approve(self, ref: Ref, by: str = "alice", decision: str = "Approve", plan: str | None = None) -> "World":
        """Say yes (or no) to the plan in status."""
        key = self.key(ref)
        known = self.raw(key)["spec"].get("approvals", [])
        digest = plan or self.raw(key)["status"]["plan"]["digest"]
        return self.change(key, approvals=[*known, {"plan": digest, "by": by, "decision": decision}])

    def delete(self, ref: Ref) -> "World":
        """As `kubectl delete` does."""
        key = self.key(ref)
        self.kube.delete_now(resources.CUSTOM[key.kind], (key.kind.plural, key.namespace, key.name))
        return self

    def start_job(self, job: str) -> PodSeen:
        """The pod of a Job (task kind or name) runs. Returns it."""
        return views.pod(self._pod(self.job(job), "Running", {"running": {"startedAt": _stamp(self.clock.now())}}))

    def finish_job(
        self, job: str, result: Result | str | None, *, exit_code: int | None = None, log: str = "", reason: str = ""
    ) -> "World":
        """A Job (task kind or name) ends with a Result, with rubbish (str), or without a word (None)."""
        found = self.job(job)
        succeeded = isinstance(result, Result) and result.outcome is Outcome.SUCCEEDED
        code = exit_code if exit_code is not None else 0 if succeeded else 1
        message = result.to_message() if isinstance(result, Result) else result or ""
        stamp = _stamp(self.clock.now())
        ended = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error"), "message": message}
        state = {"terminated": {**ended, "startedAt": stamp, "finishedAt": stamp}}
        pod = self._pod(found, "Succeeded" if code == 0 else "Failed", state)
        self.kube.logs[found.namespace, pod["metadata"]["name"]] = log
        kind = "Complete" if code == 0 else "Failed"
        condition = {"type": kind, "status": "True", "reason": "" if code == 0 else "BackoffLimitExceeded"}
        status = {"conditions": [{**condition, "lastTransitionTime": stamp, "message": ""}]}
        self.kube.set_status(JOBS, found.namespace, found.name, status)
        return self

    def lose_job(self, job: str) -> "World":
        """A Job and its pods vanish."""
        found = self.job(job)
        self.kube.remove(JOBS, found.namespace, found.name)
        for pod in self.pods(found.name):
            self.kube.remove(PODS, pod.namespace, pod.name)
        return self

    # --- the operator

    def settle(self) -> "World":
        """Let the operator work until it has nothing to do now. Survives crashes that were ordered."""
        for _ in range(_MAX_PASSES):
            if self._order is not None and self._happens_first(self._order):
                continue
            key = self.queue.try_get()
            if key is None:
                _run(self._recorder.drain())
                return self
            try:
                _run(self._look(key))
            except Crashed:
                self.restart()
        raise AssertionError(f"never rests; it was last at {key}; writes: {self.kube.writes[-8:]}")

    def advance(self, by: dt.timedelta) -> "World":
        """Let time pass, stopping at each appointment of the operator."""
        until = self.clock.time + by
        self.settle()
        for _ in range(_MAX_PASSES):
            due = self.queue.next_due()
            if due is None or self.clock.time + dt.timedelta(seconds=due) > until:
                self.clock.time = until
                return self.settle()
            self.clock.advance(dt.timedelta(seconds=max(due, 0.001)))
            self.settle()
        raise AssertionError(f"{_MAX_PASSES} appointments within {by}: somebody looks again too often")

    def restart(self) -> "World":
        """The operator restarts with an empty cache, the same objects."""
        self._start()
        return self

    def resync(self) -> "World":
        """List everything and look at all objects."""
        _run(self._list())
        return self

    # --- looking at it

    def key(self, ref: Ref) -> Key:
        """The Key of an object."""
        if isinstance(ref, Key):
            return ref
        if isinstance(ref, dict):
            return Key(Kind(ref["kind"]), ref["metadata"]["namespace"], ref["metadata"]["name"])
        kind, *namespace, name = ref.split("/")
        return Key(_SHORT[kind], "/".join(namespace) or NAMESPACE, name)

    def raw(self, ref: Ref) -> Raw:
        """The object as the API server has it."""
        key = self.key(ref)
        return self.kube.objects[key.kind.plural, key.namespace, key.name]

    def exists(self, ref: Ref) -> bool:
        """Whether it is still there."""
        key = self.key(ref)
        return (key.kind.plural, key.namespace, key.name) in self.kube.objects

    def environment(self, ref: Ref = "venv/prod") -> VulcanEnvironment:
        """Parsed."""
        found = views.custom(Kind.ENVIRONMENT, self.raw(ref))
        assert isinstance(found, VulcanEnvironment), found
        return found

    def gateway(self, ref: Ref = "vgw/warehouse") -> VulcanGateway:
        """Parsed."""
        found = views.custom(Kind.GATEWAY, self.raw(ref))
        assert isinstance(found, VulcanGateway), found
        return found

    def conditions(self, ref: Ref) -> dict[str, Condition]:
        """By type."""
        listed = self.raw(ref).get("status", {}).get("conditions", [])
        return {c["type"]: Condition.model_validate(c) for c in listed}

    def says(self, ref: Ref, *types: str) -> dict[str, str]:
        """`{"Ready": "False/AwaitingApproval"}`; of all conditions, or of some."""
        found = {name: f"{c.status}/{c.reason}" for name, c in self.conditions(ref).items()}
        return {name: found.get(name, "absent") for name in types} if types else found

    def jobs(self, task: str = "", state: JobState | None = None) -> list[JobSeen]:
        """In order of creation."""
        found = [views.job(raw) for raw in self.kube.all(JOBS)]
        return [j for j in found if task in ("", j.task) and state in (None, j.state)]

    def job(self, job: str) -> JobSeen:
        """The one of this name, or the one unfinished Job of this task."""
        named = [j for j in self.jobs() if j.name == job]
        found = named or self.jobs(job, JobState.UNFINISHED)
        assert len(found) == 1, f"{len(found)} unfinished Jobs for {job!r}; there are {_summary(self.jobs())}"
        return found[0]

    def pods(self, job: str) -> list[PodSeen]:
        """Of a Job, by name."""
        found = [views.pod(raw) for raw in self.kube.all(PODS)]
        return [p for p in found if p.job == job]

    def events(self, ref: Ref) -> list[str]:
        """Reasons of the Events on an object, oldest first."""
        key = self.key(ref)
        return [
            e["reason"] for e in self.kube.all(EVENTS)
            if (e["regarding"]["kind"], e["regarding"]["name"]) == (key.kind.value, key.name)
        ]  # fmt: skip

    def answered(self, ref: Ref) -> Live:
        """Every answer that the planner asks for at an object."""
        key, ports = self.key(ref), self._ports
        found = self.cache.custom(key)
        assert found is not None and not isinstance(found, views.Unparsable), found
        live: Live = _run(decide(self._planners, ports.observer, ports.reader, key, found, Live()))[1]
        return live

    @property
    def writes(self) -> int:
        """Writes to the API server so far, Events not counted."""
        return sum(1 for write in self.kube.writes if not write.endswith("-events"))

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """What happens inside writes nothing."""
        before = len(self.kube.writes)
        yield
        assert self.kube.writes[before:] == []

    # --- inside

    @property
    def guarded(self) -> bool | None:
        """Whether the guard finds approvals protected; None: it never says."""
        return self._guarded

    @guarded.setter
    def guarded(self, guarded: bool) -> None:
        self._guarded = guarded
        self._judge()

    def _start(self) -> None:
        self.parts = assemble(
            self.kube, self.clock, self.settings, "test", lambda: True, planners=self._planners,
            noted=lambda key, note: self.notes.append((str(key), note)), jitter=lambda: 0.5,
        )  # fmt: skip
        self.queue, self._ports = self.parts.queue, self.parts.ports
        self.cache, self.intake = self._ports.cache, self._ports.intake
        self._recorder = self._ports.recorder
        self._judge()
        _run(self._list())

    def _judge(self) -> None:
        """Give the guard the verdict that its own check, for which there are no policies here, cannot find."""
        if self._guarded is not None:
            self.parts.guard.accept(() if self._guarded else ("vulcan-approvals",))

    async def _list(self) -> None:
        await self.parts.resync.once()
        self.parts.queue_everything()

    def _watch(self, resource: Resource, raw: Raw, deleted: bool) -> None:
        if resource in resources.WATCHED and self._order is not None:
            self._late.append((resource, copy.deepcopy(raw), deleted))
        elif resource in resources.WATCHED:
            self.intake.event(resource, raw, deleted=deleted)

    def _happens_first(self, order: random.Random) -> bool:
        """Delivers a watch event, the oldest of any kind of object, or puts another key first in the queue."""
        if self._late and (order.random() < 0.5 or not len(self.queue)):
            kinds = sorted({resource.plural for resource, _, _ in self._late})
            plural = order.choice(kinds)
            at = next(i for i, late in enumerate(self._late) if late[0].plural == plural)
            resource, raw, deleted = self._late.pop(at)
            self.intake.event(resource, raw, deleted=deleted)
            return True
        ready = [key for _ in range(len(self.queue)) if (key := self.queue.try_get()) is not None]
        order.shuffle(ready)
        for key in ready:
            self.queue.done(key)
            self.queue.add(key)
        return False

    async def _look(self, key: Key) -> None:
        try:
            after = await reconcile(self._ports, key)
            if after.retry:
                self.retries.append(after.retry)
            schedule(self.queue, key, after, self.clock)
            if not (after.retry or after.now or (after.at is not None and after.at <= self.clock.now())):
                await self._check_rest(key)
        except errors.KubeError as error:
            self.retries.append(error.message)
            self.queue.retry(key)
        finally:
            self.queue.done(key)

    async def _check_rest(self, key: Key) -> None:
        """An object is not woken by what its own pass has written: the planner must have nothing to add."""
        found = self.cache.custom(key)
        if self._planners != Planners() or not self.checks_rest:
            return  # planners of a few lines, which tests of the shell bring
        if found is None or isinstance(found, views.Unparsable) or key in self.queue._again:
            return
        ports = self._ports
        plan, live = await decide(self._planners, ports.observer, ports.reader, key, found, Live())
        if live.denied is None:
            assert plan.status == found.status, f"{key} is asked once and changes its status when asked again"
            # What was deleted may not be known to be gone yet; the event of it comes.
            left = [a for a in (*plan.prepare, *plan.actions) if not isinstance(a, DeleteJob | StopPods)]
            assert not left, f"{key} would do more when it is asked again: {left}"

    def _pod(self, job: JobSeen, phase: str, state: Raw) -> Raw:
        raw = self.kube.objects[JOBS.plural, job.namespace, job.name]
        template = raw["spec"]["template"]
        name = f"{job.name}-pod"
        labels = {**template["metadata"].get("labels", {}), views.JOB_NAME: job.name}
        meta = {"name": name, "namespace": job.namespace, "labels": labels}
        meta["annotations"] = template["metadata"].get("annotations", {})
        self.kube.put(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
        container = template["spec"]["containers"][0]
        status = {"name": container["name"], "imageID": _by_digest(container["image"]), "state": state}
        status = {"phase": phase, "containerStatuses": [status]}
        return self.kube.set_status(PODS, job.namespace, name, status)

    def _done(self, change: "Coroutine[Any, Any, Raw]") -> "World":
        """A person's write: not one of the operator's."""
        before = len(self.kube.writes)
        _run(change)
        del self.kube.writes[before:]
        return self


def _run(work: "Coroutine[Any, Any, Any]") -> Any:
    """Drive a coroutine that never really waits; faster than an event loop, and a real wait would be a bug here."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("waits for something that the World does not have")


def _stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _summary(jobs: list[JobSeen]) -> str:
    return ", ".join(f"{j.name} ({j.task}, {j.state})" for j in jobs) or "none"


def _by_digest(image: str) -> str:
    """An image as its node reports it; all of them have the same content here."""
    return image if "@" in image else f"{image.rpartition(':')[0] or image}@{NODE_DIGEST}"
