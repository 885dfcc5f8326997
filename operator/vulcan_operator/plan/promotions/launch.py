"""From a promotion's task to the actions that start its Job. Pure; the counterpart of `environments.launch`."""

from collections.abc import Mapping

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.core.actions import Need, TakeSlot, WriteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.seen import Waiter
from vulcan_operator.plan.promotions import diff_step, origin, stages
from vulcan_operator.plan.promotions.context import ACROSS, MOVES, PromotionContext, Site
from vulcan_operator.plan.rules import access
from vulcan_operator.plan.tasks import checks, copies, slot, values
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

_COMPUTES = (TaskKind.PLAN, TaskKind.APPLY)  # across systems: from the project's files


def start(
    draft: Draft[PromotionStatus], context: PromotionContext, task: TaskStatus, site: Site
) -> Draft[PromotionStatus]:
    """The draft with the actions that start the task; unchanged when it is not its turn to write."""
    kind, meta = TaskKind(task.kind), site.gateway.metadata
    files = _files(draft.status, kind)
    copied = files is not None and files.kind == "ConfigMap"
    if copied and context.seen.source_files is None:
        return draft.needing(Need.SOURCE_FILES)
    if kind is TaskKind.CHECKS and context.seen.checks is None:
        return draft.needing(Need.CHECKS)
    if kind is TaskKind.DIFF and draft.status.reports and context.seen.left is None:
        return draft.needing(Need.LEFT)
    take = []
    if slot.needs_slot(kind, site.gateway):
        if site.slot is None:
            return draft.needing(site.need)
        me = Waiter(context.key, task.priority, task.since)
        if not slot.my_turn(me, site.waiters, site.slot, task.job, context.now):
            return draft
        take = [TakeSlot(meta.namespace, meta.name, task.job)]
    job = build_job(_task(draft.status, context, task, site), _parts(draft.status, context, task, site))
    if copied and context.seen.source_files is not None and context.seen.source_files.files is not None:
        draft = draft.before_status(_copy(draft.status, context, site, context.seen.source_files.files))
    ordered = _checks(context, task, site)
    draft = draft.before_status(ordered.copy) if ordered is not None else draft
    return draft.after_status(*take, job)


def _files(status: PromotionStatus, kind: TaskKind) -> Origin | None:
    """Where the files are that the task computes from; None: it computes from the state, or nothing."""
    return status.origin if kind in _COMPUTES and status.relation == ACROSS else None


def _copy(status: PromotionStatus, context: PromotionContext, site: Site, files: Mapping[str, bytes]) -> WriteConfigMap:
    name, install = origin.copy_name(context, status), context.seen.settings.install
    return copies.write(context.key, context.promotion.metadata, install, site.gateway.metadata.namespace, name, files)


def _checks(context: PromotionContext, task: TaskStatus, site: Site) -> checks.Order | None:
    seen, install = context.seen.checks, context.seen.settings.install
    if task.kind != TaskKind.CHECKS or seen is None or seen.files is None:
        return None
    namespace = site.gateway.metadata.namespace
    return checks.order(context.key, context.promotion.metadata, install, namespace, task.inputs, seen.files)


def _parts(status: PromotionStatus, context: PromotionContext, task: TaskStatus, site: Site) -> JobParts:
    files = _files(status, TaskKind(task.kind))
    return JobParts(
        owner=context.key,
        owner_uid=context.promotion.metadata.uid,
        install=context.seen.settings.install,
        inputs=task.inputs,
        attempt=task.attempt,
        why=task.why,
        image=site.image,
        gateway=site.gateway,
        source_config_map=origin.copy_name(context, status)
        if files is not None and files.kind == "ConfigMap"
        else None,
        checks_config_map=checks.copy_name(context.promotion.metadata, task.inputs)
        if task.kind == TaskKind.CHECKS
        else None,
        git_secret=values.git_secret(site.gateway, files.url) if files is not None and files.kind == "Git" else None,
    )


def _task(status: PromotionStatus, context: PromotionContext, task: TaskStatus, site: Site) -> contract.Task:
    gateway, target, kind = site.gateway, context.target, TaskKind(task.kind)
    approved = None
    if kind in MOVES and status.plan is not None:
        approved = values.approved_of(context.rules.plan, status.plan, by_human=bool(status.approved_by))
    files = _files(status, kind)
    at_home = site.environment.metadata.uid == target.metadata.uid
    return contract.Task(
        kind=kind,
        job=task.job,
        nonce=of_json([task.job, context.promotion.metadata.uid, task.since])[:16],
        gateway=values.gateway_of(gateway, context.seen.settings, planning=not kind.writes),
        environment=site.environment.sqlmesh_environment,
        protected=context.protected and at_home,
        source=origin.source_of(files, status.source_digest or "") if files is not None else None,
        plan=values.options_of(target.spec.plan),
        approved=approved,
        promotion=None if files is not None else _promotion(status, context, kind),
        diff=diff_step.asked(status, context, site) if kind is TaskKind.DIFF else None,
        checks=ordered.checks if (ordered := _checks(context, task, site)) is not None else None,
        expires=access.deletion_policy(target, context.protected) == "Expire",
        audits=False,  # Verify is a step of its own, whose no can be taken back
        image=site.image,
        secret_env=values.secret_env(gateway),
        secret_paths=values.secret_paths(gateway),
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
                expected=stages.undone(status),
            )
        case _:
            return None
