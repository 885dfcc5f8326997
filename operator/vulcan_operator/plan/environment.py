"""plan_environment: everything seen of a VulcanEnvironment -> its complete new status and what to do. Pure.

Called by `reconcile` only. One pass: the task in hand is classified and, when ended, recorded (whatever else is wrong);
then the gates say whether anything may start; then the wants say what. Intent comes first: status names the task and
its Job before the Job is created, so a crash between any two writes loses nothing and does nothing twice.
"""

import datetime as dt
from dataclasses import dataclass, replace

from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus, parse_duration
from vulcan_operator.plan import (
    access,
    approval,
    deletion,
    gates,
    jobs,
    launch,
    record,
    reports,
    schedule,
    slot,
    verdicts,
    wants,
)
from vulcan_operator.plan.actions import (
    DeleteConfigMap,
    DeleteJob,
    DeleteObject,
    KeepJob,
    Need,
    Plan,
    ReleaseSlot,
    WriteConfigMap,
)
from vulcan_operator.plan.context import Context
from vulcan_operator.plan.jobs import Progress, Stage
from vulcan_operator.plan.seen import EnvironmentSeen, JobState
from vulcan_operator.plan.status import Draft, Verdict

_KEPT_JOBS = 3
_SLOT_CHECK = dt.timedelta(seconds=20)


@dataclass(frozen=True)
class Hand:
    """The draft after the task in hand was looked at; `progress` is set while it goes on."""

    draft: Draft[EnvironmentStatus]
    progress: Progress | None = None


