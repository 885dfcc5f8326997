"""From a task in status to the actions that start its Job. Pure.

Used when a task is announced, and again when its Job turns out never to have been made.
"""

from vulcan_contract import task as contract
from vulcan_contract.digest import of_json
from vulcan_contract.paths import escape
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import Action, CreateJob, Need, ReleaseSlot, TakeSlot
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.seen import SlotSeen, Waiter
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.tasks import checks, copies, retention, slot, values
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

_WEAK = (TaskKind.PLAN, TaskKind.RESOLVE, TaskKind.CHECKS)  # with the gateway's weaker credentials


def launch(draft: Draft[EnvironmentStatus], context: Context, task: TaskStatus) -> Draft[EnvironmentStatus] | None:
    """The draft with the actions that start the task; unchanged when it is not its turn to write; None: outdated."""
    kind = TaskKind(task.kind)
    take: list[Action] = []
    if slot.needs_slot(kind, context.gateway):
        me = Waiter(context.key, task.priority, task.since)
        # Only the first in line has to know who holds the slot; the others need no live read to go on waiting.
        if not _announced(context, task) and not slot.first_in_line(me, context.seen.waiters, context.now):
            return draft
        if context.seen.slot is None:
            return draft.needing(Need.SLOT)
        if not slot.my_turn(me, context.seen.waiters, _free(context.seen.slot, draft.actions), task.job, context.now):
            return draft
        # After the status that names the Job: a holder that no status names counts as dead.
        take.append(TakeSlot(context.gateway_namespace, context.gateway.metadata.name, task.job))
    job = _job(draft.status, context, task)
    if job is None:
        return None
    return draft.before_status(*_copies(draft.status, context, task)).after_status(*take, job)


def _announced(context: Context, task: TaskStatus) -> bool:
    """Whether the status names this Job as started already: it may hold the slot, so it is not back in the line."""
    known = context.environment.status.task
    return known is not None and known.job == task.job and known.state != "Waiting"


def _free(seen: SlotSeen, actions: tuple[Action, ...]) -> SlotSeen:
    """The slot as it is once this pass has given back what it holds."""
    returned = any(isinstance(a, ReleaseSlot) and a.job == seen.holder for a in actions)
    return SlotSeen() if returned else seen


def _job(status: EnvironmentStatus, context: Context, task: TaskStatus) -> CreateJob | None:
    kind = TaskKind(task.kind)
    built = _task(status, context, task, kind)
    if built is None:
        return None
    meta, project = context.environment.metadata, context.environment.spec.project
    with_source = built.source is not None
    git = project.git if project is not None and with_source else None
    return build_job(
        built,
        JobParts(
            owner=context.key,
            owner_uid=meta.uid,
            install=context.seen.settings.install,
            inputs=task.inputs,
            attempt=task.attempt,
            why=task.why,
            image=context.image,
            gateway=context.gateway,
            source_config_map=_copy(status, context) if with_source and project and project.config_map else None,
            git_secret=values.git_secret(context.gateway, git.url) if git is not None else None,
            checks_config_map=checks.copy_name(meta, task.inputs) if built.checks is not None else None,
        ),
    )


def _task(status: EnvironmentStatus, context: Context, task: TaskStatus, kind: TaskKind) -> contract.Task | None:
    environment, gateway, plan = context.environment, context.gateway, status.plan
    source, approved = None, None
    ordered = _checks(context, task)
    if kind is TaskKind.CHECKS and ordered is None:
        return None
    operations = values.operations_of(environment, status)
    if kind in (TaskKind.RESOLVE, TaskKind.PLAN, TaskKind.APPLY):
        source = _source(status, context, kind)
        if source is None:
            return None
    if kind is TaskKind.APPLY:
        if plan is None or plan.digest.removeprefix("sha256:")[:16] != task.inputs:
            return None
        approved = values.approved_of(environment.spec.plan, plan, by_human=bool(plan.approved_by))
        operations = tuple(o for o in operations if o.id in plan.operations)
    return contract.Task(
        kind=kind,
        job=task.job,
        nonce=of_json([task.job, environment.metadata.uid, task.since])[:16],
        gateway=values.gateway_of(gateway, context.seen.settings, planning=kind in _WEAK),
        environment=environment.sqlmesh_environment,
        protected=context.protected,
        source=source,
        plan=values.options_of(environment.spec.plan),
        operations=operations,
        approved=approved,
        checks=ordered.checks if ordered is not None else None,
        expires=context.deletion_policy == "Expire",
        audits=environment.spec.checks.audits,
        image=context.image,
        secret_env=values.secret_env(gateway),
        secret_paths=values.secret_paths(gateway),
        checked=environment.metadata.annotations.get(names.CHECKED, "")[:64],
        protected_environments=()
        if context.protected
        else tuple(sorted({s.environment for s in context.seen.siblings if s.protected})),
    )


def _source(status: EnvironmentStatus, context: Context, kind: TaskKind) -> contract.Source | None:
    project, revision = context.environment.spec.project, status.revision
    if project is None:
        return None
    if kind is TaskKind.RESOLVE:
        return values.source_of(project, commit=None, digest=None)
    if revision is None or revision.inputs != values.project_inputs(project):
        return None
    return values.source_of(project, commit=revision.resolved if project.git else None, digest=revision.digest)


def _copy(status: EnvironmentStatus, context: Context) -> str:
    return retention.copy_name(context.environment, status.revision.digest if status.revision is not None else "")


def _checks(context: Context, task: TaskStatus) -> checks.Order | None:
    seen = context.seen.checks
    if task.kind != TaskKind.CHECKS or seen is None or seen.files is None:
        return None
    meta, install = context.environment.metadata, context.seen.settings.install
    return checks.order(context.key, meta, install, context.gateway_namespace, task.inputs, seen.files)


def _copies(status: EnvironmentStatus, context: Context, task: TaskStatus) -> list[Action]:
    """Of the ConfigMaps that the task's Job mounts."""
    ordered = _checks(context, task)
    if ordered is not None:
        return [ordered.copy]
    seen = context.seen.config_map
    if task.kind not in (TaskKind.PLAN, TaskKind.APPLY) or seen is None or seen.files is None:
        return []
    meta, install = context.environment.metadata, context.seen.settings.install
    files = {escape(path): content for path, content in seen.files.items()}
    return [copies.write(context.key, meta, install, context.gateway_namespace, _copy(status, context), files)]
