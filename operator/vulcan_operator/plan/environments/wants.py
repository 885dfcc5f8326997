"""What an environment wants next: source resolved, plan, apply, run. Pure.

Two lanes with failures of their own: the change (resolve, plan, apply) comes first, scheduled runs go on while a change
waits for people or fails. Each step answers with a Want, a Verdict why there is none, or nothing to do.
"""

import datetime as dt
import re
from dataclasses import dataclass

from vulcan_contract import digest
from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, PlanStatus, RevisionStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.decision import Draft, Verdict
from vulcan_operator.plan.environments import conditions
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.rules import approval, change_windows, messages, schedule
from vulcan_operator.plan.tasks import checks, values

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOT_DETERMINISTIC_AFTER = 3


@dataclass(frozen=True)
class Want:
    """A task to start."""

    kind: TaskKind
    inputs: str
    why: str
    request: str | None = None
    due: dt.datetime | None = None


@dataclass(frozen=True)
class Outlook:
    """What comes next: a task, or why none is started now, and when to look again."""

    draft: Draft[EnvironmentStatus]
    want: Want | None = None
    verdict: Verdict | None = None


def next_step(draft: Draft[EnvironmentStatus], context: Context) -> Outlook:
    """The change lane first; when nothing of it can start now, a run that is due. After its ttl: nothing."""
    expires = _expired(draft, context)
    if expires is not None:
        message = f"spec.ttl ended at {expires:%Y-%m-%dT%H:%MZ}; change the spec to use it again"
        ready = "True" if draft.status.applied is not None else "False"
        return Outlook(draft, verdict=Verdict(ready, Why.EXPIRED, message))
    ends = context.expired_at(draft.status)
    outlook = _change(draft.again(ends if ends is not None and ends > context.now else None), context)
    if outlook.draft.needs or outlook.want is not None:
        return outlook
    run = _run(outlook.draft, context, outlook.verdict)
    return Outlook(run.draft, run.want, outlook.verdict or run.verdict)


def _expired(draft: Draft[EnvironmentStatus], context: Context) -> dt.datetime | None:
    """When its ttl ended, if it is to rest: a changed spec starts a change, and what was started goes through."""
    environment, expires = context.environment, context.expired_at(draft.status)
    task = environment.status.task
    changing = task is not None and task.kind != TaskKind.RUN
    if expires is None or expires > context.now or changing:
        return None
    return expires if environment.status.observed_generation == environment.metadata.generation else None


def _change(draft: Draft[EnvironmentStatus], context: Context) -> Outlook:
    if context.environment.spec.project is None:
        # Its changes are promotions; a plan of the project that it had before will not be applied any more.
        open_ = draft.status.plan is not None and draft.status.plan.state not in ("Applied", "NoChanges")
        return _checked(draft.with_status(plan=None) if open_ else draft, context)
    draft, want, verdict = _revision(draft, context)
    if draft.needs or want is not None or verdict is not None:
        return _gated(draft, context, want, verdict)
    revision = draft.status.revision
    assert revision is not None
    operations = values.operations_of(context.environment, draft.status)
    inputs = values.plan_inputs(context.environment, context.gateway, revision.digest, context.image, operations)
    request = context.request("plan", draft.status)
    applied, plan = draft.status.applied, draft.status.plan
    if applied is not None and applied.inputs == inputs and request is None:
        if plan is not None and plan.inputs != inputs and plan.digest != applied.plan_digest:
            draft = draft.with_status(plan=None)
        return _checked(draft, context)
    if plan is None or plan.inputs != inputs or request is not None or plan.state not in ("Pending", "Rejected"):
        return _plan(draft, context, inputs, request)
    return _decide(draft, context, plan)


def _checked(draft: Draft[EnvironmentStatus], context: Context) -> Outlook:
    """Nothing is to be changed any more. What was applied is checked once, and again with other files."""
    soda, applied, failed = context.environment.spec.checks.soda, draft.status.applied, draft.status.failure
    wanted = soda is not None and applied is not None and bool(applied.plan_id)
    if failed is not None and not (wanted and failed.task == TaskKind.CHECKS):
        draft = draft.with_status(failure=None)
    if not wanted or soda is None or applied is None:
        return Outlook(draft)
    seen, done = context.seen.checks, draft.status.checks
    if seen is None:
        return Outlook(draft.needing(Need.CHECKS))
    if seen.files is None:
        return _absent(draft, context, soda.config_map_ref.name, "does not exist; create it")
    inputs = checks.inputs(applied.plan_id, seen.files)
    if done is not None and done.inputs == inputs:
        return Outlook(draft.with_status(failure=None) if draft.status.failure is not None else draft)
    return _gated(draft, context, Want(TaskKind.CHECKS, inputs, f"plan {applied.plan_id[:64]} is applied"), None)


