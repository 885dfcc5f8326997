"""Which of the things an environment had before it could have again by a view swap alone, and for how long.

Called by `applying` and `running`, once per task; `promoting` refuses in the same words. Reads the state, writes nothing.
What SQLMesh's janitor may take: a snapshot that no environment refers to, once its ttl is over (`updated_ts + ttl_ms`, and
`updated_ts` is when the last environment let go of it).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp
from sqlmesh.core.snapshot.definition import SnapshotFingerprint, SnapshotId
from sqlmesh.core.state_sync.db.utils import fetchall, snapshot_id_filter

from vulcan_contract import words
from vulcan_contract.result import RollbackOption
from vulcan_contract.times import rfc3339
from vulcan_runner import history
from vulcan_runner.engine import Engine
from vulcan_runner.state import HistoryRow, State

_MOST = 5  # they share a termination message with everything else
_SHOWN = 3
_BATCH = 1000


@dataclass(frozen=True)
class _Earlier:
    """What an environment had, and until when (RFC 3339)."""

    row: HistoryRow
    ids: frozenset[SnapshotId]
    replaced: str | None


@dataclass(frozen=True)
class _Kept:
    """A snapshot in the state. Times in ms."""

    expires: int
    unrestorable: bool


def options(engine: Engine, state: State, environment: Any) -> tuple[RollbackOption, ...]:
    """Newest first; what the environment has now is none of them."""
    found = _earlier(state, environment)
    if not found:
        return ()
    wanted = frozenset().union(*(earlier.ids for earlier in found))
    mine = {s.snapshot_id for s in environment.snapshots}
    kept = _kept(state, wanted)
    held = _held(state, environment.name, (wanted - mine) & kept.keys())

    def ends(id_: SnapshotId) -> int | None:
        if id_ in mine or held.get(id_, 0) is None:
            return None
        return max(kept[id_].expires, held.get(id_) or 0)

    def option(earlier: _Earlier) -> RollbackOption:
        gone = [i.name for i in earlier.ids - kept.keys()]
        altered = [i.name for i in earlier.ids & kept.keys() if kept[i].unrestorable]
        refused = refusal(engine, gone, altered, _SHOWN)
        times = [t for t in map(ends, earlier.ids) if t is not None] if not refused else []
        return RollbackOption(
            plan_id=earlier.row.plan_id, source_digest=earlier.row.source_digest, applied=earlier.row.at,
            replaced=earlier.replaced, expires=_text(min(times)) if times else None, unavailable=refused,
        )  # fmt: skip

    return tuple(map(option, found))


def refusal(engine: Engine, gone: Iterable[str], altered: Iterable[str], most: int, lost: Iterable[str] = ()) -> str:
    """Why these snapshots cannot be gone back to, with the first of the models; empty when there are none."""
    reasons = (
        (gone, "are not in the state any more"),
        (altered, "had their tables altered since"),
        (lost, "have no tables in the warehouse any more"),
    )
    for found, what in reasons:
        models = sorted(engine.display(name) for name in found)
        if models:
            return f"The snapshots of {words.shortened(models, most)} {what}."
    return ""


def _earlier(state: State, environment: Any) -> list[_Earlier]:
    """Each thing it had once, as it had it last."""
    rows, record = state.history(environment.name), state.apply_record(environment.name)
    seen = {(history.snapshots_of(environment), record.project if record is not None else "")}
    finalized = environment.finalized_ts
    replaced, found = _text(finalized) if finalized else None, []
    for row in rows:
        if row.plan_id != environment.plan_id and (row.snapshots, row.project) not in seen:
            ids = frozenset(SnapshotId(name=n, identifier=i) for n, i in history.snapshots(row).items())
            found.append(_Earlier(row, ids, replaced))
        seen.add((row.snapshots, row.project))
        replaced = row.at
        if len(found) == _MOST:
            break
    return found


def _kept(state: State, wanted: frozenset[SnapshotId]) -> dict[SnapshotId, _Kept]:
    query = exp.select("name", "identifier", "updated_ts", "ttl_ms", "unrestorable").from_(
        exp.table_("_snapshots", db=state.schema)
    )
    return {
        SnapshotId(name=name, identifier=identifier): _Kept(int(updated) + int(ttl), bool(unrestorable))
        for where in snapshot_id_filter(state.adapter, wanted, batch_size=_BATCH)
        for name, identifier, updated, ttl, unrestorable in fetchall(state.adapter, query.where(where))
    }


def _held(state: State, own: str, wanted: frozenset[SnapshotId]) -> dict[SnapshotId, int | None]:
    """Those that other environments refer to, and until when; None: for as long as those have them.

    Only what is asked about is parsed: there may be many environments with a thousand models each."""
    names, held = {i.name for i in wanted}, dict[SnapshotId, int | None]()
    if not wanted:
        return held
    columns = ("snapshots", "previous_finalized_snapshots", "finalized_ts", "expiration_ts")
    query = exp.select(*columns).from_(exp.table_("_environments", db=state.schema))
    for now_has, before, finalized, expires in fetchall(state.adapter, query.where(exp.column("name").neq(own))):
        listed = json.loads(now_has) + (json.loads(before) if before and not finalized else [])
        for item in (item for item in listed if item["name"] in names):
            fingerprint = SnapshotFingerprint(**item["fingerprint"])
            id_ = SnapshotId(name=item["name"], identifier=fingerprint.to_identifier())
            known = held.get(id_, 0)
            held[id_] = max(known, expires) if known is not None and expires else None
    return held


def _text(ms: int) -> str:
    return rfc3339(datetime.fromtimestamp(ms // 1000, UTC))
