"""A task's life, once for all kinds: announced, queued, launched, in flight, ended. Pure.

Used by every planner. Status names a task before its Job is created, so one of three holds: its Job
is seen (state Running), its Job was never created (the pass goes on and decides again, with the
same name), or it was seen and is gone (Lost).

A `Lane` says where a status keeps one task and its failure: a gateway has one for its probe, an
environment one for its change and one for its runs, a promotion one for each step.
"""

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.tasks import Reports, TaskKind
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import FailureStatus, ObjectMeta, TaskState, TaskStatus
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import Action, Key, ReleaseSlot, TakeSlot, WriteConfigMap
from vulcan_operator.plan.core.deadlines import SLOT_CHECK
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.moves import Order, Site
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import Jobs, Pods, Settings, SlotSeen, Waiter
from vulcan_operator.plan.tasks import jobs, slot, values
from vulcan_operator.plan.tasks.jobs import JobPolicy, Progress, Stage
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

Status = TypeVar("Status", EnvironmentStatus, GatewayStatus, PromotionStatus)
Owning = TypeVar("Owning", EnvironmentStatus, GatewayStatus)


@dataclass(frozen=True)
class Pass:
    """What one pass knows of the tasks of its object."""

    key: Key
    meta: ObjectMeta
    settings: Settings
    jobs: Jobs
    pods: Pods
    live: Live
    now: dt.datetime


class Lane(Protocol[Status]):
    """Where a status keeps one task and the failure that it may repeat."""

    def task(self, status: Status) -> TaskStatus | None:
        """The current task."""

    def failure(self, status: Status) -> FailureStatus | None:
        """The failure that waits for another attempt."""

    def with_task(self, status: Status, task: TaskStatus | None) -> Status:
        """The status with this current task."""

    def place(self, site: Site) -> str:
        """What `task.gateway` says of its site; empty where it can only be the object's own."""


@dataclass(frozen=True)
class OwnLane(Generic[Owning]):
    """Of a status with one `task`: of a gateway and, with either failure, of an environment."""

    failure_field: str = "failure"

    def task(self, status: Owning) -> TaskStatus | None:
        return status.task

    def failure(self, status: Owning) -> FailureStatus | None:
        found: FailureStatus | None = getattr(status, self.failure_field)
        return found

    def with_task(self, status: Owning, task: TaskStatus | None) -> Owning:
        return status.but(task=task)

    def place(self, site: Site) -> str:
        return ""


@dataclass(frozen=True)
class Going:
    """It goes on."""

    progress: Progress


@dataclass(frozen=True)
class Ended:
    """It has ended: with what result, and with which report (gzipped JSON), if it made one."""

    task: TaskStatus
    result: Result
    packed: bytes | None = None
    frees_slot: bool = True  # not while its Job, which never started, is still there
    image: str = ""  # of its pod, as the node reports it: by digest


@dataclass(frozen=True)
class NotCreated:
    """Its Job is not there and never was."""


Fate = Going | Ended | NotCreated


def inspect(task: TaskStatus, namespace: str, policy: JobPolicy, seen: Pass) -> Fate:
    """What became of a task. What is recorded for good is read live before."""
    if task.state == TaskState.WAITING:
        return NotCreated()
    progress = jobs.classify(task, seen.jobs, seen.pods, policy, seen.now)
    match progress.stage:
        case Stage.PENDING | Stage.RUNNING:
            return Going(progress)
        case Stage.ABSENT:
            seen.live.require_job(namespace, task.job)
            if task.state == TaskState.RUNNING:
                return _lost(task, f"Job {task.job} vanished before its result was recorded")
            return NotCreated()
        case Stage.STUCK:
            assert progress.result is not None
            return Ended(task, progress.result, frees_slot=False)
        case Stage.ENDED:
            # The Job's end may be seen before its pod's.
            if progress.pod is None or not progress.pod.termination:
                seen.live.require_job(namespace, task.job)
            assert progress.result is not None
            ended = _with_report(task, progress.result, namespace, seen.live)
            image = progress.pod.image_id if progress.pod is not None else ""
            return dataclasses.replace(ended, image=image)


