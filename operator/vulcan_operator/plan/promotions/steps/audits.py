"""Step Audits: the audits of the source environment, over all that is computed there. Pure."""

from vulcan_contract.digest import of_json
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.promotion import GatesSpec
from vulcan_operator.api.promotion_status import PromotionStatus, StepName
from vulcan_operator.plan.core.moves import Move, Order, Site
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import Gate, settled


class Audits(Gate):
    """Judged by the result of its Job."""

    name = StepName.AUDITS
    doing = Why.AUDITING, "auditing the source"
    field = mode_field = "gates.audits"

    def mode(self, gates: GatesSpec) -> str | None:
        return gates.audits

    def ask(self, status: PromotionStatus, route: Route, site: Site) -> Move:
        inputs = of_json(["audits", settled(status.source).plan_id, site.image])[:16]
        return Order(TaskKind.AUDIT, inputs, "audits of the source", site)
