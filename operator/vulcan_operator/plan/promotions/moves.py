"""What a step of a promotion can answer with. Pure data; made by the steps, carried out by `planner`."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from vulcan_contract.task import TaskKind
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.decision import Verdict
from vulcan_operator.plan.promotions.context import PromotionContext, Site

PASSED, SKIPPED, FAILED, ERRORED, INCONCLUSIVE = "Succeeded", "Skipped", "Failed", "Errored", "Inconclusive"
BAD = (FAILED, ERRORED, INCONCLUSIVE)
ENDED = (PASSED, SKIPPED, *BAD)


@dataclass(frozen=True)
class Done:
    """A step's end, and what else of the status it settles."""

    state: str
    message: str
    evidence: dict[str, str] = field(default_factory=dict)
    settles: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """A task whose result judges the step, and where its Job runs."""

    kind: TaskKind
    inputs: str
    why: str
    site: Site


@dataclass(frozen=True)
class Again:
    """The plan must be built anew, and why."""

    why: str


@dataclass(frozen=True)
class Hold:
    """Why a step waits, and until when at the longest."""

    verdict: Verdict
    until: dt.datetime | None = None
    needs: frozenset[Need] = frozenset()


Move = Done | Order | Hold | Again
Step = Callable[[PromotionStatus, PromotionContext], Move]


def judged(gate: str, message: str, evidence: dict[str, str] | None = None) -> Done:
    """A gate that could not be judged asks a human where it is required, and never passes."""
    return Done(INCONCLUSIVE if gate == "Required" else SKIPPED, message, evidence or {})


def moved_on(gate: str, looked_at: str, wanted: str, evidence: dict[str, str] | None = None) -> Done:
    """A gate that has judged another plan than the one that moves has not judged this one."""
    message = f"looked at plan {looked_at}, not {wanted}: somebody else has changed the environment"
    return Done(SKIPPED if gate == "Optional" else FAILED, message, evidence or {})
