"""What a plan would do: the short PlanSummary for the Result, and the full report for people.

Called by `tasks` for a plan and by `applying`, which compares the same numbers. Reads a built plan,
changes nothing.
"""

import gzip
import json
import math
from collections import Counter
from typing import Any

from vulcan_contract import digest, limits, report
from vulcan_contract.result import ModelChange, PlanSummary
from vulcan_contract.task import Task
from vulcan_contract.times import of_milliseconds, rfc3339
from vulcan_runner import digests, names
from vulcan_runner.attempt import Attempt
from vulcan_runner.config import effective_categorizer
from vulcan_runner.engine import Engine
from vulcan_runner.planning import BuiltPlan
from vulcan_runner.rows import ApplyRow
from vulcan_runner.snapshots import intervals_of, is_whole

_DAY_MS = 86_400_000
_MAX_DIFF = 20_000


def summarise(
    attempt: Attempt, built: BuiltPlan, record: ApplyRow | None, *, adopted: bool = False
) -> PlanSummary:
    """`record`: of the environment's last apply. Counts are complete; the contract cuts `models`
    where the termination message is too small."""
    task, engine = attempt.task, attempt.engine
    plan, diff = built.plan, built.plan.context_diff
    changes = _changes(built, engine)
    counted = Counter(c.change for c in changes.values())
    removed = [engine.display(s.name) for s in diff.removed_snapshots]
    lost = destructive(built, engine)
    direct = [c for c in changes.values() if c.change == "DirectlyModified"]
    percent = limits.removed_percent(len(plan.snapshots), len(diff.added), len(removed))
    return PlanSummary(
        target=digests.target(task, built, built.source),
        base=digests.base(built.before, attempt.identity, record.ended if record else ""),
        base_plan_id=built.before.plan_id if built.before else "",
        has_changes=built.has_work or built.unaudited,
        catch_up_intervals=built.catch_up,
        computed=built.computed,
        unaudited=built.unaudited,
        added=len(diff.added),
        directly_modified=len(direct),
        indirectly_modified=counted["IndirectlyModified"],
        metadata_modified=counted["MetadataModified"],
        removed=len(removed),
        total_models=len(plan.snapshots),
        backfill_intervals=sum(c.intervals for c in changes.values()),
        rebuilt_models=sum(_is_rebuilt(c) for c in changes.values()),
        history_days=_history_days(built),
        removed_percent=round(percent, 2),
        breaking=sum(c.category == "Breaking" for c in direct),
        destructive=lost,
        destructive_count=len(lost),
        destructive_sha256=digest.of_names(lost),
        adopted=adopted,
        tests_run=built.tests_run,
        effective=_effective(task, engine),
        models=tuple(sorted(changes.values(), key=_rank)),
    )


def _rank(change: ModelChange) -> tuple[bool, int, str]:
    """What people must see comes first."""
    return not change.destructive, -change.intervals, change.name


def destructive(built: BuiltPlan, engine: Engine) -> tuple[str, ...]:
    """All models that go away or lose columns."""
    removed = (s.name for s in built.plan.context_diff.removed_snapshots)
    return tuple(sorted({engine.display(name) for name in (*removed, *built.destructive)}))


def full_report(
    attempt: Attempt, built: BuiltPlan, summary: PlanSummary
) -> tuple[dict[str, Any], int]:
    """The report and how many models were left out of it."""
    task, engine, plan = attempt.task, attempt.engine, built.plan
    by_name = {engine.display(s.name): s for s in plan.snapshots.values()}
    missing = _missing(built)
    models = [
        _detail(plan, engine, change, by_name.get(change.name), missing)
        for change in summary.models
    ]
    given = task.source
    source = {"url": given.url, "commit": given.commit, "digest": built.source} if given else {}
    whole: dict[str, Any] = {
        "environment": task.environment,
        "source": source,
        "target": summary.target,
        "base": summary.base,
        "warnings": list(built.warnings),
        "ignored": engine.ignored,
        "effective": dict(summary.effective),
        "testsRun": summary.tests_run,
        "models": models,
    }
    return fitted(whole, report.MAX_BYTES)


