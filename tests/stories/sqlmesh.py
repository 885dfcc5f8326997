"""A SQLMesh of a few lines behind the World's Jobs: it reads each Job's Task and answers with a Result.

It remembers what was applied, so that stories can tell what was done twice; and it refuses what the real runner
refuses: a plan that is not the one decided on, a second writer.
"""

import dataclasses
import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import Any

from tests.world import World
from vulcan_contract import report
from vulcan_contract.codec import encode
from vulcan_contract.diff_report import DiffReport, ModelDiff, ModelStatistics
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import Reason
from vulcan_contract.result import ModelChange, PlanSummary, Probe, Result, RollbackOption, Work
from vulcan_contract.task import Task, TaskKind
from vulcan_operator.kube.resources import JOBS
from vulcan_operator.plan.core.seen import JobSeen, JobState

WRITERS = {kind.value for kind in TaskKind if kind.writes}


@dataclass
class SqlMesh:
    """State databases and warehouses of all gateways. `done` is what really happened, in order."""

    world: World
    every: dt.timedelta = dt.timedelta(days=1)  # when models are due
    refs: dict[str, str] = field(default_factory=dict)  # branch -> commit
    summary: dict[str, object] = field(default_factory=dict)  # of plans with changes
    targets: dict[str, str] = field(default_factory=dict)
    plan_ids: dict[str, str] = field(default_factory=dict)
    had: dict[str, str] = field(default_factory=dict)  # plan id -> target, for ever
    done: list[str] = field(default_factory=list)
    past: dict[str, list[tuple[str, dt.datetime]]] = field(default_factory=dict)  # what each had, and since when
    ttl: dt.timedelta = dt.timedelta(days=7)  # SQLMesh's snapshot_ttl
    fails: dict[str, list[Result]] = field(default_factory=dict)  # task -> results of its next Jobs
    models: dict[str, ModelStatistics | ModelDiff] = field(
        default_factory=dict
    )  # what a diff finds, by gateway or model
    behind: dict[str, Any] = field(default_factory=dict)  # what a way back finds missing: fields of Work
    asked: list[Task] = field(default_factory=list)  # diffs, in order

    def task(self, job: JobSeen) -> Task:
        """What a Job was told to do."""
        raw = self.world.kube.objects[JOBS.plural, job.namespace, job.name]
        variables = raw["spec"]["template"]["spec"]["containers"][0]["env"]
        text = next(v["value"] for v in variables if v["name"] == "VULCAN_TASK")
        return Task.from_json(text.replace("$$", "$"))

    def work(self, *kinds: str, most: int = 60) -> "SqlMesh":
        """Do what there is to do until nothing is left (of these kinds)."""
        self.world.settle()
        for _ in range(most):
            jobs = [j for j in self.world.jobs(state=JobState.UNFINISHED) if not kinds or j.task in kinds]
            if not jobs:
                return self
            self.do(jobs[0])
        raise AssertionError(f"more than {most} Jobs: {self.done[-10:]}")

    def live(self, by: dt.timedelta, most: int = 1000) -> "SqlMesh":
        """Let time pass and do every Job as soon as it is there."""
        until = self.world.clock.time + by
        self.work()
        for _ in range(most):
            due = self.world.queue.next_due()
            if due is None or self.world.clock.time + dt.timedelta(seconds=due) > until:
                self.world.clock.time = until
                return self.work()
            self.world.clock.advance(dt.timedelta(seconds=max(due, 0.001)))
            self.work()
        raise AssertionError(f"more than {most} appointments within {by}: {self.done[-10:]}")

    def do(self, job: JobSeen | str) -> Result:
        """One Job, from its start to its end."""
        found = self.world.job(job) if isinstance(job, str) else job
        self.check_single_writer()
        self.world.start_job(found.name)
        self.world.settle()
        self.world.clock.advance(dt.timedelta(seconds=1))
        task = self.task(found)
        result, log = self._looked(task, self.answer(task)), ""
        if task.kind is TaskKind.DIFF and result.reason is Reason.SUCCEEDED:
            lines, sha256, _ = report.frames(encode(self._diff(task)), task.nonce)
            result, log = dataclasses.replace(result, report_sha256=sha256), "\n".join(lines)
        self.world.finish_job(found.name, result, log=log)
        self.world.settle()
        return result

    def check_single_writer(self) -> None:
        """No two unfinished writer Jobs on one gateway."""
        writers = [(j.namespace, j.gateway) for j in self.world.jobs(state=JobState.UNFINISHED) if j.task in WRITERS]
        assert len(writers) == len(set(writers)), self.world.jobs(state=JobState.UNFINISHED)

    def answer(self, task: Task) -> Result:
        """What the runner would say."""
        if self.fails.get(task.kind):
            return self.fails[task.kind].pop(0)
        name = f"{task.gateway.sqlmesh_name}/{task.environment}"
        match task.kind:
            case TaskKind.PROBE:
                seen = Probe(warehouse=True, state=True, state_identity=f"state of {task.gateway.sqlmesh_name}")
                return Result("probe", Reason.SUCCEEDED, probe=seen)
            case TaskKind.RESOLVE:
                assert task.source is not None
                commit = self.refs.setdefault(task.source.ref, of_json(task.source.ref)[:40])
                return Result("resolve", Reason.SUCCEEDED, commit=commit, digest=f"sha256:{of_json(commit)}")
            case TaskKind.PLAN:
                return self._plan(task, name)
            case TaskKind.APPLY:
                return self._apply(task, name)
            case TaskKind.RUN:
                self.done.append(f"run {name}")
                work = Work(plan_id=self.plan_ids.get(name, ""), models=1, next_run=self._next())
                return Result("run", Reason.SUCCEEDED, work=work)
            case TaskKind.PROMOTE | TaskKind.ROLLBACK:
                return self._move(task, name)
            case TaskKind.AUDIT:
                return Result("audit", Reason.SUCCEEDED, "3 audits", work=Work(audits_run=3))
            case TaskKind.DIFF:
                self.asked.append(task)
                return Result("diff", Reason.SUCCEEDED, "compared")
            case TaskKind.CHECKS:
                assert task.checks is not None and task.source is None
                self.done.append(f"checks {name}")
                return Result("checks", Reason.SUCCEEDED, work=Work(plan_id=self.plan_ids[name], audits_run=4))
            case TaskKind.INVALIDATE:
                self.done.append(f"invalidate {name}")
                self.targets.pop(name, None)
                return Result("invalidate", Reason.SUCCEEDED)

    def _diff(self, task: Task) -> DiffReport:
        """Of one model; where an end is asked for, up to that."""
        assert task.diff is not None
        found = self.models.get(task.gateway.sqlmesh_name, ModelDiff("s.a", before=10, after=10, joined=10, equal=10))
        plan_id = self.plan_ids.get(f"{task.gateway.sqlmesh_name}/{task.environment}", "")
        if isinstance(found, ModelStatistics):
            found = dataclasses.replace(found, end=task.diff.ends.get(found.name, found.end))
            return DiffReport(True, task.environment, plan_id, counted=(found,))
        return DiffReport(False, task.environment, plan_id, models=(found,))

    def _plan(self, task: Task, name: str) -> Result:
        target, base = self._target(task), of_json(self.plan_ids.get(name, ""))
        changes = target != self.targets.get(name)
        models = (ModelChange("s.a", "DirectlyModified", "Breaking", "FULL", 1),)
        found: dict[str, object] = {"directly_modified": 1, "total_models": 4, "models": models, **self.summary}
        summary = PlanSummary(target, base, self.plan_ids.get(name, ""), changes, **(found if changes else {}))  # type: ignore[arg-type]
        return Result("plan", Reason.SUCCEEDED if changes else Reason.NO_CHANGES, summary=summary)

    def _apply(self, task: Task, name: str) -> Result:
        assert task.approved is not None
        target, base = self._target(task), of_json(self.plan_ids.get(name, ""))
        if target == self.targets.get(name) == task.approved.target:
            return Result(
                "apply", Reason.ALREADY_APPLIED, work=Work(plan_id=self.plan_ids[name], next_run=self._next())
            )
        if (target, base) != (task.approved.target, task.approved.base):
            return Result("apply", Reason.PLAN_CHANGED, "not the plan that was decided on")
        self.targets[name] = target
        self.plan_ids[name] = f"plan-{len(self.done)}"
        self.had[self.plan_ids[name]] = target
        self.done.append(f"apply {name}")
        return Result("apply", Reason.SUCCEEDED, work=Work(plan_id=self.plan_ids[name], models=1))

    def _move(self, task: Task, name: str) -> Result:
        """Views to what an earlier apply left; refused from anywhere but where it was decided on."""
        assert task.promotion is not None
        target, base = self._target(task), of_json(self.plan_ids.get(name, ""))
        if target == self.targets.get(name):
            return Result(task.kind, Reason.ALREADY_APPLIED, work=Work(plan_id=self.plan_ids[name]))
        if task.approved is not None and (target, base) != (task.approved.target, task.approved.base):
            return Result(task.kind, Reason.PLAN_CHANGED, "not the plan that was decided on")
        if task.kind is TaskKind.ROLLBACK and self.plan_ids.get(name) != task.promotion.expected:
            return Result(task.kind, Reason.PLAN_CHANGED, "not what was to be undone")
        self.targets[name] = target
        self.plan_ids[name] = f"plan-{len(self.done)}"
        self.had[self.plan_ids[name]] = target
        self.done.append(f"{task.kind} {name}")
        behind = self.behind if task.kind is TaskKind.ROLLBACK else {}
        return Result(task.kind, Reason.SUCCEEDED, "swapped.", work=Work(plan_id=self.plan_ids[name], **behind))

    def _looked(self, task: Task, result: Result) -> Result:
        """With the earlier revisions that whoever has changed or run an environment finds."""
        name, now = f"{task.gateway.sqlmesh_name}/{task.environment}", self.world.clock.now()
        if task.kind not in WRITERS or result.work is None:
            return result
        past, current = self.past.setdefault(name, []), self.plan_ids.get(name, "")
        if current and (not past or past[-1][0] != current):
            past.append((current, now))
        options = [
            RollbackOption(plan_id, f"sha256:{plan_id}", _text(applied), _text(replaced), _text(replaced + self.ttl))
            for (plan_id, applied), (_, replaced) in itertools.pairwise(past)
        ]
        return dataclasses.replace(result, work=dataclasses.replace(result.work, rollback=tuple(options[:-6:-1])))

    def _target(self, task: Task) -> str:
        if task.promotion is not None:
            return self.had[task.promotion.plan_id]
        assert task.source is not None
        return of_json([task.source.digest or task.source.commit, task.source.path, [o.id for o in task.operations]])

    def _next(self) -> str:
        now = self.world.clock.now()
        start = now.replace(hour=0, minute=0, second=0)
        return _text(start + self.every * (1 + (now - start) // self.every))


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
