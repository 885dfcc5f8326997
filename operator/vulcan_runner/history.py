"""What environments had, apply by apply, kept in the state: another environment is given it, or the
same one goes back to it, without a project.

Called by `applying`, which remembers, and `promoting`, which builds plans from it.
"""

import json
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_runner.attempt import Attempt
from vulcan_runner.problem import Problem
from vulcan_runner.rows import HistoryRow
from vulcan_runner.state import State, now

_KEPT = 20  # of each environment


def remember(attempt: Attempt, environment: Any, source_digest: str, project: str) -> None:
    """Doing it twice is the same as once."""
    state, name = attempt.state, environment.name
    required = json.dumps(environment.requirements, sort_keys=True)
    has = (snapshots_of(environment), required, json.dumps(attempt.engine.statements(name)))
    row = HistoryRow(name, environment.plan_id, source_digest, project, *has, now())
    known = next((r for r in state.history(name) if r.plan_id == row.plan_id), None)
    if known is None or (known.project, known.source_digest) != (row.project, row.source_digest):
        state.remember(row, _KEPT)


def find(state: State, environment: str, plan_id: str) -> HistoryRow:
    """Raises ConfigurationUnknown when that apply was not ours, or was too long ago."""
    row = next((r for r in state.history(environment) if r.plan_id == plan_id), None)
    if row is None:
        message = f"The state has no record of plan {plan_id or 'unknown'} of {environment}."
        raise Problem(Reason.CONFIGURATION_UNKNOWN, message)
    return row


def snapshots_of(environment: Any) -> str:
    """As a row has them: two environments with the same text have the same snapshots."""
    return json.dumps(sorted([s.name, s.identifier] for s in environment.snapshots))


def snapshots(row: HistoryRow) -> dict[str, str]:
    """Name -> identifier."""
    return dict(json.loads(row.snapshots))


def requirements(row: HistoryRow) -> dict[str, str]:
    """Package -> version."""
    return dict(json.loads(row.requirements))


def statements(row: HistoryRow) -> list[str]:
    """What runs before and after all, as SQLMesh writes it."""
    return list(json.loads(row.statements))
