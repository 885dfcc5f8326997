"""Which databases need which care. SQLMesh's own connection types; nothing here opens a connection.

The runner locks by these sets and the operator relies on that: it gives up the writer slot of a
dead node's Job only where `FENCED` says that the lock keeps the old writer out.
"""

FENCED = frozenset({"postgres"})
"""State databases in which the runner holds an advisory lock while it writes. The next holder ends
the sessions of the one before it (`vulcan_runner.lock`): a lost pod cannot write beside it."""

ONE_PROCESS = frozenset({"duckdb"})
"""Databases that one process at a time can open: whatever connects takes the writer slot."""


def is_fenced(state: str) -> bool:
    """Whether a lock in the state database keeps out a writer whose node does not answer."""
    return state in FENCED


def is_one_process(*types: str | None) -> bool:
    """Whether any of a gateway's databases can be opened by one process only."""
    return not ONE_PROCESS.isdisjoint(types)
