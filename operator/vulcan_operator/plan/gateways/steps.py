"""The tasks of a gateway: a row for each kind, in the order in which they are asked. Pure; read by
`planner` and `conditions`, which know no kind themselves."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.plan.core.decision import GatewayDraft
from vulcan_operator.plan.core.moves import Move, Site
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.gateways import probe
from vulcan_operator.plan.tasks import life


@dataclass(frozen=True)
class Step:
    """When a task is wanted, what its Job gets, what its result says, how Ready tells it."""

    next: Callable[[GatewayStatus, Site, GatewaySeen, dt.datetime], Move]
    task: life.Fill
    judge: Callable[[GatewayDraft, life.Ended, GatewaySeen, dt.datetime], GatewayDraft]
    doing: tuple[Why, str]


STEPS: dict[TaskKind, Step] = {
    TaskKind.PROBE: Step(
        probe.next, probe.task, probe.judge, (Why.PROBING, "testing both connections")
    ),
}
