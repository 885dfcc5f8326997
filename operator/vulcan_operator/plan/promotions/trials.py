"""The gates of a promotion: what a revision must pass before anybody is asked. Pure; none needs another, so their tasks go
on at the same time, as far as the gateway's writer slot allows.

Each is a Step of `stages`: judged from what is seen, or by a task's result (`record`).
"""

import datetime as dt

from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions.context import ACROSS, PromotionContext
from vulcan_operator.plan.promotions.moves import FAILED, PASSED, SKIPPED, Done, Hold, Move, Order, judged
from vulcan_operator.plan.tasks import checks as soda

SOURCE_GONE = Hold(Verdict("False", Why.ENVIRONMENT_NOT_FOUND, "from: it or its gateway is gone", reconciling=True))
AFTER_PLAN = Hold(Verdict("Unknown", Why.PLANNING, "waiting for the plan", reconciling=True))


def tests(status: PromotionStatus, context: PromotionContext) -> Move:
    """Unit tests ran when the revision was planned in the source environment, or it would not be there; across systems
    they ran again."""
    gate = context.promotion.spec.gates.tests
    if gate == "Skip":
        return Done(SKIPPED, "gates.tests: Skip")
    where, count = context.source.metadata.full_name, _source_tests(status, context)
    if status.relation == ACROSS:
        planned = status.find("Plan")
        if status.plan is None:
            return AFTER_PLAN
        where, count = context.target.metadata.full_name, int(planned.evidence.get("testsRun", "-1")) if planned else -1
        if context.target.spec.plan.skip_tests:
            count = -1
    if count < 0:
        return judged(gate, f"{where} skips unit tests, or does not say whether they ran")
    evidence = {"testsRun": str(count)}
    if count == 0:
        return Done(SKIPPED, "the project has no unit tests", evidence)
    return Done(PASSED, f"{count} unit tests passed when it was planned in {where}", evidence)


def _source_tests(status: PromotionStatus, context: PromotionContext) -> int:
    applied = context.source.status.applied
    known = applied is not None and status.source is not None and applied.plan_id == status.source.plan_id
    return applied.tests_run if known and applied is not None else -1


def too_early(status: PromotionStatus, context: PromotionContext) -> bool:
    """Whether the plan may still say that there is nothing to do: then no Job is to have looked at anything."""
    applied = context.target.status.applied
    return status.plan is None and applied is not None and applied.source_digest == status.source_digest


def audits(status: PromotionStatus, context: PromotionContext) -> Move:
    """Audits of the source environment, over all that is computed there, in its own system."""
    if context.promotion.spec.gates.audits == "Skip":
        return Done(SKIPPED, "gates.audits: Skip")
    if too_early(status, context):
        return AFTER_PLAN
    assert status.source is not None
    if context.origin is None:
        return SOURCE_GONE
    inputs = of_json(["audits", status.source.plan_id, context.origin.image])[:16]
    return Order(TaskKind.AUDIT, inputs, "audits of the source", context.origin)


def checks(status: PromotionStatus, context: PromotionContext) -> Move:
    """Soda checks of the source environment, in its own system."""
    gate = context.promotion.spec.gates.checks
    if gate is None or gate.mode == "Skip" or gate.soda is None:
        return Done(
            SKIPPED, "gates.checks: Skip" if gate is not None and gate.mode == "Skip" else "gates.checks is not set"
        )
    if too_early(status, context):
        return AFTER_PLAN
    assert status.source is not None
    if context.origin is None:
        return SOURCE_GONE
    seen = context.seen.checks
    if seen is None:
        return Hold(Verdict("Unknown", Why.CHECKING), needs=frozenset({Need.CHECKS}))
    if seen.files is None:
        name = f"{context.key.namespace}/{gate.soda.config_map_ref.name}"
        if gate.mode == "Optional":
            return judged(gate.mode, f"optional, and not judged: ConfigMap {name} does not exist")
        missing = Verdict(
            "False", Why.CONFIG_MAP_MISSING, f"ConfigMap {name} does not exist; create it", reconciling=True
        )
        return Hold(missing, context.now + dt.timedelta(seconds=30))
    return Order(
        TaskKind.CHECKS, soda.inputs(status.source.plan_id, seen.files), "Soda checks of the source", context.origin
    )


def soak(status: PromotionStatus, context: PromotionContext) -> Move:
    """Time and green runs in the source environment since the revision was applied there."""
    gate = context.promotion.spec.gates.soak
    if gate is None:
        return Done(SKIPPED, "gates.soak is not set")
    applied, name = context.source.status.applied, context.source.metadata.full_name
    if applied is None or status.source is None or applied.plan_id != status.source.plan_id:
        return Done(FAILED, f"{name} has moved on; promote what it has now")
    ends, runs = applied.time + parse_duration(gate.duration), context.source.status.green_runs
    evidence = {"since": applied.time.isoformat(), "greenRuns": str(runs)}
    if ends <= context.now and runs >= gate.green_runs:
        return Done(PASSED, f"applied since {applied.time:%Y-%m-%dT%H:%M:%SZ}, {runs} green runs", evidence)
    missing = [f"until {ends:%Y-%m-%dT%H:%M:%SZ}"] if ends > context.now else []
    missing += [f"{gate.green_runs - runs} more green runs"] if runs < gate.green_runs else []
    verdict = Verdict("False", Why.SOAKING, f"soaking in {name}: {' and '.join(missing)}", reconciling=True)
    return Hold(verdict, ends if ends > context.now else None)
