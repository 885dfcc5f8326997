"""The termination message: the file in which the kubelet finds the Result of an ended container.

Held by `__main__`. The worker has the same user and may guess the path, so the last word is written
when nothing of the task is alive, over whatever is there.
"""

import os
from pathlib import Path

from vulcan_contract.result import Result

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


class TerminationMessage:
    """The file at a path; nothing is created before it is written or held."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def hold(self) -> None:
        """Opens the file before the worker starts, so that no change of its mode closes it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, _CREATE, 0o644)

    def write(self, result: Result) -> None:
        """Replaces the content; at most 4 KiB, so it is one write."""
        if self._file is None:
            self.hold()
        elif not self._is_in_place(self._file):
            self._path.unlink(missing_ok=True)
            self._file = os.open(self._path, _CREATE | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        assert self._file is not None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, result.to_message().encode(), 0)

    def _is_in_place(self, file: int) -> bool:
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(file))
