"""The run task: computes what is due in an environment and tells when something is due next.

Called by `tasks` with the writer lock held. Models come from the state, so no project is needed;
its naming and its custom materialisations are there as well (`kept_project`).
"""

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result, Work
from vulcan_runner import freshness, rollback
from vulcan_runner.attempt import Attempt
from vulcan_runner.freshness import OwnedModels
from vulcan_runner.problem import Problem, Stopped


def run(attempt: Attempt) -> Result:
    """Ends as Succeeded, NothingToDo or SignalNotReady; everything else is raised."""
    task, engine, lines = attempt.task, attempt.engine, attempt.lines
    engine.connect()
    environment = attempt.known_environment()
    if not environment.finalized_ts:
        message = f"The environment {task.environment} was left half applied."
        raise Problem(Reason.UNFINALIZED, message)
    mine = freshness.owned_models(attempt, environment, engine.snapshots(environment))
    if mine.partial:
        count = len(mine.own)
        lines.say(f"{count} models are this environment's own to compute", models=count)
    lines.enter("run")
    failed = bool(mine.own) and _fails(attempt, mine)
    work = _work(attempt, environment.plan_id, failed)
    if failed:
        raise attempt.models_failed(work)
    if work.batches:
        reason, said = Reason.SUCCEEDED, f"{work.batches} batches of {work.models} models computed."
    elif engine.counts.blocked:
        reason, said = Reason.SIGNAL_NOT_READY, f"Signals hold back {work.blocked} intervals."
    else:
        reason, said = Reason.NOTHING_TO_DO, "No interval was due."
    return Result(task.kind, reason, said, work=work)


def _fails(attempt: Attempt, mine: OwnedModels) -> bool:
    """Computes what is due; whether models failed."""
    names = set(mine.own) if mine.partial else None
    try:
        status = attempt.engine.run(attempt.task.environment, names, mine.until)
    except Stopped as stopped:
        stopped.problem.work = attempt.work()
        raise
    return bool(status.is_failure)


def _work(attempt: Attempt, plan_id: str, failed: bool) -> Work:
    """After a failure the retry policy decides, so `next_run` is the next due time and not now."""
    counts, environment = attempt.engine.counts, attempt.environment()
    computed = counts.batches > 0 and not failed
    seen = freshness.look(attempt, environment, computed=computed, signals=counts.blocked)
    options = rollback.options(attempt, environment)
    return seen.on(attempt.work(plan_id=plan_id, rollback=options))
