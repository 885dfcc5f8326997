"""What a step of an environment answers. Pure; the base of the modules in `steps`, called by
`planner`.

A step is one kind of task with everything about it: when it is wanted, what its Job gets, what its
result means, which ConfigMaps it leaves behind.
"""

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, PlanState
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import Action, WriteConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.moves import Move
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.tasks import ended as ends
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras, OwnLane

CHANGE: OwnLane[EnvironmentStatus] = OwnLane()  # resolve, plan, apply, checks, invalidate
RUNS: OwnLane[EnvironmentStatus] = OwnLane("run_failure")


@dataclass(frozen=True)
class Judged:
    """The status with a task's end in it, and what is kept of the task before that is written."""

    status: EnvironmentStatus
    kept: tuple[WriteConfigMap, ...] = ()


class Step(abc.ABC):
    """One step. What a subclass does not say is what most steps do."""

    kind: ClassVar[TaskKind]
    doing: ClassVar[tuple[Why, str]]  # how Ready tells it
    lane: ClassVar[OwnLane[EnvironmentStatus]] = CHANGE

    @abc.abstractmethod
    def next(self, status: EnvironmentStatus, context: Context) -> Move:
        """Whether its task is wanted now."""

    def task(
        self, base: contract.Task, current: TaskStatus, status: EnvironmentStatus, context: Context
    ) -> Extras | None:
        """What its Job gets; None: it was announced for something that is not wanted any more."""
        return Extras(filled(base, status, context))

    @abc.abstractmethod
    def judge(self, status: EnvironmentStatus, ended: Ended, context: Context) -> Judged:
        """What a success means. The task and its failure are gone from the status already."""

    def failed(
        self, status: EnvironmentStatus, ended: Ended, context: Context
    ) -> EnvironmentStatus:
        """What a failure means."""
        failure = ends.failure(status.failure, ended.task, ended.result, context.now)
        if ended.result.reason is Reason.SOURCE_CHANGED:
            return status.but(failure=failure, revision=None)
        return status.but(failure=failure)

    def recovered(self, status: EnvironmentStatus) -> EnvironmentStatus:
        """Without the failure that a success disproves; runs go on while a change fails."""
        return status.but(failure=None)

    def answered(self, ended: Ended) -> dict[str, Any]:
        """A request is answered by the end of the task it caused, however that ended."""
        request = ended.task.request
        return {"last_handled_plan_requested_at": request} if request is not None else {}

    def leftovers(
        self, before: EnvironmentStatus, after: EnvironmentStatus, context: Context
    ) -> tuple[Action, ...]:
        """Deletes ConfigMaps that the status named before and does not name now."""
        return ()


def filled(base: contract.Task, status: EnvironmentStatus, context: Context) -> contract.Task:
    """What the Task of every step of an environment says."""
    environment, gateway = context.environment, context.gateway
    protected, claims = context.protected, context.seen.claims
    return replace(
        base,
        environment=environment.sqlmesh_environment,
        protected=protected,
        plan=values.options_of(context.spec.plan),
        operations=values.operations_of(environment, status),
        expires=context.deletion_policy == "Expire",
        audits=context.rules.checks.audits,
        image=context.image,
        secret_env=values.secret_env(gateway),
        secret_paths=values.secret_paths(gateway),
        checked=context.meta.annotations.get(names.CHECKED, "")[:64],
        protected_environments=() if protected else claims.protected(besides=context.key),
    )


def replanned(status: EnvironmentStatus) -> EnvironmentStatus:
    """The plan does not hold any more: it is planned again, and decided on again."""
    plan = status.plan
    if plan is None:
        return status
    plan = plan.but(state=PlanState.OUTDATED, changed=plan.changed + 1, reason=None)
    return status.but(failure=None, plan=plan)


def absent(context: Context, name: str, what: str) -> Verdict:
    """A ConfigMap that the spec names cannot be used."""
    message = f"ConfigMap {context.meta.namespace}/{name} {what}"
    return Verdict("False", Why.CONFIG_MAP_MISSING, message, reconciling=True)
