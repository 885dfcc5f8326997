"""Which promotions an environment remembers, and what becomes of their evidence when it forgets them. Pure.

Evidence outlives the promotion it is of. An environment notes each promotion to it that has ended; what its promotionHistory
has no place for any more loses its evidence. A promotion's finalizer asks `is_noted` before it lets it go.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_history import EvidenceRef, PromotionItem
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import DeleteConfigMap
from vulcan_operator.plan.core.decision import Draft


def keep(
    draft: Draft[EnvironmentStatus],
    environment: VulcanEnvironment,
    promotions: Sequence[VulcanPromotion],
    now: dt.datetime,
) -> Draft[EnvironmentStatus]:
    """The draft with the promotions of today noted, and what falls out let go: before the status that forgets it is
    written, for nothing else knows its name."""
    before = draft.status.promotions
    items = _kept(environment, before, promotions, now)
    if items:
        oldest = min(item.finished_at for item in items)
        draft = draft.again(oldest + parse_duration(environment.spec.promotion_history.max_age))
    if items == before:
        return draft
    stays = {(item.namespace, item.evidence.name) for item in items}
    gone = [(i.namespace, i.evidence.name) for i in before if (i.namespace, i.evidence.name) not in stays]
    return draft.with_status(promotions=items).before_status(*(DeleteConfigMap(*place) for place in gone))


def is_noted(environment: VulcanEnvironment, promotion: VulcanPromotion, now: dt.datetime) -> bool:
    """Whether an environment knows of a promotion that has ended, or has no place for it any more."""
    before = environment.status.promotions
    with_it, without = (_kept(environment, before, seen, now) for seen in ([promotion], []))
    return _item(promotion) is not None and with_it == without


def _kept(
    environment: VulcanEnvironment, before: list[PromotionItem], promotions: Iterable[VulcanPromotion], now: dt.datetime
) -> list[PromotionItem]:
    """Newest first."""
    spec, known = environment.spec.promotion_history, {item.uid for item in before}
    ended = [_item(p) for p in promotions if p.metadata.uid not in known]
    since = now - parse_duration(spec.max_age)
    young = [item for item in (*before, *ended) if item is not None and item.finished_at > since]
    return sorted(young, key=lambda item: (item.finished_at, item.uid), reverse=True)[: spec.limit]


def _item(promotion: VulcanPromotion) -> PromotionItem | None:
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
