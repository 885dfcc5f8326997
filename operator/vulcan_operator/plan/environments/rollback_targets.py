"""Earlier revisions that an environment could have again: what a Job has found of them, and the
warning before one is lost.

Pure. Only a Job can look into the state: the steps fold in what each has told, `planner` says what
follows as time passes. Nothing here decides whether a rollback goes ahead: its own Job looks again.
"""

import datetime as dt
from collections.abc import Iterable, Iterator

from vulcan_contract import times
from vulcan_contract.result import RollbackOption, Work
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.environment import EnvironmentSpec
from vulcan_operator.api.environment_history import MOST_TARGETS, RollbackTargetStatus
from vulcan_operator.api.environment_status import AppliedStatus, EnvironmentStatus, HistoryItem
from vulcan_operator.api.fields import parse_duration, short_revision
from vulcan_operator.plan.core.conditions import put
from vulcan_operator.plan.core.decision import EnvironmentDraft
from vulcan_operator.plan.environments.context import Context

# A project's snapshot_ttl counts from the moment the views changed, the window from the end of the
# apply's Job: the default of both is a week, and that is no reason to warn.
_GRACE = dt.timedelta(hours=1)


def noted(status: EnvironmentStatus, work: Work | None) -> EnvironmentStatus:
    """The status with what a Job has found; unchanged when it has not looked."""
    if work is None or work.rollback is None:
        return status
    revisions = dict(_revisions(status))
    found = [_target(option, revisions) for option in work.rollback[:MOST_TARGETS]]
    return status.but(rollback_targets=found)


def _target(option: RollbackOption, revisions: dict[str, str]) -> RollbackTargetStatus:
    times = (dt.datetime.fromisoformat(t) if t is not None else None for t in (
        option.applied, option.replaced, option.expires,
    ))  # fmt: skip
    applied, replaced, expires = times
    return RollbackTargetStatus(
        plan_id=option.plan_id,
        revision=revisions.get(option.plan_id) or revisions.get(option.source_digest, ""),
        source_digest=option.source_digest,
        time=applied,
        replaced_time=replaced,
        expires=expires,
        state="Unavailable" if option.unavailable else "Available",
        message=option.unavailable,
    )


def _revisions(status: EnvironmentStatus) -> Iterator[tuple[str, str]]:
    """What plan ids and source digests are called; the state knows neither commits nor names."""
    applied = [status.applied] if status.applied is not None else []
    everything: list[RollbackTargetStatus | HistoryItem | AppliedStatus]
    everything = [*status.rollback_targets, *status.history, *applied]
    for held in status.held:
        yield held.source_digest, held.revision
    for known in everything:
        if known.revision:
            yield known.source_digest, known.revision
            yield known.plan_id, known.revision


def watch(draft: EnvironmentDraft, context: Context) -> EnvironmentDraft:
    """The draft with holds marked, with condition RollbackExpiring, and with the next look at the
    time it changes."""
    targets = _marked(draft.status)
    if targets != draft.status.rollback_targets:
        draft = draft.with_status(rollback_targets=targets)
    if not targets:
        others = [c for c in draft.status.conditions if c.type != Type.ROLLBACK_EXPIRING]
        return draft.with_status(conditions=others)
    spec, now, generation = context.spec, context.now, context.meta.generation
    said = _expiring(targets, spec, now)
    conditions = put(draft.status.conditions, Type.ROLLBACK_EXPIRING, *said, generation, now)
    moments = (t for _, *times in _in_danger(targets, spec) for t in times if t > now)
    return draft.with_status(conditions=conditions).again(*moments)


def _marked(status: EnvironmentStatus) -> list[RollbackTargetStatus]:
    held = {h.source_digest for h in status.held if h.source_digest}

    def marked(target: RollbackTargetStatus) -> RollbackTargetStatus:
        if target.state == "Unavailable":
            return target
        return target.but(state="Held" if target.source_digest in held else "Available")

    return [marked(target) for target in status.rollback_targets]


def _expiring(
    targets: Iterable[RollbackTargetStatus], spec: EnvironmentSpec, now: dt.datetime
) -> tuple[str, str, str]:
    for target, expires, ends in _in_danger(targets, spec):
        if now >= ends:
            continue
        name = short_revision(target.revision or target.source_digest)
        is_kept = expires > now
        how = "can be rolled back to only until" if is_kept else "may have been lost since"
        message = (
            f"revision {name} (plan {target.plan_id}) {how} {times.to_second(expires)}:"
            " then SQLMesh's janitor may take its snapshots, before rollback.window"
            f" ({spec.rollback.window}) is over at {times.to_second(ends)}. Do not run"
            " `sqlmesh janitor` until then; for later revisions raise snapshot_ttl in the project,"
            " or lower rollback.window"
        )
        return "True", Why.EXPIRING, message
    return "False", Why.KEPT, ""


def _in_danger(
    targets: Iterable[RollbackTargetStatus], spec: EnvironmentSpec
) -> list[tuple[RollbackTargetStatus, dt.datetime, dt.datetime]]:
    """Those that can be lost inside the window, the first to go first: with when that may be, and
    when the window ends."""
    window = parse_duration(spec.rollback.window)
    found = [
        (t, t.expires, t.replaced_time + window)
        for t in targets
        if t.state == "Available" and t.expires is not None and t.replaced_time is not None
    ]
    lost = (f for f in found if f[1] < f[2] - _GRACE)
    return sorted(lost, key=lambda f: (f[1], f[0].plan_id))
