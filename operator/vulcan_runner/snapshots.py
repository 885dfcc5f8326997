"""What SQLMesh's snapshots tell: who shares a table, what is due, what would be lost. Pure.

Called by `engine` and by whatever plans or counts intervals.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlmesh.core.plan import Plan
from sqlmesh.core.schema_diff import get_schema_differ, has_drop_alteration
from sqlmesh.core.snapshot.definition import DeployabilityIndex, Snapshot, SnapshotChangeCategory
from sqlmesh.utils import columns_to_types_all_known
from sqlmesh.utils.date import now, to_datetime

from vulcan_contract import REFERENCE
from vulcan_contract.reasons import Reason
from vulcan_runner.problem import Problem


def deployability(environment: str, snapshots: dict[str, Snapshot]) -> DeployabilityIndex:
    """Which snapshots of the environment of that name write to tables that others share."""
    if environment == REFERENCE:
        return DeployabilityIndex.all_deployable()
    return DeployabilityIndex.create({s.snapshot_id: s for s in snapshots.values()})


def is_recent(snapshot: Snapshot, missing: list[tuple[int, int]]) -> bool:
    """Whether what is missing comes after all that is there: time has passed, nothing else."""
    done = snapshot.intervals
    return bool(done) and missing[0][0] >= done[-1][1]


def loses_columns(plan: Plan, snapshot_id: Any) -> bool:
    """Whether a forward-only change drops columns of a table with data; new tables have none."""
    pair = plan.context_diff.modified_snapshots.get(snapshot_id.name)
    if pair is None or not (plan.snapshots[snapshot_id].is_forward_only or plan.forward_only):
        return False
    new, old = pair
    if not (new.is_model and old.is_model and new.model.is_sql | new.model.is_python):
        return False
    before, after = old.model.columns_to_types or {}, new.model.columns_to_types or {}
    if new.model.on_destructive_change.is_ignore or not (
        columns_to_types_all_known(before) and columns_to_types_all_known(after)
    ):
        return False
    differ = get_schema_differ(new.model.dialect)
    return has_drop_alteration([*differ.compare_columns(new.name, before, after)])


def category(name: str) -> SnapshotChangeCategory:
    """The category that `plan.categories` names: Breaking | NonBreaking."""
    known = {
        "Breaking": SnapshotChangeCategory.BREAKING,
        "NonBreaking": SnapshotChangeCategory.NON_BREAKING,
    }
    if name not in known:
        message = f"The category {name} is not one of {', '.join(known)}."
        raise Problem(Reason.PLAN_REJECTED, message)
    return known[name]


def next_due(snapshots: Sequence[Snapshot], restates: bool) -> Any:
    """When the next model's cron (or auto-restatement) fires; None when none ever does."""
    moment = now()
    due = [
        s.node.cron_next(moment)
        for s in snapshots
        if s.is_model and not s.is_symbolic and not s.is_seed
    ]
    if restates:
        due += [
            to_datetime(s.next_auto_restatement_ts) for s in snapshots if s.next_auto_restatement_ts
        ]
    return min(due) if due else None


def intervals_of(snapshot: Any, intervals: Iterable[Any]) -> int:
    """How many intervals to compute. FULL, VIEW and SEED models count once."""
    count = len(list(intervals))
    return min(count, 1) if is_whole(snapshot) else count


def is_whole(snapshot: Any) -> bool:
    """Whether it is computed in one piece, whatever the time."""
    has_no_time = snapshot.is_full or snapshot.is_view or snapshot.is_seed
    return bool(has_no_time or not snapshot.is_incremental)
