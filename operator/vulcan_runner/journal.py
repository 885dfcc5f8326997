"""The journal of append-only batches: what was being written when a Job got lost must be looked at by a human.

`engine` wraps every batch of an append-only model in `Journal.batch`; `tasks` asks `require_clean` before it writes.
Other model kinds replace what they wrote before, so for them doing it twice is the same as once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlmesh.utils.date import to_datetime

from vulcan_contract.reasons import Reason
from vulcan_runner import failures, names
from vulcan_runner.problem import Problem
from vulcan_runner.state import InFlightRow, State


class Journal:
    """Entries of one Job."""

    def __init__(self, state: State, job: str, environment: str) -> None:
        self._state, self._job, self._environment = state, job, environment

    def require_clean(self) -> None:
        """Raises ManualCheckRequired once; an attempt after that exists because a human asked, so it goes on."""
        entries = [row for row in self._state.in_flight() if row.job != self._job]
        new = [row for row in entries if not row.reported]
        for row in entries:
            if new:
                self._state.mark_reported(row)
            else:
                self._state.take_in_flight(row)
        if new:
            what = "; ".join(f"{r.physical_table} for {r.start_at} to {r.end_at} (model {r.model})" for r in new)
            raise Problem(
                Reason.MANUAL_CHECK,
                f"A lost job was appending to {what}."
                " Rows of that interval may be there already: remove them, then ask again.",
            )

    @contextmanager
    def batch(self, snapshot: Any, start: Any, end: Any, deployable: bool, adapter: Any) -> Iterator[None]:
        """Written before and removed after the batch; kept when nobody knows whether its rows are there."""
        if not is_append_only(snapshot):
            yield
            return
        catalog = adapter.default_catalog
        row = InFlightRow(
            job=self._job,
            environment=self._environment,
            model=names.display(snapshot.name, catalog),
            physical_table=names.display(snapshot.table_name(is_deployable=deployable), catalog),
            start_at=_text(start),
            end_at=_text(end),
            reported="",
        )
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
    """Kinds whose batches add rows without replacing what is there: INCREMENTAL_UNMANAGED that inserts, and CUSTOM,
    of which nobody knows."""
    if not snapshot.is_model:
        return False
    kind = snapshot.model.kind
    if kind.is_incremental_unmanaged:
        return not getattr(kind, "insert_overwrite", False)
    return bool(kind.is_custom)


def _text(moment: Any) -> str:
    return str(to_datetime(moment).isoformat().replace("+00:00", "Z"))
