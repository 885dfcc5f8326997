"""What an environment is still missing and when it is next due, after an apply or a run.

Called by `applying` and `running`. An unprotected environment leaves the tables that it shares with
a protected one to that one: it neither computes them nor is due because of them.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any

from vulcan_contract import REFERENCE
from vulcan_contract.result import Work
from vulcan_contract.times import of_milliseconds, rfc3339
from vulcan_runner.attempt import Attempt
from vulcan_runner.snapshots import deployability, intervals_of, next_due

SIGNAL_RETRY = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class OwnedModels:
    """The snapshots that an environment itself computes; `until` (ms): up to what it reads."""

    own: frozenset[str]
    partial: bool
    until: int | None


@dataclass(frozen=True)
class Freshness:
    """Times are RFC 3339. `blocked`: how many missing intervals nothing here can compute now."""

    next_run: str | None
    intervals_behind: int
    blocked: int
    complete_until: str | None

    def on(self, work: Work) -> Work:
        """What was done, with what is missing afterwards."""
        return dataclasses.replace(work, **dataclasses.asdict(self))


def owned_models(attempt: Attempt, environment: Any, snapshots: dict[str, Any]) -> OwnedModels:
    """A snapshot is shared when a protected environment has its table (name and version), too."""
    task, engine = attempt.task, attempt.engine
    taken: set[tuple[str, str]] = set()
    for other in () if task.protected else task.protected_environments:
        record = engine.environment(other) if other != task.environment else None
        taken |= {(s.name, s.version) for s in record.snapshots} if record else set()
    index = deployability(environment.name, snapshots)
    known = [s for s in snapshots.values() if (s.name, s.version) in taken]
    shared = {s.name for s in known if index.is_deployable(s)}
    own = frozenset(snapshots) - shared
    missing = engine.missing(environment, snapshots) if shared else {}
    read = [name for name in missing if name in shared and _is_read(name, own, snapshots)]
    return OwnedModels(own, bool(shared), min((missing[n][0][0] for n in read), default=None))


def look(attempt: Attempt, environment: Any, *, computed: bool, signals: int) -> Freshness:
    """`computed`: whether this task computed anything. If not, what is missing cannot be computed
    now, so it is not due at once (or the operator would start one run after the other)."""
    engine = attempt.engine
    snapshots = engine.snapshots(environment)
    mine = owned_models(attempt, environment, snapshots)
    missing = engine.missing(environment, snapshots)
    behind = {name: intervals_of(snapshots[name], i) for name, i in missing.items()}
    own = {name: i for name, i in missing.items() if name in mine.own}
    possible = [n for n, i in own.items() if mine.until is None or i[0][1] <= mine.until]
    waiting = sum(behind[n] for n in own if n not in possible)
    moments: list[dt.datetime] = []
    if possible and computed and not signals:
        moments.append(dt.datetime.now(dt.UTC))
    if waiting or signals:
        moments.append(dt.datetime.now(dt.UTC) + SIGNAL_RETRY)
    restates = attempt.task.environment == REFERENCE
    due = next_due([snapshots[n] for n in mine.own], restates=restates)
    moments += [due] if due else []
    since = min((intervals[0][0] for intervals in missing.values()), default=None)
    return Freshness(
        next_run=rfc3339(min(moments), "seconds") if moments else None,
        intervals_behind=sum(behind.values()),
        blocked=waiting + signals,
        complete_until=None if since is None else rfc3339(of_milliseconds(since), "seconds"),
    )


def _is_read(name: str, own: frozenset[str], snapshots: dict[str, Any]) -> bool:
    """Whether one of our own models depends on it, over however many steps."""
    todo, seen = [name], {name}
    while todo:
        current = todo.pop()
        for child in snapshots.values():
            if child.name not in seen and any(p.name == current for p in child.parents):
                if child.name in own:
                    return True
                seen.add(child.name)
                todo.append(child.name)
    return False
