"""What a task holds while it works: its connections, the state, the writer lock, SQLMesh. Given back whatever happens.

Used by `tasks`. The only place where secrets are read.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vulcan_contract.reasons import Reason
from vulcan_contract.task import Task
from vulcan_runner import failures, guard, kept_project, lock
from vulcan_runner.config import Connections, application_name, writer_prefix
from vulcan_runner.console import Recorder
from vulcan_runner.engine import Engine
from vulcan_runner.journal import Journal
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Scrubber, Secrets
from vulcan_runner.state import State
from vulcan_runner.stop import Stop


@dataclass(frozen=True)
class TaskContext:
    """What every task needs of the process it runs in."""

    task: Task
    pod: Pod
    lines: Lines
    scrub: Scrubber
    stop: Stop
    recorder: Recorder
    frames: Callable[[Iterable[str]], None]


@contextmanager
def state_of(context: TaskContext) -> Iterator[tuple[Connections, State]]:
    """Secrets are read here and nowhere else."""
    task = context.task
    context.lines.enter("config")
    connections = Connections(task, Secrets(context.pod.secrets))
    state = State(connections.state, task.gateway.state_schema, context.pod.work / "cache" / "state")
    try:
        yield connections, state
    except Exception as error:
        other = _of_warehouse(error, state, context.lines.stage)
        if other is None:
            raise
        raise other from error
    finally:
        state.close()


@contextmanager
def writer(context: TaskContext, connections: Connections, state: State) -> Iterator[tuple[str, Journal]]:
    """The state's identity and the journal, with the writer lock held and nobody left of a former holder."""
    task = context.task
    identity = verify(context, state)
    context.stop.writing = True
    with ExitStack() as stack:
        stack.enter_context(lock.held(connections.state, task.gateway.state_schema, context.stop, context.lines))
        everywhere = [connections.state, connections.warehouse, *connections.additional.values()]
        lock.end_zombies(everywhere, writer_prefix(task.gateway), application_name(task), context.lines)
        journal = Journal(state, task)
        if task.kind.traits.computes:
            journal.require_clean()
        context.stop.check()
        yield identity, journal


def verify(context: TaskContext, state: State) -> str:
    """The state's identity; raises what `guard` has against it."""
    context.lines.enter("verify")
    return guard.verify(context.task, state)


def engine(
    context: TaskContext, folder: Path | None, connections: Connections, state: State, journal: Journal | None = None,
    kept: kept_project.KeptProject | None = None,
) -> Engine:  # fmt: skip
    """SQLMesh on these connections; without a folder it has no project but what is `kept`."""
    context.lines.enter("config")
    journal = journal or Journal(state, context.task)
    return Engine(
        context.task,
        folder,
        connections,
        context.pod.work,
        context.recorder,
        context.stop,
        journal,
        kept,
    )


def _of_warehouse(error: Exception, state: State, stage: str) -> Problem | None:
    """A driver's error does not say whose connection was lost: if the state still answers, it was the warehouse's."""
    problem = failures.problem(error, stage)
    if isinstance(error, Problem) or problem.reason is not Reason.STATE_UNREACHABLE:
        return None
    try:
        state.adapter.ping()
    except Exception:  # noqa: BLE001  drivers have no common type; whatever it is, the state does not answer
        return None
    return Problem(Reason.WAREHOUSE_UNREACHABLE, f"The warehouse cannot be reached: {problem.message}")
