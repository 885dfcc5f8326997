"""Where the revision comes from that a plan leads to: a project's files in the pod, or what the
state has kept of an earlier apply.

Opened by `tasks`, for a plan and for the apply that rebuilds it; used by `applying`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from vulcan_runner import history, kept_project, planning, promoting, resolving
from vulcan_runner.attempt import Attempt
from vulcan_runner.kept_project import KeptProject
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.rows import ApplyRow
from vulcan_runner.session import Session


@dataclass(frozen=True)
class RevisionSource:
    """A revision and the SQLMesh that plans it. `kept`: what the state keeps of its project."""

    attempt: Attempt
    kept: KeptProject
    source_digest: str
    # From the record of the environment's last apply; with `check`, the project is linted and
    # tested first (an apply does not repeat that).
    build: Callable[[ApplyRow | None, bool], BuiltPlan]


@contextmanager
def opened(session: Session) -> Iterator[RevisionSource]:
    """The revision that the task names."""
    task = session.context.task
    if task.promotion is not None:
        promotion = task.promotion
        row = history.find(session.state, promotion.environment, promotion.plan_id)
        kept = kept_project.of_record(session.state, row.project)
        with session.engine(kept=kept, revision=history.snapshots(row)) as attempt:

            def from_state(record: ApplyRow | None, check: bool) -> BuiltPlan:
                return promoting.build(attempt, promotion, row, record)

            yield RevisionSource(attempt, kept, row.source_digest, from_state)
        return
    got = resolving.checked(task, session.context.pod)
    with session.engine(folder=got.folder) as attempt:

        def from_project(record: ApplyRow | None, check: bool) -> BuiltPlan:
            tests_run = planning.prepare(attempt, check=check)
            built = planning.build(attempt, got.digest, record, tests_run)
            return replace(built, warnings=(*built.warnings, *got.warnings))

        kept = kept_project.of(attempt.engine.config, got.folder)
        yield RevisionSource(attempt, kept, got.digest, from_project)
