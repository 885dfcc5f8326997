"""Plans from what the state has of an earlier apply: for a promotion to another environment, and
for a rollback.

Called by `revision`; applied by `applying` like any other plan. Needs no project, computes nothing
while it builds.
"""

from vulcan_contract import words
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Promotion
from vulcan_runner import diff_side, history, planning, rollback
from vulcan_runner.attempt import Attempt
from vulcan_runner.engine import Engine, Plan, Snapshot
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.problem import Problem
from vulcan_runner.rows import ApplyRow, HistoryRow
from vulcan_runner.snapshots import intervals_of, is_recent

_SHOWN = 10


def build(
    attempt: Attempt, promotion: Promotion, row: HistoryRow, record: ApplyRow | None
) -> BuiltPlan:
    """Raises RollbackUnavailable for lost snapshots, NotVirtualOnly for more work than allowed."""
    engine = attempt.engine
    engine.connect()
    attempt.lines.enter("plan")
    planning.require_reference(attempt)
    before = attempt.environment()
    plan = engine.plan_from_state(
        attempt.task.environment,
        _snapshots(attempt, row),
        history.requirements(row),
        history.statements(row),
        catch_up=promotion.catch_up,
    )
    catch_up, computed = _effort(engine, plan)
    _require_virtual(promotion, catch_up, computed)
    unaudited, lost = planning.is_unaudited(before, record), engine.destructive(plan)
    about = (tuple(engine.warnings), unaudited, row.source_digest, lost)
    return BuiltPlan(plan, before, 0, *about, catch_up, computed)


def _snapshots(attempt: Attempt, row: HistoryRow) -> dict[str, Snapshot]:
    """Tables are looked for by writers only: credentials for plans may not see them."""
    task, engine, wanted = attempt.task, attempt.engine, history.snapshots(row)
    found = engine.snapshots_by_id(wanted)
    altered = [s.name for s in found.values() if s.unrestorable]
    side = diff_side.of_snapshots(task.environment, row.plan_id, found)
    lost = diff_side.without_table(engine, side) if task.kind.writes else []
    refused = rollback.refusal(engine, wanted.keys() - found.keys(), altered, _SHOWN, lost)
    if refused:
        raise Problem(Reason.ROLLBACK_UNAVAILABLE, refused)
    return found


def _effort(engine: Engine, plan: Plan) -> tuple[int, tuple[str, ...]]:
    """Recent intervals that the plan would compute, and the models that need more than that."""
    others, catch_up = {engine.display(name) for name in engine.worked_on(plan)}, 0
    for missing in plan.missing_intervals if plan.requires_backfill else ():
        snapshot = plan.snapshots[missing.snapshot_id]
        if is_recent(snapshot, missing.intervals):
            catch_up += intervals_of(snapshot, missing.intervals)
        else:
            others.add(engine.display(snapshot.name))
    return catch_up, tuple(sorted(others))


def _require_virtual(promotion: Promotion, catch_up: int, computed: tuple[str, ...]) -> None:
    if not promotion.virtual_only:
        return
    if computed:
        message = f"It would have to compute {words.shortened(computed, _SHOWN)}."
        raise Problem(Reason.NOT_VIRTUAL_ONLY, message)
    if catch_up > promotion.max_catch_up:
        most = f"{promotion.max_catch_up} are the most"
        message = f"{catch_up} recent intervals to catch up with; {most}."
        raise Problem(Reason.NOT_VIRTUAL_ONLY, message)
