"""The task in hand of an environment: an ended one is recorded. Pure; the first thing `planner` does."""

from dataclasses import dataclass, replace

from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import ReleaseSlot, WriteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.environments import record
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.tasks import jobs, life, slot, values
from vulcan_operator.plan.tasks.ended import Ended, audit_note
from vulcan_operator.plan.tasks.jobs import Progress, Stage


@dataclass(frozen=True)
class InHand:
    """The draft after the task in hand was looked at; `progress` is set while it goes on."""

    draft: Draft[EnvironmentStatus]
    progress: Progress | None = None


def in_hand(draft: Draft[EnvironmentStatus], context: Context) -> InHand:
    """Classifies the task in hand; an ended one is recorded."""
    task, seen = draft.status.task, context.seen
    if task is None:
        return InHand(draft)
    terms = context.terms(task.kind, task.job)
    found = life.look(task, seen.jobs, seen.pods, terms, context.now, live=seen.job_is_live, reports=seen.reports)
    if found.need is not None:
        return InHand(draft.needing(found.need))
    if found.goes is not None:
        draft = draft.again(jobs.next_look(found.goes, terms, context.now))
        seen_now = life.noticed(task)
        return InHand(draft if seen_now is task else draft.with_status(task=seen_now), found.goes)
    if found.ended is None:
        return InHand(draft)
    draft = _record(draft, context, task, found.ended)
    plan = draft.status.plan
    if found.packed is None or plan is None or plan.report_ref is None:
        return InHand(draft)  # or nothing refers to it: the revision it was planned from is not known any more
    return InHand(
        draft.before_status(
            WriteConfigMap(plan_text.report_manifest(context.environment, plan.report_ref.name, found.packed))
        )
    )


def _record(
    draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus, progress: Progress
) -> Draft[EnvironmentStatus]:
    assert progress.result is not None
    by = _approved_by(context) if task.kind == TaskKind.APPLY else ()
    settled = _settled_inputs(context) if task.kind == TaskKind.APPLY else None
    ended = Ended(context.environment, task, progress.result, context.now, by, settled)
    draft = replace(draft, status=record.record(draft.status, ended)).noting(audit_note(ended))
    gateway = context.seen.gateway
    # Not for a stuck Job: its slot is free when it is gone.
    if gateway is not None and slot.needs_slot(TaskKind(task.kind), gateway) and progress.stage is Stage.ENDED:
        return draft.after_status(ReleaseSlot(context.gateway_namespace, gateway.metadata.name, task.job))
    return draft


def _approved_by(context: Context) -> tuple[str, ...]:
    plan = context.environment.status.plan
    return tuple(plan.approved_by) if plan is not None else ()


def _settled_inputs(context: Context) -> str | None:
    """What the plan's inputs are once its one-shots are done; None when the spec has moved on anyhow."""
    environment, plan = context.environment, context.environment.status.plan
    if plan is None or context.seen.gateway is None:
        return None
    operations = values.operations_of(environment, environment.status)
    args = (environment, context.gateway, plan.source_digest, context.image)
    if values.plan_inputs(*args, operations) != plan.inputs:
        return None
    return values.plan_inputs(*args, tuple(o for o in operations if o.id not in plan.operations))
