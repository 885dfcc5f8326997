"""Revisions that were rolled back: no promotion tries one again until its hold is lifted. Pure.

Told from the environment, which remembers them, and from the promotions that still exist. Used by
`promoted_revision` and by a promotion's first step.
"""

from collections.abc import Iterable, Mapping, Sequence

from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.environment_status import MOST_HELD, HeldStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import StepName, StepState
from vulcan_operator.plan.core.facts import PromotionFacts


def of(
    annotations: Mapping[str, str],
    remembered: Sequence[HeldStatus],
    promotions: Iterable[PromotionFacts],
) -> list[HeldStatus]:
    """Revisions of an environment that are held, newest first; a hold that was lifted is over."""
    lifted = set(annotations.get(names.HOLD_LIFTED, "").split(","))
    known = {held.id: held for held in remembered}
    known |= {p.held.id: p.held for p in promotions if p.held is not None}
    found = sorted(known.values(), key=lambda held: (held.time, held.id), reverse=True)
    return [held for held in found if held.id not in lifted][:MOST_HELD]


def held_by(promotion: VulcanPromotion) -> HeldStatus | None:
    """The revision that it rolled back; a promotion that has rolled nothing back holds nothing."""
    status = promotion.status
    back = status.rollback
    if status.outcome is None or not status.went_back or back is None or back.time is None:
        return None
    undone = status.previous if promotion.spec.rollback_to is not None else None
    if undone is not None and undone.source_digest == status.source_digest:
        return None
    revision = undone.revision if undone is not None else status.revision
    digest = undone.source_digest if undone is not None else status.source_digest
    verified = status.find(StepName.VERIFY)
    failed = verified is not None and verified.state == StepState.FAILED
    return HeldStatus(
        id=of_json([promotion.metadata.uid, back.plan_id])[:12],
        revision=revision or "",
        source_digest=digest or "",
        promotion=promotion.metadata.full_name,
        time=back.time,
        message=verified.message if verified is not None and failed else "rolled back by hand",
    )
