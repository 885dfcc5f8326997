"""Folds the result of an ended task into a promotion's status: its step is judged, or waits for another attempt. Pure."""

import datetime as dt
from dataclasses import replace
from typing import Any

from vulcan_contract.reasons import Outcome, Reason, Retry
from vulcan_contract.result import PlanSummary, Result, Work
from vulcan_contract.task import TaskKind
from vulcan_operator.api.promotion import GatesSpec
from vulcan_operator.api.promotion_status import PromotionStatus, RollbackStatus, StepStatus
from vulcan_operator.plan.promotions import categories, diff_step
from vulcan_operator.plan.promotions.context import ACROSS, CHANGES, MOVES, TOUCHING, PromotionContext, is_touched
from vulcan_operator.plan.promotions.moves import ERRORED, FAILED, INCONCLUSIVE, PASSED, Done, judged, moved_on
from vulcan_operator.plan.rules import plan_text, schedule
from vulcan_operator.plan.tasks import ended

_REPLANS = 3
_NO = (Reason.AUDIT_FAILED, Reason.CHECKS_FAILED)  # what gates say; trying again would only make it pass by chance
_JUDGED_AT_ONCE = (*_NO, Reason.CHECKS_NOT_EVALUATED)


def record(
    status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result, packed: bytes | None
) -> PromotionStatus:
    """The status with the end of a step's task in it and the task gone. `packed`: the task's report, if it made one."""
    task = step.task
    assert task is not None
    if result.outcome is Outcome.SUCCEEDED:
        return _succeeded(_hand_empty(status, step.name), context, step, result, packed)
    replan = result.retries is Retry.REPLAN
    if task.kind in MOVES and replan and status.plans < _REPLANS:
        return planned_again(status)
    failure = ended.failure(step.failure, task, result, context.now)
    again = schedule.retry_time(failure, context.target.spec.retry) if context.seen.target is not None else None
    if again is not None and result.reason not in _JUDGED_AT_ONCE and not replan:  # the same again would fail the same
        touched = step.touched or (step.name in CHANGES and result.reason in TOUCHING)
        return put(status, step.name, None, context.now, task=None, failure=failure, touched=touched)
    return _failed(_hand_empty(status, step.name), context, step, result)


def put(status: PromotionStatus, name: str, done: Done | None, now: dt.datetime, **fields: Any) -> PromotionStatus:
    """The status with one step begun, or ended; the order of the others is kept."""
    old = status.find(name) or StepStatus(name=name, started_at=now)
    new = old.but(started_at=old.started_at or now, **fields)
    if done is not None:
        cut = {key: value[:1024] for key, value in done.evidence.items()}
        update = {"state": done.state, "message": done.message[:1024], "evidence": cut, "finished_at": now}
        new = new.but(**update, task=None, failure=None)
    known = status.find(name) is not None
    steps = [new if s.name == name else s for s in status.steps] if known else [*status.steps, new]
    return status.but(steps=steps, step=name)


def planned_again(status: PromotionStatus) -> PromotionStatus:
    """The target has moved since: what comes from the plan on is looked at again."""
    kept = {"Tests", "Audits", "Checks", "Soak"}  # of the revision, which stays the same
    # Views that may be half changed are not forgotten: Apply has another plan then, and brings them to an end.
    touched = next((s for s in status.steps if s.touched), None)
    kept |= {"Diff"} if touched is not None else set()
    steps = [s for s in status.steps if s.name in kept]
    if touched is not None:
        steps.append(StepStatus(name="Apply", started_at=touched.started_at, job=touched.job, touched=True))
    update = {"plan": None, "plans": status.plans + 1, "steps": steps, "step": "Resolve", "approved_by": []}
    return status.but(**update)


def end(status: PromotionStatus, outcome: str, now: dt.datetime) -> PromotionStatus:
    """It is over."""
    return status.but(outcome=outcome, finished_at=now)


def change(status: PromotionStatus, name: str, **fields: Any) -> PromotionStatus:
    """The status with fields of one step changed, if it was begun."""
    steps = [s.but(**fields) if s.name == name else s for s in status.steps]
    return status.but(steps=steps)


def _hand_empty(status: PromotionStatus, name: str) -> PromotionStatus:
    return change(status, name, task=None, failure=None)


