"""Times as operator and runner write them: RFC 3339 with a `Z` for UTC. Reads no clock."""

import datetime as dt


def rfc3339(moment: dt.datetime, timespec: str = "auto") -> str:
    """`2026-01-01T00:00:00Z`. `timespec` as `datetime.isoformat` has it; "seconds" truncates."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def to_second(moment: dt.datetime) -> str:
    """For messages: `2026-01-01T00:00:00Z`."""
    return rfc3339(moment.astimezone(dt.UTC), "seconds")


def to_minute(moment: dt.datetime) -> str:
    """For messages: `2026-01-01T00:00Z`."""
    return rfc3339(moment.astimezone(dt.UTC), "minutes")


def milliseconds(text: str) -> int:
    """What `rfc3339` wrote, as SQLMesh counts time: milliseconds since 1970."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


def of_milliseconds(time: int) -> dt.datetime:
    """Inverse of `milliseconds`."""
    return dt.datetime.fromtimestamp(time / 1000, dt.UTC)
