"""Step checks: Soda checks of what was applied, once, and again with other files. Pure."""

from dataclasses import replace

from vulcan_contract import task as contract
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import ChecksStatus, EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import Action, DeleteConfigMap
from vulcan_operator.plan.core.deadlines import CONFIG_MAP_CHECK
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Judged, Step, absent, filled
from vulcan_operator.plan.tasks import checks
from vulcan_operator.plan.tasks.life import Ended, Extras


class Checks(Step):
    """The last step of a change: nothing is left to be changed."""

    kind = TaskKind.CHECKS
    doing = Why.CHECKING, "running Soda checks"

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        soda, applied, failed = context.spec.checks.soda, status.applied, status.failure
        if soda is None or applied is None or not applied.plan_id:
            return _done(status)
        name = soda.config_map_ref.name
        # A failure of an earlier step is over: there is nothing to be changed.
        settles = {"failure": None} if failed is not None and failed.task != self.kind else {}
        files = context.live.config_map(context.meta.namespace, name)
        if files is None:
            verdict = absent(context, name, "does not exist; create it")
            return Wait(verdict, context.now + CONFIG_MAP_CHECK, settles)
        inputs = checks.inputs(applied.plan_id, files)
        if status.checks is not None and status.checks.inputs == inputs:
            return _done(status)
        assert context.site is not None
        why = f"plan {applied.plan_id[:64]} is applied"
        return Order(self.kind, inputs, why, context.site, settles=settles)

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        soda = context.spec.checks.soda
        name = soda.config_map_ref.name if soda is not None else ""
        files = context.live.config_map(context.meta.namespace, name) if name else None
        if files is None:
            return None
        install, namespace = context.seen.settings.install, context.gateway_namespace
        ordered = checks.order(context.key, context.meta, install, namespace, current.inputs, files)
        task = replace(filled(base, status, context), checks=ordered.checks)
        return Extras(task, (ordered.copy,), checks_config_map=ordered.config_map)

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        work = ended.result.work or Work()
        done = ChecksStatus(
            inputs=ended.task.inputs,
            plan_id=work.plan_id,
            time=context.now,
            checks=work.audits_run,
            warned=work.audits_warned,
        )
        return Judged(status.but(checks=done))

    def leftovers(
        self, before: EnvironmentStatus, after: EnvironmentStatus, context: Context
    ) -> tuple[Action, ...]:
        """The copy of the SodaCL files. Before the status that forgets the task is written: nothing
        else knows its name."""
        was, is_ = (
            {s.task.inputs} if s.task is not None and s.task.kind == self.kind else set()
            for s in (before, after)
        )
        names = sorted(checks.copy_name(context.meta, inputs) for inputs in was - is_)
        return tuple(DeleteConfigMap(context.gateway_namespace, name) for name in names)


def _done(status: EnvironmentStatus) -> Done:
    return Done(settles={"failure": None}) if status.failure is not None else Done()
