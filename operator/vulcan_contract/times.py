"""Times as operator and runner write them: RFC 3339 with a `Z` for UTC. Reads no clock."""

import datetime as dt


def rfc3339(moment: dt.datetime, timespec: str = "auto") -> str:
    """`2026-01-01T00:00:00Z`. `timespec` as `datetime.isoformat` has it; "seconds" truncates."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def milliseconds(text: str) -> int:
    """What `rfc3339` wrote, as SQLMesh counts time: milliseconds since 1970."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


def of_milliseconds(time: int) -> dt.datetime:
    """Inverse of `milliseconds`."""
    return dt.datetime.fromtimestamp(time / 1000, dt.UTC)
