"""Folds the result of an ended task into a promotion's status: its step is judged, or waits for another attempt. Pure."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from vulcan_contract.reasons import Outcome, Reason, Retry
from vulcan_contract.result import PlanSummary, Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment_status import PlanStatus, ReportRef
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus, RollbackStatus, StepStatus
from vulcan_operator.plan import approval, ended, reports, schedule
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.promotion_steps import FAILED, PASSED, SKIPPED

ERRORED = "Errored"
_REPLANS = 3
_JUDGED_AT_ONCE = (Reason.AUDIT_FAILED,)  # a verdict of a gate; trying again would only make it pass by chance


@dataclass(frozen=True)
class Judged:
    """How a step went."""

    state: str
    message: str
    evidence: dict[str, str]


def record(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> PromotionStatus:
    """The status with the task's end in it and the task gone."""
    status = status.model_copy(update={"task": None})
    if result.outcome is Outcome.SUCCEEDED:
        return _succeeded(status.model_copy(update={"failure": None}), context, task, result)
    replan = result.retries is Retry.REPLAN
    if task.kind == TaskKind.PROMOTE and replan and status.plans < _REPLANS:
        return planned_again(status)
    failure = ended.failure(status.failure, task, result, context.now)
    again = schedule.retry_time(failure, context.target.spec.retry) if context.seen.target is not None else None
    if again is not None and result.reason not in _JUDGED_AT_ONCE and not replan:  # the same again would fail the same
        return status.model_copy(update={"failure": failure})
    return _failed(status.model_copy(update={"failure": None}), context, task, result)


def put(status: PromotionStatus, name: str, judged: Judged | None, now: dt.datetime, **fields: Any) -> PromotionStatus:
    """The status with one step begun, or ended; the order of the others is kept."""
    old = next((s for s in status.steps if s.name == name), None) or StepStatus(name=name, started_at=now)
    new = old.model_copy(update={"started_at": old.started_at or now, **fields})
    if judged is not None:
        cut = {key: value[:1024] for key, value in judged.evidence.items()}
        new = new.model_copy(
            update={"state": judged.state, "message": judged.message[:1024], "evidence": cut, "finished_at": now}
        )
    known = any(s.name == name for s in status.steps)
    steps = [new if s.name == name else s for s in status.steps] if known else [*status.steps, new]
    return status.model_copy(update={"steps": steps, "step": name})


def planned_again(status: PromotionStatus) -> PromotionStatus:
    """The target has moved since: what comes from the plan on is looked at again."""
    kept = ("Tests", "Diff", "Checks", "Soak")  # of the revision, which stays the same
    steps = [s for s in status.steps if s.name in kept]
    update = {
        "plan": None,
        "plans": status.plans + 1,
        "steps": steps,
        "step": "Resolve",
        "approved_by": [],
        "failure": None,
    }
    return status.model_copy(update=update)


