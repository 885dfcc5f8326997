"""How a promotion's status keeps its steps: their tasks, how they begin and how they end. Pure.

Used by the steps, by the planner that walks through them, and by `ending`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.fields import FailureStatus, TaskState, TaskStatus
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.moves import Done, Site
from vulcan_operator.plan.tasks.jobs import Progress

Going = Mapping[StepName, Progress]  # steps whose task goes on
MOST_REPLANS = 3
REJECTS: Mapping[str, Outcome] = {
    StepState.FAILED: Outcome.FAILED,
    StepState.ERRORED: Outcome.ERRORED,
    StepState.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}
"""States of a step that end its promotion, and how."""
# Gates judge the revision, which stays the same when the target has moved.
_OF_REVISION = (StepName.TESTS, StepName.AUDITS, StepName.CHECKS, StepName.SOAK)


@dataclass(frozen=True)
class StepLane:
    """The task of one step, and the failure that it may repeat."""

    name: StepName

    def task(self, status: PromotionStatus) -> TaskStatus | None:
        step = status.find(self.name)
        return step.task if step is not None else None

    def failure(self, status: PromotionStatus) -> FailureStatus | None:
        step = status.find(self.name)
        return step.failure if step is not None else None

    def with_task(self, status: PromotionStatus, task: TaskStatus | None) -> PromotionStatus:
        if task is None:
            return change(status, self.name, task=None)
        fields: dict[str, Any] = {"task": task, "message": task.why, "reason": None}
        fields["state"] = StepState.RUNNING
        if task.state != TaskState.WAITING:
            return change(status, self.name, **fields, job=task.job)
        # Its Job does not exist yet: whoever asks later whether a Job of this step may have changed
        # anything must not take it for one.
        step = status.find(self.name)
        tried = step is not None and (step.failure is not None or step.touched)
        return change(status, self.name, **fields, **({} if tried else {"job": ""}))

    def place(self, site: Site) -> str:
        return site.name


def begin(
    status: PromotionStatus, name: StepName, now: dt.datetime, **fields: Any
) -> PromotionStatus:
    """The status with a step that is there, goes on, and has these fields."""
    old = status.find(name) or statuses.StepStatus(name=name)
    new = old.but(started_at=old.started_at or now, **{"reason": None, **fields})
    known = status.find(name) is not None
    others = [new if s.name == name else s for s in status.steps]
    return status.but(steps=others if known else [*others, new], step=name)


def close(
    status: PromotionStatus, name: StepName, now: dt.datetime, done: Done, **fields: Any
) -> PromotionStatus:
    """The status with a step that has ended."""
    return begin(
        status, name, now,
        state=done.state, message=done.message[:1024], finished_at=now, task=None, failure=None,
        evidence={key: value[:1024] for key, value in done.evidence.items()}, **fields,
    )  # fmt: skip


def change(status: PromotionStatus, name: StepName, **fields: Any) -> PromotionStatus:
    """The status with fields of one step changed, if it has begun."""
    return status.but(steps=[s.but(**fields) if s.name == name else s for s in status.steps])


def end(status: PromotionStatus, outcome: Outcome, now: dt.datetime) -> PromotionStatus:
    """The status of a promotion that is over."""
    return status.but(outcome=outcome, finished_at=now)


def replanned(status: PromotionStatus) -> PromotionStatus:
    """The status with everything open that depends on what the target has: it has moved since."""
    kept = set(_OF_REVISION)
    # Views that may be half changed are not forgotten: Apply finishes them, with another plan.
    touched = next((s for s in status.steps if s.touched), None)
    kept |= {StepName.DIFF} if touched is not None else set()
    steps = [s for s in status.steps if s.name in kept]
    if touched is not None:
        apply = statuses.StepStatus(name=StepName.APPLY, started_at=touched.started_at)
        steps.append(apply.but(job=touched.job, touched=True))
    first, plans = StepName.RESOLVE, status.plans + 1
    return status.but(plan=None, plans=plans, steps=steps, step=first, approved_by=[])
