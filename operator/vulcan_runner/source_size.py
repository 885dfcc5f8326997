"""How large the source in a git repository may be: a few kilobytes of git can name any number of
files, and links multiply them.

Counted by `fetch` before anything is checked out and again, with links resolved, before anything is
copied. What a server sends is bounded for git itself (`bounded_files`).
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from vulcan_contract.reasons import Reason
from vulcan_runner.problem import Problem

MOST_ENTRIES = 100_000  # files and folders
MOST_BYTES = 2 << 30
MOST_HISTORY = 4 << 30  # bytes of a pack: of one commit, or of all where a server gives no less
MOST_SAID = 64 << 20  # characters: what a server advertises, or says of an error


class SourceSize:
    """Adds up entries; raises SourceTooLarge at the first one that is too much."""

    def __init__(self) -> None:
        self._entries = self._bytes = 0

    def add(self, size: int) -> None:
        """One more file of so many bytes, or a folder of none."""
        self._entries += 1
        self._bytes += size
        if self._entries > MOST_ENTRIES:
            raise _too_large(f"more than {MOST_ENTRIES} files and folders")
        if self._bytes > MOST_BYTES:
            raise _too_large(f"more than {MOST_BYTES >> 20} MiB of files")


@contextmanager
def bounded_files() -> Iterator[None]:
    """No file that this process or git writes becomes larger than a pack may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = MOST_HISTORY if hard == resource.RLIM_INFINITY else min(MOST_HISTORY, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def history_too_large() -> Problem:
    """Git was stopped because the server sent more than a pack may have."""
    return _too_large(f"more than {MOST_HISTORY >> 20} MiB of history")


def too_many_refs() -> Problem:
    """The server advertises more than anybody wants to read."""
    return _too_large(f"more than {MOST_SAID >> 20} MiB of branches and tags")


def _too_large(what: str) -> Problem:
    return Problem(Reason.SOURCE_TOO_LARGE, f"The git repository has {what}.")
