"""The steps of an environment: one file each, with everything about one kind of task. Pure.

`CHANGE_STEPS` are asked in their order: the change of the environment is at the first that wants a
task or waits. Runs have a lane of their own; invalidation is asked for by `deletion` only.
"""

from vulcan_contract.tasks import TaskKind
from vulcan_operator.plan.environments.step import Step
from vulcan_operator.plan.environments.steps.apply import Apply
from vulcan_operator.plan.environments.steps.checks import Checks
from vulcan_operator.plan.environments.steps.invalidate import Invalidate
from vulcan_operator.plan.environments.steps.plan import Plan
from vulcan_operator.plan.environments.steps.resolve import Resolve
from vulcan_operator.plan.environments.steps.run import Run

RUN, INVALIDATE = Run(), Invalidate()
CHANGE_STEPS: tuple[Step, ...] = (Resolve(), Plan(), Apply(), Checks())
STEPS: dict[TaskKind, Step] = {step.kind: step for step in (*CHANGE_STEPS, RUN, INVALIDATE)}
