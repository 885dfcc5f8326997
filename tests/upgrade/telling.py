"""What lives are told with: an operator that dies at a write, Jobs that start and end.

A life is a generator that yields a name for each moment at which an operator may be replaced; what
the API server holds then is what the next operator finds. Used by the lives that `record` tells.
"""

from collections.abc import Callable, Iterator

from tests import builders
from tests.stories.lives import MINUTE
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract import report
from vulcan_contract.codec import encode
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.plan.core.seen import JobState

Moments = Iterator[tuple[str, SqlMesh]]
LIVES: list[Callable[[], Moments]] = []
QUALITY = builders.config_map("quality", **{"a.yml": "checks for s.a:\n  - row_count > 0\n"})
SODA = {"soda": {"configMapRef": {"name": "quality"}}}


class _Died(Exception):
    """Nobody starts the operator again before the moment was recorded."""


def life(tell: Callable[[], Moments]) -> Callable[[], Moments]:
    """Registers a life."""
    LIVES.append(tell)
    return tell


def dies(sqlmesh: SqlMesh, write: str, when: str = "before") -> SqlMesh:
    """The operator dies before or after its next write of this name, and stays dead."""
    world = sqlmesh.world

    def stay_dead() -> World:
        raise _Died

    world.restart = stay_dead  # type: ignore[method-assign]
    world.kube.crash_at(write, when)
    try:
        world.settle()
    except _Died:
        return sqlmesh
    finally:
        del world.restart
    raise AssertionError(f"no {write}")


def start(sqlmesh: SqlMesh, *tasks: str) -> SqlMesh:
    """The Jobs of these tasks run, and the operator has seen it."""
    for job in _unfinished(sqlmesh, *tasks):
        sqlmesh.world.start_job(job)
    sqlmesh.world.settle()
    return sqlmesh


def end(sqlmesh: SqlMesh, *tasks: str) -> SqlMesh:
    """The Jobs of these tasks end, with reports; the operator has not looked yet."""
    for job in _unfinished(sqlmesh, *tasks):
        task = sqlmesh.task(sqlmesh.world.job(job))
        result, log = sqlmesh._looked(task, sqlmesh.answer(task)), ""
        if result.reason is Reason.SUCCEEDED and task.kind in (TaskKind.DIFF, TaskKind.PLAN):
            said = encode(sqlmesh._diff(task)) if task.kind is TaskKind.DIFF else {"plan": result.summary.target}  # type: ignore[union-attr]
            lines, sha256, _ = report.frames(said, task.nonce)
            result, log = Result(**{**result.__dict__, "report_sha256": sha256}), "\n".join(lines)
        sqlmesh.world.finish_job(job, result, log=log)
    return sqlmesh


def through(sqlmesh: SqlMesh, task: str) -> Moments:
    """A task step by step: announced without its Job, running, ended and not recorded."""
    yield f"{task}-announced", dies(sqlmesh, "create-jobs")
    sqlmesh.world.restart().settle()
    yield f"{task}-running", start(sqlmesh, task)
    sqlmesh.world.clock.advance(MINUTE)
    yield f"{task}-ended", end(sqlmesh, task)


def named(prefix: str, moments: Moments) -> Moments:
    """With a prefix, since moments of several lives lie in one folder."""
    return ((f"{prefix}-{name}", sqlmesh) for name, sqlmesh in moments)


def _unfinished(sqlmesh: SqlMesh, *tasks: str) -> list[str]:
    found = [j.name for j in sqlmesh.world.jobs(state=JobState.UNFINISHED) if j.task in tasks]
    assert found, f"none of {tasks} in {[j.task for j in sqlmesh.world.jobs(state=JobState.UNFINISHED)]}"
    return found
