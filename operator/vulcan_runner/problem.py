"""Problem: the end of a task for a reason that the runner itself knows.

Raised anywhere in the runner, turned into a Result by `edge`. Exceptions of others (SQLMesh,
drivers, project code) become Problems in `failures` only. Must not import SQLMesh: the init
container uses it as well.
"""

from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.result import Failure, Probe, Work


class Problem(Exception):
    """Why the task cannot continue; `message` is for users."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retry: Retry | None = None,
        failures: tuple[Failure, ...] = (),
        probe: Probe | None = None,
        work: Work | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry = reason, message, retry
        self.failures, self.probe, self.work = failures, probe, work


class Stopped(BaseException):
    """The task was told to stop. No Exception, so that neither SQLMesh nor projects swallow it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
