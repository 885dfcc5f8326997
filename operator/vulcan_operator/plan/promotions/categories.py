"""What was decided of the same change in the source's system, beside a plan across systems. Pure; nothing is decided by it:
each system classifies changes for itself, because what it has already may differ."""

from vulcan_operator.api.environment_status import PlanStatus, PlanSummaryStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.promotions.context import ACROSS, PromotionContext

_MOST = 900  # characters of evidence


def beside(summary: PlanSummaryStatus, status: PromotionStatus, context: PromotionContext) -> PlanSummaryStatus:
    """The summary with each model's category in the source's system, as far as its last plan is still known."""
    plan = _plan_there(context)
    if status.relation != ACROSS or plan is None:
        return summary
    theirs = {model.name: model.category for model in plan.summary.models}
    models = [m.but(source_category=theirs.get(m.name, "")) for m in summary.models]
    return summary.but(models=models)


def _plan_there(context: PromotionContext) -> PlanStatus | None:
    """The plan that the source has applied: its own, or that of the promotion which gave it the revision."""
    source = context.seen.source  # which may be gone since the plan was ordered
    if source is None or source.status.applied is None:
        return None
    plans = (source.status.plan, *(p.status.plan for p in context.seen.upstream))
    return next((p for p in plans if p is not None and p.digest == source.status.applied.plan_digest), None)


def disagreements(summary: PlanSummaryStatus, status: PromotionStatus) -> dict[str, str]:
    """Evidence: how many categories could be compared, and which differ."""
    if status.relation != ACROSS:
        return {}
    both = [m for m in summary.models if m.category and m.source_category]
    said = [f"{m.name}: {m.category}, there {m.source_category}" for m in both if m.category != m.source_category]
    shown = "; ".join(said)
    cut = shown if len(shown) <= _MOST else f"{shown[:_MOST]}… ({len(said)} in all)"
    return {"categoriesCompared": str(len(both))} | ({"categoriesDiffer": cut} if said else {})
