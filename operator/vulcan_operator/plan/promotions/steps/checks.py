"""Step Checks: Soda checks of the source, from a ConfigMap beside the promotion. Pure."""

from dataclasses import replace

from vulcan_contract.task import Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import ObjectMeta, TaskStatus
from vulcan_operator.api.promotion import GatesSpec
from vulcan_operator.api.promotion_status import PromotionStatus, StepName
from vulcan_operator.plan.core.actions import DeleteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.deadlines import CONFIG_MAP_CHECK
from vulcan_operator.plan.core.moves import Move, Order, Site, Wait
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import Gate, settled, unjudged
from vulcan_operator.plan.tasks import checks
from vulcan_operator.plan.tasks.life import Extras


class Checks(Gate):
    """Judged by the result of its Job, which mounts a copy of the ConfigMap."""

    name = StepName.CHECKS
    doing = Why.CHECKING, "checking the source"
    field = mode_field = "gates.checks"

    def mode(self, gates: GatesSpec) -> str | None:
        gate = gates.checks
        if gate is None or (gate.soda is None and gate.mode != "Skip"):
            return None
        return gate.mode

    def ask(self, status: PromotionStatus, route: Route, site: Site) -> Move:
        name = _config_map(route)
        files = route.live.config_map(route.key.namespace, name)
        if files is not None:
            inputs = checks.inputs(settled(status.source).plan_id, files)
            return Order(TaskKind.CHECKS, inputs, "Soda checks of the source", site)
        missing = f"ConfigMap {route.key.namespace}/{name} does not exist"
        if self.mode(route.gates) == "Optional":
            return unjudged("Optional", f"optional, and not judged: {missing}")
        message = f"{missing}; create it"
        verdict = Verdict("False", Why.CONFIG_MAP_MISSING, message, reconciling=True)
        return Wait(verdict, route.now + CONFIG_MAP_CHECK)

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        filled, install = super().task(base, named, status, route), route.seen.settings.install
        files = settled(route.live.config_map(route.key.namespace, _config_map(route)))
        namespace, _ = named.place
        order = checks.order(route.key, route.meta, install, namespace, named.inputs, files)
        task = replace(filled.task, checks=order.checks)
        return Extras(task, (order.copy,), checks_config_map=order.config_map)

    def leftovers(self, status: PromotionStatus, meta: ObjectMeta) -> set[DeleteConfigMap]:
        step = status.find(self.name)
        if step is None or step.task is None:
            return set()
        return {DeleteConfigMap(step.task.place[0], checks.copy_name(meta, step.task.inputs))}


def _config_map(route: Route) -> str:
    return settled(settled(route.gates.checks).soda).config_map_ref.name
