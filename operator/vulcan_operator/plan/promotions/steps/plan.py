"""Step Plan: what the promotion would change and compute. Pure.

From what the state has, or across systems from the project's files. It is what people approve.
"""

from vulcan_contract.digest import of_json
from vulcan_contract.result import PlanSummary
from vulcan_contract.task import Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import ObjectMeta, TaskStatus
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.actions import DeleteConfigMap, WriteConfigMap
from vulcan_operator.plan.core.moves import Done, Move, Order
from vulcan_operator.plan.promotions import categories, files
from vulcan_operator.plan.promotions.lane import MOST_REPLANS, close, end, replanned
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import Judged, Step, closed, settled
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.rules.messages import short
from vulcan_operator.plan.rules.promotion_changes import is_touched
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras


class Plan(Step):
    """Judged by the result of its Job, whose report is kept for those who decide."""

    name = StepName.PLAN
    doing = Why.PLANNING, "looking at what would change"

    def next(self, status: PromotionStatus, route: Route) -> Move:
        if files.is_copied(status) and files.content(status, route) is None:
            revision, copy = short(status.revision or ""), settled(status.origin).copy_
            gone = f"ConfigMap {copy} is gone; promote from the environment that has the project"
            return Done(StepState.FAILED, f"the files of revision {revision} are not there: {gone}")
        inputs = of_json(_made_of(status, route))[:16]
        return Order(TaskKind.PLAN, inputs, "what the promotion would change", route.to_site)

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        return files.computing(super().task(base, named, status, route).task, status, route)

    def passed(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        summary = settled(ended.result.summary)
        if not summary.has_changes and route.has_moved(status) and status.plans < MOST_REPLANS:
            return Judged(replanned(status))
        had = route.target.applied
        if not summary.has_changes and had is not None and had.plan_id != summary.base_plan_id:
            found = f"the plan's Job found plan {summary.base_plan_id or 'none'} in the target"
            message = f"{found}, the operator applied {had.plan_id}: it was changed elsewhere"
            return Judged(closed(status, self.name, route, Done(StepState.FAILED, message)))
        operations = (route.meta.uid,)  # an approval of one promotion approves no other
        plan = plan_text.plan_status(
            route.promotion, ended, route.rules, operations, route.now,
            environment=route.target.metadata.uid, image=route.to_site.image,
            number=status.plans + 1,
            revision=status.revision or "", source_digest=status.source_digest or "",
        )  # fmt: skip
        plan = plan.but(summary=categories.beside(plan.summary, route))
        evidence = _evidence(ended.task.job, summary)
        evidence |= categories.disagreements(plan.summary, route)
        done = Done(StepState.SUCCEEDED, plan.summary.text, evidence)
        status = close(status, self.name, route.now, done).but(plan=plan)
        if not summary.has_changes:
            return Judged(_there_already(status, summary, route))
        if plan.report_ref is None or ended.packed is None:
            return Judged(status)
        report = plan_text.report_manifest(route.promotion, plan.report_ref.name, ended.packed)
        return Judged(status, (WriteConfigMap(report),))

    def needs_finalizer(self, route: Route) -> bool:
        return route.is_across  # it leaves a copy of the project

    def leftovers(self, status: PromotionStatus, meta: ObjectMeta) -> set[DeleteConfigMap]:
        return files.leftovers(status, meta)


def _made_of(status: PromotionStatus, route: Route) -> list[object]:
    image, gateway = route.to_site.image, route.gateway
    if not route.is_across:
        return [settled(status.source).plan_id, image, route.gates.virtual_only, status.plans]
    options = values.options_of(route.target.spec.plan).__dict__
    made_of = [status.source_digest, options, image, gateway.sqlmesh_name, gateway.spec.variables]
    return [*made_of, status.plans]


def _there_already(status: PromotionStatus, summary: PlanSummary, route: Route) -> PromotionStatus:
    """GitOps creates objects again: what is there already is a success without an effect. Where
    what is there was not verified, Verify is asked, and whatever has not begun is skipped."""
    status = status.but(applied_plan_id=summary.base_plan_id)
    had = route.target.applied
    is_it = had is None or had.plan_id == summary.base_plan_id
    doubted = had is not None and had.verification in ("Failed", "Unknown")
    verified = is_it and not doubted and not is_touched(status)
    if verified or not route.rules.checks.audits:
        return end(status, Outcome.SUCCEEDED, route.now)
    return status


def _evidence(job: str, summary: PlanSummary) -> dict[str, str]:
    found = {"job": job, "target": summary.target, "base": summary.base}
    found["testsRun"] = str(summary.tests_run)
    found["catchUpIntervals"] = str(summary.catch_up_intervals)
    return found | ({"computed": ", ".join(summary.computed)} if summary.computed else {})
