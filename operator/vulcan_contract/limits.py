"""The limits of `spec.plan.limits`, and which of them a plan exceeds. The operator asks before it
lets a plan through without approval, the runner asks again of the plan that it rebuilt: one rule
for both. Fields of `Limits` have the names of the spec's, fields of `Counts` those of the plan's
summary; what they count is computed by `vulcan_runner.summary`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# The defaults of `maxBackfillIntervals` and `maxRemovedPercent`, in API and admission policies.
MAX_BACKFILL_INTERVALS = 5000
MAX_REMOVED_PERCENT = 20


@dataclass(frozen=True)
class Limits:
    """A plan above them needs an approval whatever the mode. None: no limit. FULL, VIEW
    and SEED models count once."""

    max_backfill_intervals: int | None = None
    max_rebuilt_models: int | None = None
    max_history_days: int | None = None
    max_removed_percent: float | None = None


class Counts(Protocol):
    """The counts of a plan, of the contract's summary or of the one in a status."""

    @property
    def backfill_intervals(self) -> int: ...
    @property
    def rebuilt_models(self) -> int: ...
    @property
    def history_days(self) -> int: ...
    @property
    def total_models(self) -> int: ...
    @property
    def added(self) -> int: ...
    @property
    def removed(self) -> int: ...


@dataclass(frozen=True)
class Excess:
    """A limit and what is above it. `limit` is the spec's field, `what` says the same in words."""

    limit: str
    what: str
    value: float
    most: float


def exceeded(plan: Counts, limits: Limits) -> Iterator[Excess]:
    """Every limit that the plan exceeds, in the order of the spec."""
    removed = removed_percent(plan.total_models, plan.added, plan.removed)
    for limit, what, value, most in (
        ("maxBackfillIntervals", "intervals to compute", plan.backfill_intervals,
         limits.max_backfill_intervals),
        ("maxRebuiltModels", "models to rebuild", plan.rebuilt_models, limits.max_rebuilt_models),
        ("maxHistory in days", "days of history", plan.history_days, limits.max_history_days),
        ("maxRemovedPercent", "percent of models removed", removed, limits.max_removed_percent),
    ):  # fmt: skip
        if most is not None and value > most:
            yield Excess(limit, what, value, most)


def removed_percent(total: int, added: int, removed: int) -> float:
    """Share of the models before the plan that it removes; `total` counts those after it."""
    before = total - added + removed
    return 100 * removed / before if before else 0.0
