"""Lines on stdout: one JSON object per line with a short `msg`, everything scrubbed.

`__main__` and `worker` put scrubbing streams in place of stdout and stderr. The supervisor's are
those that count: whatever the worker and its child processes print passes through them. `console`
and the tasks report progress through `say`. Must not raise:
a full pipe is no reason to stop.
"""

import contextlib
import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from vulcan_runner.secrets import Scrubber, cut, without_data

_WITHOUT_END = 64 * 1024  # characters of a line that are kept until they are written


class Clean(io.TextIOBase):
    """A text stream that scrubs whole lines: secrets split over writes are found. Never raises."""

    def __init__(self, under: TextIO, scrub: Scrubber) -> None:
        self._under, self._scrub = under, scrub
        self._rest: list[str] = []
        self._size = 0
        self._lock = threading.RLock()

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            end = max(text.rfind("\n"), text.rfind("\r")) + 1
            if end:
                self._put("".join((*self._rest, text[:end])))
                self._keep(text[end:])
            else:
                self._rest.append(text)
                self._size += len(text)
            if self._size > _WITHOUT_END + 2 * self._scrub.longest:
                long = "".join(self._rest)
                at = self._scrub.whole(long, len(long) - self._scrub.longest)
                self._put(long[:at])
                self._keep(long[at:])
        return len(text)

    def _keep(self, rest: str) -> None:
        self._rest, self._size = [rest], len(rest)

    def _put(self, text: str) -> None:
        """Nobody may be reading any longer; that is no reason to stop."""
        clean = self._scrub.text(text).encode("utf-8", errors="backslashreplace").decode()
        with contextlib.suppress(OSError, ValueError):
            self._under.write(clean)
            self._under.flush()

    def verbatim(self, lines: Iterable[str]) -> None:
        """Writes whole lines unscrubbed: for what was scrubbed before it was packed."""
        with self._lock:
            self.finish()
            with contextlib.suppress(OSError, ValueError):
                self._under.writelines(f"{line}\n" for line in lines)
                self._under.flush()

    def flush(self) -> None:
        """Does nothing: half a line waits for its end."""

    def finish(self) -> None:
        """Writes the unfinished line."""
        if self._size:
            self.write("\n")


class Lines:
    """Reports a task's progress and measures the time of each stage."""

    def __init__(self) -> None:
        self.stage = "start"
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()
        self.entered: Callable[[str], object] = lambda stage: None  # for crash tests

    def enter(self, stage: str) -> None:
        """Begins the next stage, by which `failures` tells whose fault an exception is."""
        now = time.monotonic()
        self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + now - self._since, 2)
        self.stage, self._since = stage, now
        self.entered(stage)

    def say(self, msg: str, **fields: Any) -> None:
        """Prints one line; `msg` may be a driver's text, without data values."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"t": now, "stage": self.stage, **fields, "msg": msg}
        print(json.dumps(line, ensure_ascii=False, default=str), flush=True)


class _Handler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        text = cut(without_data(record.getMessage()), 1000)
        self._lines.say(text, level=record.levelname, logger=record.name)


def install(scrub: Scrubber) -> tuple[Clean, Clean]:
    """Puts scrubbing streams in place for the rest of the process."""
    out, err = Clean(sys.stdout, scrub), Clean(sys.stderr, scrub)
    sys.stdout, sys.stderr = out, err
    return out, err


def log_through(lines: Lines) -> None:
    """Turns warnings of libraries into lines; below them SQLMesh logs statements with data."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(lines)], force=True)
    logging.captureWarnings(True)
