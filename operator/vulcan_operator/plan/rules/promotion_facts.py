"""A promotion as others read it. Pure; made once per change, by `cluster`."""

from vulcan_operator.api import names
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.conditions import condition, is_true
from vulcan_operator.plan.core.facts import PromotionFacts
from vulcan_operator.plan.rules import held_revisions, promoted_revision, promotion_history
from vulcan_operator.plan.rules.promotion_changes import is_changing


def promotion_facts(promotion: VulcanPromotion) -> PromotionFacts:
    """The facts of a promotion."""
    meta, spec, status = promotion.metadata, promotion.spec, promotion.status
    ready = condition(status.conditions, Type.READY)
    reason = ready.reason if ready is not None else ""
    deleted, changing = meta.deletion_timestamp is not None, is_changing(status)
    never_began = status.started_at is None and reason == Why.ENVIRONMENT_NOT_FOUND
    missing = never_began or reason == Why.CONFIG_MAP_MISSING
    back, over = status.rollback, status.outcome is not None
    return PromotionFacts(
        key=Key(Kind.PROMOTION, meta.namespace, meta.name),
        uid=meta.uid,
        created=meta.creation_timestamp,
        is_rollback=spec.rollback_to is not None,
        takes_places=spec.queue == "Supersede",
        outcome=status.outcome,
        is_started=status.started_at is not None,
        is_deleted=deleted,
        is_inert=deleted and not (changing and names.FINALIZER in meta.finalizers),
        is_queued=reason == Why.QUEUED,
        goes_nowhere=missing or is_true(status.conditions, Type.STALLED),
        is_changing=changing,
        is_there=status.is_there,
        superseded_by=status.superseded_by,
        applied_plan_id=status.applied_plan_id,
        left=promoted_revision.left_by(promotion),
        intervals_behind=back.intervals_behind if back is not None and status.went_back else None,
        held=held_revisions.held_by(promotion),
        item=promotion_history.item_of(promotion),
        previous=status.previous,
        plan=status.plan if over and status.applied_plan_id else None,
    )
