"""How a promotion ends before its last step: superseded, cancelled by deletion, stopped by a gate's no. Pure.

Before anything is changed it may go at any time. From the first Job that may change the target on it has our finalizer,
until its target has taken up what it left: an environment must not forget a revision because its record was deleted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import (
    CreateJob,
    DeleteConfigMap,
    DeleteJob,
    Note,
    SetFinalizer,
    StopPods,
    TakeSlot,
)
from vulcan_operator.plan.core.deadlines import GIVE_UP, must_go
from vulcan_operator.plan.core.decision import Draft, Verdict
from vulcan_operator.plan.core.seen import JobState
from vulcan_operator.plan.promotions import diff_step, origin, record, stages
from vulcan_operator.plan.promotions.context import ACROSS, CHANGES, PromotionContext, half_done, is_changing
from vulcan_operator.plan.promotions.moves import ENDED, SKIPPED, Done
from vulcan_operator.plan.rules import promoted_revision, promotion_history
from vulcan_operator.plan.tasks import checks
from vulcan_operator.plan.tasks.jobs import Progress


def keep(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """With our finalizer, before the first Job that may change the target or needs a copy of a project."""
    meta = context.promotion.metadata
    if names.FINALIZER in meta.finalizers or meta.deletion_timestamp is not None:
        return draft
    return draft.before_status(SetFinalizer.ours(context.key, meta, there=True))


def let_go(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """The finalizer goes once its end is written and the target knows of it; deletion always ends."""
    meta, ended = context.promotion.metadata, context.promotion.status.outcome is not None
    if names.FINALIZER not in meta.finalizers:
        return draft
    if not ended or not (is_late(context) or _is_told(context)):
        return draft.again(meta.deletion_timestamp + GIVE_UP if meta.deletion_timestamp is not None else None)
    return draft.after_status(SetFinalizer.ours(context.key, meta, there=False))


def give_up(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """Deletion ends also where the API server refuses what would have to be done first."""
    if context.promotion.metadata.deletion_timestamp is None:
        return draft
    if is_late(context) and draft.status.outcome is None:
        draft = stop(_cancelled(draft, context, late=True), context, {})
    return let_go(draft, context)


def is_late(context: PromotionContext) -> bool:
    """Whether it was deleted so long ago that it is let go whatever is missing."""
    return must_go(context.promotion.metadata, context.now)


def _is_told(context: PromotionContext) -> bool:
    target, promotion = context.seen.target, context.promotion
    if target is None or target.metadata.deletion_timestamp is not None:
        return True
    if not promotion_history.is_noted(target, promotion, context.now):
        return False
    if not promotion.status.applied_plan_id or target.spec.revision_from != "Promotion":
        return True
    return promoted_revision.is_taken(target.status.applied, promotion)


def superseded(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus] | None:
    """Its end, when a newer one takes its place before it has changed anything."""
    newer = context.successor()
    if newer is None or is_changing(draft.status) or context.promotion.spec.rollback_to is not None:
        return None
    name = newer.metadata.full_name
    status = record.end(draft.status, "Superseded", context.now)
    return replace(draft, status=status).with_status(superseded_by=name)


def superseding(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """Whose place this one took, as they say themselves."""
    mine = str(context.key)
    found = {p.metadata.full_name for p in context.seen.rivals if p.status.superseded_by == mine}
    known = sorted({*draft.status.supersedes, *found})[:64]
    return draft.with_status(supersedes=known) if known != draft.status.supersedes else draft


def stop(
    draft: Draft[PromotionStatus], context: PromotionContext, going: Mapping[str, Progress]
) -> Draft[PromotionStatus]:
    """In the pass that ends it: what still goes on for it is told to stop, what was ordered is not begun, and what was
    copied for it goes. Later: what has not heard it is told again."""
    if draft.status.outcome is None:
        return draft
    if context.promotion.status.outcome is not None:
        return draft.after_status(*_unheard(context))
    draft = replace(draft, actions=tuple(a for a in draft.actions if not isinstance(a, CreateJob | TakeSlot)))
    why = "nothing would change" if draft.status.is_there else f"the promotion is over ({draft.status.outcome})"
    for step in draft.status.steps:
        if step.state in ENDED:
            continue
        if step.task is not None and step.name in going:
            draft = draft.after_status(_ended(step.task, going[step.name]))
        if step.task is not None and step.task.kind == TaskKind.CHECKS:
            copy = checks.copy_name(context.promotion.metadata, step.task.inputs)
            draft = draft.before_status(DeleteConfigMap(step.task.place[0], copy))
        reports = draft.status.reports if step.name == diff_step.STEP else []
        draft = draft.before_status(*(DeleteConfigMap(context.key.namespace, name) for name in reports))
        evidence = {key: said for key, said in step.evidence.items() if said not in reports}
        stopped = Done(SKIPPED, f"not judged: {why}", evidence)
        draft = replace(draft, status=record.put(draft.status, step.name, stopped, context.now))
    kept = draft.status.origin
    if draft.status.relation == ACROSS and kept is not None and kept.kind == "ConfigMap" and context.to is not None:
        namespace = context.to.gateway.metadata.namespace
        draft = draft.before_status(DeleteConfigMap(namespace, origin.copy_name(context, draft.status)))
    return draft


def _ended(task: TaskStatus, progress: Progress) -> StopPods | DeleteJob:
    """What has not begun goes with its Job, or it would begin yet."""
    namespace = task.place[0]
    unbegun = progress.pod is None or not (progress.pod.started or progress.pod.ended)
    return DeleteJob(namespace, task.job) if unbegun else StopPods(namespace, task.job)


def _unheard(context: PromotionContext) -> Iterator[StopPods]:
    """Jobs of a promotion that is over: whoever ended it may have died before they were told."""
    going = {(j.namespace, j.name) for j in context.seen.jobs if j.state is JobState.UNFINISHED}
    deaf = (p for p in context.seen.pods if p.started and not p.ended and not p.deleting)
    yield from (StopPods(p.namespace, p.job) for p in deaf if (p.namespace, p.job) in going)


def idle(draft: Draft[PromotionStatus], going: Mapping[str, Progress]) -> Draft[PromotionStatus]:
    """Tasks that have not begun leave the line while a gate is shut."""
    steps = [s if s.name in going or s.task is None else s.but(task=None) for s in draft.status.steps]
    return draft if steps == draft.status.steps else draft.with_status(steps=steps)


def cancel(
    draft: Draft[PromotionStatus], context: PromotionContext, going: Mapping[str, Progress]
) -> tuple[Draft[PromotionStatus], Verdict | None, bool]:
    """The next step towards the end of a promotion that was deleted under way. True: its last Job must be done again."""
    deleted = context.promotion.metadata.deletion_timestamp
    assert deleted is not None
    if names.FINALIZER not in context.promotion.metadata.finalizers:
        return idle(draft, {}), None, False  # others hold it; nothing was changed, and nothing will be
    late = is_late(context)
    writer = next((name for name in CHANGES if name in going), None)
    if writer is not None and not late:
        task, pod = draft.status.find(writer), going[writer].pod
        assert task is not None and task.task is not None
        if writer != "Rollback" and not task.touched and pod is not None and pod.started and not pod.deleting:
            draft = draft.after_status(StopPods(task.task.place[0], task.task.job))
        said = f"deleted: waiting for Job {task.task.job}, which may be changing views, to end"
        return draft.again(deleted + GIVE_UP), Verdict("False", Why.CANCELLING, said, reconciling=True), False
    if not late and unfinished(draft.status):
        said = "deleted: its last Job ended without a word, so what it began is brought to an end first"
        verdict = Verdict("False", Why.CANCELLING, said, reconciling=True)
        return draft.again(deleted + GIVE_UP), verdict, context.to is not None
    return _cancelled(draft, context, late=late), None, False


def _cancelled(draft: Draft[PromotionStatus], context: PromotionContext, *, late: bool) -> Draft[PromotionStatus]:
    said = _what_was_done(draft.status, late=late)
    note = Note(Why.CANCELLED, f"deleted under way: {said}", warning=late, audit=_audit(context, said))
    return replace(draft, status=record.end(draft.status, "Cancelled", context.now)).noting(note)


def unfinished(status: PromotionStatus) -> stages.Together:
    """The step whose Job may have left the views half changed; empty: there is none, or it has no plan any more."""
    steps = {name: step for stage in (*stages.FORWARD, *stages.BACK) for name, step in stage}
    found = half_done(status)
    if found is not None and (status.plan is not None or found.name == "Rollback"):
        return ((found.name, steps[found.name]),)
    back = status.find("Rollback")
    if status.rollback is not None and (back is None or back.state not in ENDED):
        return stages.BACK[1]
    return ()


def _what_was_done(status: PromotionStatus, *, late: bool) -> str:
    if late and not status.applied_plan_id:
        return f"not known within {GIVE_UP} whether the views were changed; look at the environment's condition Drifted"
    if half_done(status) is not None:
        return "some views may be changed and others not; promote again, or go back with rollbackTo"
    if status.applied_plan_id and status.is_there:
        return "nothing had been changed; the target has the revision already"
    if status.applied_plan_id:
        return f"the views were changed to plan {status.applied_plan_id}, and that was not verified"
    return "nothing had been changed"


def _audit(context: PromotionContext, said: str) -> dict[str, str]:
    return {
        "operation": "promotion", "outcome": "Cancelled", "reason": Why.CANCELLED, "why": said,
        "environment": context.target.sqlmesh_environment if context.seen.target is not None else "",
        "gateway": context.gateway.metadata.name if context.seen.gateway is not None else "",
    }  # fmt: skip