def _with_report(task: TaskStatus, result: Result, namespace: str, live: Live) -> Ended:
    """With its report, where one is kept."""
    kept = TaskKind(task.kind).traits.reports
    changes = result.summary is not None and result.summary.has_changes
    unwanted = kept is Reports.NEVER or (kept is Reports.CHANGES and not changes)
    if result.report_sha256 is None or unwanted:
        return Ended(task, result)
    packed = live.report(namespace, task.job)
    if packed is not None:
        return Ended(task, result, packed)
    return _lost(task, "the report is not in the Job's log")


def _lost(task: TaskStatus, why: str) -> Ended:
    return Ended(task, Result(task.kind, Reason.LOST, why))


def settle(
    draft: Draft[Status],
    lane: Lane[Status],
    site: Site | None,
    namespace: str,
    seen: Pass,
    record: Callable[[Draft[Status], Ended], Draft[Status]],
) -> tuple[Draft[Status], Progress | None]:
    """The draft after the lane's task was inspected: one that has ended is recorded by `record` and
    gives the writer slot back. The Progress of one that goes on, else None."""
    task = lane.task(draft.status)
    if task is None:
        return draft, None
    policy = site_policy(site, task.kind, task.job)
    match inspect(task, namespace, policy, seen):
        case Going(progress):
            draft = draft.again(jobs.next_look(progress, policy, seen.now))
            if task.state != TaskState.RUNNING:  # from now on a missing Job is a lost one
                running = task.but(state=TaskState.RUNNING)
                draft = draft.with_new(lane.with_task(draft.status, running))
            return draft, progress
        case Ended() as ended:
            draft = record(draft, ended)
            kind = TaskKind(task.kind)
            if site is not None and ended.frees_slot and slot.needs_slot(kind, site.gateway):
                meta = site.gateway.metadata
                draft = draft.after_status(ReleaseSlot(meta.namespace, meta.name, task.job))
            return draft, None
        case NotCreated():
            if task.state == TaskState.STARTED:
                waiting = task.but(state=TaskState.WAITING)
                draft = draft.with_new(lane.with_task(draft.status, waiting))
            return draft, None


def site_policy(site: Site | None, kind: str = "", job: str = "") -> JobPolicy:
    """What the specs of today mean for a Job that was made earlier."""
    return slot.job_policy(site.gateway, site.image, kind, job) if site is not None else JobPolicy()


@dataclass(frozen=True)
class Extras:
    """What the Job of one step gets besides what every Job does."""

    task: contract.Task
    copies: tuple[WriteConfigMap, ...] = ()  # of the ConfigMaps that it mounts
    image: str | None = None  # the site's by digest: what was approved is what runs
    source_config_map: str | None = None
    git_secret: str | None = None
    checks_config_map: str | None = None


Fill = Callable[[contract.Task, TaskStatus], Extras | None]
"""Completes the Task of a step; None: what it was announced for is not wanted any more."""


@dataclass(frozen=True)
class Started(Generic[Status]):
    """The draft announces the task and creates its Job."""

    draft: Draft[Status]


@dataclass(frozen=True)
class Queued(Generic[Status]):
    """The draft announces the task as waiting for the writer slot."""

    draft: Draft[Status]


@dataclass(frozen=True)
class Outdated:
    """What was to be started is not wanted any more."""


def start(
    draft: Draft[Status],
    lane: Lane[Status],
    order: Order,
    observed: TaskStatus | None,
    rank: slot.Priority,
    fill: Fill,
    seen: Pass,
) -> Started[Status] | Queued[Status] | Outdated:
    """Announces a task; its Job follows in the same pass, unless the writer slot is taken.

    `observed`: the lane's task as the status had it before this pass. One that was started already
    may hold the slot, so it is not back in the queue.
    """
    task = announce(draft, lane, order, rank, seen)
    draft = draft.again(order.until)
    taken = _take(draft.actions, task, order.site, observed, seen)
    if taken is None:
        waiting = task.but(state=TaskState.WAITING)
        queued = draft.with_new(lane.with_task(draft.status, waiting))
        return Queued(queued.again(seen.now + SLOT_CHECK))
    nonce = of_json([task.job, seen.meta.uid, task.since])[:16]
    planning = order.kind.traits.weak_credentials
    gateway = values.gateway_of(order.site, seen.settings, planning=planning)
    base = contract.Task(kind=order.kind, job=task.job, nonce=nonce, gateway=gateway)
    extras = fill(base, task)
    if extras is None:
        return Outdated()
    # It keeps the class that it has risen to.
    risen = task.but(priority=slot.aged(rank, task.since, seen.now))
    job = build_job(extras.task, _parts(order.site, task, extras, seen))
    draft = draft.with_new(lane.with_task(draft.status, risen))
    draft = draft.before_status(*extras.copies).after_status(*taken, job)
    confirm = functools.partial(_seen, lane, risen, draft.confirm)
    # A pod that never comes is no event.
    deadline = seen.now + site_policy(order.site).start_deadline
    return Started(dataclasses.replace(draft, confirm=confirm).again(deadline))


