"""Lines on stdout: one JSON object per line with a short `msg`, everything scrubbed.

`__main__` puts scrubbing streams in place of stdout and stderr, so that project code and libraries cannot print a
secret either; `console` and `tasks` report progress through `say`. Must not raise: a full pipe is no reason to stop.
"""

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from vulcan_runner.secrets import Scrubber, without_data


class Clean(io.TextIOBase):
    """A text stream that scrubs whole lines; a secret split over two writes is still found."""

    def __init__(self, under: TextIO, scrub: Scrubber) -> None:
        self._under, self._scrub = under, scrub
        self._rest = ""
        self._lock = threading.RLock()

    encoding = "utf-8"
    errors = "replace"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._rest = (self._rest + text).split("\n")
            if whole:
                self._under.write(self._scrub.text("\n".join(whole)) + "\n")
                self._under.flush()
        return len(text)

    def flush(self) -> None:
        """Nothing: half a line waits for its end."""

    def finish(self) -> None:
        """Writes what is left."""
        if self._rest:
            self.write("\n")


class Lines:
    """What the task says while it works. Also keeps the time each stage took."""

    def __init__(self) -> None:
        self.stage = "start"
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()
        self.entered: Callable[[str], object] = lambda stage: None  # for crash tests

    def enter(self, stage: str) -> None:
        """The next stage begins; `failures` reads the current one to tell whose fault an exception is."""
        now = time.monotonic()
        self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + now - self._since, 2)
        self.stage, self._since = stage, now
        self.entered(stage)

    def say(self, msg: str, **fields: Any) -> None:
        """One line; `msg` may be a driver's text and is cleaned from data values where the caller did not."""
        line = {"t": datetime.now(UTC).isoformat(timespec="milliseconds"), "stage": self.stage, **fields, "msg": msg}
        print(json.dumps(line, ensure_ascii=False, default=str), flush=True)


class _Handler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.say(without_data(record.getMessage())[:1000], level=record.levelname, logger=record.name)


def install(scrub: Scrubber) -> tuple[Clean, Clean]:
    """Scrubbing streams for the rest of the process."""
    out, err = Clean(sys.stdout, scrub), Clean(sys.stderr, scrub)
    sys.stdout, sys.stderr = out, err
    return out, err


def log_through(lines: Lines) -> None:
    """Warnings of libraries become lines; below that SQLMesh logs statements with data in them."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(lines)], force=True)
    logging.captureWarnings(True)