def _succeeded(
    status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result, packed: bytes | None
) -> PromotionStatus:
    now, task = context.now, step.task
    assert task is not None
    evidence = {"job": task.job}
    match TaskKind(task.kind):
        case TaskKind.PLAN if context.seen.target is None:
            return status  # nobody knows its rules: planned again when it is there
        case TaskKind.PLAN:
            return _planned(status, context, step, result)
        case TaskKind.AUDIT | TaskKind.CHECKS:
            work, what = result.work, "audits" if task.kind == TaskKind.AUDIT else "checks"
            evidence |= {what: str(work.audits_run), "warnings": str(work.audits_warned)} if work else {}
            return _judged(status, context, step, result, evidence)
        case TaskKind.DIFF:
            return _compared(status, context, step, result, packed)
        case TaskKind.PROMOTE | TaskKind.APPLY:
            plan_id = ended.plan_id(result)
            batches = str(result.work.batches) if result.work else "0"
            if step.name == "CatchUp":
                status = put(status, "CatchUp", Done(PASSED, "caught up", {**evidence, "batches": batches}), now)
            done = Done(PASSED, result.message, {**evidence, "batches": batches, "planId": plan_id})
            plan = status.plan.but(state="Applied") if status.plan else None
            return put(status, "Apply", done, now, job=task.job).but(applied_plan_id=plan_id, plan=plan)
        case _:
            return _gone_back(status, context, step, result)


def _judged(
    status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result, evidence: dict[str, str]
) -> PromotionStatus:
    """What passed, if it was the plan that moves (or has moved)."""
    found = result.work.plan_id if result.work is not None else ""
    wanted = status.applied_plan_id if step.name == "Verify" else status.source.plan_id if status.source else ""
    done = Done(PASSED, result.message, evidence)
    if found and found != wanted:
        done = moved_on(_gate(step.name, context.promotion.spec.gates) or "Required", found, wanted, evidence)
    status = put(status, step.name, done, context.now)
    return end(status, "Failed", context.now) if done.state == FAILED else status


def _compared(
    status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result, packed: bytes | None
) -> PromotionStatus:
    assert step.task is not None
    if status.relation == ACROSS:
        name = diff_step.report_name(context, result.report_sha256 or "")
        fields = diff_step.left_behind(status, context, step.task, name)
        return put(status, step.name, None, context.now, **fields)
    done = diff_step.judged(context, packed)
    done = replace(done, evidence={"job": step.job, **done.evidence})
    status = put(status, step.name, done, context.now)
    return end(status, done.state, context.now) if done.state in (FAILED, INCONCLUSIVE) else status


def _planned(status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result) -> PromotionStatus:
    summary, task = result.summary, step.task
    assert summary is not None and task is not None
    if not summary.has_changes and context.has_moved(status) and status.plans < _REPLANS:
        return planned_again(status)
    operations = (context.promotion.metadata.uid,)  # a word on one promotion is none on another
    plan = plan_text.plan_status(
        context.promotion, task, result, context.rules, operations, context.now,
        revision=status.revision or "", source_digest=status.source_digest or "",
    )  # fmt: skip
    plan = plan.but(summary=categories.beside(plan.summary, status, context))
    evidence = _plan_evidence(task.job, summary) | categories.disagreements(plan.summary, status)
    status = put(status, "Plan", Done(PASSED, plan.summary.text, evidence), context.now)
    status = status.but(plan=plan)
    return status if summary.has_changes else _nothing_to_do(status, summary, context)


def _nothing_to_do(status: PromotionStatus, summary: PlanSummary, context: PromotionContext) -> PromotionStatus:
    """GitOps creates objects again: what is there already is a success without an effect. Where nobody vouches for what is
    there, Verify is asked, and whatever has not begun is skipped."""
    status = status.but(applied_plan_id=summary.base_plan_id)
    had = context.target.status.applied
    known = had is None or (had.plan_id == summary.base_plan_id and had.verification not in ("Failed", "Unknown"))
    vouched = known and not is_touched(status)
    return end(status, "Succeeded", context.now) if vouched or not context.target.spec.checks.audits else status


def _plan_evidence(job: str, summary: PlanSummary) -> dict[str, str]:
    found = {"job": job, "target": summary.target, "base": summary.base, "testsRun": str(summary.tests_run)}
    found |= {"catchUpIntervals": str(summary.catch_up_intervals)}
    return found | ({"computed": ", ".join(summary.computed)} if summary.computed else {})


