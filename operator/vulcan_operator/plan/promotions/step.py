"""What a step of a promotion answers, and what steps have in common. Pure; the base of `steps`.

A step is one class with everything about it: what comes next, what its Job gets, what its result
means, which ConfigMaps it leaves behind. It remembers nothing: what is done is in the status.
"""

import abc
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from vulcan_contract import reasons
from vulcan_contract.reasons import ABOUT, Retry, Side
from vulcan_contract.result import Result
from vulcan_contract.task import Task
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import ObjectMeta, TaskStatus
from vulcan_operator.api.promotion import GatesSpec
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.actions import DeleteConfigMap, WriteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.facts import EnvironmentFacts
from vulcan_operator.plan.core.moves import Done, Move, Site, Wait
from vulcan_operator.plan.promotions.lane import REJECTS, change, close, end
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.rules import access, schedule
from vulcan_operator.plan.rules.promotion_changes import CHANGES, TOUCHING
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import slot, values
from vulcan_operator.plan.tasks.life import Ended, Extras

AFTER_PLAN = Wait(Verdict("Unknown", Why.PLANNING, "waiting for the plan", reconciling=True))
_GONE = "from: it or its gateway is gone"
SOURCE_GONE = Wait(Verdict("False", Why.ENVIRONMENT_NOT_FOUND, _GONE, reconciling=True))
_COUNTED = {TaskKind.AUDIT: "audits", TaskKind.CHECKS: "checks"}
T = TypeVar("T")


def settled(value: T | None) -> T:
    """A field of the status that an earlier step has settled."""
    assert value is not None
    return value


@dataclass(frozen=True)
class Judged:
    """The status with a task's end in it, and what is kept of the task before that is written."""

    status: PromotionStatus
    kept: tuple[WriteConfigMap, ...] = ()


@dataclass(frozen=True)
class Again:
    """The plan does not hold any more: the promotion is planned again."""


Answer = Move | Again


