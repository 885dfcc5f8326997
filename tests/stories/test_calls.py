"""How often the planner is asked on the way from a new environment to its data: each call that finds nothing new is
paid a thousand times. `docs/explanation/architecture.md` tells the same way in words."""

import datetime as dt
import random

from tests import builders
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.actions import Plan
from vulcan_operator.plan.core.conditions import is_true
from vulcan_operator.plan.core.world import EnvironmentSeen
from vulcan_operator.plan.environments.planner import plan_environment
from vulcan_operator.reconcile.reconcile import Planners

MOST_CALLS = 9
STATUS_WRITES = 2 * 3  # each Job, of the plan, its apply and the run that follows, is announced and then in flight


class AfterThePass(random.Random):
    """Watch events arrive when a pass is over, as they mostly do, and in the order in which they happened."""

    def random(self) -> float:
        return 0.999


def test_from_created_to_ready_the_planner_is_asked_nine_times() -> None:
    calls: list[list[str]] = []

    def counted(seen: EnvironmentSeen, now: dt.datetime) -> Plan[EnvironmentStatus]:
        plan = plan_environment(seen, now)
        if not is_true(seen.environment.status.conditions, "Ready"):
            calls.append([type(part).__name__ for part in (*plan.needs, *plan.actions)])
        return plan

    world = World(Planners(environment=counted), order=AfterThePass())
    world.apply(builders.gateway(), builders.config_map()).settle()
    sqlmesh = SqlMesh(world).work("probe")
    world.apply(builders.environment()).settle()
    assert sqlmesh.work("plan", "apply").done == ["apply warehouse/prod"]
    assert world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert len(calls) <= MOST_CALLS, calls
    assert world.kube.writes.count("apply-vulcanenvironments/status") == STATUS_WRITES
