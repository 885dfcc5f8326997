"""How a promotion ends before its last step: superseded, cancelled, rejected by a step. Pure.

Before anything is changed it may go at any time. From the first Job that may change the target on,
it has our finalizer until its target has adopted what it left: an environment must not forget a
revision because its record was deleted.
"""

from collections.abc import Iterator
from dataclasses import replace

from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core import actions
from vulcan_operator.plan.core.actions import AuditEntry, DeleteConfigMap, Note, StopPods
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.deadlines import GIVE_UP, must_go
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.core.seen import JobState
from vulcan_operator.plan.promotions.lane import Going, close, end
from vulcan_operator.plan.promotions.route import Case
from vulcan_operator.plan.promotions.steps import STEPS
from vulcan_operator.plan.rules import promoted_revision, promotion_history
from vulcan_operator.plan.rules.promotion_changes import CHANGES, half_done, is_changing
from vulcan_operator.plan.tasks.jobs import Progress

Walk = tuple[Draft[PromotionStatus], Verdict | None]  # and why it waits, where a step says so


def add_finalizer(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """With our finalizer, before the first Job that may change the target or leaves a copy."""
    if names.FINALIZER in case.meta.finalizers or case.meta.deletion_timestamp is not None:
        return draft
    return draft.before_status(actions.SetFinalizer.ours(case.key, case.meta, there=True))


def remove_finalizer(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """Without it, once its end is written and the target knows of it; deletion always ends."""
    deleted, has_ended = case.meta.deletion_timestamp, case.promotion.status.outcome is not None
    if names.FINALIZER not in case.meta.finalizers:
        return draft
    if has_ended and (is_late(case) or _is_known(case)):
        return draft.after_status(actions.SetFinalizer.ours(case.key, case.meta, there=False))
    return draft.again(deleted + GIVE_UP if deleted is not None else None)


def give_up(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """Deletion ends also where the API server refuses what would have to be done first."""
    if case.meta.deletion_timestamp is None:
        return draft
    if is_late(case) and draft.status.outcome is None:
        draft = drop_leftovers(stop(_cancelled(draft, case), case, {}), case)
    return remove_finalizer(draft, case)


def is_late(case: Case) -> bool:
    """Whether it was deleted so long ago that its finalizer goes whatever is missing."""
    return must_go(case.meta, case.now)


def _is_known(case: Case) -> bool:
    """Whether the target knows of its end, or never will."""
    target, left, now = case.seen.target, case.facts.left, case.now
    if target is None or target.metadata.deleted is not None:
        return True
    route = case.route(case.promotion.status)
    history = (route.rules if route is not None else target.spec).promotion_history
    if not promotion_history.is_noted(history, target.promotions, case.facts.item, now):
        return False
    if left is None or target.spec.revision_from != "Promotion":
        return True
    return promoted_revision.is_adopted(target.applied, left)


def superseded(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus] | None:
    """Its end, when a newer one takes its place before it has changed anything."""
    newer = case.successor()
    if newer is None or is_changing(draft.status) or case.is_back:
        return None
    status = end(draft.status, Outcome.SUPERSEDED, case.now)
    return draft.with_new(status).with_status(superseded_by=newer.full_name)


def superseding(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """Whose place this one took, as they say themselves."""
    found = {p.full_name for p in case.seen.rivals if p.superseded_by == str(case.key)}
    known = sorted({*draft.status.supersedes, *found})[:64]
    return draft.with_status(supersedes=known) if known != draft.status.supersedes else draft


def stop(draft: Draft[PromotionStatus], case: Case, going: Going) -> Draft[PromotionStatus]:
    """In the pass that ends it: Jobs that go on are told to stop, those that were ordered are not
    created. Later: a Job that was not told is told again."""
    if draft.status.outcome is None:
        return draft
    if case.promotion.status.outcome is not None:
        return draft.after_status(*_not_told(case))
    ordered = actions.CreateJob | actions.TakeSlot
    kept = tuple(action for action in draft.actions if not isinstance(action, ordered))
    draft = replace(draft, actions=kept)
    there, outcome = draft.status.is_there, draft.status.outcome
    why = "nothing would change" if there else f"the promotion is over ({outcome})"
    reports = draft.status.reports
    for step in draft.status.steps:
        if step.has_ended:
            continue
        name = StepName(step.name)
        if step.task is not None and name in going:
            draft = draft.after_status(_stopping(step.task, going[name]))
        evidence = {key: told for key, told in step.evidence.items() if told not in reports}
        stopped = Done(StepState.SKIPPED, f"not judged: {why}", evidence)
        draft = draft.with_new(close(draft.status, name, case.now, stopped))
    return draft


def drop_leftovers(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """Without the ConfigMaps that the status named before and does not name now. They go before it
    is written: nothing else knows their names."""

    def named(status: PromotionStatus) -> set[DeleteConfigMap]:
        return set().union(*(step.leftovers(status, case.meta) for step in STEPS.values()))

    gone = named(case.promotion.status) - named(draft.status)
    return draft.before_status(*sorted(gone, key=lambda action: action.name))


def _stopping(task: TaskStatus, progress: Progress) -> StopPods | actions.DeleteJob:
    """A task that has not begun goes with its Job, or it would begin yet."""
    namespace, _ = task.place
    begun = progress.pod is not None and (progress.pod.started or progress.pod.ended)
    return StopPods(namespace, task.job) if begun else actions.DeleteJob(namespace, task.job)


def _not_told(case: Case) -> Iterator[StopPods]:
    """Jobs of a promotion that is over, whose pods run: they were not told to stop."""
    going = {(j.namespace, j.name) for j in case.seen.jobs if j.state is JobState.UNFINISHED}
    running = (p for p in case.seen.pods if p.started and not p.ended and not p.deleting)
    yield from (StopPods(p.namespace, p.job) for p in running if (p.namespace, p.job) in going)


def idle(draft: Draft[PromotionStatus], going: Going) -> Draft[PromotionStatus]:
    """Tasks that have not begun leave the queue while a precondition does not hold."""
    before = draft.status.steps
    steps = [s if s.name in going or s.task is None else s.but(task=None) for s in before]
    return draft if steps == before else draft.with_status(steps=steps)


def unfinished(status: PromotionStatus, case: Case, going: Going) -> StepName | None:
    """Deleted under way: the step that must be brought to an end first, for its last Job may have
    left the views half changed. None: there is none, it still goes on, or it is too late."""
    kept = names.FINALIZER in case.meta.finalizers
    if is_late(case) or not kept or any(name in going for name in CHANGES):
        return None
    found = half_done(status)
    if found is not None and (status.plan is not None or found.name == StepName.ROLLBACK):
        return StepName(found.name)
    back = status.find(StepName.ROLLBACK)
    wanted = status.rollback is not None and (back is None or not back.has_ended)
    return StepName.ROLLBACK if wanted else None


def cancel(draft: Draft[PromotionStatus], case: Case, going: Going) -> Walk:
    """The next step towards the end of a promotion that was deleted under way."""
    if names.FINALIZER not in case.meta.finalizers:
        return idle(draft, {}), None  # others hold it; nothing was changed, and nothing will be
    writer = next((name for name in CHANGES if name in going), None)
    if is_late(case):
        return _cancelled(draft, case), None
    if writer is not None:
        return _stop_writer(draft, writer, going[writer])
    if unfinished(draft.status, case, going) is not None:
        message = "deleted: its last Job ended without a result, so what it began is finished first"
        return draft, Verdict("False", Why.CANCELLING, message, reconciling=True)
    return _cancelled(draft, case), None


def _stop_writer(draft: Draft[PromotionStatus], name: StepName, progress: Progress) -> Walk:
    """A Job that changes views stops where it leaves none half changed; one that finishes what
    another has half done goes on, and so does a rollback."""
    step, pod = draft.status.find(name), progress.pod
    assert step is not None and step.task is not None
    may_stop = name is not StepName.ROLLBACK and not step.touched
    if may_stop and pod is not None and pod.started and not pod.deleting:
        draft = draft.after_status(StopPods(step.task.place[0], step.task.job))
    message = f"deleted: waiting for Job {step.task.job}, which may be changing views, to end"
    return draft, Verdict("False", Why.CANCELLING, message, reconciling=True)


def _cancelled(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    target, gateway, late = case.seen.target, case.seen.gateway, is_late(case)
    done = _what_was_done(draft.status, late=late)
    environment = target.sqlmesh_environment if target is not None else ""
    place = (gateway.metadata.name if gateway is not None else "", environment)
    audit = AuditEntry("promotion", Outcome.CANCELLED, Why.CANCELLED, *place, why=done)
    note = Note(Why.CANCELLED, f"deleted under way: {done}", warning=late, audit=audit)
    return draft.with_new(end(draft.status, Outcome.CANCELLED, case.now)).noting(note)


def _what_was_done(status: PromotionStatus, *, late: bool) -> str:
    if late and not status.applied_plan_id:
        unknown = f"not known within {GIVE_UP} whether the views were changed"
        return f"{unknown}; look at the environment's condition Drifted"
    if half_done(status) is not None:
        return "some views may be changed and others not; promote again, or go back with rollbackTo"
    if status.applied_plan_id and status.is_there:
        return "nothing had been changed; the target has the revision already"
    if status.applied_plan_id:
        return f"the views were changed to plan {status.applied_plan_id}, and that was not verified"
    return "nothing had been changed"
