"""The apply task: rebuild the plan, verify that it is the one decided on, apply it, verify that it
is in place.

Called by `tasks` with the writer lock held. Re-entrant: whatever a killed attempt left is found in
the state and continued. Applies nothing that `task.approved` does not cover.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vulcan_contract import digest, limits
from vulcan_contract.reasons import Reason
from vulcan_contract.result import PlanSummary, Result
from vulcan_contract.task import Approved
from vulcan_contract.times import milliseconds
from vulcan_runner import digests, freshness, history, rollback, summary
from vulcan_runner.attempt import Attempt
from vulcan_runner.engine import Plan
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.problem import Problem, Stopped
from vulcan_runner.revision import RevisionSource
from vulcan_runner.rows import ApplyRow, ProjectRow
from vulcan_runner.snapshots import intervals_of
from vulcan_runner.state import now


@dataclass(frozen=True)
class _Apply:
    """One apply: the decision, what the state had before, and the plan that was rebuilt for it.

    `record` is that of the environment's last apply; `ours` is the same one where an attempt at
    this very apply was killed and can be resumed.
    """

    source: RevisionSource
    approved: Approved
    record: ApplyRow | None
    ours: ApplyRow | None
    built: BuiltPlan
    found: PlanSummary

    @property
    def attempt(self) -> Attempt:
        return self.source.attempt

    def row(self, plan_id: str, phase: str, models: str, project: str, ended: str) -> ApplyRow:
        """A record of this apply."""
        task, found = self.attempt.task, self.found
        decided = (task.environment, self.approved.token, found.target, found.base)
        return ApplyRow(*decided, plan_id, phase, models, task.job, now(), project, ended)


def apply(source: RevisionSource, approved: Approved) -> Result:
    """Ends as Succeeded, AlreadyApplied or NoChanges; everything else is raised."""
    attempt, kept = source.attempt, source.kept
    attempt.engine.connect()
    record, environment = attempt.record(), attempt.environment()
    attempt.state.keep_project(ProjectRow(kept.digest, kept.pack()))
    ours = record if record is not None and record.token == approved.token else None
    if ours and environment and environment.plan_id == ours.plan_id and environment.finalized_ts:
        return _finish(source, ours, Reason.ALREADY_APPLIED, resumed=True)
    if ours is not None and not _can_resume(ours, approved, environment, attempt.identity):
        ours = None
    built = source.build(record, False)
    found = summary.summarise(attempt, built, record)
    one = _Apply(source, approved, record, ours, built, found)
    _require_decided(one)
    if not built.has_work:
        return _change_nothing(one, environment)
    plan = _allowed(one)
    if ours is not None:  # one id for all attempts: each recognises what any of them left
        plan = plan.copy(update={"plan_id": ours.plan_id})
    row = _record(one, plan)
    attempt.state.record_apply(row)
    _execute(attempt, plan)
    _require_applied(attempt, plan)
    return _finish(source, row, Reason.SUCCEEDED, resumed=ours is not None)


def rollback_decision(source: RevisionSource) -> Approved:
    """A rollback needs no approval: its order is the decision, for the plan it leads to. Raises
    PlanChanged when the environment is at another plan than the one that is to be undone."""
    attempt, promotion = source.attempt, source.attempt.task.promotion
    assert promotion is not None
    attempt.engine.connect()
    record = attempt.record()
    built = source.build(record, False)
    found = summary.summarise(attempt, built, record)
    undone = ["rollback", attempt.task.environment, promotion.expected, promotion.plan_id]
    token = digest.of_json(undone)
    work = (found.backfill_intervals, found.destructive, found.destructive_sha256)
    approved = Approved(token, found.target, found.base, now(), *work, by_human=True)
    resumes = record is not None and record.token == approved.token
    if not resumes and (built.before is None or built.before.plan_id != promotion.expected):
        message = "The environment is no longer at the plan that was to be undone."
        raise Problem(Reason.PLAN_CHANGED, message)
    return approved


def _can_resume(ours: ApplyRow, approved: Approved, environment: Any, identity: str) -> bool:
    """Whether a killed attempt can be continued: nobody has changed the environment since."""
    if ours.phase == "done":
        return False
    if environment is not None and environment.plan_id == ours.plan_id:
        return True
    return digests.base(environment, identity, ours.ended) == approved.base


def _change_nothing(one: _Apply, environment: Any) -> Result:
    """Ends an apply that changes no model. What the one before left unaudited is audited now."""
    source, attempt, record, kept = one.source, one.attempt, one.record, one.source.kept
    plan_id = one.found.base_plan_id
    if one.built.unaudited and record is not None:
        row = one.row(plan_id, "started", record.models, kept.digest, record.ended)
        return _finish(source, row, Reason.SUCCEEDED, resumed=True)
    attempt.state.record_apply(one.row(plan_id, "done", "[]", kept.digest, one.approved.token))
    if environment is not None:
        history.remember(attempt, environment, source.source_digest, kept.digest)
    attempt.state.forget_projects()
    short = dataclasses.replace(one.found, models=(), effective={})
    said = "The environment has this revision."
    return Result(attempt.task.kind, Reason.NO_CHANGES, said, summary=short)


def _execute(attempt: Attempt, plan: Plan) -> None:
    attempt.lines.enter("apply")
    try:
        attempt.engine.apply(plan)
    except Stopped as stopped:
        stopped.problem.work = attempt.work()
        raise
    except Exception:
        # SQLMesh says "Plan application failed."; the console knows why.
        if not attempt.engine.errors:
            raise
        raise attempt.models_failed(attempt.work()) from None


def _require_decided(one: _Apply) -> None:
    """Raises PlanChanged when this is not the plan decided on, or needs a stricter decision."""
    difference = next(_differences(one), None)
    if difference is not None:
        raise Problem(Reason.PLAN_CHANGED, difference)


def _differences(one: _Apply) -> Iterator[str]:
    approved, found, resumed = one.approved, one.found, one.ours is not None
    if found.target != approved.target:
        yield "The rebuilt plan leads to something else than the plan that was decided on."
    if not resumed and found.base != approved.base:
        yield "The environment is not what it was when the plan was decided on."
    if found.destructive_sha256 not in ("", approved.destructive_sha256) and not resumed:
        unseen = sorted(set(found.destructive) - set(approved.destructive)) or found.destructive
        yield f"Destructive now, but not when it was decided on: {', '.join(unseen[:5])}."
    count, decided = found.backfill_intervals, approved.backfill_intervals
    elapsed = _elapsed(one.built, approved)
    if count > decided + elapsed:
        explained = f"{decided} were decided on, and time explains {elapsed} more"
        yield f"{count} intervals to compute; {explained}."
    if not approved.by_human and not resumed:
        for excess in limits.exceeded(found, approved.limits):
            most = f"{excess.most} is the most that needs no approval"
            yield f"{round(excess.value, 2)} {excess.what}, and {most}."


def _elapsed(built: BuiltPlan, approved: Approved) -> int:
    """How many of the intervals had not ended yet when the plan was decided on."""
    plan, then = built.plan, milliseconds(approved.planned_at)
    missing = plan.missing_intervals if plan.requires_backfill else ()
    late = {i.snapshot_id: [p for p in i.intervals if p[1] > then] for i in missing}
    return sum(intervals_of(plan.snapshots[key], pairs) for key, pairs in late.items())


def _allowed(one: _Apply) -> Plan:
    """The plan with exactly those destructive changes allowed that were decided on. A model that
    does not allow them itself (`on_destructive_change`) needs the spec or a human to do so."""
    task, engine = one.attempt.task, one.attempt.engine
    approved, built = one.approved, one.built
    everything = summary.destructive(built, engine)
    # The names of a big plan are cut, their digest is not.
    whole = digest.of_names(everything) == approved.destructive_sha256
    shown = {n.lower() for n in (everything if whole else approved.destructive)}
    named = {n.replace('"', "").lower() for n in task.plan.allow_destructive_models}
    allowed = set()
    for fqn in built.plan.allow_destructive_models:
        name = engine.display(fqn).lower()
        if name in named or (name in shown and approved.by_human):
            allowed.add(fqn)
    for snapshot in built.plan.snapshots.values():
        refused = snapshot.name in built.destructive - allowed and snapshot.is_model
        if refused and snapshot.model.on_destructive_change.is_error:
            needed = "a human's approval or plan.allowDestructiveModels"
            lost = f"{engine.display(snapshot.name)} loses columns with their data"
            raise Problem(Reason.PLAN_REJECTED, f"{lost}; that needs {needed}.")
    return built.plan.copy(update={"allow_destructive_models": allowed})


def _record(one: _Apply, plan: Plan) -> ApplyRow:
    """Written first: new versions are in the state before the backfill, so the base moves."""
    diff, before, ours = plan.context_diff, one.record, one.ours
    changed = {*diff.modified_snapshots, *(s.name for s in diff.added)}
    changed |= set(json.loads(ours.models) if ours else ())
    project, ended = (before.project, before.ended) if before else ("", "")
    row = one.row(plan.plan_id, "started", json.dumps(sorted(changed)), project, ended)
    return dataclasses.replace(row, base=ours.base) if ours else row


def _require_applied(attempt: Attempt, plan: Plan) -> None:
    environment = attempt.environment()
    if environment is None or environment.plan_id != plan.plan_id:
        message = "Another plan was applied to the environment at the same time."
        raise Problem(Reason.PLAN_CONFLICT, message)
    if not environment.finalized_ts:
        message = "The apply ended, but the environment is not finalised."
        raise Problem(Reason.UNFINALIZED, message)


def _finish(source: RevisionSource, row: ApplyRow, reason: Reason, *, resumed: bool) -> Result:
    """Audits, once for each apply, what was changed but not audited, and closes the record."""
    attempt, kept = source.attempt, source.kept
    task, engine, state = attempt.task, attempt.engine, attempt.state
    environment = attempt.environment()
    # Runs have the project from now on, whatever the audits say.
    row = dataclasses.replace(row, project=kept.digest)
    state.record_apply(row)
    work = attempt.work(plan_id=environment.plan_id, resumed=resumed)
    if task.audits and row.phase != "done":
        attempt.lines.enter("audit")
        audits = engine.audit(environment, set(json.loads(row.models)) - engine.evaluated)
        work = audits.on(work)
        if audits.failed:
            first = audits.failed[0]
            message = f"Applied, but {first.model}: {first.message}"
            work = dataclasses.replace(work, rollback=rollback.options(attempt, environment))
            raise Problem(Reason.AUDIT_FAILED, message, failures=audits.failed, work=work)
    history.remember(attempt, environment, source.source_digest, kept.digest)
    state.record_apply(dataclasses.replace(row, phase="done", at=now(), ended=row.token))
    state.forget_projects()
    seen = freshness.look(attempt, environment, computed=True, signals=engine.counts.blocked)
    work = dataclasses.replace(seen.on(work), rollback=rollback.options(attempt, environment))
    said = f"Applied as plan {work.plan_id}; {work.batches} batches computed."
    return Result(task.kind, reason, said, work=work)
