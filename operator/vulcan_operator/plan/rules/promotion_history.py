"""Which promotions an environment remembers; those that it forgets lose their evidence. Pure.

Evidence outlives its promotion. An environment notes each promotion to it that has ended; what its
promotionHistory has no place for any more loses its evidence. A promotion's finalizer asks
`is_noted` before it is removed.
"""

import datetime as dt
from collections.abc import Sequence

from vulcan_operator.api.environment_history import EvidenceRef, PromotionHistory, PromotionItem
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import DeleteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.facts import PromotionFacts

_Items = Sequence[PromotionItem]


def keep(
    draft: Draft[EnvironmentStatus],
    spec: PromotionHistory,
    promotions: Sequence[PromotionFacts],
    now: dt.datetime,
) -> Draft[EnvironmentStatus]:
    """The draft with the promotions of today noted. Evidence that has no place any more is deleted
    before the status that forgets it is written, for nothing else knows its name."""
    before = draft.status.promotions
    items = _kept(spec, before, [p.item for p in promotions if p.item is not None], now)
    if items:
        oldest = min(item.finished_at for item in items)
        draft = draft.again(oldest + parse_duration(spec.max_age))
    if items == before:
        return draft
    stays = {(item.namespace, item.evidence.name) for item in items}
    places = ((item.namespace, item.evidence.name) for item in before)
    gone = (DeleteConfigMap(*place) for place in places if place not in stays)
    return draft.with_status(promotions=items).before_status(*gone)


def is_noted(
    spec: PromotionHistory, before: _Items, item: PromotionItem | None, now: dt.datetime
) -> bool:
    """Whether an environment knows of a promotion that has ended, or has no place for it."""
    return item is not None and _kept(spec, before, [item], now) == _kept(spec, before, [], now)


def item_of(promotion: VulcanPromotion) -> PromotionItem | None:
    """What its target remembers of it, once it has ended and its evidence is kept."""
    meta, status = promotion.metadata, promotion.status
    if status.outcome is None or status.finished_at is None or status.evidence_ref is None:
        return None
    return PromotionItem(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        outcome=status.outcome,
        revision=status.revision or "",
        finished_at=status.finished_at,
        evidence=EvidenceRef(name=status.evidence_ref.name, sha256=status.evidence_ref.sha256),
    )


def _kept(
    spec: PromotionHistory, before: _Items, ended: _Items, now: dt.datetime
) -> list[PromotionItem]:
    """Newest first."""
    known, since = {item.uid: item for item in before}, now - parse_duration(spec.max_age)
    new = (item for item in ended if item.uid not in known)
    young = [item for item in (*known.values(), *new) if item.finished_at > since]
    return sorted(young, key=lambda item: (item.finished_at, item.uid), reverse=True)[: spec.limit]
