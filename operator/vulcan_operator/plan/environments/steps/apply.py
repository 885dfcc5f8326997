"""Step apply: whether a pending plan may be applied, and what the environment has then. Pure."""

from dataclasses import replace

from vulcan_contract import task as contract
from vulcan_contract.reasons import Retry
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import (
    MOST_HISTORY,
    OPEN_PLANS,
    AppliedStatus,
    EnvironmentStatus,
    HistoryItem,
    PlanState,
    PlanStatus,
)
from vulcan_operator.api.fields import TaskState, TaskStatus
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.deadlines import CONFIG_MAP_CHECK, GUARD_CHECK
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Judged, Step, filled, replanned
from vulcan_operator.plan.environments.steps import plan as plans
from vulcan_operator.plan.rules import approval, change_windows, messages, plan_text
from vulcan_operator.plan.rules.approval import Say
from vulcan_operator.plan.rules.plan_text import Report
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras


class Apply(Step):
    """From a plan to what the environment has."""

    kind = TaskKind.APPLY
    doing = Why.APPLYING, "applying the plan"

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        plan = status.plan
        if context.spec.project is None or plan is None:
            return Done()
        if plan.state not in OPEN_PLANS:
            return Done()
        if status.applied is not None and status.applied.inputs == plans.inputs_of(status, context):
            return Done()
        expires = approval.expires_at(plan, context.rules.plan.approval)
        if plan.state == PlanState.REJECTED:
            return Wait(Verdict("False", Why.REJECTED, plan.why))
        if plan.reason is None:
            return self._decided(status, plan, context)
        if expires <= context.now:
            return plans.order(context, plan.inputs, "the plan waited too long")
        return Wait(_awaiting(plan, context), expires)

    def _decided(self, status: EnvironmentStatus, plan: PlanStatus, context: Context) -> Move:
        if _is_too_late(status, plan, context):
            return plans.order(context, plan.inputs, "the plan waited too long")
        unguarded = messages.unguarded(context.seen.unguarded) if context.protected else None
        if unguarded is not None:
            return Wait(unguarded, context.now + GUARD_CHECK)
        window = change_windows.of_gateway(context.seen.gateway, context.now)
        if change_windows.blocks(window, status.failure, self.kind):
            return Wait(window.verdict, window.look_again)
        # Before an approval counts, what people looked at must still be there.
        namespace = context.meta.namespace
        if plan.approved_by and not _is_in_flight(context):
            match plan_text.report_of(plan, namespace, context.live):
                case Report.GONE:
                    return plans.order(context, plan.inputs, "the plan's report is gone")
                case Report.TAMPERED:
                    again, void = context.now + CONFIG_MAP_CHECK, {"plan": plan.but(tampered=True)}
                    return Wait(plan_text.tampered(plan, namespace), again, void)
                case Report.KEPT:
                    pass
        assert context.site is not None
        return Order(self.kind, approval.apply_inputs(plan), plan.why[:256], context.site)

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        plan = status.plan
        if plan is None or approval.apply_inputs(plan) != current.inputs:
            return None
        approved = values.approved_of(context.rules.plan, plan, by_human=bool(plan.approved_by))
        task = filled(base, status, context)
        operations = tuple(o for o in task.operations if o.id in plan.operations)
        task = replace(task, approved=approved, operations=operations)
        extras = plans.from_project(task, status, context)
        return replace(extras, image=plan.image or None) if extras is not None else None

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        plan, work = status.plan, ended.result.work
        if plan is None:
            return Judged(status)
        item = HistoryItem(
            revision=plan.revision,
            source_digest=plan.source_digest,
            plan_id=ends.plan_id(ended.result),
            plan_digest=plan.digest,
            time=context.now,
        )
        applied = AppliedStatus(
            revision=plan.revision,
            source_digest=plan.source_digest,
            inputs=_settled_inputs(status, plan, context) or plan.inputs,
            image=plan.image,
            plan_id=item.plan_id,
            plan_digest=plan.digest,
            report=plan.report_ref.name if plan.report_ref is not None else "",
            time=context.now,
            tests_run=plans.tests_run(context, plan.summary.tests_run),
            partial=bool(context.spec.plan.select_models),
            approved_by=plan.approved_by,
        )
        return Judged(
            status.but(
                plan=plan.but(state=PlanState.APPLIED, changed=0, reason=None),
                applied=applied,
                green_runs=0,
                history=[item, *status.history][:MOST_HISTORY],
                operations_done=plans.operations_done(status, plan),
                # Every apply is followed at once by a run, whatever became of those before.
                next_run_time=context.now,
                run_failure=None,
                observed_plan_id=item.plan_id,
                intervals_behind=work.intervals_behind if work else status.intervals_behind,
            )
        )

    def failed(
        self, status: EnvironmentStatus, ended: Ended, context: Context
    ) -> EnvironmentStatus:
        after = super().failed(status, ended, context)
        return replanned(after) if ended.result.retries is Retry.REPLAN else after


def answered(status: EnvironmentStatus, context: Context) -> EnvironmentStatus:
    """With what people and the rules of today say of an open plan, whatever else is closed."""
    plan = status.plan
    task = status.task
    applies = task is not None and task.kind == TaskKind.APPLY and task.state != TaskState.WAITING
    if plan is None or plan.state not in OPEN_PLANS or applies:  # what is applied was decided on
        return status
    if context.seen.gateway is None or not context.access.allowed:
        return status  # under which rules is not known
    plan = plan.but(digest=approval.token_today(context.meta.uid, plan, context.rules))
    decision = approval.decide(plan, context.rules, context.author)
    return status.but(
        plan=plan.but(
            state=PlanState.REJECTED if decision.say is Say.NO else PlanState.PENDING,
            why=decision.why[:1024],
            reason=decision.reason if decision.say is Say.WAIT else None,
            approved_by=list(decision.by) if decision.say is Say.GO else [],
        )
    )


def _awaiting(plan: PlanStatus, context: Context) -> Verdict:
    """It waits for people; with the complete command, where one can help."""
    said, meta = f"{plan.summary.text} — {plan.why}", context.meta
    if plan.reason != Why.AWAITING:
        return Verdict("False", plan.reason or "", said)
    is_first = "approvals" not in context.spec.model_fields_set
    command = approval.approve_command(meta.namespace, meta.name, plan.digest, is_first=is_first)
    return Verdict("False", Why.AWAITING, f"{said}. To approve: {command}")


def _is_too_late(status: EnvironmentStatus, plan: PlanStatus, context: Context) -> bool:
    """Whether people approved a plan that had waited too long by then; one whose apply was begun
    goes on."""
    failed = status.failure is not None and status.failure.task == TaskKind.APPLY
    expires = approval.expires_at(plan, context.rules.plan.approval)
    begun = failed or _is_in_flight(context)
    return bool(plan.approved_by) and not begun and expires <= context.now


def _is_in_flight(context: Context) -> bool:
    task = context.environment.status.task
    return task is not None and task.kind == TaskKind.APPLY


def _settled_inputs(status: EnvironmentStatus, plan: PlanStatus, context: Context) -> str | None:
    """What the plan's inputs are once its one-shots are done; None when the spec has moved on
    anyhow."""
    if context.seen.gateway is None:
        return None
    operations = values.operations_of(context.environment, status)
    args = (context.environment, context.gateway, plan.source_digest, context.image)
    if values.plan_inputs(*args, operations) != plan.inputs:
        return None
    return values.plan_inputs(*args, tuple(o for o in operations if o.id not in plan.operations))
