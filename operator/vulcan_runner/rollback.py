"""To which of its earlier plans an environment can be rolled back by a view swap alone, and how
long.

Called by `applying` and `running`, once for each task; `promoting` refuses in the same words. Reads
the state, writes nothing. SQLMesh's janitor may delete a snapshot that no environment refers to
once its ttl is over (`updated_ts + ttl_ms`, and `updated_ts` is when the last environment dropped
it).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vulcan_contract import words
from vulcan_contract.result import RollbackOption
from vulcan_contract.times import of_milliseconds, rfc3339
from vulcan_runner import history
from vulcan_runner.attempt import Attempt
from vulcan_runner.engine import Engine
from vulcan_runner.rows import HistoryRow
from vulcan_runner.state import SnapshotKey, State

_MOST = 5  # they share a termination message with everything else
_SHOWN = 3


@dataclass(frozen=True)
class _Earlier:
    """What an environment had, and until when (RFC 3339)."""

    row: HistoryRow
    keys: frozenset[SnapshotKey]
    replaced: str | None


def options(attempt: Attempt, environment: Any) -> tuple[RollbackOption, ...]:
    """Newest first; what the environment has now is not among them."""
    state, found = attempt.state, _earlier(attempt.state, environment)
    if not found:
        return ()
    wanted = frozenset().union(*(earlier.keys for earlier in found))
    mine = {(s.name, s.identifier) for s in environment.snapshots}
    kept = state.snapshots(wanted)
    used = state.uses(environment.name, (wanted - mine) & kept.keys())

    def ends(key: SnapshotKey) -> int | None:
        if key in mine or used.get(key, 0) is None:
            return None
        return max(kept[key].expires, used.get(key) or 0)

    def option(earlier: _Earlier) -> RollbackOption:
        row = earlier.row
        gone = [name for name, _ in earlier.keys - kept.keys()]
        altered = [key[0] for key in earlier.keys & kept.keys() if kept[key].unrestorable]
        refused = refusal(attempt.engine, gone, altered, _SHOWN)
        times = [t for t in map(ends, earlier.keys) if t is not None] if not refused else []
        expires = _text(min(times)) if times else None
        about = (row.plan_id, row.source_digest, row.at, earlier.replaced)
        return RollbackOption(*about, expires, unavailable=refused)

    return tuple(map(option, found))


def refusal(
    engine: Engine, gone: Iterable[str], altered: Iterable[str], most: int, lost: Iterable[str] = ()
) -> str:
    """Why these snapshots cannot be restored, with the first of the models; empty: they can."""
    reasons = (
        (gone, "are no longer in the state"),
        (altered, "had their tables altered since"),
        (lost, "no longer have tables in the warehouse"),
    )
    for found, what in reasons:
        models = sorted(engine.display(name) for name in found)
        if models:
            return f"The snapshots of {words.shortened(models, most)} {what}."
    return ""


def _earlier(state: State, environment: Any) -> list[_Earlier]:
    """Each plan's content once, as it was there last."""
    rows, record = state.history(environment.name), state.apply_record(environment.name)
    seen = {(history.snapshots_of(environment), record.project if record is not None else "")}
    finalized = environment.finalized_ts
    replaced, found = _text(finalized) if finalized else None, []
    for row in rows:
        if row.plan_id != environment.plan_id and (row.snapshots, row.project) not in seen:
            found.append(_Earlier(row, frozenset(history.snapshots(row).items()), replaced))
        seen.add((row.snapshots, row.project))
        replaced = row.at
        if len(found) == _MOST:
            break
    return found


def _text(ms: int) -> str:
    return rfc3339(of_milliseconds(ms), "seconds")
