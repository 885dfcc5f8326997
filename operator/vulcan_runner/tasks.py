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
    planning,
    promoting,
    resolving,
    running,
    session,
    stored,
    summary,
)
from vulcan_runner.config import Connections
from vulcan_runner.engine import Engine, environment_name
from vulcan_runner.journal import Journal
from vulcan_runner.problem import Problem
from vulcan_runner.session import Shell
from vulcan_runner.state import ApplyRow, State


def run(shell: Shell) -> Result:
    """Does what the task says, to the environment as SQLMesh spells its name."""
    task = dataclasses.replace(shell.task, environment=environment_name(shell.task.environment))
    shell = dataclasses.replace(shell, task=task)
    kind = task.kind
    match kind:
        case TaskKind.PROBE:
            return _probe(shell)
        case TaskKind.RESOLVE:
            return resolving.resolve(shell.task, shell.pod, shell.lines)
        case TaskKind.PLAN:
            return _plan(shell)
        case TaskKind.APPLY | TaskKind.PROMOTE | TaskKind.ROLLBACK:
            return _apply(shell)
        case TaskKind.RUN:
            return _run(shell)
        case TaskKind.AUDIT:
            return _audit(shell)
        case TaskKind.DIFF:
            return _diff(shell)
        case TaskKind.CHECKS:
            return _checks(shell)
        case TaskKind.INVALIDATE:
            return _invalidate(shell)
        case _:
            assert_never(kind)


def _probe(shell: Shell) -> Result:
    with session.state_of(shell) as (connections, state):
        shell.lines.enter("verify")
        found = guard.probe(shell.task, connections, state, shell.stop, shell.lines)
    did = " The empty state was initialised." if found.initialised else ""
    return Result(shell.task.kind, Reason.SUCCEEDED, f"Warehouse and state answer.{did}", probe=found)


def _plan(shell: Shell) -> Result:
    task = shell.task
    with session.state_of(shell) as (connections, state):
        identity = session.verify(shell, state)
        engine, built, found = _planned(shell, connections, state, identity)
        full, omitted = summary.full_report(task, built, engine, found)
        engine.close()
    sha256 = _send(shell, full)
    reason = Reason.SUCCEEDED if found.has_changes else Reason.NO_CHANGES
    said = f"{words.plan(found)}." if found.has_changes else "The environment has this revision already."
    return Result(
        task.kind, reason, said, summary=found, report_sha256=sha256, report_omitted=omitted,
        digest=built.source,
    )  # fmt: skip


def _send(shell: Shell, report: Any) -> str:
    """A report on its way out, and its sha256."""
    frames, sha256, _ = reports.frames(shell.scrub.tree(report), shell.task.nonce)
    shell.frames(frames)  # past the scrubber: what is in them was scrubbed, and a letter less would spoil them
    return sha256


def _planned(
    shell: Shell, connections: Connections, state: State, identity: str
) -> tuple[Engine, planning.Built, PlanSummary]:
    """From the project; a promotion's from what the state has of its source."""
    task, lines, record = shell.task, shell.lines, state.apply_record(shell.task.environment)
    if task.promotion is not None:
        row = history.find(state, task.promotion.environment, task.promotion.plan_id)
        kept = stored.of_record(state, row.project)
        engine = session.engine(shell, None, connections, state, kept=kept)
        built, effort = promoting.build(task, task.promotion, engine, row, lines, record)
        adopted = record is None and built.before is not None
        found = summary.summarise(task, built, engine, identity, record, adopted)
        found = dataclasses.replace(found, catch_up_intervals=effort.catch_up, computed=effort.computed)
        if stored.is_news(kept, state, task.environment):
            found = dataclasses.replace(found, has_changes=True, project_changed=True)
        return engine, built, found
    got = resolving.checked(task, shell.pod)
    engine = session.engine(shell, got.folder, connections, state)
    tests_run = planning.prepare(task, engine, lines, check=True)
    built = planning.build(task, engine, lines, got.digest, record, tests_run)
    found = summary.summarise(
        task, built, engine, identity, record, adopted=record is None and built.before is not None
    )
    if stored.is_news(stored.of(engine.config, got.folder), state, task.environment):
        found = dataclasses.replace(found, has_changes=True, project_changed=True)
    return engine, built, found


def _apply(shell: Shell) -> Result:
    """Of a project, of a promotion, and of the way back."""
    task = shell.task
    if task.approved is None and task.kind.traits.needs_decision:
        raise Problem(Reason.CONTRACT_MISMATCH, "An apply without a decision.")
    with (
        session.state_of(shell) as (connections, state),
        session.writer(shell, connections, state) as (identity, journal),
    ):
        engine, origin = _origin(shell, connections, state, journal)
        try:
            approved = task.approved or _ordered(task, engine, state, identity, origin)
            return applying.apply(task, approved, engine, state, identity, shell.lines, origin)
        finally:
            engine.close()