def _succeeded(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> PromotionStatus:
    now, step = context.now, status.step or "Plan"
    evidence = {"job": task.job}
    match TaskKind(task.kind):
        case TaskKind.PLAN:
            return _planned(status, context, task, result)
        case TaskKind.AUDIT:
            work = result.work
            evidence |= {"audits": str(work.audits_run), "warnings": str(work.audits_warned)} if work else {}
            wanted = status.applied_plan_id if step == "Verify" else status.source.plan_id if status.source else ""
            if work is not None and work.plan_id and work.plan_id != wanted:
                message = f"audited plan {work.plan_id}, not {wanted}: somebody else has changed the environment"
                return end(put(status, step, Judged(FAILED, message, evidence), now), "Failed", now)
            return put(status, step, Judged(PASSED, result.message, evidence), now)
        case TaskKind.PROMOTE:
            plan_id = result.work.plan_id if result.work else (result.summary.base_plan_id if result.summary else "")
            batches = str(result.work.batches) if result.work else "0"
            if step == "CatchUp":
                status = put(status, "CatchUp", Judged(PASSED, "caught up", {**evidence, "batches": batches}), now)
            status = put(status, "Apply", Judged(PASSED, result.message, {**evidence, "planId": plan_id}), now)
            plan = status.plan.model_copy(update={"state": "Applied"}) if status.plan else None
            return status.model_copy(update={"applied_plan_id": plan_id, "plan": plan})
        case _:
            return _gone_back(status, context, task, result)


def _planned(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> PromotionStatus:
    summary = result.summary
    assert summary is not None
    operations = (context.promotion.metadata.uid,)  # a word on one promotion is none on another
    digest = approval.token(summary, context.rules, operations)
    sha = result.report_sha256 if summary.has_changes else None
    plan = PlanStatus(
        digest=digest,
        state="Pending" if summary.has_changes else "NoChanges",
        inputs=task.inputs,
        target=summary.target,
        base=summary.base,
        revision=status.revision or "",
        source_digest=status.source_digest or "",
        time=context.now,
        adopted=summary.adopted,
        operations=list(operations),
        summary=reports.summary_status(summary),
        report_ref=ReportRef(name=reports.report_name(context.promotion, digest, sha), sha256=sha) if sha else None,
    )
    evidence = _plan_evidence(task, summary)
    status = put(status, "Plan", Judged(PASSED, plan.summary.text, evidence), context.now)
    update: dict[str, Any] = {"plan": plan}
    if not summary.has_changes:
        # GitOps creates objects again: what is there already is a success without an effect.
        update |= {"outcome": "Succeeded", "applied_plan_id": summary.base_plan_id, "finished_at": context.now}
    return status.model_copy(update=update)


def _plan_evidence(task: TaskStatus, summary: PlanSummary) -> dict[str, str]:
    found = {"job": task.job, "target": summary.target, "base": summary.base}
    found |= {"catchUpIntervals": str(summary.catch_up_intervals)}
    return found | ({"computed": ", ".join(summary.computed)} if summary.computed else {})


def _gone_back(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> PromotionStatus:
    to = status.source if context.promotion.spec.rollback_to is not None else status.previous
    plan_id = result.work.plan_id if result.work else (result.summary.base_plan_id if result.summary else "")
    status = put(status, "Rollback", Judged(PASSED, result.message, {"job": task.job, "planId": plan_id}), context.now)
    rollback = RollbackStatus(
        state="Succeeded", reason=status.rollback.reason if status.rollback else "Requested",
        message=result.message, plan_id=plan_id, revision=to.revision if to else "", time=context.now,
    )  # fmt: skip
    wanted = context.promotion.spec.rollback_to is not None
    return status.model_copy(
        update={
            "rollback": rollback,
            "outcome": "Succeeded" if wanted else "RolledBack",
            "applied_plan_id": plan_id,
            "finished_at": context.now,
        }
    )


def _failed(status: PromotionStatus, context: PromotionContext, task: TaskStatus, result: Result) -> PromotionStatus:
    """A no for reasons of content ends it as Failed, machinery as Errored; after the swap it may go back instead."""
    step = status.step or "Plan"
    content = result.outcome is Outcome.FAILED
    message, evidence = ended.message_of(result), {"job": task.job, "reason": result.reason.value}
    if step == "Checks" and context.promotion.spec.gates.audits == "Optional":
        return put(status, step, Judged(SKIPPED, f"optional, and not passed: {message}", evidence), context.now)
    status = put(status, step, Judged(FAILED if content else ERRORED, message, evidence), context.now)
    if step == "Rollback":
        unavailable = result.reason is Reason.ROLLBACK_UNAVAILABLE
        state = "Unavailable" if unavailable else "Failed"
        reason = status.rollback.reason if status.rollback else "Requested"
        status = status.model_copy(
            update={"rollback": RollbackStatus(state=state, reason=reason, message=message[:1024])}
        )
    elif step == "Verify" and content and context.promotion.spec.on_failure == "Rollback":
        rollback = RollbackStatus(state="Running", reason=result.reason, message=message[:1024])
        return status.model_copy(update={"rollback": rollback})
    return end(status, "Failed" if content else "Errored", context.now)


def end(status: PromotionStatus, outcome: str, now: dt.datetime) -> PromotionStatus:
    """It is over."""
    return status.model_copy(update={"outcome": outcome, "finished_at": now, "task": None})
