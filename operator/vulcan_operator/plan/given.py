"""What promotions gave an environment with revisionFrom: Promotion. Pure.

Its desired revision is that of the last promotion to it that ended well, so it can be told from the objects alone, also
after its status was wiped. Used by `environment`; promotions themselves never write an environment's status.
"""

from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.environment_status import AppliedStatus, EnvironmentStatus, HeldStatus, HistoryItem
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.context import Context
from vulcan_operator.plan.status import Draft

_HISTORY = 10
_WELL = ("Succeeded", "RolledBack")


def take(draft: Draft[EnvironmentStatus], context: Context) -> Draft[EnvironmentStatus]:
    """The draft with what the last promotion left, and with a hold that somebody lifted gone."""
    if context.environment.spec.revision_from != "Promotion":
        return draft
    draft = _lifted(draft, context)
    over = [p for p in context.seen.promotions if p.status.outcome in _WELL and p.status.applied_plan_id]
    last = max(over, key=lambda p: (p.status.finished_at or context.now, p.metadata.name), default=None)
    if last is None or last.status.finished_at is None:
        return draft
    known = draft.status.applied
    if known is not None and (known.plan_id == last.status.applied_plan_id or known.time > last.status.finished_at):
        return draft
    applied = _applied(last)
    item = HistoryItem(
        revision=applied.revision, plan_id=applied.plan_id, plan_digest=applied.plan_digest, time=applied.time
    )
    return draft.having(
        applied=applied,
        promotion=_name(last),
        held=_held(last),
        history=[item, *draft.status.history][:_HISTORY],
        green_runs=0,
        failure=None,
        run_failure=None,
        plan=None,
        next_run_time=context.now,  # every change of views is followed at once by a run
        observed_plan_id=applied.plan_id,
    )


def _lifted(draft: Draft[EnvironmentStatus], context: Context) -> Draft[EnvironmentStatus]:
    held = draft.status.held
    said = context.environment.metadata.annotations.get(names.HOLD_LIFTED)
    return draft.having(held=None) if held is not None and said == held.promotion else draft


def _applied(promotion: VulcanPromotion) -> AppliedStatus:
    """What the environment has: the promoted revision, or after a way back what it had before."""
    status = promotion.status
    back = status.previous if status.outcome == "RolledBack" else None
    assert status.finished_at is not None
    return AppliedStatus(
        revision=(back.revision if back is not None else status.revision) or "",
        source_digest=(back.source_digest if back is not None else status.source_digest) or "",
        inputs=of_json([promotion.metadata.uid, status.applied_plan_id])[:16],
        plan_id=status.applied_plan_id,
        plan_digest=status.plan.digest if status.plan is not None and back is None else "",
        time=status.finished_at,
        approved_by=[] if back is not None else status.approved_by,
    )


def _held(promotion: VulcanPromotion) -> HeldStatus | None:
    """The revision that was taken back; a promotion that ended well holds nothing."""
    status = promotion.status
    if status.rollback is None or status.rollback.state != "Succeeded" or status.rollback.time is None:
        return None
    undone = status.previous if promotion.spec.rollback_to is not None else None
    revision = undone.revision if undone is not None else status.revision
    digest = undone.source_digest if undone is not None else status.source_digest
    return HeldStatus(
        revision=revision or "",
        source_digest=digest or "",
        promotion=_name(promotion),
        time=status.rollback.time,
        message=status.rollback.message,
    )


def _name(promotion: VulcanPromotion) -> str:
    return f"{promotion.metadata.namespace}/{promotion.metadata.name}"
