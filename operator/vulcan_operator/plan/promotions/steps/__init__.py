"""The steps of a promotion, one file each, and the order in which `planner` walks them. Pure."""

from collections.abc import Mapping

from vulcan_operator.api.promotion_status import StepName
from vulcan_operator.plan.promotions.step import Step
from vulcan_operator.plan.promotions.steps.approval import Approval
from vulcan_operator.plan.promotions.steps.audits import Audits
from vulcan_operator.plan.promotions.steps.checks import Checks
from vulcan_operator.plan.promotions.steps.diff import Diff
from vulcan_operator.plan.promotions.steps.plan import Plan
from vulcan_operator.plan.promotions.steps.resolve import Resolve
from vulcan_operator.plan.promotions.steps.rollback import Rollback
from vulcan_operator.plan.promotions.steps.soak import Soak
from vulcan_operator.plan.promotions.steps.swap import Apply, CatchUp
from vulcan_operator.plan.promotions.steps.tests import Tests
from vulcan_operator.plan.promotions.steps.verify import Verify

Stage = tuple[Step, ...]
"""Steps that do not need each other. The next stage waits for all of them."""

_RESOLVE, _ROLLBACK = Resolve(), Rollback()
FORWARD: tuple[Stage, ...] = (
    (_RESOLVE,),
    (Plan(), Tests(), Audits(), Diff(), Checks(), Soak()),
    (Approval(),),
    (CatchUp(),),
    (Apply(),),
    (Verify(),),
)
BACK: tuple[Stage, ...] = ((_RESOLVE,), (_ROLLBACK,))
STEPS: Mapping[StepName, Step] = {step.name: step for stage in (*FORWARD, *BACK) for step in stage}