def _absent(draft: Draft[EnvironmentStatus], context: Context, name: str, what: str) -> Outlook:
    message = f"ConfigMap {context.environment.metadata.namespace}/{name} {what}"
    verdict = Verdict("False", Why.CONFIG_MAP_MISSING, message, reconciling=True)
    return Outlook(draft.again(context.now + dt.timedelta(seconds=30)), verdict=verdict)


def _plan(draft: Draft[EnvironmentStatus], context: Context, inputs: str, request: str | None) -> Outlook:
    plan = draft.status.plan
    outdated = plan is not None and plan.state == "Outdated" and plan.inputs == inputs
    if outdated and plan is not None and plan.changed >= _NOT_DETERMINISTIC_AFTER and request is None:
        message = (
            f"the plan changed {plan.changed} times between decision and apply at {plan.revision}: look for random"
            " values, dates or sets in macros and Python models, then annotate vulcan.dev/plan-requested-at"
        )
        return Outlook(draft, verdict=Verdict("False", Why.NOT_DETERMINISTIC, message, stalled=True))
    why = "requested" if request else "the plan changed" if outdated else "the revision or planning fields changed"
    return _gated(draft, context, Want(TaskKind.PLAN, inputs, why, request), None)


def _decide(draft: Draft[EnvironmentStatus], context: Context, plan: PlanStatus) -> Outlook:
    spec = context.environment.spec
    token = approval.retoken(plan, spec)
    if token != plan.digest:
        plan = plan.but(digest=token)
    decision = approval.decide(plan, spec, context.author)
    state = "Rejected" if decision.say is approval.Say.NO else "Pending"
    by = list(decision.by) if decision.say is approval.Say.GO else []
    plan = plan.but(state=state, why=decision.why[:1024], approved_by=by)
    draft = draft.with_status(plan=plan)
    match decision.say:
        case approval.Say.NO:
            return Outlook(draft, verdict=conditions.rejected(plan))
        case approval.Say.WAIT:
            expires = approval.expires_at(plan, spec.plan.approval)
            if expires <= context.now:
                return _gated(draft, context, Want(TaskKind.PLAN, plan.inputs, "the plan waited too long"), None)
            return Outlook(draft.again(expires), verdict=conditions.awaiting(plan, context))
    if _is_too_late(draft, context, plan, decision):
        return _gated(draft, context, Want(TaskKind.PLAN, plan.inputs, "the plan waited too long"), None)
    unguarded = messages.unguarded(context.seen.unguarded) if context.protected else None
    if unguarded is not None:
        return Outlook(draft.again(context.now + dt.timedelta(seconds=30)), verdict=unguarded)
    line = change_windows.of_gateway(context.seen.gateway, context.now)
    if change_windows.holds(line, draft.status.failure, TaskKind.APPLY):
        return Outlook(draft.again(line.look_again), verdict=line.verdict)
    if _approved_unseen(draft, context, plan, decision):
        if context.seen.report_kept is None:
            return Outlook(draft.needing(Need.KEPT))
        if not context.seen.report_kept:
            return _gated(draft, context, Want(TaskKind.PLAN, plan.inputs, "the plan's report is gone"), None)
    want = Want(TaskKind.APPLY, plan.digest.removeprefix("sha256:")[:16], decision.why[:256])
    return _gated(draft, context, want, None)


def _is_too_late(
    draft: Draft[EnvironmentStatus], context: Context, plan: PlanStatus, decision: approval.Decision
) -> bool:
    """Whether people approved a plan that had waited too long by then; one whose apply was begun goes on."""
    task, failed = context.environment.status.task, draft.status.failure
    begun = (task is not None and task.kind == TaskKind.APPLY) or (failed is not None and failed.task == TaskKind.APPLY)
    expires = approval.expires_at(plan, context.environment.spec.plan.approval)
    return bool(decision.by) and not begun and expires <= context.now


def _approved_unseen(
    draft: Draft[EnvironmentStatus], context: Context, plan: PlanStatus, decision: approval.Decision
) -> bool:
    """Whether people approved what is about to start: before that counts, what they looked at must still be there."""
    task = context.environment.status.task
    going = task is not None and task.kind == TaskKind.APPLY
    return bool(decision.by) and plan.report_ref is not None and not going


def _revision(
    draft: Draft[EnvironmentStatus], context: Context
) -> tuple[Draft[EnvironmentStatus], Want | None, Verdict | None]:
    project = context.environment.spec.project
    assert project is not None
    inputs = values.project_inputs(project)
    old = draft.status.revision
    if project.config_map is not None:
        return _config_map(draft, context, project.config_map.name, inputs)
    if project.image is not None:
        name, _, sha = project.image.partition("@")
        return _known(draft, RevisionStatus(resolved=f"{name}@{sha}"[:256], digest=sha, inputs=inputs)), None, None
    git = project.git
    assert git is not None
    if _COMMIT.fullmatch(git.ref):
        # Not the files' digest, which nobody has looked at; but another path at this commit is another source.
        commit = RevisionStatus(resolved=git.ref, digest=f"git:{git.ref[:40]}:{inputs}", inputs=inputs)
        return _known(draft, commit), None, None
    request = context.request("plan", draft.status)
    if old is None or old.inputs != inputs:
        return draft, Want(TaskKind.RESOLVE, inputs, "the source changed", request), None
    if request is not None and old.request != request:
        return draft, Want(TaskKind.RESOLVE, inputs, "requested", request), None
    if git.poll_interval is not None and old.time is not None:
        due = old.time + max(parse_duration(git.poll_interval), dt.timedelta(seconds=10))
        if due <= context.now:
            return draft, Want(TaskKind.RESOLVE, inputs, "pollInterval"), None
        draft = draft.again(due)
    return draft, None, None


