"""Folds the result of an ended task into an environment's status. Pure.

Called once per task, by `in_hand`, in the same pass that decides what comes next; only after the status is written
may the Job go.
"""

from typing import Any

from vulcan_contract.reasons import Outcome, Reason, Retry
from vulcan_contract.result import PlanSummary, Work
from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment_status import (
    MOST_HISTORY,
    AppliedStatus,
    ChecksStatus,
    EnvironmentStatus,
    HistoryItem,
    PlanStatus,
    RevisionStatus,
)
from vulcan_operator.plan.environments import record_run, rollback_targets
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.ended import Ended, failure, plan_id


def record(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    """The status with the task's end in it and the task gone."""
    return rollback_targets.told(_recorded(status, ended), ended.result.work)


def _recorded(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    status = status.but(task=None, **_answered(ended))
    if ended.result.outcome is not Outcome.SUCCEEDED:
        return _failed(status, ended)
    status = _recovered(status, ended.task.kind)
    match TaskKind(ended.task.kind):
        case TaskKind.RESOLVE:
            return _resolved(status, ended)
        case TaskKind.PLAN:
            return _planned(status, ended)
        case TaskKind.APPLY:
            return _applied(status, ended)
        case TaskKind.RUN:
            return record_run.succeeded(status, ended)
        case TaskKind.CHECKS:
            return _checked(status, ended)
        case TaskKind.INVALIDATE:
            gone: dict[str, Any] = {"applied": None, "plan": None, "next_run_time": None, "rollback_targets": []}
            return status.but(**gone)
        case _:
            return status


def _recovered(status: EnvironmentStatus, kind: str) -> EnvironmentStatus:
    """Runs go on while a change fails, and the other way round; a source that resolves does not make a plan good."""
    if kind == TaskKind.RUN:
        return status.but(run_failure=None)
    if kind == TaskKind.RESOLVE and status.failure is not None and status.failure.task != kind:
        return status
    return status.but(failure=None)


def _answered(ended: Ended) -> dict[str, Any]:
    """A request is answered by the end of the task it caused, however that ended."""
    resolved = ended.task.kind == TaskKind.RESOLVE and ended.result.outcome is Outcome.SUCCEEDED
    if ended.task.request is None or resolved:
        return {}  # a resolved ref goes on to its plan, which answers
    kind = "run" if ended.task.kind == TaskKind.RUN else "plan"
    return {f"last_handled_{kind}_requested_at": ended.task.request}


def _failed(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    task, result = ended.task, ended.result
    if task.kind == TaskKind.RUN:
        return record_run.failed(status, ended)
    update: dict[str, Any] = {"failure": failure(status.failure, task, result, ended.now)}
    if task.kind == TaskKind.APPLY and status.plan is not None and result.retries is Retry.REPLAN:
        changed = status.plan.changed + 1
        update = {"failure": None, "plan": status.plan.but(state="Outdated", changed=changed)}
    if result.reason is Reason.SOURCE_CHANGED:
        update |= {"revision": None}
    return status.but(**update)


def _resolved(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    result = ended.result
    if result.digest is None:
        return status
    return status.but(
        revision=RevisionStatus(
            resolved=result.commit or result.digest,
            digest=result.digest,
            inputs=ended.task.inputs,
            time=ended.now,
            request=ended.task.request,
        )
    )


def _planned(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    summary, revision = ended.result.summary, status.revision
    if summary is None or revision is None:
        return status
    environment, operations = ended.environment, tuple(o.id for o in values.operations_of(ended.environment, status))
    plan = plan_text.plan_status(
        environment, ended.task, ended.result, environment.spec, operations, ended.now,
        revision=revision.resolved, source_digest=revision.digest,
    ).but(changed=_changes(status, revision.digest))  # fmt: skip
    update: dict[str, Any] = {"plan": plan, "observed_plan_id": summary.base_plan_id}
    if not summary.has_changes:
        update |= _nothing_to_apply(status, ended, plan, summary)
    return status.but(**update)


def _changes(status: EnvironmentStatus, source_digest: str) -> int:
    same = status.plan is not None and status.plan.source_digest == source_digest and status.plan.state == "Outdated"
    return status.plan.changed if same and status.plan is not None else 0


def _nothing_to_apply(
    status: EnvironmentStatus, ended: Ended, plan: PlanStatus, summary: PlanSummary
) -> dict[str, Any]:
    """A plan with nothing to do needs no approval and no apply: the environment has this revision already."""
    old = status.applied
    return {
        "applied": AppliedStatus(
            revision=plan.revision,
            source_digest=plan.source_digest,
            inputs=plan.inputs,  # with operations in it, another plan will find out that they are done
            plan_id=summary.base_plan_id,
            plan_digest=(old.plan_digest if old is not None else "") or plan.digest,
            report=old.report if old is not None else "",
            time=old.time if old is not None else ended.now,
            tests_run=_tests_run(ended, summary.tests_run),
            partial=bool(ended.environment.spec.plan.select_models),
            approved_by=old.approved_by if old is not None else [],
        ),
        "next_run_time": ended.now if old is None else status.next_run_time,
        "run_failure": None,
        "operations_done": _done(status, plan),
    }


def _applied(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    plan, work = status.plan, ended.result.work
    if plan is None:
        return status
    item = HistoryItem(
        revision=plan.revision,
        source_digest=plan.source_digest,
        plan_id=plan_id(ended.result),
        plan_digest=plan.digest,
        time=ended.now,
    )
    return status.but(
        **{
            "plan": plan.but(state="Applied", changed=0),
            "applied": AppliedStatus(
                revision=plan.revision,
                source_digest=plan.source_digest,
                inputs=ended.settled_inputs or plan.inputs,
                plan_id=item.plan_id,
                plan_digest=plan.digest,
                report=plan.report_ref.name if plan.report_ref is not None else "",
                time=ended.now,
                tests_run=_tests_run(ended, plan.summary.tests_run),
                partial=bool(ended.environment.spec.plan.select_models),
                approved_by=list(ended.approved_by),
            ),
            "green_runs": 0,
            "history": [item, *status.history][:MOST_HISTORY],
            "operations_done": _done(status, plan),
            # Every apply is followed at once by a run, whatever became of those before.
            "next_run_time": ended.now,
            "run_failure": None,
            "observed_plan_id": item.plan_id,
            "intervals_behind": work.intervals_behind if work else status.intervals_behind,
        }
    )


def _checked(status: EnvironmentStatus, ended: Ended) -> EnvironmentStatus:
    work = ended.result.work or Work()
    done = ChecksStatus(
        inputs=ended.task.inputs,
        plan_id=work.plan_id,
        time=ended.now,
        checks=work.audits_run,
        warned=work.audits_warned,
    )
    return status.but(checks=done)


def _tests_run(ended: Ended, count: int) -> int:
    return -1 if ended.environment.spec.plan.skip_tests else count


def _done(status: EnvironmentStatus, plan: PlanStatus) -> list[str]:
    done = [*status.operations_done, *(o for o in plan.operations if o not in status.operations_done)]
    return done[-1024:]
