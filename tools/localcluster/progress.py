"""Shows how a long build gets on: one living line on a terminal, now and then a plain line elsewhere.

Called by the build only. Must not decide anything.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_PLAIN_INTERVAL = 30.0


class Display:
    """Counts components and packages; a thread keeps the elapsed time moving while the compiler is silent."""

    def __init__(self, components: int, say: Callable[[str], None]) -> None:
        self._components = components
        self._say = say
        self._name = ""
        self._number = 0
        self._packages = 0
        self._downloads = 0
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
        if kind is None:
            self._say(f"built {self._components} components in {self._elapsed()}")

    def component(self, name: str) -> None:
        """The next component begins."""
        self._name, self._number, self._packages = name, self._number + 1, 0
        if not self._terminal:
            self._say(self._text())

    def line(self, text: str) -> None:
        """One line of `go build -v`: a package, or a module being downloaded."""
        if text.startswith("go: downloading"):
            self._downloads += 1
        elif " " not in text:
            self._packages += 1

    def _tick(self) -> None:
        while not self._stopped.wait(0.2 if self._terminal else _PLAIN_INTERVAL):
            if self._terminal:
                sys.stderr.write(f"\r\x1b[K{self._text()}")
                sys.stderr.flush()
            else:
                self._say(self._text())

    def _text(self) -> str:
        downloads = f", {self._downloads} modules downloaded" if self._downloads else ""
        return (
            f"[{self._number}/{self._components}] {self._name}: {self._packages} packages compiled{downloads}, "
            f"{self._elapsed()}"
        )

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60}:{seconds % 60:02}"
