"""One function per task kind, chosen by `run`.

Called by `__main__`, which turns what is raised here into a Result. Every task but `resolve` first sees whose state it
is (`guard`); those that write hold the writer lock for the whole time.
"""

import dataclasses
from typing import Any, assert_never

from vulcan_contract import REFERENCE, words
from vulcan_contract import report as reports
from vulcan_contract.codec import encode
from vulcan_contract.reasons import Reason
from vulcan_contract.result import PlanSummary, Result, Work
from vulcan_contract.task import Approved, Task, TaskKind
from vulcan_runner import (
    applying,
    checking,
    counting,
    diffing,
    guard,
    history,
    kept_project,
    planning,
    promoting,
    resolving,
    running,
    session,
    summary,
)
from vulcan_runner.config import Connections
from vulcan_runner.engine import Engine, environment_name
from vulcan_runner.journal import Journal
from vulcan_runner.problem import Problem
from vulcan_runner.session import TaskContext
from vulcan_runner.state import ApplyRow, State


def run(context: TaskContext) -> Result:
    """Does what the task says, to the environment as SQLMesh spells its name."""
    task = dataclasses.replace(context.task, environment=environment_name(context.task.environment))
    context = dataclasses.replace(context, task=task)
    kind = task.kind
    match kind:
        case TaskKind.PROBE:
            return _probe(context)
        case TaskKind.RESOLVE:
            return resolving.resolve(context.task, context.pod, context.lines)
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
    with session.state_of(context) as (connections, state):
        context.lines.enter("verify")
        found = guard.probe(context.task, connections, state, context.stop, context.lines)
    did = " The empty state was initialised." if found.initialised else ""
    return Result(context.task.kind, Reason.SUCCEEDED, f"Warehouse and state answer.{did}", probe=found)


def _plan(context: TaskContext) -> Result:
    task = context.task
    with session.state_of(context) as (connections, state):
        identity = session.verify(context, state)
        engine, built, found = _planned(context, connections, state, identity)
        full, omitted = summary.full_report(task, built, engine, found)
        engine.close()
    sha256 = _send(context, full)
    reason = Reason.SUCCEEDED if found.has_changes else Reason.NO_CHANGES
    said = f"{words.plan(found)}." if found.has_changes else "The environment has this revision already."
    return Result(
        task.kind, reason, said, summary=found, report_sha256=sha256, report_omitted=omitted,
        digest=built.source,
    )  # fmt: skip


def _send(context: TaskContext, report: Any) -> str:
    """A report on its way out, and its sha256."""
    frames, sha256, _ = reports.frames(context.scrub.tree(report), context.task.nonce)
    context.frames(frames)  # past the scrubber: what is in them was scrubbed, and a letter less would spoil them
    return sha256


def _planned(
    context: TaskContext, connections: Connections, state: State, identity: str
) -> tuple[Engine, planning.BuiltPlan, PlanSummary]:
    """From the project; a promotion's from what the state has of its source."""
    task, lines, record = context.task, context.lines, state.apply_record(context.task.environment)
    if task.promotion is not None:
        row = history.find(state, task.promotion.environment, task.promotion.plan_id)
        kept = kept_project.of_record(state, row.project)
        engine = session.engine(context, None, connections, state, kept=kept)
        built, effort = promoting.build(task, task.promotion, engine, row, lines, record)
        adopted = record is None and built.before is not None
        found = summary.summarise(task, built, engine, identity, record, adopted)
        found = dataclasses.replace(found, catch_up_intervals=effort.catch_up, computed=effort.computed)
        if kept_project.is_news(kept, state, task.environment):
            found = dataclasses.replace(found, has_changes=True, project_changed=True)
        return engine, built, found
    got = resolving.checked(task, context.pod)
    engine = session.engine(context, got.folder, connections, state)
    tests_run = planning.prepare(task, engine, lines, check=True)
    built = planning.build(task, engine, lines, got.digest, record, tests_run)
    found = summary.summarise(
        task, built, engine, identity, record, adopted=record is None and built.before is not None
    )
    if kept_project.is_news(kept_project.of(engine.config, got.folder), state, task.environment):
        found = dataclasses.replace(found, has_changes=True, project_changed=True)
    return engine, built, found


def _apply(context: TaskContext) -> Result:
    """Of a project, of a promotion, and of the way back."""
    task = context.task
    if task.approved is None and task.kind.traits.needs_decision:
        raise Problem(Reason.CONTRACT_MISMATCH, "An apply without a decision.")
    with (
        session.state_of(context) as (connections, state),
        session.writer(context, connections, state) as (identity, journal),
    ):
        engine, source = _revision_source(context, connections, state, journal)
        try:
            approved = task.approved or _rollback_decision(task, engine, state, identity, source)
            return applying.apply(task, approved, engine, state, identity, context.lines, source)
        finally:
            engine.close()


