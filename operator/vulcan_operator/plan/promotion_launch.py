"""From a promotion's task to the actions that start its Job. Pure; the counterpart of `launch` for environments."""

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan import promotion_steps, slot, tasks
from vulcan_operator.plan.actions import Need, TakeSlot
from vulcan_operator.plan.manifest import JobParts, build_job
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.seen import Waiter
from vulcan_operator.plan.status import Draft


def launch(draft: Draft[PromotionStatus], context: PromotionContext, task: TaskStatus) -> Draft[PromotionStatus]:
    """The draft with the actions that start the task; unchanged when it is not its turn to write."""
    kind, meta = TaskKind(task.kind), context.gateway.metadata
    if slot.needs_slot(kind, context.gateway):
        if context.seen.slot is None:
            return draft.needing(Need.SLOT)
        me = Waiter(context.key, task.priority, task.since)
        if not slot.my_turn(me, context.seen.waiters, context.seen.slot, task.job, context.now):
            return draft
        draft = draft.then(TakeSlot(meta.namespace, meta.name, task.job))
    return draft.then(build_job(_task(draft.status, context, task, kind), _parts(context, task)))


def _parts(context: PromotionContext, task: TaskStatus) -> JobParts:
    return JobParts(
        owner=context.key,
        owner_uid=context.promotion.metadata.uid,
        install=context.seen.settings.install,
        inputs=task.inputs,
        attempt=task.attempt,
        why=task.why,
        image=context.image,
        gateway=context.gateway,
    )


def _task(status: PromotionStatus, context: PromotionContext, task: TaskStatus, kind: TaskKind) -> contract.Task:
    gateway, target = context.gateway, context.target
    audits_source = kind is TaskKind.AUDIT and status.step == "Checks"
    approved = None
    if kind is TaskKind.PROMOTE and status.plan is not None:
        approved = tasks.approved_of(context.rules.plan, status.plan, by_human=bool(status.approved_by))
    return contract.Task(
        kind=kind,
        job=task.job,
        nonce=of_json([task.job, context.promotion.metadata.uid, task.since])[:16],
        gateway=tasks.gateway_of(gateway, context.seen.settings, planning=kind is TaskKind.PLAN),
        environment=context.source.sqlmesh_environment if audits_source else target.sqlmesh_environment,
        protected=context.protected,
        approved=approved,
        promotion=_promotion(status, context, kind),
        audits=False,  # Verify is a step of its own, whose no can be taken back
        image=context.image,
        secret_env=tasks.secret_env(gateway),
        secret_paths=tasks.secret_paths(gateway),
        checked=target.metadata.annotations.get(names.CHECKED, "")[:64],
    )


def _promotion(status: PromotionStatus, context: PromotionContext, kind: TaskKind) -> contract.Promotion | None:
    spec, source = context.promotion.spec, status.source
    gates = spec.gates
    match kind:
        case TaskKind.PLAN | TaskKind.PROMOTE if source is not None:
            virtual = gates.virtual_only == "Required"
            return contract.Promotion(source.environment, source.plan_id, virtual, gates.max_catch_up_intervals)
        case TaskKind.ROLLBACK:
            to = source if spec.rollback_to is not None else status.previous
            assert to is not None
            return contract.Promotion(
                context.target.sqlmesh_environment,
                to.plan_id,
                virtual_only=False,
                catch_up=spec.rollback.data == "CatchUpThenSwap",
                max_catch_up=gates.max_catch_up_intervals,
                expected=promotion_steps.undone(status),
            )
        case _:
            return None
