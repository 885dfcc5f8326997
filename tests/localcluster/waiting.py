"""Waiting for a condition instead of for a time. Used by the tests that drive real processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None], what: str, timeout: float = 20.0, explain: Callable[[], str] = str
) -> T:
    """The condition's value as soon as it is true; fails the test, naming what was awaited, if it never is."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"after {timeout} s still not: {what}\n{explain()}"
        time.sleep(0.02)
