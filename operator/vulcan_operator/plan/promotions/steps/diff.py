"""Step Diff: which Jobs count or compare data, and when `data_diff` judges their reports. Pure.

Within one system one Job compares. Across systems the target's side is counted first, then the
source's up to the same ends, and the target's once more where it is ahead; each report is left in a
ConfigMap until both are there. Nothing but these counts leaves its system, no row.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.diff_report import DiffReport
from vulcan_contract.digest import of_json
from vulcan_contract.task import Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import ObjectMeta, TaskStatus
from vulcan_operator.api.promotion import GatesSpec
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.actions import DeleteConfigMap, WriteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Move, Order, Site, Wait
from vulcan_operator.plan.promotions import data_diff
from vulcan_operator.plan.promotions.lane import begin
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import Gate, Judged, closed, filled, other_plan, settled
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.tasks.life import Ended, Extras

_AGAIN = "countedAgain"
_COUNTED = Verdict("Unknown", Why.COMPARING, "one side is counted", reconciling=True)


class Diff(Gate):
    """Judged by the reports of its Jobs."""

    name = StepName.DIFF
    doing = Why.COMPARING, "comparing data"
    field, mode_field = "gates.dataDiff", "gates.dataDiff.mode"

    def mode(self, gates: GatesSpec) -> str | None:
        return gates.data_diff.mode if gates.data_diff is not None else None

    def ask(self, status: PromotionStatus, route: Route, site: Site) -> Move:
        made_of = _made_of(status, route)
        if not route.is_across:
            return Order(TaskKind.DIFF, _inputs("rows", made_of), "comparing data", route.to_site)
        if _just_left(status, route):
            return Wait(_COUNTED, route.now)
        left, reports = _evidence(status), _reports(status, route)
        # A report that is gone is counted again.
        if left.get(statuses.TARGET_REPORT) not in reports:
            inputs = _inputs("target", made_of)
            return Order(TaskKind.DIFF, inputs, "counting the target", route.to_site)
        if left.get(statuses.SOURCE_REPORT) not in reports:
            inputs = _inputs("source", [*made_of, left[statuses.TARGET_REPORT]])
            return Order(TaskKind.DIFF, inputs, "counting the source", site)
        theirs, ours = _sides(left, reports)
        if data_diff.ends_to_ask(theirs, ours) and _AGAIN not in left:
            inputs = _inputs("again", [*made_of, left[statuses.SOURCE_REPORT]])
            why = "counting the target up to where the source is"
            return Order(TaskKind.DIFF, inputs, why, route.to_site)
        gate, wanted = settled(route.gates.data_diff), settled(status.source).plan_id
        if theirs is not None and theirs.plan_id and theirs.plan_id != wanted:
            return other_plan(gate.mode, theirs.plan_id, wanted)
        return data_diff.compare(gate, theirs, ours)

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        models, source = settled(route.gates.data_diff).models, settled(status.source)
        task = filled(base, route, route.target, route.to_site)
        if not route.is_across:
            diff = contract.Diff(source.environment, source.plan_id, models)
            return Extras(replace(task, diff=diff))
        if named.gateway != route.to_site.name:
            task = super().task(base, named, status, route).task
        diff = contract.Diff(models=models, statistics=True, ends=_ends(status, route, named))
        return Extras(replace(task, diff=diff))

    def passed(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        if not route.is_across:
            done = data_diff.judge(settled(route.gates.data_diff), data_diff.read(ended.packed))
            done = replace(done, evidence={"job": ended.task.job, **done.evidence})
            return Judged(closed(status, self.name, route, done))
        name = f"{route.key.name}-diff-{(ended.result.report_sha256 or '')[:12]}"
        left = _left(status, route, ended.task, name)
        state, message = StepState.PENDING, "one side is counted"
        status = begin(status, self.name, route.now, state=state, message=message, evidence=left)
        if ended.packed is None:
            return Judged(status)
        manifest = plan_text.report_manifest(route.promotion, name, ended.packed)
        return Judged(status, (WriteConfigMap(manifest),))

    def leftovers(self, status: PromotionStatus, meta: ObjectMeta) -> set[DeleteConfigMap]:
        return {DeleteConfigMap(meta.namespace, name) for name in status.reports}


def _left(status: PromotionStatus, route: Route, task: TaskStatus, name: str) -> dict[str, str]:
    """What the step has left with one more report."""
    known = _evidence(status)
    if task.gateway != route.to_site.name:
        return {**known, statuses.SOURCE_REPORT: name}
    again = [*_made_of(status, route), known.get(statuses.SOURCE_REPORT)]
    if statuses.SOURCE_REPORT in known and task.inputs == _inputs("again", again):
        return {**known, statuses.TARGET_REPORT: name, _AGAIN: "true"}
    # The first, or one instead of a report that is gone: the others follow from it.
    return {statuses.TARGET_REPORT: name}


def _evidence(status: PromotionStatus) -> Mapping[str, str]:
    """What the step has left so far."""
    step = status.find(StepName.DIFF)
    return step.evidence if step is not None else {}


def _just_left(status: PromotionStatus, route: Route) -> bool:
    """Whether a report was left in this pass: it is written with this status, and read later."""
    before, step = route.promotion.status.find(StepName.DIFF), status.find(StepName.DIFF)
    had_task = before is not None and before.task is not None
    return had_task and step is not None and step.task is None and step.state == StepState.PENDING


def _reports(status: PromotionStatus, route: Route) -> dict[str, bytes]:
    """Reports that were left and are still there, by ConfigMap."""
    found = route.live.config_maps(route.meta.namespace, status.reports)
    return {name: content.get(plan_text.REPORT_KEY, b"") for name, content in found.items()}


def _sides(left: Mapping[str, str], reports: Mapping[str, bytes]) -> list[DiffReport | None]:
    """Reports of source and target."""
    names = (left.get(key, "") for key in (statuses.SOURCE_REPORT, statuses.TARGET_REPORT))
    return [data_diff.read(reports.get(name)) for name in names]


def _ends(status: PromotionStatus, route: Route, named: TaskStatus) -> dict[str, str]:
    """How far the other side has counted."""
    left, reports = _evidence(status), _reports(status, route)
    theirs, ours = _sides(left, reports)
    if named.gateway == route.to_site.name:
        return data_diff.ends_to_ask(theirs, ours)
    counted = ours.counted if ours is not None else ()
    return {m.name: m.end for m in counted if m.restricted and m.end and not m.why}


def _made_of(status: PromotionStatus, route: Route) -> list[Any]:
    gate = route.gates.data_diff
    plans = [side.plan_id if side is not None else "" for side in (status.source, status.target)]
    return [*plans, gate.models if gate is not None else "", route.to_site.image]


def _inputs(what: str, made_of: list[Any]) -> str:
    return of_json([what, *made_of])[:16]
