"""Step plan: whether the environment needs another plan, and what a plan has found. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vulcan_contract import task as contract
from vulcan_contract.paths import escape
from vulcan_contract.reasons import ABOUT, Reason, Retry
from vulcan_contract.result import PlanSummary
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import (
    OPEN_PLANS,
    AppliedStatus,
    EnvironmentStatus,
    PlanState,
    PlanStatus,
)
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import Action, DeleteConfigMap, WriteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Judged, Step, filled
from vulcan_operator.plan.environments.steps import resolve
from vulcan_operator.plan.rules import access, plan_text
from vulcan_operator.plan.tasks import copies, retention, values
from vulcan_operator.plan.tasks.life import Ended, Extras

_NOT_DETERMINISTIC_AFTER = 3
_OF_THE_STATE = tuple(
    r for r in Reason if ABOUT[r].retry is Retry.REPLAN or r is Reason.UNFINALIZED
)
_CHANGED = "the revision or planning fields changed"


class Plan(Step):
    """From a revision to a plan."""

    kind = TaskKind.PLAN
    doing = Why.PLANNING, "building the plan"

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        if context.spec.project is None:
            return Done()
        inputs, request = inputs_of(status, context), context.request("plan", status)
        applied, plan = status.applied, status.plan
        if applied is not None and applied.inputs == inputs and request is None:
            if plan is None or plan.inputs == inputs or plan.digest == applied.plan_digest:
                return Done()
            return Done(settles={"plan": None})
        if request is not None:
            return order(context, inputs, "requested", request)
        if plan is None or plan.inputs != inputs:
            return order(context, inputs, _CHANGED)
        if plan.state in OPEN_PLANS:
            return Done()
        if plan.state != PlanState.OUTDATED:
            return order(context, inputs, _CHANGED)
        if plan.changed >= _NOT_DETERMINISTIC_AFTER:
            return Wait(_not_deterministic(plan))
        return order(context, inputs, "the plan changed")

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        return from_project(filled(base, status, context), status, context)

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        summary, revision = ended.result.summary, status.revision
        if summary is None or revision is None:
            return Judged(status)
        environment = context.environment
        number, site = status.plan_number + 1, context.site
        image = site.image if site is not None else ""  # the gateway is gone
        plan = plan_text.plan_status(
            environment, ended, context.rules,
            tuple(o.id for o in values.operations_of(environment, status)), context.now,
            environment=context.meta.uid, image=image, number=number,
            revision=revision.resolved, source_digest=revision.digest,
        )  # fmt: skip
        old = status.plan
        if old is not None and (old.source_digest, old.state) == (
            revision.digest,
            PlanState.OUTDATED,
        ):
            plan = plan.but(changed=old.changed)
        asks = not summary.has_changes and _names_another_image(plan, status, context)
        if asks:  # runs would use it: that is a change, although no model has one
            plan = plan.but(state=PlanState.PENDING)
        status = status.but(plan=plan, plan_number=number, observed_plan_id=summary.base_plan_id)
        if not summary.has_changes and not asks:
            status = status.but(**_nothing_to_apply(status, plan, summary, context))
        if ended.packed is None or plan.report_ref is None:
            return Judged(status)
        report = plan_text.report_manifest(environment, plan.report_ref.name, ended.packed)
        return Judged(status, (WriteConfigMap(report),))

    def leftovers(
        self, before: EnvironmentStatus, after: EnvironmentStatus, context: Context
    ) -> tuple[Action, ...]:
        """Reports and copies of the project. Before the status that forgets them is written:
        nothing else knows their names."""
        kept = set(_reports(after))
        plan, applied = before.plan, after.applied
        if plan is not None and plan.report_ref is not None and applied is not None:
            kept |= {plan.report_ref.name} if applied.plan_digest == plan.digest else set()
        reports = sorted(set(_reports(before)) - kept)
        was, is_ = (set(retention.source_copies(context.environment, s)) for s in (before, after))
        return (
            *(DeleteConfigMap(context.meta.namespace, name) for name in reports),
            *(DeleteConfigMap(context.gateway_namespace, name) for name in sorted(was - is_)),
        )


def inputs_of(status: EnvironmentStatus, context: Context) -> str:
    """Digest of everything that a plan of today is made from; approvals, limits, schedule, retry
    and suspension are not among it."""
    assert status.revision is not None
    operations = values.operations_of(context.environment, status)
    args = (context.environment, context.gateway, status.revision.digest, context.image)
    return values.plan_inputs(*args, operations)


def order(
    context: Context, inputs: str, why: str, request: str | None = None, **settles: Any
) -> Order:
    """A plan task."""
    assert context.site is not None
    return Order(TaskKind.PLAN, inputs, why, context.site, request, settles=settles)


def from_project(task: contract.Task, status: EnvironmentStatus, context: Context) -> Extras | None:
    """The Job of a plan or apply, from the files of the resolved revision; None: they are others
    now."""
    project, revision = context.spec.project, status.revision
    if project is None or revision is None or revision.inputs != values.project_inputs(project):
        return None
    commit = revision.resolved if project.git is not None else None
    source = values.source_of(project, commit=commit, digest=revision.digest)
    extras = resolve.with_source(task, source, status, context)
    if project.config_map is None or extras.source_config_map is None:
        return extras
    files, _ = resolve.project_files(project.config_map, context)
    content = {escape(path): data for path, data in (files or {}).items()}
    install, namespace = context.seen.settings.install, context.gateway_namespace
    copy = copies.write(
        context.key, context.meta, install, namespace, extras.source_config_map, content
    )
    return replace(extras, copies=(copy,) if files is not None else ())


def _not_deterministic(plan: PlanStatus) -> Verdict:
    message = (
        f"the plan changed {plan.changed} times between decision and apply at {plan.revision}: look"
        " for random values, dates or sets in macros and Python models, then annotate"
        " vulcan.dev/plan-requested-at"
    )
    return Verdict("False", Why.NOT_DETERMINISTIC, message, stalled=True)


def _names_another_image(plan: PlanStatus, status: EnvironmentStatus, context: Context) -> bool:
    """Whether the author of a protected environment names another image than was applied."""
    applied = access.applied_image(context.environment, status.applied)
    return context.protected and applied is not None and applied != plan.image


def _nothing_to_apply(
    status: EnvironmentStatus, plan: PlanStatus, summary: PlanSummary, context: Context
) -> dict[str, Any]:
    """A plan with nothing to do needs no apply and nobody's approval."""
    old = status.applied
    if old is not None and context.spec.plan.select_models:
        # Nothing is known of the models that it does not look at: the files are not these.
        plan = plan.but(revision=old.revision, source_digest=old.source_digest)
    same = old is not None and old.source_digest == plan.source_digest
    # A run that said that SQLMesh does not have what was applied, which this plan denies.
    disputed = status.run_failure
    is_disputed = disputed is not None and disputed.reason in _OF_THE_STATE
    return {
        "applied": AppliedStatus(
            revision=plan.revision,
            source_digest=plan.source_digest,
            image=old.image if old is not None else plan.image,
            inputs=plan.inputs,  # with operations in it, another plan finds out that they are done
            plan_id=summary.base_plan_id,
            plan_digest=(old.plan_digest if old is not None else "") or plan.digest,
            report=old.report if old is not None else "",
            time=old.time if old is not None else context.now,
            tests_run=tests_run(context, summary.tests_run),
            partial=bool(context.spec.plan.select_models),
            # Other files were approved by nobody: that they change nothing is their own claim.
            approved_by=old.approved_by if old is not None and same else [],
        ),
        "next_run_time": context.now if old is None else status.next_run_time,
        "run_failure": disputed if is_disputed else None,
        "operations_done": operations_done(status, plan),
    }


def tests_run(context: Context, count: int) -> int:
    """Unit tests that ran when it was planned; -1: they were skipped."""
    return -1 if context.spec.plan.skip_tests else count


def operations_done(status: EnvironmentStatus, plan: PlanStatus) -> list[str]:
    """With those of a plan that is applied."""
    new = (o for o in plan.operations if o not in status.operations_done)
    return [*status.operations_done, *new][-1024:]


def _reports(status: EnvironmentStatus) -> Iterator[str]:
    if status.plan is not None and status.plan.report_ref is not None:
        yield status.plan.report_ref.name
    if status.applied is not None and status.applied.report:
        yield status.applied.report
