"""The run task: computes what is due in an environment, and says when something is due next.

Called by `tasks` with the writer lock held. Models come from the state, so no project is needed; its naming and its
own materialisations are there, too (`kept_project`).
"""

import dataclasses

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result, Work
from vulcan_contract.task import Task
from vulcan_runner import applying, failures, freshness, rollback
from vulcan_runner.engine import Engine
from vulcan_runner.lines import Lines
from vulcan_runner.problem import Problem, Stopped
from vulcan_runner.state import State


def run(task: Task, engine: Engine, state: State, lines: Lines) -> Result:
    """Succeeded, NothingToDo or SignalNotReady; everything else is raised."""
    engine.connect()
    environment = engine.environment(task.environment)
    if environment is None:
        raise Problem(Reason.ENVIRONMENT_NOT_FOUND, f"The environment {task.environment} is not in the state.")
    if not environment.finalized_ts:
        raise Problem(Reason.UNFINALIZED, f"The environment {task.environment} was left half applied.")
    mine = freshness.owned_models(task, engine, environment, engine.snapshots(environment))
    if mine.partial:
        lines.say(f"{len(mine.own)} models are this environment's own to compute", models=len(mine.own))
    lines.enter("run")
    failed = bool(mine.own) and _computes(task, engine, mine)
    work = _work(task, engine, state, environment.plan_id, failed)
    if failed:
        errors = engine.recorder.errors
        problem = failures.ended(failures.of_models(errors, engine.catalog), errors)
        problem.work = work
        raise problem
    if work.batches:
        return Result(
            task.kind,
            Reason.SUCCEEDED,
            f"{work.batches} batches of {work.models} models computed.",
            work=work,
        )
    if engine.recorder.counts.blocked:
        return Result(
            task.kind,
            Reason.SIGNAL_NOT_READY,
            f"Signals hold back {work.blocked} intervals.",
            work=work,
        )
    return Result(task.kind, Reason.NOTHING_TO_DO, "No interval was due.", work=work)


def _computes(task: Task, engine: Engine, mine: freshness.OwnedModels) -> bool:
    """Whether models failed."""
    try:
        status = engine.run(task.environment, set(mine.own) if mine.partial else None, mine.until)
    except Stopped as stopped:
        stopped.problem.work = applying.done(engine)
        raise
    return bool(status.is_failure)


def _work(task: Task, engine: Engine, state: State, plan_id: str, failed: bool) -> Work:
    """After a failure the retry policy decides, so `next_run` is the next due time and not now."""
    counts = engine.recorder.counts
    environment = engine.environment(task.environment)
    computed = counts.batches > 0 and not failed
    seen = freshness.look(task, engine, environment, computed=computed, signals=counts.blocked)
    ways_back = rollback.options(engine, state, environment)
    return dataclasses.replace(seen.on(applying.done(engine)), plan_id=plan_id, rollback=ways_back)
