"""The task in hand of an environment: what became of its Job; an ended one is recorded. Pure.

Status named the task before its Job was made, so one of three holds: its Job is seen (state Running), its Job was never
made (the pass goes on and decides anew, with the same name), or it was seen and is gone (Lost).
"""

from dataclasses import dataclass, replace

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan import jobs, record, reports, slot, tasks
from vulcan_operator.plan.actions import Need, ReleaseSlot, WriteConfigMap
from vulcan_operator.plan.context import Context
from vulcan_operator.plan.ended import Ended, audit_note
from vulcan_operator.plan.jobs import Progress, Stage
from vulcan_operator.plan.status import Draft


@dataclass(frozen=True)
class Hand:
    """The draft after the task in hand was looked at; `progress` is set while it goes on."""

    draft: Draft[EnvironmentStatus]
    progress: Progress | None = None


def in_hand(draft: Draft[EnvironmentStatus], context: Context) -> Hand:
    """Classifies the task in hand; an ended one is recorded."""
    task, seen = draft.status.task, context.seen
    if task is None or task.state == "Waiting":
        return Hand(draft)
    terms = context.terms(task.kind, task.job)
    progress = jobs.classify(task, seen.jobs, seen.pods, terms, context.now)
    match progress.stage:
        case Stage.PENDING | Stage.RUNNING:
            draft = draft.again(jobs.next_look(progress, terms, context.now))
            return Hand(draft if task.state == "Running" else _noticed(draft, task), progress)
        case Stage.ABSENT if not seen.job_is_live:
            return Hand(draft.needing(Need.JOB))
        case Stage.ABSENT if task.state == "Running":
            lost = Result(task.kind, Reason.LOST, f"Job {task.job} vanished before its result was recorded")
            return Hand(_record(draft, context, task, Progress(Stage.ENDED, result=lost)))
        case Stage.ABSENT:
            return Hand(draft)
        case Stage.STUCK:
            return Hand(_record(draft, context, task, progress))
        case _:
            return Hand(_ended(draft, context, task, progress))


def _noticed(draft: Draft[EnvironmentStatus], task: TaskStatus) -> Draft[EnvironmentStatus]:
    """From now on a missing Job is a lost one."""
    return draft.having(task=task.model_copy(update={"state": "Running"}))


def _ended(
    draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus, progress: Progress
) -> Draft[EnvironmentStatus]:
    result, pod = progress.result, progress.pod
    assert result is not None
    # The Job's end may be seen before its pod's: what is recorded for ever is read live.
    if (pod is None or not pod.termination) and not context.seen.job_is_live:
        return draft.needing(Need.JOB)
    summary = result.summary
    if task.kind != TaskKind.PLAN or result.report_sha256 is None or summary is None or not summary.has_changes:
        return _record(draft, context, task, progress)
    report = context.seen.report
    if report is None:
        return draft.needing(Need.REPORT)
    if report.packed is None:
        lost = Result(task.kind, Reason.LOST, "the plan's report is not in the Job's log")
        return _record(draft, context, task, replace(progress, result=lost))
    draft = _record(draft, context, task, progress)
    plan = draft.status.plan
    if plan is None or plan.report_ref is None:
        return draft  # nothing to refer to it: the revision it was planned from is not known any more
    manifest = reports.report_manifest(context.environment, plan.report_ref.name, report.packed)
    return draft.first(WriteConfigMap(manifest))


def _record(
    draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus, progress: Progress
) -> Draft[EnvironmentStatus]:
    assert progress.result is not None
    by = _approved_by(context) if task.kind == TaskKind.APPLY else ()
    settled = _settled_inputs(context) if task.kind == TaskKind.APPLY else None
    ended = Ended(context.environment, task, progress.result, context.now, by, settled)
    draft = replace(draft, status=record.record(draft.status, ended)).saying(audit_note(ended))
    gateway = context.seen.gateway
    # Not for a stuck Job: its slot is free when it is gone.
    if gateway is not None and slot.needs_slot(TaskKind(task.kind), gateway) and progress.stage is Stage.ENDED:
        return draft.then(ReleaseSlot(context.gateway_namespace, gateway.metadata.name, task.job))
    return draft


def _approved_by(context: Context) -> tuple[str, ...]:
    plan = context.environment.status.plan
    return tuple(plan.approved_by) if plan is not None else ()


def _settled_inputs(context: Context) -> str | None:
    """What the plan's inputs are once its one-shots are done; None when the spec has moved on anyhow."""
    environment, plan = context.environment, context.environment.status.plan
    if plan is None or context.seen.gateway is None:
        return None
    operations = tasks.operations_of(environment, environment.status)
    args = (environment, context.gateway, plan.source_digest, context.image)
    if tasks.plan_inputs(*args, operations) != plan.inputs:
        return None
    return tasks.plan_inputs(*args, tuple(o for o in operations if o.id not in plan.operations))