def fitted(whole: dict[str, Any], most: int) -> tuple[dict[str, Any], int]:
    """The report in `most` bytes (gzipped): diffs are dropped first, then models from the end."""
    if _size(whole) <= most:
        return whole, 0
    models = [{k: v for k, v in model.items() if k != "diff"} for model in whole["models"]]
    kept = models
    while kept and _size({**whole, "models": kept}) > most:
        kept = kept[: len(kept) * 3 // 4]
    omitted = len(models) - len(kept)
    return {**whole, "models": kept, "omitted": omitted, "diffsOmitted": True}, omitted


def _changes(built: BuiltPlan, engine: Engine) -> dict[str, ModelChange]:
    plan, diff = built.plan, built.plan.context_diff
    missing = _missing(built)
    found = {}
    for snapshot_id, snapshot in plan.snapshots.items():
        change = _change(plan, snapshot_id)
        known = missing.get(snapshot_id)
        intervals = intervals_of(snapshot, known.intervals if known else ())
        if not change and not intervals:
            continue
        category = names.title(snapshot.change_category) if change not in ("", "Restated") else ""
        found[snapshot.name] = ModelChange(
            name=engine.display(snapshot.name),
            change=change or "Backfilled",
            category=category,
            kind=snapshot.model_kind_name.value if snapshot.model_kind_name else "",
            intervals=intervals,
            destructive=snapshot.name in built.destructive,
        )
    for removed in diff.removed_snapshots.values():
        name = engine.display(removed.name)
        found[removed.name] = ModelChange(name, "Removed", destructive=True)
    return found


def _change(plan: Any, snapshot_id: Any) -> str:
    diff, name = plan.context_diff, snapshot_id.name
    if snapshot_id in diff.added:
        return "Added"
    if name in diff.modified_snapshots:
        if diff.directly_modified(name):
            return "DirectlyModified"
        return "IndirectlyModified" if diff.indirectly_modified(name) else "MetadataModified"
    return "Restated" if snapshot_id in plan.restatements else ""


def _is_rebuilt(change: ModelChange) -> bool:
    """Whether the environment has the model and its table is recomputed; a view has none."""
    known = change.change not in ("Added", "Backfilled")
    return known and change.intervals > 0 and change.kind != "VIEW"


def _history_days(built: BuiltPlan) -> int:
    """The longest stretch of time that one incremental model is computed for."""
    if not built.plan.requires_backfill:
        return 0
    spans = [
        i.intervals[-1][1] - i.intervals[0][0]
        for i in built.plan.missing_intervals
        if i.intervals and not is_whole(built.plan.snapshots[i.snapshot_id])
    ]
    return math.ceil(max(spans, default=0) / _DAY_MS)


def _effective(task: Task, engine: Engine) -> dict[str, str]:
    """Each planning field's value and where it is set: in the spec or in the project."""
    options, config = task.plan, engine.config
    forward_only, mode = options.forward_only, options.categorization
    if forward_only is None:
        forward_only = config.plan.forward_only
    if mode == "Project":
        mode = effective_categorizer(config)
    said = {
        "categorization": (mode, options.categorization != "Project"),
        "forwardOnly": (forward_only, options.forward_only is not None),
        "noGaps": (bool(options.no_gaps), options.no_gaps is not None),
        "selectModels": (", ".join(options.select_models) or "all", bool(options.select_models)),
        "start": (options.start or "model's own", options.start is not None),
        "devStart": (options.dev_start or "model's own", options.dev_start is not None),
        "environmentTtl": (config.environment_ttl or "none", not task.expires),
    }
    return {
        name: f"{str(value)[:100]} ({'spec' if ours else 'project'})"
        for name, (value, ours) in said.items()
    }


def _missing(built: BuiltPlan) -> dict[Any, Any]:
    """By snapshot id. Read once, because SQLMesh computes it for the whole plan each time."""
    if not built.plan.requires_backfill:
        return {}
    return {i.snapshot_id: i for i in built.plan.missing_intervals}


def _detail(
    plan: Any, engine: Engine, change: ModelChange, snapshot: Any, missing: dict[Any, Any]
) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "name": change.name, "change": change.change, "category": change.category,
        "kind": change.kind, "intervals": change.intervals, "destructive": change.destructive,
    }  # fmt: skip
    if snapshot is None or not snapshot.is_model:
        return detail
    model = snapshot.model
    detail |= {
        "version": snapshot.version or "", "cron": model.cron, "owner": model.owner or "",
        "dependsOn": sorted(engine.display(d) for d in model.depends_on or ()),
        "audits": sorted(audit.name for audit, _ in model.audits_with_args),
        "missing": _spans(missing.get(snapshot.snapshot_id)),
    }  # fmt: skip
    if change.change in ("DirectlyModified", "MetadataModified"):
        detail["diff"] = plan.context_diff.text_diff(snapshot.name)[:_MAX_DIFF]
    return detail


def _spans(missing: Any) -> list[str]:
    pairs = missing.merged_intervals if missing else []
    return ["/".join(rfc3339(of_milliseconds(t)) for t in pair) for pair in pairs[:20]]


def _size(value: Any) -> int:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return len(gzip.compress(text.encode(), mtime=0))