def _known(draft: Draft[EnvironmentStatus], revision: RevisionStatus) -> Draft[EnvironmentStatus]:
    old = draft.status.revision
    same = old is not None and (old.resolved, old.digest, old.inputs) == (
        revision.resolved,
        revision.digest,
        revision.inputs,
    )
    return draft if same else draft.with_status(revision=revision)


def _config_map(
    draft: Draft[EnvironmentStatus], context: Context, name: str, inputs: str
) -> tuple[Draft[EnvironmentStatus], Want | None, Verdict | None]:
    seen = context.seen.config_map
    if seen is None:
        return draft.needing(Need.CONFIG_MAP), None, None
    if seen.files is None:
        keys = ", ".join(seen.missing_keys[:5])
        lacks = f"has no key {keys}; add it or correct project.configMap.items" if keys else "does not exist; create it"
        outlook = _absent(draft, context, name, lacks)
        return outlook.draft, None, outlook.verdict
    return _known(draft, RevisionStatus(resolved=name, digest=digest.of_files(seen.files), inputs=inputs)), None, None


def _gated(draft: Draft[EnvironmentStatus], context: Context, want: Want | None, verdict: Verdict | None) -> Outlook:
    """Lets a want through unless the same task failed before and its time has not come."""
    if want is None:
        return Outlook(draft, verdict=verdict)
    failed = draft.status.run_failure if want.kind is TaskKind.RUN else draft.status.failure
    if failed is None or (failed.task, failed.inputs) != (want.kind, want.inputs) or want.request is not None:
        return Outlook(draft, want)
    again = context.retry_at(failed)
    if again is not None and again <= context.now:
        return Outlook(draft, want)
    return Outlook(draft.again(again), verdict=messages.failing(failed, again))


def _run(draft: Draft[EnvironmentStatus], context: Context, blocked: Verdict | None) -> Outlook:
    status, failed, request = draft.status, draft.status.run_failure, context.request("run", draft.status)
    if status.applied is None or not status.applied.inputs:  # gone or half swapped: only another apply helps
        gone = "SQLMesh does not have it as it was given, see status.lastRun; promote to it again"
        managed = context.environment.spec.project is None
        return Outlook(draft, verdict=Verdict("False", Why.NO_REVISION, gone, stalled=True) if managed else None)
    draft = _due(draft, context)
    due = draft.status.next_run_time
    if failed is not None and failed.reason == Reason.MANUAL_CHECK and request is None:
        return Outlook(draft, verdict=messages.failing(failed, None))
    if request is None and (due is None or due > context.now):
        again = context.retry_at(failed) if failed is not None else None
        if failed is None or again is None:
            verdict = messages.failing(failed, None) if failed is not None and blocked is None else None
            return Outlook(draft.again(due), verdict=verdict)
        # It ran on request, and failed.
        return _gated(draft.again(due), context, Want(TaskKind.RUN, failed.inputs, "the last run failed"), None)
    inputs = digest.of_json([status.applied.plan_id or status.applied.inputs, due.isoformat() if due else "", request])
    late = " by its own schedule" if context.environment.spec.schedule.mode == "Cron" else ""
    why = "requested" if request else f"due at {due:%Y-%m-%dT%H:%M:%SZ}{late}"
    return _gated(draft, context, Want(TaskKind.RUN, inputs[:16], why, request, due), None)


def _due(draft: Draft[EnvironmentStatus], context: Context) -> Draft[EnvironmentStatus]:
    """Fits the next due time to the schedule of today; what is due already stays due."""
    spec, due = context.environment.spec.schedule, draft.status.next_run_time
    current = f"{spec.cron.cron} {spec.cron.time_zone}" if spec.mode == "Cron" and spec.cron is not None else spec.mode
    switched = draft.status.schedule not in (None, current)
    if draft.status.schedule != current:
        draft = draft.with_status(schedule=current)
    if due is not None and due <= context.now:
        return draft
    match spec.mode:
        case "Cron" if spec.cron is not None:
            fit: dt.datetime | None = schedule.next_tick(spec.cron.cron, spec.cron.time_zone, context.now)
        case "Manual":
            fit = None
        case _:
            fit = context.now if switched else due  # the next run tells when the models are due
    return draft if fit == due else draft.with_status(next_run_time=fit)