def plan_environment(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
    """The Plan for one environment. Raises nothing for bad specs: they become conditions."""
    context = Context(seen, now)
    draft = Draft(seen.environment.status)
    if seen.denied is not None:
        return verdicts.finish(draft, context, verdicts.denied(context), None).plan()
    if (
        seen.gateway is not None
        and seen.namespace_labels is None
        and access.needs_labels(seen.gateway, seen.environment)
    ):
        return draft.needing(Need.NAMESPACE).plan()
    hand = in_hand(draft, context)
    if hand.draft.needs:
        return hand.draft.plan()
    if seen.environment.metadata.deletion_timestamp is not None:
        return deletion.plan_deletion(hand.draft, context, busy=hand.progress is not None).plan()
    if hand.progress is not None:
        return verdicts.finish(hand.draft, context, None, hand.progress).plan()
    draft, verdict = _advance(hand.draft, context)
    return draft.plan() if draft.needs else verdicts.finish(draft, context, verdict, None).plan()


def in_hand(draft: Draft[EnvironmentStatus], context: Context) -> Hand:
    """Classifies the task in hand; an ended one is recorded."""
    task, seen = draft.status.task, context.seen
    if task is None or task.state == "Waiting":
        return Hand(draft)
    deadline = seen.gateway.spec.runner.start_deadline if seen.gateway is not None else "5m"
    progress = jobs.classify(task, seen.jobs, seen.pods, deadline, context.now)
    match progress.stage:
        case Stage.PENDING:
            started = progress.job.created if progress.job is not None else None
            return Hand(draft.again(started + parse_duration(deadline) if started else None), progress)
        case Stage.RUNNING:
            return Hand(draft if task.state == "Running" else _running(draft, task), progress)
        case Stage.ABSENT if not seen.job_is_live:
            return Hand(draft.needing(Need.JOB))
        case Stage.ABSENT if task.state == "Running":
            lost = Result(task.kind, Reason.LOST, f"Job {task.job} vanished before its result was recorded")
            return Hand(_record(draft, context, task, Progress(Stage.ENDED, result=lost)))
        case Stage.ABSENT:
            return _create(draft, context, task)
        case Stage.STUCK:
            return Hand(_record(draft, context, task, progress).then(DeleteJob(context.gateway_namespace, task.job)))
        case _:
            return _ended(draft, context, task, progress)


def _running(draft: Draft[EnvironmentStatus], task: TaskStatus) -> Draft[EnvironmentStatus]:
    return draft.having(task=task.model_copy(update={"state": "Running"}))


def _create(draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus) -> Hand:
    """Status announced a Job that is not there (a crash, a refusal): create it now, if still meant."""
    if context.seen.gateway is None or context.environment.metadata.deletion_timestamp is not None:
        return Hand(draft.having(task=None))
    ready = launch.launch(draft, context, task)
    if ready is None:
        return Hand(draft.having(task=None))
    return Hand(ready.again(context.now + _SLOT_CHECK), None if ready.needs else Progress(Stage.PENDING))


def _ended(draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus, progress: Progress) -> Hand:
    result, pod = progress.result, progress.pod
    assert result is not None
    # The Job's end may be seen before its pod's: what is recorded for ever is read live.
    if (pod is None or not pod.termination) and not context.seen.job_is_live:
        return Hand(draft.needing(Need.JOB))
    summary = result.summary
    if result.report_sha256 and summary is not None and summary.has_changes:
        report = context.seen.report
        if report is None:
            return Hand(draft.needing(Need.REPORT))
        if report.packed is None:
            result = Result(task.kind, Reason.LOST, "the plan's report is not in the Job's log", retry=Retry.NOW)
            return Hand(_record(draft, context, task, replace(progress, result=result)))
        draft = _record(draft, context, task, progress)
        plan = draft.status.plan
        assert plan is not None and plan.report_ref is not None
        manifest = reports.report_manifest(context.environment, plan.report_ref.name, report.packed)
        return Hand(draft.first(WriteConfigMap(manifest)))
    return Hand(_record(draft, context, task, progress))


def _record(
    draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus, progress: Progress
) -> Draft[EnvironmentStatus]:
    assert progress.result is not None
    by = _approved_by(context) if task.kind == TaskKind.APPLY else ()
    ended = record.Ended(context.environment, task, progress.result, context.now, by)
    before = draft.status
    draft = replace(draft, status=record.record(before, ended)).saying(record.audit_note(ended))
    namespace = context.gateway_namespace
    if progress.job is not None and progress.stage is Stage.ENDED:
        draft = draft.then(KeepJob(namespace, task.job, jobs.KEEP_RECORDED))
    gateway = context.seen.gateway
    if gateway is not None and slot.needs_slot(TaskKind(task.kind), gateway) and progress.stage is Stage.ENDED:
        draft = draft.then(ReleaseSlot(namespace, gateway.metadata.name, task.job))
    return _collect(draft, context, before, task)


def _approved_by(context: Context) -> tuple[str, ...]:
    plan = context.environment.status.plan
    return approval.decide(plan, context.environment.spec).by if plan is not None else ()


def _collect(
    draft: Draft[EnvironmentStatus], context: Context, before: EnvironmentStatus, task: TaskStatus
) -> Draft[EnvironmentStatus]:
    """Lets go of reports and Jobs that nothing refers to any more."""
    after = draft.status
    kept = {
        reports.report_name(context.environment, digest)
        for digest in (after.plan.digest if after.plan else "", after.applied.plan_digest if after.applied else "")
        if digest
    } | ({after.plan.report_ref.name} if after.plan and after.plan.report_ref else set())
    gone = {
        name
        for name in (
            before.plan.report_ref.name if before.plan and before.plan.report_ref else None,
            reports.report_name(context.environment, before.applied.plan_digest)
            if before.applied and before.applied.plan_digest
            else None,
        )
        if name is not None and name not in kept
    }
    namespace = context.environment.metadata.namespace
    old = sorted(
        (j for j in context.seen.jobs if j.task == task.kind and j.state is not JobState.UNFINISHED and j.ttl),
        key=lambda j: (j.created or context.now, j.name),
    )
    excess = [j for j in old if j.name != task.job][: max(0, len(old) - _KEPT_JOBS)]
    return draft.then(
        *(DeleteConfigMap(namespace, name) for name in sorted(gone)), *(DeleteJob(j.namespace, j.name) for j in excess)
    )


def _advance(draft: Draft[EnvironmentStatus], context: Context) -> tuple[Draft[EnvironmentStatus], Verdict | None]:
    """Starts what is wanted next, unless a gate is shut."""
    spec, meta = context.environment.spec, context.environment.metadata
    shut = gates.first(context)
    if shut is not None:
        draft = draft.having(task=None) if draft.status.task is not None else draft
        soon = context.now + dt.timedelta(minutes=1) if shut.reason == Why.GATEWAY_NOT_FOUND else None
        return draft.again(soon, spec.suspend_until if shut.reason == Why.SUSPENDED else None), shut
    draft = draft.having(environment=context.environment.sqlmesh_environment, protected=context.protected)
    finalizer = deletion.fit_finalizer(context)
    if finalizer is not None:
        return draft.first(finalizer), None
    expires = context.expired_at()
    if spec.ttl_action == "Delete" and expires is not None and expires <= context.now:
        return draft.then(DeleteObject(context.key, meta.uid)), None
    try:
        outlook = wants.next_step(draft, context)
    except schedule.ScheduleError as error:
        return draft, Verdict("False", Why.INVALID, f"spec.schedule: {error}", stalled=True)
    draft = outlook.draft
    if draft.needs or outlook.want is None:
        return draft.having(task=None) if draft.status.task is not None else draft, outlook.verdict
    return _start(draft, context, outlook.want), None


def _start(draft: Draft[EnvironmentStatus], context: Context, want: wants.Want) -> Draft[EnvironmentStatus]:
    """Announces a task in status; its Job follows in the same pass, unless the writer slot is taken."""
    failed = draft.status.run_failure if want.kind is TaskKind.RUN else draft.status.failure
    same = failed is not None and (failed.task, failed.inputs) == (want.kind, want.inputs)
    known = failed.last_attempt if same and failed is not None else 0
    attempt = jobs.next_attempt(context.seen.jobs, want.kind, want.inputs, known)
    meta, waiting = context.environment.metadata, draft.status.task
    kept = waiting is not None and (waiting.kind, waiting.inputs) == (want.kind, want.inputs)
    task = TaskStatus(
        kind=want.kind,
        job=jobs.job_name(meta.name, meta.uid, want.kind, want.inputs, attempt),
        inputs=want.inputs,
        attempt=attempt,
        state="Started",
        priority=slot.priority(
            want.kind, protected=context.protected, preview=context.environment.spec.ttl is not None
        ),
        since=waiting.since if kept and waiting is not None else context.now,
        request=want.request,
        due=want.due,
        why=want.why[:256],
    )
    ready = launch.launch(draft.having(task=task), context, task)
    if ready is None:
        return draft.having(task=None)
    if ready.needs or ready.actions != draft.actions:
        return ready
    return draft.having(task=task.model_copy(update={"state": "Waiting"})).again(context.now + _SLOT_CHECK)