class Step(abc.ABC):
    """One step. What a subclass does not say is what most steps do."""

    name: ClassVar[StepName]
    doing: ClassVar[tuple[Why, str]] = (Why.PROMOTING, "at work")  # how Ready tells it
    runs_even_there: ClassVar[bool] = False  # also where the target has the revision already
    rank: ClassVar[slot.Priority] = slot.Priority.PROMOTION  # in the queue for the writer slot

    @abc.abstractmethod
    def next(self, status: PromotionStatus, route: Route) -> Answer:
        """What comes next for it."""

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        """What the Job of its task gets, which looks at the target."""
        return Extras(filled(base, route, route.target, route.to_site))

    def judge(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        """What the end of its task means."""
        if ended.result.outcome is reasons.Outcome.SUCCEEDED:
            return self.passed(self._without_task(status), route, ended)
        return Judged(self.not_passed(status, route, ended))

    def judge_blind(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        """The same while the target and its rules are gone: it is asked again when it is back."""
        return self._without_task(status)

    def passed(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        """What a success means. The task and its failure are gone from the status already."""
        raise NotImplementedError

    def not_passed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        """Another attempt follows, where it could end in another way; else the step has failed."""
        result, step, target = ended.result, settled(status.find(self.name)), case.seen.target
        failure = ends.failure(step.failure, ended.task, result, case.now)
        again = schedule.retry_time(failure, target.spec.retry) if target is not None else None
        # A judgement of the data is final: another attempt would pass by chance.
        final = result.retries is Retry.REPLAN or ABOUT[result.reason].side is Side.DATA
        if again is None or final:
            return self.failed(self._without_task(status), case, ended)
        touched = step.touched or (self.name in CHANGES and result.reason in TOUCHING)
        return change(status, self.name, task=None, failure=failure, touched=touched)

    def failed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        """What a failure means that no attempt follows: rejected, or it could not go on."""
        rejected = ended.result.outcome is reasons.Outcome.FAILED
        state = StepState.FAILED if rejected else StepState.ERRORED
        done = Done(state, last_message(ended.result), evidence_of(ended))
        return end(close(status, self.name, case.now, done), REJECTS[state], case.now)

    def needs_finalizer(self, route: Route) -> bool:
        """Whether its Job leaves what must not be forgotten with the promotion."""
        return False

    def leftovers(self, status: PromotionStatus, meta: ObjectMeta) -> set[DeleteConfigMap]:
        """What deletes the ConfigMaps that only this step knows, while the status names them."""
        return set()

    def _without_task(self, status: PromotionStatus) -> PromotionStatus:
        return change(status, self.name, task=None, failure=None)


class Change(Step):
    """A step whose Job changes the target's views: it counts even if the target is gone."""

    def judge(self, status: PromotionStatus, route: Case, ended: Ended) -> Judged:
        if ended.result.outcome is reasons.Outcome.SUCCEEDED:
            return Judged(self.changed(self._without_task(status), route, ended))
        return Judged(self.not_passed(status, route, ended))

    def judge_blind(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        return self.judge(status, case, ended).status

    def needs_finalizer(self, route: Route) -> bool:
        return True

    def changed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        """What a success means."""
        raise NotImplementedError


class Gate(Step):
    """A gate of spec.gates whose Job looks at the source, in the source's own system.

    No gate needs another one, so their tasks go on at the same time, as far as the gateway's writer
    slot allows.
    """

    field: ClassVar[str]  # as messages name it
    mode_field: ClassVar[str]

    def mode(self, gates: GatesSpec) -> str | None:
        """Required, Optional or Skip; None where it is not set."""
        raise NotImplementedError

    def ask(self, status: PromotionStatus, route: Route, site: Site) -> Move:
        """What comes next, where there is a source to look at; `site`: the source's."""
        raise NotImplementedError

    def next(self, status: PromotionStatus, route: Route) -> Move:
        mode = self.mode(route.gates)
        if mode is None:
            return Done(StepState.SKIPPED, f"{self.field} is not set")
        if mode == "Skip":
            return Done(StepState.SKIPPED, f"{self.mode_field}: Skip")
        if _may_be_there(status, route):
            return AFTER_PLAN
        site = route.from_site
        return self.ask(status, route, site) if site is not None else SOURCE_GONE

    def task(self, base: Task, named: TaskStatus, status: PromotionStatus, route: Route) -> Extras:
        return Extras(filled(base, route, settled(route.source), settled(route.from_site)))

    def passed(self, status: PromotionStatus, route: Route, ended: Ended) -> Judged:
        done = succeeded(self.mode(route.gates), settled(status.source).plan_id, ended)
        return Judged(closed(status, self.name, route, done))

    def failed(self, status: PromotionStatus, case: Case, ended: Ended) -> PromotionStatus:
        """A gate that could not be judged asks a human where it is required, and never passes."""
        message, evidence, result = last_message(ended.result), evidence_of(ended), ended.result
        if self.mode(case.gates) != "Required":
            done = Done(StepState.SKIPPED, f"optional, and not passed: {message}", evidence)
            return closed(status, self.name, case, done)
        is_judgement = ABOUT[result.reason].side is Side.DATA
        rejected = is_judgement and result.outcome is reasons.Outcome.FAILED
        state = StepState.FAILED if rejected else StepState.INCONCLUSIVE
        return closed(status, self.name, case, Done(state, message, evidence))


def _may_be_there(status: PromotionStatus, route: Route) -> bool:
    """Whether the plan may still say that nothing would change: no Job has to look before."""
    applied = route.target.applied
    same = applied is not None and applied.source_digest == status.source_digest
    return same and status.plan is None


def closed(status: PromotionStatus, name: StepName, case: Case, done: Done) -> PromotionStatus:
    """The status with a step that has ended, and the promotion with it, if it must not go on."""
    status = close(status, name, case.now, done)
    outcome = REJECTS.get(done.state)
    return end(status, outcome, case.now) if outcome is not None else status


def unjudged(mode: str, message: str) -> Done:
    """A gate that could not be judged asks a human where it is required, and never passes."""
    state = StepState.INCONCLUSIVE if mode == "Required" else StepState.SKIPPED
    return Done(state, message)


def succeeded(mode: str | None, wanted: str, ended: Ended) -> Done:
    """The end of a gate whose Job has succeeded, unless it has judged another plan than wanted."""
    found = ended.result.work.plan_id if ended.result.work is not None else ""
    if found and found != wanted:
        return other_plan(mode, found, wanted, **counts(ended))
    return Done(StepState.SUCCEEDED, ended.result.message, counts(ended))


def other_plan(mode: str | None, found: str, wanted: str, **evidence: str) -> Done:
    """The end of a gate that has judged another plan than the one that moves (or has moved)."""
    message = f"looked at plan {found}, not {wanted}: somebody else has changed the environment"
    state = StepState.SKIPPED if mode == "Optional" else StepState.FAILED
    return Done(state, message, evidence)


def counts(ended: Ended) -> dict[str, str]:
    """Evidence of audits or checks: which Job, how many, and how many of them warned."""
    work, kind = ended.result.work, TaskKind(ended.task.kind)
    if work is None:
        return {"job": ended.task.job}
    run, warned = str(work.audits_run), str(work.audits_warned)
    return {"job": ended.task.job, _COUNTED[kind]: run, "warnings": warned}


def evidence_of(ended: Ended) -> dict[str, str]:
    """Evidence of a failure."""
    return {"job": ended.task.job, "reason": ended.result.reason.value}


def last_message(result: Result) -> str:
    """A failure in words. Next steps that others take ("it is tried again") are over here."""
    is_final = result.retries is Retry.NEVER or not result.message
    return ends.message_of(result) if is_final else result.message


def filled(base: Task, route: Route, environment: EnvironmentFacts, site: Site) -> Task:
    """What the Task of every step says, which looks at or changes this environment."""
    is_target = environment.metadata.uid == route.target.metadata.uid
    return replace(
        base,
        environment=environment.sqlmesh_environment,
        protected=route.protected and is_target,
        plan=values.options_of(route.target.spec.plan),
        expires=access.deletion_policy(route.target, route.protected) == "Expire",
        audits=False,  # Verify is a step of its own, after whose failure there is a rollback
        image=site.image,
        secret_env=values.secret_env(site.gateway),
        secret_paths=values.secret_paths(site.gateway),
        checked=route.target.metadata.annotations.get(names.CHECKED, "")[:64],
    )
