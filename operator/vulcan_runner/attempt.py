"""Attempt: one attempt at a task, with the state and the SQLMesh it works on.

Built by `session`, which opens and closes what is in it; handed from function to function by
whatever plans, computes or compares.
"""

from dataclasses import dataclass
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_contract.task import Task
from vulcan_runner import failures
from vulcan_runner.context import TaskContext
from vulcan_runner.engine import Engine
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem
from vulcan_runner.rows import ApplyRow
from vulcan_runner.state import State


@dataclass(frozen=True)
class Attempt:
    """`identity` is that of the state, as `guard` has verified it."""

    context: TaskContext
    state: State
    identity: str
    engine: Engine

    @property
    def task(self) -> Task:
        """What is to be done."""
        return self.context.task

    @property
    def lines(self) -> Lines:
        """Where progress is reported."""
        return self.context.lines

    def environment(self) -> Any:
        """SQLMesh's record of the task's environment, read afresh; None: there is none."""
        return self.engine.environment(self.task.environment)

    def known_environment(self) -> Any:
        """The same; raises EnvironmentNotFound when there is none."""
        return known_environment(self.environment(), self.task)

    def record(self) -> ApplyRow | None:
        """Our own record of the environment's last apply."""
        return self.state.apply_record(self.task.environment)

    def work(self, **more: Any) -> Work:
        """What was computed so far (Counts has Work's names), and what else is known of it."""
        counts = self.engine.counts
        return Work(**{**vars(counts), "models": len(counts.models), **more})

    def models_failed(self, work: Work) -> Problem:
        """Why the task ends after models have failed; only the console has the causes."""
        errors = self.engine.errors
        problem = failures.ended(failures.of_models(errors, self.engine.catalog), errors)
        problem.work = work
        return problem


def known_environment(environment: Any, task: Task) -> Any:
    """Raises EnvironmentNotFound when there is no such environment in the state."""
    if environment is None:
        message = f"The environment {task.environment} is not in the state."
        raise Problem(Reason.ENVIRONMENT_NOT_FOUND, message)
    return environment