def _seen(
    lane: Lane[Status], task: TaskStatus, others: Callable[[Status], Status] | None, status: Status
) -> Status:
    """The status once the Job is there: from now on a missing one is a lost one."""
    status = others(status) if others is not None else status
    current = lane.task(status)
    is_this = current is not None and current.job == task.job
    return lane.with_task(status, task.but(state=TaskState.RUNNING)) if is_this else status


def announce(
    draft: Draft[Status], lane: Lane[Status], order: Order, rank: slot.Priority, seen: Pass
) -> TaskStatus:
    """The task to start: with the number of its attempt, waiting since its predecessor waited."""
    failed, waiting = lane.failure(draft.status), lane.task(draft.status)
    same = failed is not None and (failed.task, failed.inputs) == (order.kind, order.inputs)
    last = failed.last_attempt if failed is not None and same else 0
    attempt = jobs.next_attempt(seen.jobs, order.kind, order.inputs, last)
    kept = waiting is not None and (waiting.kind, waiting.inputs) == (order.kind, order.inputs)
    return TaskStatus(
        kind=order.kind,
        job=jobs.job_name(seen.meta.name, seen.meta.uid, order.kind, order.inputs, attempt),
        inputs=order.inputs,
        attempt=attempt,
        state=TaskState.STARTED,
        since=waiting.since if waiting is not None and kept else seen.now,
        priority=int(rank),
        why=order.why,
        request=order.request,
        due=order.due,
        gateway=lane.place(order.site),
    )


def _take(
    actions: Sequence[Action], task: TaskStatus, site: Site, observed: TaskStatus | None, seen: Pass
) -> tuple[TakeSlot, ...] | None:
    """What takes the writer slot; None: it is not this task's turn."""
    if not slot.needs_slot(TaskKind(task.kind), site.gateway):
        return ()
    place = (site.gateway.metadata.namespace, site.gateway.metadata.name)
    me = Waiter(seen.key, task.priority, task.since)
    before = observed if observed is not None and observed.job == task.job else None
    is_started = before is not None and before.state != TaskState.WAITING
    # Only the first in the queue has to know who holds the slot.
    if not is_started and not slot.first_in_line(me, site.waiters, seen.now):
        return None
    known = seen.live.slot_if_read(*place)
    if known is None and (before is not None or not _looks_free(site, seen.key)):
        known = seen.live.slot(*place)
    returned = [a.job for a in actions if isinstance(a, ReleaseSlot)]
    if known is None or known.holder in returned:  # TakeSlot asks the Lease itself
        known = SlotSeen()
    if not slot.my_turn(me, site.waiters, known, task.job, seen.now):
        return None
    # After the status that names the Job: a holder that no status names counts as dead.
    return (TakeSlot(*place, task.job),)


def _looks_free(site: Site, me: Key) -> bool:
    """Whether no status names another task that may hold the slot: no need to read the Lease."""
    return not site.waiters and all(
        t.key == me or not slot.needs_slot(TaskKind(t.kind), site.gateway) for t in site.tasks
    )


def _parts(site: Site, task: TaskStatus, extras: Extras, seen: Pass) -> JobParts:
    me, uid, install = seen.key, seen.meta.uid, seen.settings.install
    extra = (extras.source_config_map, extras.git_secret, extras.checks_config_map)
    return JobParts(
        me, uid, install, task.inputs, task.attempt, task.why, site.image, site.gateway, *extra,
        extras.image,
    )  # fmt: skip
