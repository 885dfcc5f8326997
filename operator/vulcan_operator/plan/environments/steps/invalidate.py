"""Step invalidate: an environment that is being deleted is removed from SQLMesh. Pure.

It works from status alone, without the project. `deletion` decides whether it is wanted at all.
"""

from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.environments import preconditions
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Judged, Step
from vulcan_operator.plan.tasks.life import Ended


class Invalidate(Step):
    """Removes views and record."""

    kind = TaskKind.INVALIDATE
    doing = Why.INVALIDATING, "removing the environment from SQLMesh"

    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        if status.applied is None and status.plan is None:
            return Done()  # it never came to life, or this task has ended well
        closed = preconditions.gateway_not_ready(context)
        if closed is not None:
            return Wait(closed)
        assert context.site is not None
        return Order(self.kind, "delete", "deleted", context.site)

    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        return Judged(status.but(applied=None, plan=None, next_run_time=None, rollback_targets=[]))