def _gone_back(status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result) -> PromotionStatus:
    wanted = context.promotion.spec.rollback_to is not None
    to, plan_id = status.source if wanted else status.previous, ended.plan_id(result)
    evidence = {"job": step.job, "planId": plan_id}
    work = result.work or Work()
    until = dt.datetime.fromisoformat(work.complete_until) if work.complete_until is not None else None
    message = result.message
    if until is not None:
        missing = (
            f"{work.intervals_behind} intervals are missing" if work.intervals_behind != 1 else "1 interval is missing"
        )
        message = (
            f"{message[:900]} Data is complete up to {until:%Y-%m-%dT%H:%M:%SZ}; {missing} until the run that follows."
        )
    rollback = RollbackStatus(
        state="Succeeded", reason=status.rollback.reason if status.rollback else "Requested",
        message=message, plan_id=plan_id, revision=to.revision if to else "", time=context.now,
        intervals_behind=work.intervals_behind, complete_until=until,
    )  # fmt: skip
    status = put(status, "Rollback", Done(PASSED, message, evidence), context.now)
    status = status.but(rollback=rollback, applied_plan_id=plan_id)
    return end(status, "Succeeded" if wanted else "RolledBack", context.now)


def _failed(status: PromotionStatus, context: PromotionContext, step: StepStatus, result: Result) -> PromotionStatus:
    """A no for reasons of content ends it as Failed, machinery as Errored; a gate that could not be judged asks a human;
    after the swap it may go back instead."""
    content = result.outcome is Outcome.FAILED
    # What is done elsewhere ("it is retried meanwhile", "it is planned again") is over here.
    message = ended.message_of(result) if result.retries is Retry.NEVER or not result.message else result.message
    stays = _stays(status, context) if step.name == "Verify" else ""
    if stays:
        message = f"{message[:700].rstrip('. ')}. {stays}"
    evidence = {"job": step.job, "reason": result.reason.value}
    gate = _gate(step.name, context.promotion.spec.gates)
    if gate is not None:
        no = result.reason in _NO
        if no and gate == "Required":
            return end(put(status, step.name, Done(FAILED, message, evidence), context.now), "Failed", context.now)
        done = judged(gate, message if gate == "Required" else f"optional, and not passed: {message}", evidence)
        status = put(status, step.name, done, context.now)
        return end(status, done.state, context.now) if gate == "Required" else status
    status = put(status, step.name, Done(FAILED if content else ERRORED, message, evidence), context.now)
    if step.name == "Rollback":
        unavailable = result.reason is Reason.ROLLBACK_UNAVAILABLE
        state = "Unavailable" if unavailable else "Failed"
        reason = status.rollback.reason if status.rollback else "Requested"
        status = status.but(rollback=RollbackStatus(state=state, reason=reason, message=message[:1024]))
    elif step.name == "Verify" and content and not stays:
        rollback = RollbackStatus(state="Running", reason=result.reason, message=message[:1024])
        return status.but(rollback=rollback)
    return end(status, "Failed" if content else "Errored", context.now)


def _stays(status: PromotionStatus, context: PromotionContext) -> str:
    """Why views that Verify does not vouch for are not taken back, and what takes them back; empty: they are."""
    if not _has_moved_views(status):
        return f"The views had been changed before, and stay so; a VulcanPromotion with {context.way_back} takes them back."
    if context.promotion.spec.on_failure == "Hold":
        way = f"a VulcanPromotion with rollbackTo: {{promotion: {context.key.name}}}"
        return f"The views are changed and stay so (onFailure: Hold); {way} takes them back."
    return ""


def _has_moved_views(status: PromotionStatus) -> bool:
    """Not where the revision was there already."""
    return (status.plan is not None and status.plan.state == "Applied") or is_touched(status)


def _gate(step: str, gates: GatesSpec) -> str | None:
    """Required, Optional or Skip; None: the step is no gate."""
    match step:
        case "Audits":
            return gates.audits
        case "Diff":
            return gates.data_diff.mode if gates.data_diff is not None else "Skip"
        case "Checks":
            return gates.checks.mode if gates.checks is not None else "Skip"
        case _:
            return None
