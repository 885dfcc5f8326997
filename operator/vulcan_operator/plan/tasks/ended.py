"""An ended task: what it was for, how its failure counts, how it is told. Pure."""

import datetime as dt

from vulcan_contract.reasons import ABOUT, Outcome, Retry
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import FailureStatus, TaskStatus
from vulcan_operator.plan.core.actions import AuditEntry, Note


def failure(
    previous: FailureStatus | None, task: TaskStatus, result: Result, now: dt.datetime
) -> FailureStatus:
    """The failure of one attempt, counted on from earlier attempts at the same inputs."""
    same = previous is not None and (previous.task, previous.inputs) == (task.kind, task.inputs)
    before = previous if same else None
    attempts, counted = (before.attempts, before.counted) if before is not None else (0, 0)
    return FailureStatus(
        task=task.kind,
        inputs=task.inputs,
        reason=result.reason,
        message=message_of(result)[:1024],
        attempts=attempts + 1,
        last_attempt=task.attempt,
        counted=counted + (1 if result.retries is Retry.BACKOFF else 0),
        time=now,
        retry=result.retries,
    )


def message_of(result: Result) -> str:
    """One sentence of what happened and one of what to do."""
    about = ABOUT[result.reason]
    what = " ".join((result.message or about.meaning).split())
    first = result.failures[0] if result.failures else None
    if first is not None and first.model not in what:
        where = f"{first.model} {first.interval}".strip()
        what = f"{what} ({where}: {first.message})"
    return f"{what.rstrip('.?! ')}. {about.next_step}"


def environment_note(environment: VulcanEnvironment, task: TaskStatus, result: Result) -> Note:
    """Event and audit line of an ended task of an environment, as its status was before."""
    plan, revision = environment.status.plan, environment.status.revision
    is_apply, bad = task.kind == TaskKind.APPLY, result.outcome is not Outcome.SUCCEEDED
    audit = AuditEntry(
        operation=task.kind,
        gateway=environment.spec.gateway_ref.name,
        environment=environment.sqlmesh_environment,
        revision=revision.resolved if revision else "",
        plan=plan.digest if plan and is_apply else "",
        outcome=result.outcome.value,
        reason=result.reason.value,
        job=task.job,
        why=task.why,
        asked=", ".join(plan.approved_by) if plan and is_apply else "",
    )
    text = message_of(result) if bad else result.message or ABOUT[result.reason].meaning
    return Note(result.reason.value, f"{task.kind}: {text}", warning=bad, audit=audit)


def plan_id(result: Result) -> str:
    """What the environment has now; NoChanges comes without work, but says it."""
    if result.work is not None:
        return result.work.plan_id
    return result.summary.base_plan_id if result.summary is not None else ""
