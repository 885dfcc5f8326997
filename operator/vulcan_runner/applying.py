"""The apply task: rebuild the plan, see that it is the one decided on, apply it, look whether it is there.

Called by `tasks` with the writer lock held. Re-entrant: whatever a killed attempt left is found in the state and gone on
with. Applies nothing that `task.approved` does not cover.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlmesh.core.plan import Plan
from sqlmesh.utils.date import to_timestamp

from vulcan_contract import digest, limits
from vulcan_contract.reasons import Reason
from vulcan_contract.result import PlanSummary, Result, Work
from vulcan_contract.task import Approved, Task
from vulcan_runner import digests, failures, freshness, history, names, rollback, summary
from vulcan_runner.engine import Engine
from vulcan_runner.kept_project import KeptProject
from vulcan_runner.lines import Lines
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.problem import Problem, Stopped
from vulcan_runner.state import ApplyRow, ProjectRow, State, now


@dataclass(frozen=True)
class RevisionSource:
    """Where a revision comes from: a project's files, or what the state has of an earlier apply. `kept`: what is stored of
    its project."""

    build: Callable[[ApplyRow | None], BuiltPlan]  # from the record of the last apply
    kept: KeptProject
    source_digest: str


def apply(
    task: Task,
    approved: Approved,
    engine: Engine,
    state: State,
    identity: str,
    lines: Lines,
    source: RevisionSource,
) -> Result:
    """Succeeded, AlreadyApplied or NoChanges; everything else is raised."""
    engine.connect()
    record, environment = state.apply_record(task.environment), engine.environment(task.environment)
    kept = source.kept
    state.keep_project(ProjectRow(kept.digest, kept.pack()))
    ours = record if record is not None and record.token == approved.token else None
    if ours and environment and environment.plan_id == ours.plan_id and environment.finalized_ts:
        return _finish(task, engine, state, ours, lines, Reason.ALREADY_APPLIED, source, resumed=True)
    if ours is not None and not _is_where_it_was_left(ours, approved, environment, identity):
        ours = None
    built = source.build(record)
    found = summary.summarise(task, built, engine, identity, record)
    _require_decided(task, approved, built, found, engine, resumed=ours is not None)
    if not built.has_work:
        row = _recorded(task, approved, record, found, kept.digest, unaudited=built.unaudited)
        if built.unaudited:
            return _finish(task, engine, state, row, lines, Reason.SUCCEEDED, source, resumed=True)
        state.record_apply(row)
        if environment is not None:
            history.remember(engine, state, environment, source.source_digest, kept.digest)
        state.forget_projects()
        return Result(
            task.kind,
            Reason.NO_CHANGES,
            "The environment has this revision.",
            summary=_short(found),
        )
    plan = _allowed(task, approved, built, engine)
    if ours is not None:  # one id for all attempts: each recognises what any of them left
        plan = plan.copy(update={"plan_id": ours.plan_id})
    row = _record(task, approved, record, ours, plan, found, built)
    state.record_apply(row)
    _apply(engine, plan, lines)
    _require_applied(task, engine, plan)
    return _finish(task, engine, state, row, lines, Reason.SUCCEEDED, source, resumed=ours is not None)


def rollback_decision(task: Task, built: BuiltPlan, found: PlanSummary) -> Approved:
    """A way back needs no approval of its own: the order itself is the decision, for the plan it leads to, from exactly the
    plan that is to be undone."""
    promotion = task.promotion
    assert promotion is not None
    return Approved(
        token=digest.of_json(["rollback", task.environment, promotion.expected, promotion.plan_id]),
        target=found.target,
        base=found.base,
        planned_at=now(),
        backfill_intervals=found.backfill_intervals,
        destructive=found.destructive,
        destructive_sha256=found.destructive_sha256,
        by_human=True,
    )


def _recorded(
    task: Task,
    approved: Approved,
    record: ApplyRow | None,
    found: PlanSummary,
    project: str,
    *,
    unaudited: bool,
) -> ApplyRow:
    """Of an apply that changes no model. What the one before it has left unaudited is still to be audited."""
    return ApplyRow(
        environment=task.environment,
        token=approved.token,
        target=found.target,
        base=found.base,
        plan_id=found.base_plan_id,
        phase="started" if unaudited else "done",
        models=record.models if unaudited and record is not None else "[]",
        job=task.job,
        at=now(),
        project=project,
        ended=(record.ended if record is not None else "") if unaudited else approved.token,
    )


def _is_where_it_was_left(ours: ApplyRow, approved: Approved, environment: Any, identity: str) -> bool:
    """Whether a killed attempt of this apply may be gone on with: nobody else has changed the environment since."""
    if ours.phase == "done":
        return False
    if environment is not None and environment.plan_id == ours.plan_id:
        return True
    return digests.base(environment, identity, ours.ended) == approved.base


def _apply(engine: Engine, plan: Plan, lines: Lines) -> None:
    lines.enter("apply")
    try:
        engine.apply(plan)
    except Stopped as stopped:
        stopped.problem.work = done(engine)
        raise
    except Exception:
        # SQLMesh says "Plan application failed."; the console knows why.
        if not engine.recorder.errors:
            raise
        raise _models_failed(engine) from None


def _models_failed(engine: Engine) -> Problem:
    errors = engine.recorder.errors
    problem = failures.ended(failures.of_models(errors, engine.catalog), errors)
    problem.work = done(engine)
    return problem


def _require_decided(
    task: Task,
    approved: Approved,
    built: BuiltPlan,
    found: PlanSummary,
    engine: Engine,
    resumed: bool,
) -> None:
    """Raises PlanChanged when this is not the plan that was decided on, or needs a stricter decision."""
    if found.target != approved.target:
        raise Problem(
            Reason.PLAN_CHANGED,
            "The rebuilt plan leads to something else than the plan that was decided on.",
        )
    if not resumed and found.base != approved.base:
        raise Problem(Reason.PLAN_CHANGED, "The environment is not what it was when the plan was decided on.")
    if found.destructive_sha256 not in ("", approved.destructive_sha256) and not resumed:
        unseen = sorted(set(found.destructive) - set(approved.destructive)) or found.destructive
        raise Problem(
            Reason.PLAN_CHANGED,
            f"Destructive, but not so when it was decided on: {', '.join(unseen[:5])}.",
        )
    allowed = approved.backfill_intervals + _elapsed(built, approved)
    if found.backfill_intervals > allowed:
        raise Problem(
            Reason.PLAN_CHANGED,
            f"{found.backfill_intervals} intervals to compute; decided on {approved.backfill_intervals},"
            f" and time explains {allowed - approved.backfill_intervals} more.",
        )
    if not approved.by_human and not resumed:
        _require_within_limits(approved, found)


def _require_within_limits(approved: Approved, found: PlanSummary) -> None:
    for excess in limits.exceeded(found, approved.limits):
        raise Problem(
            Reason.PLAN_CHANGED,
            f"{round(excess.value, 2)} {excess.what}, and {excess.most} is the most that needs no approval.",
        )


def _elapsed(built: BuiltPlan, approved: Approved) -> int:
    """How many of the intervals had not ended yet when the plan was decided on."""
    planned_at = to_timestamp(approved.planned_at)
    if not built.plan.requires_backfill:
        return 0
    return sum(
        summary.intervals_of(built.plan.snapshots[i.snapshot_id], [p for p in i.intervals if p[1] > planned_at])
        for i in built.plan.missing_intervals
    )


def _allowed(task: Task, approved: Approved, built: BuiltPlan, engine: Engine) -> Plan:
    """The plan with exactly those destructive changes allowed that were decided on. A model that does not say that it
    allows them (`on_destructive_change`) needs the spec or a human to say so."""
    everything = summary.destructive(built, engine)
    whole = digest.of_names(everything) == approved.destructive_sha256  # the names of a big plan are cut
    shown = {n.lower() for n in (everything if whole else approved.destructive)}
    named = {n.replace('"', "").lower() for n in task.plan.allow_destructive_models}
    allowed = set()
    for fqn in built.plan.allow_destructive_models:
        name = names.display(fqn, engine.catalog).lower()
        if name in named or (name in shown and approved.by_human):
            allowed.add(fqn)
    for snapshot in (s for s in built.plan.snapshots.values() if s.name in built.destructive - allowed and s.is_model):
        if snapshot.model.on_destructive_change.is_error:
            name = names.display(snapshot.name, engine.catalog)
            raise Problem(
                Reason.PLAN_REJECTED,
                f"{name} loses columns with their data; that needs a human's approval or plan.allowDestructiveModels.",
            )
    return built.plan.copy(update={"allow_destructive_models": allowed})


def _record(
    task: Task, approved: Approved, before: ApplyRow | None, ours: ApplyRow | None, plan: Plan, found: PlanSummary,
    built: BuiltPlan,
) -> ApplyRow:  # fmt: skip
    """Written before anything is applied: new versions are in the state before the backfill, so the base moves."""
    changed = sorted(
        {
            *built.plan.context_diff.modified_snapshots,
            *(s.name for s in built.plan.context_diff.added),
        }
    )
    changed = sorted({*changed, *(json.loads(ours.models) if ours else ())})
    return ApplyRow(
        environment=task.environment,
        token=approved.token,
        target=found.target,
        base=ours.base if ours else found.base,
        plan_id=plan.plan_id,
        phase="started",
        models=json.dumps(changed),
        job=task.job,
        at=now(),
        project=before.project if before else "",
        ended=before.ended if before else "",
    )


def _require_applied(task: Task, engine: Engine, plan: Plan) -> None:
    environment = engine.environment(task.environment)
    if environment is None or environment.plan_id != plan.plan_id:
        raise Problem(Reason.PLAN_CONFLICT, "Another plan was applied to the environment at the same time.")
    if not environment.finalized_ts:
        raise Problem(Reason.UNFINALIZED, "The apply ended, but the environment is not finalised.")


def _finish(
    task: Task,
    engine: Engine,
    state: State,
    row: ApplyRow,
    lines: Lines,
    reason: Reason,
    source: RevisionSource,
    resumed: bool,
) -> Result:
    """Audits what was changed and not audited just now, then closes the record. Done once per apply."""
    environment = engine.environment(task.environment)
    row = dataclasses.replace(row, project=source.kept.digest)  # runs have it from now on, whatever the audits say
    state.record_apply(row)
    work = dataclasses.replace(done(engine), plan_id=environment.plan_id, resumed=resumed)
    if task.audits and row.phase != "done":
        lines.enter("audit")
        changed = set(json.loads(row.models)) - engine.recorder.evaluated
        run, warned, failed = engine.audit(environment, changed)
        work = dataclasses.replace(work, audits_run=work.audits_run + run, audits_warned=work.audits_warned + warned)
        if failed:
            first = failed[0]
            message = f"Applied, but {first.model}: {first.message}"
            work = dataclasses.replace(work, rollback=rollback.options(engine, state, environment))
            raise Problem(Reason.AUDIT_FAILED, message, failures=failed, work=work)
    history.remember(engine, state, environment, source.source_digest, source.kept.digest)
    state.record_apply(dataclasses.replace(row, phase="done", at=now(), ended=row.token))
    state.forget_projects()
    seen = freshness.look(task, engine, environment, computed=True, signals=engine.recorder.counts.blocked)
    work = dataclasses.replace(seen.on(work), rollback=rollback.options(engine, state, environment))
    return Result(
        task.kind,
        reason,
        f"Applied as plan {work.plan_id}; {work.batches} batches computed.",
        work=work,
    )


def done(engine: Engine) -> Work:
    """What was computed so far."""
    counts = engine.recorder.counts
    return Work(
        models=len(counts.models),
        batches=counts.batches,
        rows=counts.rows,
        audits_run=counts.audits_run,
        audits_warned=counts.audits_warned,
        blocked=counts.blocked,
    )


def _short(found: PlanSummary) -> PlanSummary:
    return dataclasses.replace(found, models=(), effective={})
