"""A task in hand: what became of its Job. Pure; used by every planner, which records what ended in its own status.

Status named the task before its Job was made, so one of three holds: its Job is seen (state Running), its Job was never
made (the pass goes on and decides anew, with the same name), or it was seen and is gone (Lost).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.fields import FailureStatus, ObjectMeta, TaskStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.seen import JobSeen, PodSeen, ReportSeen
from vulcan_operator.plan.tasks import jobs
from vulcan_operator.plan.tasks.jobs import Progress, Stage, Terms


@dataclass(frozen=True)
class Hand:
    """One of: it goes on, it ended (with its report, if it made one), something must be read first; or nothing, when its
    Job is still to be made."""

    goes: Progress | None = None
    ended: Progress | None = None
    packed: bytes | None = None
    need: Need | None = None


def look(
    task: TaskStatus,
    jobs_: tuple[JobSeen, ...],
    pods: tuple[PodSeen, ...],
    terms: Terms,
    now: dt.datetime,
    *,
    live: bool,
    reports: Mapping[str, ReportSeen] | None,
) -> Hand:
    """What became of a task. `live`: Jobs and pods were read live; `reports`: those of ended Jobs, None: not read."""
    if task.state == "Waiting":
        return Hand()
    progress = jobs.classify(task, jobs_, pods, terms, now)
    match progress.stage:
        case Stage.PENDING | Stage.RUNNING:
            return Hand(goes=progress)
        case Stage.ABSENT if not live:
            return Hand(need=Need.JOB)
        case Stage.ABSENT if task.state == "Running":
            return Hand(ended=_lost(progress, task, f"Job {task.job} vanished before its result was recorded"))
        case Stage.ABSENT:
            return Hand()
        case Stage.STUCK:
            return Hand(ended=progress)
    # The Job's end may be seen before its pod's: what is recorded for ever is read live.
    if (progress.pod is None or not progress.pod.termination) and not live:
        return Hand(need=Need.JOB)
    if not _is_reported(progress.result):
        return Hand(ended=progress)
    if reports is None:
        return Hand(need=Need.REPORT)
    seen = reports.get(task.job)
    if seen is None or seen.packed is None:
        return Hand(ended=_lost(progress, task, "the report is not in the Job's log"))
    return Hand(ended=progress, packed=seen.packed)


def announce(
    owner: ObjectMeta,
    jobs_: tuple[JobSeen, ...],
    kind: TaskKind,
    inputs: str,
    before: tuple[FailureStatus | None, TaskStatus | None],
    now: dt.datetime,
    **more: Any,
) -> TaskStatus:
    """A task to start. `before`: the failure that it may repeat, and the task that may have waited for its turn."""
    failed, waiting = before
    same = failed is not None and (failed.task, failed.inputs) == (kind, inputs)
    attempt = jobs.next_attempt(jobs_, kind, inputs, failed.last_attempt if failed is not None and same else 0)
    kept = waiting is not None and (waiting.kind, waiting.inputs) == (kind, inputs)
    return TaskStatus(
        kind=kind,
        job=jobs.job_name(owner.name, owner.uid, kind, inputs, attempt),
        inputs=inputs,
        attempt=attempt,
        state="Started",
        since=waiting.since if waiting is not None and kept else now,
        **more,
    )


def noticed(task: TaskStatus) -> TaskStatus:
    """Its Job was seen: from now on a missing one is a lost one."""
    return task if task.state == "Running" else task.but(state="Running")


def _is_reported(result: Result | None) -> bool:
    """Whether somebody will look at its report. Nobody does at that of a plan without changes."""
    if result is None or result.report_sha256 is None:
        return False
    return result.task != TaskKind.PLAN or (result.summary is not None and result.summary.has_changes)


def _lost(progress: Progress, task: TaskStatus, why: str) -> Progress:
    return replace(progress, stage=Stage.ENDED, result=Result(task.kind, Reason.LOST, why))
