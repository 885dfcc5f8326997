"""The process edge: turns whatever a task raises into a Result. The only place that catches
everything.

Called by `__main__` for what it does itself, and by `worker`. Must import neither SQLMesh nor the
project.
"""

import signal
import traceback
from collections.abc import Callable

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Task
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem, Stopped
from vulcan_runner.secrets import cut

Explain = Callable[[BaseException, str], Problem]
"""Why a task ended with an exception, in a stage."""


def unexplained(error: BaseException, stage: str) -> Problem:
    """The reason where SQLMesh has no part in it."""
    return Problem(Reason.RUNNER_CRASHED, cut(f"{type(error).__name__}: {error}", 500))


def guarded(
    work: Callable[[], Result | None], task: Task, lines: Lines, explain: Explain = unexplained
) -> Result | None:
    """What the work returns, or why it ended."""
    try:
        result = work()
        _ignore_signals()
    except Stopped as stopped:
        _ignore_signals()
        return _result(task, stopped.problem)
    except BaseException as error:  # noqa: BLE001  the process edge
        _ignore_signals()
        return _result(task, _problem(error, lines, explain))
    return result


def _ignore_signals() -> None:
    """The end is decided; a signal now could only spoil the result."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _problem(error: BaseException, lines: Lines, explain: Explain) -> Problem:
    if isinstance(error, Problem):
        return error
    problem = explain(error, lines.stage)
    if problem.reason is Reason.RUNNER_CRASHED:
        frames = "".join(traceback.format_tb(error.__traceback__))
        lines.say("Unexpected error", error=type(error).__name__, traceback=frames[-6000:])
    return problem


def _result(task: Task, problem: Problem) -> Result:
    return Result(
        task.kind, problem.reason, problem.message, retry=problem.retry, failures=problem.failures,
        probe=problem.probe, work=problem.work,
    )  # fmt: skip
