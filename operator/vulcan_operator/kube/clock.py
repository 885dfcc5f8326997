"""Wall clock and monotonic clock as one object, so that tests can hold time still. No imports of ours."""

import datetime as dt
import time


class Clock:
    """The real one."""

    def now(self) -> dt.datetime:
        """UTC, with microseconds."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def micro_time(when: dt.datetime) -> str:
    """Leases and Events want exactly six decimals."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