def _revision_source(
    context: TaskContext, connections: Connections, state: State, journal: Journal
) -> tuple[Engine, applying.RevisionSource]:
    task, lines, promotion = context.task, context.lines, context.task.promotion
    if promotion is not None:
        row = history.find(state, promotion.environment, promotion.plan_id)
        kept = kept_project.of_record(state, row.project)
        engine = session.engine(context, None, connections, state, journal, kept)

        def from_state(record: ApplyRow | None) -> planning.BuiltPlan:
            return promoting.build(task, promotion, engine, row, lines, record)[0]

        return engine, applying.RevisionSource(from_state, kept, row.source_digest)
    got = resolving.checked(task, context.pod)
    engine = session.engine(context, got.folder, connections, state, journal)

    def from_project(record: ApplyRow | None) -> planning.BuiltPlan:
        planning.prepare(task, engine, lines, check=False)
        return planning.build(task, engine, lines, got.digest, record)

    return engine, applying.RevisionSource(from_project, kept_project.of(engine.config, got.folder), got.digest)


def _rollback_decision(
    task: Task, engine: Engine, state: State, identity: str, source: applying.RevisionSource
) -> Approved:
    """The decision of a way back; raises PlanChanged when the environment is not at what is to be undone any more."""
    assert task.promotion is not None
    engine.connect()
    record = state.apply_record(task.environment)
    built = source.build(record)
    approved = applying.rollback_decision(task, built, summary.summarise(task, built, engine, identity, record))
    resumes = record is not None and record.token == approved.token
    if not resumes and (built.before is None or built.before.plan_id != task.promotion.expected):
        raise Problem(
            Reason.PLAN_CHANGED,
            "The environment is not at the plan that was to be undone any more.",
        )
    return approved


def _audit(context: TaskContext) -> Result:
    """All audits of an environment over what is computed of it. Reads only."""
    task, lines = context.task, context.lines
    with session.state_of(context) as (connections, state):
        session.verify(context, state)
        kept = kept_project.of_environment(state, task.environment)
        engine = session.engine(context, None, connections, state, kept=kept)
        engine.connect()
        lines.enter("audit")
        environment = engine.environment(task.environment)
        if environment is None:
            raise Problem(
                Reason.ENVIRONMENT_NOT_FOUND,
                f"The environment {task.environment} is not in the state.",
            )
        run, warned, failed = engine.audit(environment, {s.name for s in environment.snapshots})
        engine.close()
    work = Work(plan_id=environment.plan_id, audits_run=run, audits_warned=warned)
    if failed:
        message = f"{len(failed)} of {run} audits fail; {failed[0].model}: {failed[0].message}"
        raise Problem(Reason.AUDIT_FAILED, message, failures=failed, work=work)
    return Result(task.kind, Reason.SUCCEEDED, f"{run} audits, {warned} warnings.", work=work)


def _diff(context: TaskContext) -> Result:
    """What a promotion would make of an environment's data, or its statistics. Reads only."""
    task, wanted, lines = context.task, context.task.diff, context.lines
    if wanted is None:
        raise Problem(Reason.CONTRACT_MISMATCH, "A diff that does not say of what.")
    with session.state_of(context) as (connections, state):
        session.verify(context, state)
        row = None if wanted.statistics else history.find(state, wanted.environment, wanted.plan_id)
        kept = (
            kept_project.of_record(state, row.project) if row else kept_project.of_environment(state, task.environment)
        )
        engine = session.engine(context, None, connections, state, kept=kept)
        engine.connect()
        lines.enter("diff")
        if row is None:
            found = counting.count(task, wanted, engine, context.stop, lines)
        else:
            found = diffing.compare(task, wanted, engine, row, context.stop, lines, context.pod.work)
        engine.close()
    sha256 = _send(context, encode(found))
    looked = [not m.why for m in found.counted] + [bool(m.method) for m in found.models]
    said = f"{sum(looked)} of {len(looked) + found.omitted} models {'counted' if wanted.statistics else 'compared'}."
    return Result(task.kind, Reason.SUCCEEDED, said, report_sha256=sha256, report_omitted=found.omitted)


def _checks(context: TaskContext) -> Result:
    """Soda's, on the environment's views. The state is let go before: Soda may need the same file."""
    task = context.task
    with session.state_of(context) as (_, state):
        session.verify(context, state)
        environment = state.environment(task.environment)
        if environment is None:
            raise Problem(
                Reason.ENVIRONMENT_NOT_FOUND,
                f"The environment {task.environment} is not in the state.",
            )
    return checking.check(task, context.pod, checking.Place.of(environment), context.lines)


def _run(context: TaskContext) -> Result:
    with (
        session.state_of(context) as (connections, state),
        session.writer(context, connections, state) as (_, journal),
    ):
        kept = kept_project.of_environment(state, context.task.environment)
        engine = session.engine(context, None, connections, state, journal, kept)
        try:
            return running.run(context.task, engine, state, context.lines)
        finally:
            engine.close()


def _invalidate(context: TaskContext) -> Result:
    task = context.task
    if task.environment == REFERENCE:
        raise Problem(Reason.PLAN_REJECTED, f"The environment {REFERENCE} is never invalidated.")
    with (
        session.state_of(context) as (connections, state),
        session.writer(context, connections, state) as (_, journal),
    ):
        engine = session.engine(context, None, connections, state, journal)
        engine.connect()
        context.lines.enter("invalidate")
        there = engine.environment(task.environment) is not None
        if there:
            engine.invalidate(task.environment)
        state.forget_apply(task.environment)
        engine.close()
    said = "Dropped its views and record." if there else "It was not there."
    return Result(task.kind, Reason.SUCCEEDED, said)
