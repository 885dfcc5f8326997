"""Step Soak: time and green runs in the source since the revision was applied there. Pure."""

from vulcan_contract import times
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Done, Move, Wait
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import SOURCE_GONE, Step


class Soak(Step):
    """Has no Job: the source's status says it."""

    name = StepName.SOAK

    def next(self, status: PromotionStatus, route: Route) -> Move:
        gate, source, now = route.gates.soak, route.source, route.now
        if gate is None:
            return Done(StepState.SKIPPED, "gates.soak is not set")
        if source is None:
            return SOURCE_GONE
        applied, name = source.applied, source.metadata.full_name
        if applied is None or status.source is None or applied.plan_id != status.source.plan_id:
            return Done(StepState.FAILED, f"{name} has moved on; promote what it has now")
        ends, runs = applied.time + parse_duration(gate.duration), source.green_runs
        evidence = {"since": applied.time.isoformat(), "greenRuns": str(runs)}
        if ends <= now and runs >= gate.green_runs:
            message = f"applied since {times.to_second(applied.time)}, {runs} green runs"
            return Done(StepState.SUCCEEDED, message, evidence)
        missing = [f"until {times.to_second(ends)}"] if ends > now else []
        missing += [f"{gate.green_runs - runs} more green runs"] if runs < gate.green_runs else []
        message = f"soaking in {name}: {' and '.join(missing)}"
        verdict = Verdict("False", Why.SOAKING, message, reconciling=True)
        return Wait(verdict, ends if ends > now else None)