def _origin(shell: Shell, connections: Connections, state: State, journal: Journal) -> tuple[Engine, applying.Origin]:
    task, lines, promotion = shell.task, shell.lines, shell.task.promotion
    if promotion is not None:
        row = history.find(state, promotion.environment, promotion.plan_id)
        kept = stored.of_record(state, row.project)
        engine = session.engine(shell, None, connections, state, journal, kept)

        def from_state(record: ApplyRow | None) -> planning.Built:
            return promoting.build(task, promotion, engine, row, lines, record)[0]

        return engine, applying.Origin(from_state, kept, row.source_digest)
    got = resolving.checked(task, shell.pod)
    engine = session.engine(shell, got.folder, connections, state, journal)

    def from_project(record: ApplyRow | None) -> planning.Built:
        planning.prepare(task, engine, lines, check=False)
        return planning.build(task, engine, lines, got.digest, record)

    return engine, applying.Origin(from_project, stored.of(engine.config, got.folder), got.digest)


def _ordered(task: Task, engine: Engine, state: State, identity: str, origin: applying.Origin) -> Approved:
    """The decision of a way back; raises PlanChanged when the environment is not at what is to be undone any more."""
    assert task.promotion is not None
    engine.connect()
    record = state.apply_record(task.environment)
    built = origin.build(record)
    approved = applying.ordered(task, built, summary.summarise(task, built, engine, identity, record))
    resumes = record is not None and record.token == approved.token
    if not resumes and (built.before is None or built.before.plan_id != task.promotion.expected):
        raise Problem(Reason.PLAN_CHANGED, "The environment is not at the plan that was to be undone any more.")
    return approved


def _audit(shell: Shell) -> Result:
    """All audits of an environment over what is computed of it. Reads only."""
    task, lines = shell.task, shell.lines
    with session.state_of(shell) as (connections, state):
        session.verify(shell, state)
        kept = stored.of_environment(state, task.environment)
        engine = session.engine(shell, None, connections, state, kept=kept)
        engine.connect()
        lines.enter("audit")
        environment = engine.environment(task.environment)
        if environment is None:
            raise Problem(Reason.ENVIRONMENT_NOT_FOUND, f"The environment {task.environment} is not in the state.")
        run, warned, failed = engine.audit(environment, {s.name for s in environment.snapshots})
        engine.close()
    work = Work(plan_id=environment.plan_id, audits_run=run, audits_warned=warned)
    if failed:
        message = f"{len(failed)} of {run} audits fail; {failed[0].model}: {failed[0].message}"
        raise Problem(Reason.AUDIT_FAILED, message, failures=failed, work=work)
    return Result(task.kind, Reason.SUCCEEDED, f"{run} audits, {warned} warnings.", work=work)


def _diff(shell: Shell) -> Result:
    """What a promotion would make of an environment's data, or its statistics. Reads only."""
    task, wanted, lines = shell.task, shell.task.diff, shell.lines
    if wanted is None:
        raise Problem(Reason.CONTRACT_MISMATCH, "A diff that does not say of what.")
    with session.state_of(shell) as (connections, state):
        session.verify(shell, state)
        row = None if wanted.statistics else history.find(state, wanted.environment, wanted.plan_id)
        kept = stored.of_record(state, row.project) if row else stored.of_environment(state, task.environment)
        engine = session.engine(shell, None, connections, state, kept=kept)
        engine.connect()
        lines.enter("diff")
        if row is None:
            found = counting.count(task, wanted, engine, shell.stop, lines)
        else:
            found = diffing.compare(task, wanted, engine, row, shell.stop, lines, shell.pod.work)
        engine.close()
    sha256 = _send(shell, encode(found))
    looked = [not m.why for m in found.counted] + [bool(m.method) for m in found.models]
    said = f"{sum(looked)} of {len(looked) + found.omitted} models {'counted' if wanted.statistics else 'compared'}."
    return Result(task.kind, Reason.SUCCEEDED, said, report_sha256=sha256, report_omitted=found.omitted)


def _checks(shell: Shell) -> Result:
    """Soda's, on the environment's views. The state is let go before: Soda may need the same file."""
    task = shell.task
    with session.state_of(shell) as (_, state):
        session.verify(shell, state)
        environment = state.environment(task.environment)
        if environment is None:
            raise Problem(Reason.ENVIRONMENT_NOT_FOUND, f"The environment {task.environment} is not in the state.")
    return checking.check(task, shell.pod, checking.Place.of(environment), shell.lines)


def _run(shell: Shell) -> Result:
    with session.state_of(shell) as (connections, state), session.writer(shell, connections, state) as (_, journal):
        kept = stored.of_environment(state, shell.task.environment)
        engine = session.engine(shell, None, connections, state, journal, kept)
        try:
            return running.run(shell.task, engine, state, shell.lines)
        finally:
            engine.close()


def _invalidate(shell: Shell) -> Result:
    task = shell.task
    if task.environment == REFERENCE:
        raise Problem(Reason.PLAN_REJECTED, f"The environment {REFERENCE} is never invalidated.")
    with session.state_of(shell) as (connections, state), session.writer(shell, connections, state) as (_, journal):
        engine = session.engine(shell, None, connections, state, journal)
        engine.connect()
        shell.lines.enter("invalidate")
        there = engine.environment(task.environment) is not None
        if there:
            engine.invalidate(task.environment)
        state.forget_apply(task.environment)
        engine.close()
    said = "Dropped its views and record." if there else "It was not there."
    return Result(task.kind, Reason.SUCCEEDED, said)
