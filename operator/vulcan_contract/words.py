"""Sentences that people read in statuses and in Jobs' logs, and that must read the same in both."""

from collections.abc import Sequence

from vulcan_contract.result import PlanSummary


def shortened(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """`a, b and 3 more`: the first `most` of the items, and the number of the others."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


def _name(model: str) -> str:
    """A model's name, unless it could be taken for something else: this text stands before the
    command with which people approve."""
    return (
        model if model.replace(".", "").replace('"', "").replace("-", "_").isidentifier() else "?"
    )


def plan(summary: PlanSummary) -> str:
    """What a plan would change: `1 added, 2 modified, 14 intervals to compute`, no full stop."""
    counts = (
        (summary.added, "added"),
        (summary.directly_modified, "modified"),
        (summary.indirectly_modified, "indirectly modified"),
        (summary.metadata_modified, "with changed metadata"),
        (summary.removed, "removed"),
    )
    said = [f"{count} {what}" for count, what in counts if count]
    if summary.unaudited:
        said.append("audits of the last apply have not passed")
    if summary.project_changed:
        said.append("settings or materialisations of the project changed")
    if summary.breaking:
        said.append(f"{summary.breaking} breaking")
    if summary.destructive or summary.destructive_count:
        named = [_name(name) for name in summary.destructive[:3]]
        more = "…" if summary.destructive_count > len(named) else ""
        said.append(f"destructive: {', '.join(named)}{more}")
    if summary.backfill_intervals:
        said.append(f"{summary.backfill_intervals} intervals to compute")
    return ", ".join(said) or ("views to update" if summary.has_changes else "no changes")
