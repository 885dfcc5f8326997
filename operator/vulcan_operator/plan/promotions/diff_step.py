"""The step Diff of a promotion: which Jobs count or compare data, and when their reports are judged (`data_diff`). Pure.

Within one system one Job compares. Across systems the target's side is counted first, then the source's up to the same
ends, and the target's once more where it is ahead; each report is left in a ConfigMap until both are there. No row and no
report leaves its system but these counts.
"""

from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.diff_report import DiffReport
from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import SOURCE_REPORT, TARGET_REPORT, PromotionStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions import data_diff, trials
from vulcan_operator.plan.promotions.context import ACROSS, PromotionContext, Site
from vulcan_operator.plan.promotions.moves import SKIPPED, Done, Hold, Move, Order, moved_on

STEP = "Diff"
_AGAIN = "countedAgain"


def step(status: PromotionStatus, context: PromotionContext) -> Move:
    """What is to be counted next, or the verdict."""
    gate = context.promotion.spec.gates.data_diff
    if gate is None or gate.mode == "Skip":
        return Done(SKIPPED, "gates.dataDiff is not set" if gate is None else "gates.dataDiff.mode: Skip")
    if trials.too_early(status, context):
        return trials.AFTER_PLAN
    assert status.source is not None and context.to is not None
    if context.origin is None:
        return trials.SOURCE_GONE
    made_of = _made_of(status, context)
    if status.relation != ACROSS:
        return Order(TaskKind.DIFF, _inputs("rows", made_of), "comparing data", context.to)
    left, there = evidence(status), context.seen.left
    if there is None and status.reports:
        return Hold(Verdict("Unknown", Why.COMPARING), needs=frozenset({Need.LEFT}))
    # One that is gone is counted again.
    if left.get(TARGET_REPORT) not in (there or {}):
        return Order(TaskKind.DIFF, _inputs("target", made_of), "counting the target", context.to)
    if left.get(SOURCE_REPORT) not in (there or {}):
        return Order(
            TaskKind.DIFF, _inputs("source", [*made_of, left[TARGET_REPORT]]), "counting the source", context.origin
        )
    source, target = _report(context, left[SOURCE_REPORT]), _report(context, left[TARGET_REPORT])
    if data_diff.ends_to_ask(source, target) and _AGAIN not in left:
        again = _inputs("again", [*made_of, left[SOURCE_REPORT]])
        return Order(TaskKind.DIFF, again, "counting the target up to where the source is", context.to)
    if source is not None and source.plan_id and source.plan_id != status.source.plan_id:
        return moved_on(gate.mode, source.plan_id, status.source.plan_id)
    return data_diff.compare(gate, source, target)


def asked(status: PromotionStatus, context: PromotionContext, site: Site) -> contract.Diff:
    """What a Job looks at."""
    gate, source = context.promotion.spec.gates.data_diff, status.source
    assert gate is not None and source is not None
    if status.relation != ACROSS:
        return contract.Diff(source.environment, source.plan_id, gate.models)
    return contract.Diff(models=gate.models, statistics=True, ends=_ends(status, context, site))


def judged(context: PromotionContext, packed: bytes | None) -> Done:
    """Of one report, within one system."""
    gate = context.promotion.spec.gates.data_diff
    assert gate is not None
    return data_diff.judge(gate, data_diff.read(packed))


def left_behind(status: PromotionStatus, context: PromotionContext, task: TaskStatus, report: str) -> dict[str, Any]:
    """Fields of the step once one side is counted."""
    known = evidence(status)
    if context.to is None or context.to.name != task.gateway:
        left = {**known, SOURCE_REPORT: report}
    elif SOURCE_REPORT in known and task.inputs == _inputs("again", [*_made_of(status, context), known[SOURCE_REPORT]]):
        left = {**known, TARGET_REPORT: report, _AGAIN: "true"}
    else:
        left = {TARGET_REPORT: report}  # the first, or one instead of a report that is gone: all begins with it
    return {"state": "Pending", "message": "one side is counted", "evidence": left}


def report_name(context: PromotionContext, sha256: str) -> str:
    """The ConfigMap of one side's report."""
    return f"{context.key.name}-diff-{sha256[:12]}"


def evidence(status: PromotionStatus) -> dict[str, str]:
    """What the step has left so far."""
    known = status.find(STEP)
    return dict(known.evidence) if known is not None else {}


def _ends(status: PromotionStatus, context: PromotionContext, site: Site) -> dict[str, str]:
    """How far the other side has counted."""
    left = evidence(status)
    target = _report(context, left.get(TARGET_REPORT, ""))
    if context.origin is not None and site.name == context.origin.name:
        counted = target.counted if target is not None else ()
        return {m.name: m.end for m in counted if m.restricted and m.end and not m.why}
    return data_diff.ends_to_ask(_report(context, left.get(SOURCE_REPORT, "")), target)


def _report(context: PromotionContext, name: str) -> DiffReport | None:
    return data_diff.read((context.seen.left or {}).get(name)) if name else None


def _made_of(status: PromotionStatus, context: PromotionContext) -> list[Any]:
    gate = context.promotion.spec.gates.data_diff
    plans = [side.plan_id if side is not None else "" for side in (status.source, status.target)]
    return [*plans, gate.models if gate is not None else "", context.image]


def _inputs(what: str, made_of: list[Any]) -> str:
    return of_json([what, *made_of])[:16]
