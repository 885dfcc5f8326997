"""The journal of append-only batches: when a Job is lost, a human must check what it was writing.

`sqlmesh_context` wraps every batch of an append-only model in `Journal.batch`; `session` asks
`require_clean` before a task computes. Other model kinds replace what they wrote before, so that
repeating a batch does no harm. An entry stays until a human confirms that this Job's rows were
checked (`task.checked`); a retry is not enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlmesh.utils.date import to_datetime

from vulcan_contract import words
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Task
from vulcan_contract.times import rfc3339
from vulcan_runner import failures, names
from vulcan_runner.problem import Problem
from vulcan_runner.rows import InFlightRow
from vulcan_runner.state import State

_SHOWN = 5


class Journal:
    """Entries of one Job, and those that lost Jobs left behind."""

    def __init__(self, state: State, task: Task) -> None:
        self._state, self._task = state, task
        self._lost: list[InFlightRow] = []

    def require_clean(self) -> None:
        """Forgets what a human has checked; raises ManualCheckRequired when this environment has
        more. Entries of other environments matter once the same table is to be written."""
        rows = [row for row in self._state.in_flight() if row.job != self._task.job]
        for row in rows:
            if row.job == self._task.checked:
                self._state.take_in_flight(row)
        self._lost = [row for row in rows if row.job != self._task.checked]
        self._require_none([row for row in self._lost if row.environment == self._task.environment])

    def _require_none(self, rows: list[InFlightRow]) -> None:
        """Reports one lost Job at a time: the annotation holds one name."""
        if not rows:
            return
        job = rows[0].job
        own = [row for row in rows if row.job == job]
        entries = [
            f"{r.physical_table} for {r.start_at} to {r.end_at} (model {r.model})" for r in own
        ]
        asked = "run-requested-at"
        if self._task.source is not None:
            asked = "plan-requested-at (or run-requested-at)"
        raise Problem(
            Reason.MANUAL_CHECK,
            f"The lost Job {job} was appending to {words.shortened(entries, _SHOWN, '; ')}."
            " Rows of that interval may be there already: remove them, then annotate the"
            f" VulcanEnvironment with vulcan.dev/checked={job} and vulcan.dev/{asked}=now.",
        )

    @contextmanager
    def batch(
        self, snapshot: Any, start: Any, end: Any, deployable: bool, adapter: Any
    ) -> Iterator[None]:
        """Journals the batch before it is written and removes the entry after it; the entry stays
        when nobody knows whether the rows are there."""
        if not is_append_only(snapshot):
            yield
            return
        task, catalog = self._task, adapter.default_catalog
        model = names.display(snapshot.name, catalog)
        table = names.display(snapshot.table_name(is_deployable=deployable), catalog)
        row = InFlightRow(task.job, task.environment, model, table, _text(start), _text(end))
        self._require_none([lost for lost in self._lost if lost.physical_table == table])
        self._state.put_in_flight(row)
        try:
            yield
        except Exception as error:
            transactional = adapter.SUPPORTS_TRANSACTIONS and not snapshot.model.kind.is_custom
            if failures.certainly_not_written(error, transactional):
                self._state.take_in_flight(row)
            raise
        self._state.take_in_flight(row)


def is_append_only(snapshot: Any) -> bool:
    """Whether batches only add rows: INCREMENTAL_UNMANAGED that inserts; CUSTOM may do so, too."""
    if not snapshot.is_model:
        return False
    kind = snapshot.model.kind
    if kind.is_incremental_unmanaged:
        return not getattr(kind, "insert_overwrite", False)
    return bool(kind.is_custom)


def _text(moment: Any) -> str:
    return rfc3339(to_datetime(moment))
