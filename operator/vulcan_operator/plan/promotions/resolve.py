"""The first step of a promotion: which revision moves, where its files are, and what the target has. Pure.

Used by `stages`. For a way back it is an earlier revision of the target itself.
"""

import fnmatch

from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import AppliedStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PreviousStatus, PromotionStatus, SideStatus
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions import origin
from vulcan_operator.plan.promotions.context import SAME, PromotionContext, Site
from vulcan_operator.plan.promotions.moves import FAILED, PASSED, Done, Hold, Move
from vulcan_operator.plan.rules import held_revisions, promoted_revision
from vulcan_operator.plan.rules.messages import named, short


def resolve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The revision that moves, and what the target has."""
    target = context.target
    last = promoted_revision.last_given(context.seen.rivals)
    if last is not None and not promoted_revision.is_taken(target.status.applied, last):
        name = last.metadata.full_name
        message = f"waiting for {target.metadata.full_name} to take up what VulcanPromotion {name} has left"
        return Hold(Verdict("False", Why.QUEUED, message, reconciling=True))
    had = target.status.applied
    settles: dict[str, object] = {"target": _side(context.to, had), "previous": _previous(had)}
    if context.promotion.spec.rollback_to is not None:
        return _resolve_back(context, settles)
    if status.source is not None:  # looked at again because the target has moved: the same revision goes on
        revision, digest = status.revision or "", status.source_digest or ""
        return _unless_held(context, revision, digest, Done(PASSED, f"revision {short(revision)}", settles=settles))
    return _resolve_source(context, settles)


def _resolve_source(context: PromotionContext, settles: dict[str, object]) -> Move:
    source, wanted = context.source, context.promotion.spec.revision
    applied, name = source.status.applied, source.metadata.full_name
    if source.metadata.uid == context.target.metadata.uid:
        return Done(FAILED, f"from and to are the same environment, {name}")
    if applied is None or not applied.plan_id:
        message = f"waiting for VulcanEnvironment {name}: nothing is applied there"
        return Hold(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))
    if wanted is not None and wanted not in (applied.revision, applied.source_digest):
        return Done(FAILED, f"{name} has revision {short(applied.revision)}, not {wanted}")
    found = _origin(context, applied)
    if isinstance(found, Done | Hold):
        return found
    settles = settles | {
        "origin": found,
        "relation": context.relation, "revision": applied.revision, "source_digest": applied.source_digest,
        "source": _side(context.origin, applied),
    }  # fmt: skip
    done = Done(PASSED, f"revision {short(applied.revision)}, plan {applied.plan_id}", settles=settles)
    return _unless_held(context, applied.revision, applied.source_digest, done)


def _origin(context: PromotionContext, applied: AppliedStatus) -> Origin | Done | Hold | None:
    """Where another system gets the files from, or why it cannot. Within one system it is only noted, if it is known."""
    source, name = context.source, context.source.metadata.full_name
    if context.relation == SAME:
        return origin.of_applied(source)
    if applied.partial:
        return Done(FAILED, f"{name} has only some models of it (plan.selectModels); another system would get all")
    found = origin.of_applied(source)
    if found is None and source.spec.project is None:
        message = (
            f"it is not known where the files of what {name} has are; promote from the environment with the project"
        )
        return Done(FAILED, message)
    if found is None:
        message = f"waiting for VulcanEnvironment {name}: its project has changed since it was applied"
        return Hold(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))
    allowed = context.gateway.spec.runner.allowed_images
    if found.image and not any(fnmatch.fnmatchcase(found.image, pattern) for pattern in allowed):
        return Done(FAILED, f"image {found.image} is not in the runner.allowedImages of the target's gateway")
    return found


def _unless_held(context: PromotionContext, revision: str, digest: str, done: Done) -> Done:
    """A revision that was taken back is not tried again before somebody has lifted the hold."""
    target = context.target
    everything = (*context.seen.rivals, context.promotion)
    held = next((h for h in held_revisions.of(target, everything) if h.source_digest == digest and digest), None)
    if held is None:
        return done
    known = target.metadata.annotations.get(names.HOLD_LIFTED, "")
    message = (
        f"revision {named(revision, digest)} was rolled back by {held.promotion} and is held; promote another revision,"
        f" or lift the hold: kubectl annotate vulcanenvironment {target.metadata.name} -n {target.metadata.namespace}"
        f" --overwrite {names.HOLD_LIFTED}={','.join(filter(None, (known, held.id)))}"
    )
    return Done(FAILED, message, settles=done.settles)


def _resolve_back(context: PromotionContext, settles: dict[str, object]) -> Move:
    wanted = context.promotion.spec.rollback_to
    assert wanted is not None
    if wanted.promotion is not None:
        place = (context.key.namespace, wanted.promotion)
        undone_ = next((p for p in context.seen.rivals if (p.metadata.namespace, p.metadata.name) == place), None)
        why_not = _why_not(undone_)
        if undone_ is None or undone_.status.previous is None or why_not:
            name = f"VulcanPromotion {context.key.namespace}/{wanted.promotion}"
            return Done(FAILED, f"{name} {why_not}; to go back to an earlier plan write {context.way_back}")
        before, has = undone_.status.previous, context.target.status.applied
        is_there = has is not None and has.source_digest == before.source_digest  # GitOps creates objects again
        if has is not None and has.plan_id != undone_.status.applied_plan_id and not is_there:
            where = f"VulcanEnvironment {context.target.metadata.full_name}"
            message = (
                f"{where} has moved on since VulcanPromotion {wanted.promotion}: it has revision {short(has.revision)};"
                " name the plan to go back to as rollbackTo.planId (see its status.rollbackTargets)"
            )
            return Done(FAILED, message)
        revision, plan_id, digest, files = before.revision, before.plan_id, before.source_digest, before.origin
        tests = before.tests_run
    else:
        status = context.target.status
        had = {h.plan_id: (h.revision, h.source_digest) for h in status.rollback_targets}
        had |= {h.plan_id: (h.revision, h.source_digest) for h in status.history}
        plan_id, files = wanted.plan_id or "", None
        if plan_id not in had:
            known = ", ".join(sorted(had)) or "none"
            return Done(FAILED, f"plan {plan_id} is not in the environment's status.history; there are: {known}")
        revision, digest = had[plan_id]
        tests = -1
    side = SideStatus(
        environment=context.target.sqlmesh_environment,
        gateway=context.to.name if context.to is not None else "",
        plan_id=plan_id,
        revision=revision,
    )
    settles = settles | {
        "relation": SAME, "revision": revision, "source_digest": digest, "source": side, "origin": files,
    }  # fmt: skip
    done = Done(PASSED, f"back to revision {short(revision)}, plan {plan_id}", {"testsRun": str(tests)}, settles)
    return _unless_held(context, revision, digest, done)


def _why_not(promotion: VulcanPromotion | None) -> str:
    """Why a promotion cannot be undone; empty: it can."""
    if promotion is None:
        return "is not there, or goes to another environment"
    status = promotion.status
    if promotion.spec.rollback_to is not None:
        return "is a way back itself"
    if status.outcome is None:
        return "has not ended; delete it to cancel it"
    if not status.applied_plan_id or status.is_there:
        return "has changed nothing"
    return "" if status.previous is not None else "found nothing that could be put back"


def _side(site: Site | None, applied: AppliedStatus | None) -> SideStatus:
    assert site is not None
    return SideStatus(
        environment=site.environment.sqlmesh_environment,
        gateway=site.name,
        plan_id=applied.plan_id if applied is not None else "",
        revision=applied.revision if applied is not None else "",
    )


def _previous(had: AppliedStatus | None) -> PreviousStatus | None:
    if had is None:
        return None
    return PreviousStatus(
        revision=had.revision, source_digest=had.source_digest, plan_id=had.plan_id, time=had.time,
        tests_run=had.tests_run, origin=had.origin,
    )  # fmt: skip
