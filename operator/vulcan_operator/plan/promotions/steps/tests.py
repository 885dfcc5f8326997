"""Step Tests: the project's unit tests have passed where the revision was planned. Pure."""

from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.moves import Done, Move
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import AFTER_PLAN, SOURCE_GONE, Step, unjudged


class Tests(Step):
    """Has no Job: a plan whose unit tests fail would not be there."""

    name = StepName.TESTS

    def next(self, status: PromotionStatus, route: Route) -> Move:
        mode = route.gates.tests
        if mode == "Skip":
            return Done(StepState.SKIPPED, "gates.tests: Skip")
        planned_in = route.target if route.is_across else route.source
        if planned_in is None:
            return SOURCE_GONE
        if route.is_across and status.plan is None:
            return AFTER_PLAN
        where = planned_in.metadata.full_name
        count = _run_by_plan(status, route) if route.is_across else _run_in_source(status, route)
        if count < 0:
            return unjudged(mode, f"{where} skips unit tests, or does not say whether they ran")
        evidence = {"testsRun": str(count)}
        if count == 0:
            return Done(StepState.SKIPPED, "the project has no unit tests", evidence)
        message = f"{count} unit tests passed when it was planned in {where}"
        return Done(StepState.SUCCEEDED, message, evidence)


def _run_by_plan(status: PromotionStatus, route: Route) -> int:
    """Across systems they ran again, by the plan of this promotion. -1: unknown."""
    planned = status.find(StepName.PLAN)
    if planned is None or route.target.spec.plan.skip_tests:
        return -1
    return int(planned.evidence.get("testsRun", "-1"))


def _run_in_source(status: PromotionStatus, route: Route) -> int:
    applied = route.source.applied if route.source is not None else None
    if applied is None or status.source is None or applied.plan_id != status.source.plan_id:
        return -1
    return applied.tests_run
