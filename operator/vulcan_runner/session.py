"""What a task holds while it works: its connections, the state, the writer lock, SQLMesh. All of it
is released whatever happens.

Used by `tasks`. The only place where secrets are read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vulcan_contract.reasons import Reason
from vulcan_runner import failures, guard, kept_project, lock
from vulcan_runner.attempt import Attempt
from vulcan_runner.config import Connections, application_name, writer_prefix
from vulcan_runner.context import TaskContext
from vulcan_runner.engine import Engine
from vulcan_runner.journal import Journal
from vulcan_runner.kept_project import KeptProject
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Secrets
from vulcan_runner.state import State


class Session:
    """Connections and an open state database. `identity` is known once the state is verified."""

    def __init__(self, context: TaskContext, connections: Connections, state: State) -> None:
        self.context, self.connections, self.state = context, connections, state
        self.identity = ""
        self._journal = Journal(state, context.task)

    def verify(self) -> None:
        """Raises what `guard` has against the state."""
        self.context.lines.enter("verify")
        self.identity = guard.verify(self.context.task, self.state)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the writer lock, with no session left of the holder before, and a clean journal."""
        task, stop, lines = self.context.task, self.context.stop, self.context.lines
        own = self.connections
        stop.writing = True
        with lock.held(own.state, task.gateway.state_schema, stop, lines):
            everywhere = [own.state, own.warehouse, *own.additional.values()]
            lock.end_zombies(everywhere, writer_prefix(task.gateway), application_name(task), lines)
            if task.kind.traits.computes:
                self._journal.require_clean()
            stop.check()
            yield

    @contextmanager
    def engine(
        self,
        folder: Path | None = None,
        kept: KeptProject | None = None,
        revision: Mapping[str, str] | None = None,
    ) -> Iterator[Attempt]:
        """SQLMesh on these connections; without a folder it has no project but what is `kept`, of
        which it loads what these snapshots need (`kept_project.needed`)."""
        self.context.lines.enter("config")
        if kept is not None:
            kept = kept_project.needed(kept, self.context.task, self.state, revision)
        engine = Engine(self.context, self.connections, self._journal, folder, kept)
        try:
            yield Attempt(self.context, self.state, self.identity, engine)
        finally:
            engine.close()


@contextmanager
def opened(context: TaskContext) -> Iterator[Session]:
    """A session whose state nobody has verified yet."""
    context.lines.enter("config")
    connections = Connections(context.task, Secrets(context.pod.secrets))
    schema = context.task.gateway.state_schema
    state = State(connections.state, schema, context.pod.work / "cache" / "state")
    try:
        yield Session(context, connections, state)
    except Exception as error:
        other = _of_warehouse(error, state, context.lines.stage)
        if other is None:
            raise
        raise other from error
    finally:
        state.close()


@contextmanager
def reading(context: TaskContext) -> Iterator[Session]:
    """A session on a verified state, for a task that writes nothing."""
    with opened(context) as session:
        session.verify()
        yield session


@contextmanager
def writing(context: TaskContext) -> Iterator[Session]:
    """A session on a verified state, with the writer lock."""
    with reading(context) as session, session.lock():
        yield session


def _of_warehouse(error: Exception, state: State, stage: str) -> Problem | None:
    """A driver's error names no connection: if the state still answers, it is the warehouse's."""
    problem = failures.problem(error, stage)
    if isinstance(error, Problem) or problem.reason is not Reason.STATE_UNREACHABLE:
        return None
    try:
        state.adapter.ping()
    except Exception:  # noqa: BLE001  drivers have no common type; either way it does not answer
        return None
    message = f"The warehouse cannot be reached: {problem.message}"
    return Problem(Reason.WAREHOUSE_UNREACHABLE, message)
