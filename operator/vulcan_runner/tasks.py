"""One function per task kind, chosen by `run`.

Called by `worker`; what is raised here is turned into a Result (`edge`). Every task first verifies
whose state it is (`guard`); those that write hold the writer lock all the time. `resolve` is none
of them: it needs no SQLMesh, and the supervisor does it.
"""

import dataclasses
from typing import assert_never

from vulcan_contract import REFERENCE, words
from vulcan_contract.codec import encode
from vulcan_contract.reasons import Reason
from vulcan_contract.result import PlanSummary, Result
from vulcan_contract.task import TaskKind
from vulcan_runner import (
    applying,
    checking,
    counting,
    diffing,
    guard,
    history,
    kept_project,
    revision,
    running,
    session,
    summary,
)
from vulcan_runner.attempt import known_environment
from vulcan_runner.context import TaskContext
from vulcan_runner.engine import environment_name
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.problem import Problem
from vulcan_runner.revision import RevisionSource


def run(context: TaskContext) -> Result:
    """Does what the task says, to the environment under SQLMesh's spelling of its name."""
    task = dataclasses.replace(context.task, environment=environment_name(context.task.environment))
    context = dataclasses.replace(context, task=task)
    kind = task.kind
    match kind:
        case TaskKind.PROBE:
            return _probe(context)
        case TaskKind.RESOLVE:
            raise Problem(Reason.CONTRACT_MISMATCH, "A source is resolved without a worker.")
        case TaskKind.PLAN:
            return _plan(context)
        case TaskKind.APPLY | TaskKind.PROMOTE | TaskKind.ROLLBACK:
            return _apply(context)
        case TaskKind.RUN:
            return _run(context)
        case TaskKind.AUDIT:
            return _audit(context)
        case TaskKind.DIFF:
            return _diff(context)
        case TaskKind.CHECKS:
            return _checks(context)
        case TaskKind.INVALIDATE:
            return _invalidate(context)
        case _:
            assert_never(kind)


def _probe(context: TaskContext) -> Result:
    with session.opened(context) as held:
        context.lines.enter("verify")
        task, stop, lines = context.task, context.stop, context.lines
        found = guard.probe(task, held.connections, held.state, stop, lines)
    did = " The empty state was initialised." if found.initialised else ""
    return Result(task.kind, Reason.SUCCEEDED, f"Warehouse and state answer.{did}", probe=found)


def _plan(context: TaskContext) -> Result:
    with session.reading(context) as held, revision.opened(held) as source:
        built, found = _planned(source)
        full, omitted = summary.full_report(source.attempt, built, found)
    reason, said = Reason.NO_CHANGES, "The environment has this revision."
    if found.has_changes:
        reason, said = Reason.SUCCEEDED, f"{words.plan(found)}."
    result = Result(context.task.kind, reason, said, summary=found, digest=built.source)
    context.send(full)
    return dataclasses.replace(result, report_omitted=omitted)


def _planned(source: RevisionSource) -> tuple[BuiltPlan, PlanSummary]:
    held, record = source.attempt, source.attempt.record()
    built = source.build(record, True)
    adopted = record is None and built.before is not None
    found = summary.summarise(held, built, record, adopted=adopted)
    if kept_project.is_news(source.kept, held.state, held.task.environment):
        found = dataclasses.replace(found, has_changes=True, project_changed=True)
    return built, found


def _apply(context: TaskContext) -> Result:
    """Applies a project's plan, a promotion's, or that of a rollback."""
    task = context.task
    if task.approved is None and task.kind.traits.needs_decision:
        raise Problem(Reason.CONTRACT_MISMATCH, "The task has no decision to apply.")
    with session.writing(context) as held, revision.opened(held) as source:
        return applying.apply(source, task.approved or applying.rollback_decision(source))


def _audit(context: TaskContext) -> Result:
    """Runs all audits of an environment over what is computed of it. Reads only."""
    task, lines = context.task, context.lines
    with session.reading(context) as held:
        kept = kept_project.of_environment(held.state, task.environment)
        with held.engine(kept=kept) as attempt:
            attempt.engine.connect()
            lines.enter("audit")
            environment = attempt.known_environment()
            audits = attempt.engine.audit(environment, {s.name for s in environment.snapshots})
            work = audits.on(attempt.work(plan_id=environment.plan_id))
    if audits.failed:
        first = audits.failed[0]
        example = f"{first.model}: {first.message}"
        message = f"{len(audits.failed)} of {audits.run} audits fail; {example}"
        raise Problem(Reason.AUDIT_FAILED, message, failures=audits.failed, work=work)
    said = f"{audits.run} audits, {audits.warned} warnings."
    return Result(task.kind, Reason.SUCCEEDED, said, work=work)


def _diff(context: TaskContext) -> Result:
    """Compares an environment's data with what a promotion would make of it, or counts it for the
    operator to compare. Reads only."""
    task, wanted = context.task, context.task.diff
    if wanted is None:
        raise Problem(Reason.CONTRACT_MISMATCH, "The task does not say what to compare.")
    with session.reading(context) as held:
        row = compared = None
        if wanted.statistics:
            kept = kept_project.of_environment(held.state, task.environment)
        else:
            row = history.find(held.state, wanted.environment, wanted.plan_id)
            kept = kept_project.of_record(held.state, row.project)
            compared = history.snapshots(row)
        with held.engine(kept=kept, revision=compared) as attempt:
            attempt.engine.connect()
            context.lines.enter("diff")
            if row is None:
                found = counting.count(attempt, wanted)
            else:
                found = diffing.compare(attempt, wanted, row)
    context.send(encode(found))
    looked = [not m.why for m in found.counted] + [bool(m.method) for m in found.models]
    done = "counted" if wanted.statistics else "compared"
    said = f"{sum(looked)} of {len(looked) + found.omitted} models {done}."
    return Result(task.kind, Reason.SUCCEEDED, said, report_omitted=found.omitted)


def _checks(context: TaskContext) -> Result:
    """Runs Soda on the environment's views, after the state is closed: Soda may need its file."""
    task = context.task
    with session.reading(context) as held:
        environment = known_environment(held.state.environment(task.environment), task)
    return checking.check(task, context.pod, checking.Place.of(environment), context.lines)


def _run(context: TaskContext) -> Result:
    with session.writing(context) as held:
        kept = kept_project.of_environment(held.state, context.task.environment)
        with held.engine(kept=kept) as attempt:
            return running.run(attempt)


def _invalidate(context: TaskContext) -> Result:
    task = context.task
    if task.environment == REFERENCE:
        raise Problem(Reason.PLAN_REJECTED, f"The environment {REFERENCE} is never invalidated.")
    with session.writing(context) as held, held.engine() as attempt:
        attempt.engine.connect()
        context.lines.enter("invalidate")
        there = attempt.environment() is not None
        if there:
            attempt.engine.invalidate(task.environment)
        held.state.forget_apply(task.environment)
    said = "Dropped its views and record." if there else "It was not there."
    return Result(task.kind, Reason.SUCCEEDED, said)
