"""Categories of the same change in the source's system, beside a plan across systems. Pure.

Nothing is decided by them: each system classifies changes for itself, because what it has differs.
"""

from vulcan_operator.api.environment_status import PlanStatus, PlanSummaryStatus
from vulcan_operator.plan.promotions.route import Route

_MOST = 900  # characters of evidence


def beside(summary: PlanSummaryStatus, route: Route) -> PlanSummaryStatus:
    """The summary with the categories of the source's system, while its last plan is known."""
    plan = _plan_there(route)
    if not route.is_across or plan is None:
        return summary
    theirs = {model.name: model.category for model in plan.summary.models}
    models = [m.but(source_category=theirs.get(m.name, "")) for m in summary.models]
    return summary.but(models=models)


def _plan_there(route: Route) -> PlanStatus | None:
    """The plan that the source has applied: its own, or that of a promotion to it."""
    source = route.source
    if source is None or source.applied is None:
        return None
    plans = (source.plan, *(p.plan for p in route.seen.upstream))
    digest = source.applied.plan_digest
    return next((p for p in plans if p is not None and p.digest == digest), None)


def disagreements(summary: PlanSummaryStatus, route: Route) -> dict[str, str]:
    """Evidence: how many categories could be compared, and which differ."""
    if not route.is_across:
        return {}
    both = [m for m in summary.models if m.category and m.source_category]
    differ = [m for m in both if m.category != m.source_category]
    shown = "; ".join(f"{m.name}: {m.category}, there {m.source_category}" for m in differ)
    cut = shown if len(shown) <= _MOST else f"{shown[:_MOST]}… ({len(differ)} in all)"
    return {"categoriesCompared": str(len(both))} | ({"categoriesDiffer": cut} if differ else {})
