"""Plans from what the state has of an earlier apply: for a promotion to another environment, and for the way back.

Called by `tasks`; applied by `applying` like any other plan. Needs no project, computes nothing while it builds.
"""

from dataclasses import dataclass

from sqlmesh.core.plan import Plan
from sqlmesh.core.snapshot.definition import Snapshot

from vulcan_contract import words
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Promotion, Task
from vulcan_runner import diff_side, history, planning, rollback, summary
from vulcan_runner import engine as engines
from vulcan_runner.engine import Engine
from vulcan_runner.lines import Lines
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.problem import Problem
from vulcan_runner.state import ApplyRow, HistoryRow

_SHOWN = 10


@dataclass(frozen=True)
class Effort:
    """What a plan from state would compute: recent intervals up to what the target has, and models that need more."""

    catch_up: int = 0
    computed: tuple[str, ...] = ()


def build(
    task: Task,
    promotion: Promotion,
    engine: Engine,
    row: HistoryRow,
    lines: Lines,
    record: ApplyRow | None,
) -> tuple[BuiltPlan, Effort]:
    """Raises RollbackUnavailable for snapshots that are gone, NotVirtualOnly for more work than the promotion allows."""
    engine.connect()
    lines.enter("plan")
    planning.require_reference(task, engine)
    before = engine.environment(task.environment)
    found = _snapshots(task, engine, row)
    engine.recorder.destructive.clear()
    plan = engine.plan_from_state(
        task.environment,
        found,
        history.requirements(row),
        history.statements(row),
        catch_up=promotion.catch_up,
    )
    effort = _effort(engine, plan)
    _require_virtual(promotion, effort)
    warnings = tuple(engine.recorder.warnings)
    unaudited = planning.is_unaudited(before, record)
    destructive = planning.destructive(engine, plan)
    return BuiltPlan(plan, before, 0, warnings, unaudited, row.source_digest, destructive), effort


def _snapshots(task: Task, engine: Engine, row: HistoryRow) -> dict[str, Snapshot]:
    """Tables are looked for by who writes: credentials for plans may not see them."""
    wanted = history.snapshots(row)
    found = engine.snapshots_by_id(wanted)
    altered = [s.name for s in found.values() if s.unrestorable]
    side = diff_side.of_snapshots(task.environment, row.plan_id, found)
    lost = diff_side.without_table(engine, side) if task.kind.writes else []
    refused = rollback.refusal(engine, wanted.keys() - found.keys(), altered, _SHOWN, lost)
    if refused:
        raise Problem(Reason.ROLLBACK_UNAVAILABLE, refused)
    return found


def _effort(engine: Engine, plan: Plan) -> Effort:
    others = {engine.display(name) for name in engines.worked_on(engine.context, plan, engine.catalog)}
    catch_up = 0
    for missing in plan.missing_intervals if plan.requires_backfill else ():
        snapshot = plan.snapshots[missing.snapshot_id]
        if engines.is_recent(snapshot, missing.intervals):
            catch_up += summary.intervals_of(snapshot, missing.intervals)
        else:
            others.add(engine.display(snapshot.name))
    return Effort(catch_up, tuple(sorted(others)))


def _require_virtual(promotion: Promotion, effort: Effort) -> None:
    if not promotion.virtual_only:
        return
    if effort.computed:
        shown = words.shortened(effort.computed, _SHOWN)
        raise Problem(Reason.NOT_VIRTUAL_ONLY, f"It would have to compute {shown}.")
    if effort.catch_up > promotion.max_catch_up:
        raise Problem(
            Reason.NOT_VIRTUAL_ONLY,
            f"{effort.catch_up} recent intervals to catch up with, {promotion.max_catch_up} are the most.",
        )
