"""Provides wall clock and monotonic clock as one object, so that tests can stop time."""

import datetime as dt
import time


class Clock:
    """Tells the real time."""

    def now(self) -> dt.datetime:
        """Return the time in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def micro_time(when: dt.datetime) -> str:
    """Format a time for Leases and Events, which require exactly six decimals."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
