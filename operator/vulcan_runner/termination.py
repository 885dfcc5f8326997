"""The termination message: the file in which the kubelet finds the Result of an ended container.

Held by `__main__`. The worker has the same user and may guess the path, so the last word is written
when nothing of the task is alive, over whatever is there.
"""

import os
from pathlib import Path

from vulcan_contract.result import Result


class TerminationMessage:
    """Opened before the worker starts, so that no change to the file's mode closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def write(self, result: Result) -> None:
        """Replaces the content; at most 4 KiB, so it is one write."""
        if not self._is_in_place():
            self._path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o644)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, result.to_message().encode(), 0)

    def _is_in_place(self) -> bool:
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file))
