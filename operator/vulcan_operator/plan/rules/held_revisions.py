"""Revisions that were taken back: no promotion tries one of them again before somebody has lifted the hold. Pure.

Told from the environment, which remembers them, and from the promotions that still exist. Used by
`promoted_revision` and by a promotion's first step.
"""

from collections.abc import Iterable

from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import MOST_HELD, HeldStatus
from vulcan_operator.api.promotion import VulcanPromotion


def of(environment: VulcanEnvironment, promotions: Iterable[VulcanPromotion]) -> list[HeldStatus]:
    """Revisions that were taken back and that nobody has let go: no promotion tries one of them again, under any name."""
    lifted = set(environment.metadata.annotations.get(names.HOLD_LIFTED, "").split(","))
    known = {held.id: held for held in environment.status.held}
    known |= {held.id: held for held in map(_held, promotions) if held is not None}
    found = sorted(known.values(), key=lambda held: (held.time, held.id), reverse=True)
    return [held for held in found if held.id not in lifted][:MOST_HELD]


def _held(promotion: VulcanPromotion) -> HeldStatus | None:
    """The revision that was taken back; a promotion that took nothing back holds nothing."""
    status = promotion.status
    if status.outcome is None or not status.went_back or status.rollback is None or status.rollback.time is None:
        return None
    undone = status.previous if promotion.spec.rollback_to is not None else None
    if undone is not None and undone.source_digest == status.source_digest:
        return None
    revision = undone.revision if undone is not None else status.revision
    digest = undone.source_digest if undone is not None else status.source_digest
    verified = status.find("Verify")
    return HeldStatus(
        id=of_json([promotion.metadata.uid, status.rollback.plan_id])[:12],
        revision=revision or "",
        source_digest=digest or "",
        promotion=promotion.metadata.full_name,
        time=status.rollback.time,
        message=verified.message if verified is not None and verified.state == "Failed" else "taken back by hand",
    )
