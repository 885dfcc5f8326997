"""JSON log lines, and the fields that every line of a reconcile carries; the audit log.

Set up once by `cli`; `bind` is used by `worker`, `audit` by `reconcile`. Does no I/O but to stderr.
"""

import contextlib
import contextvars
import datetime as dt
import json
import logging
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

AUDIT = logging.getLogger("vulcan.audit")
_CHATTY = ("kopf.objects", "kopf.activities", "kopf._core", "aiohttp.access")
_fields = contextvars.ContextVar[Mapping[str, str]](
    "log_fields", default=types.MappingProxyType({})
)


@contextlib.contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add fields (object, job, revision, reconcile) to all log lines of this task."""
    token = _fields.set({**_fields.get(), **{k: v for k, v in fields.items() if v}})
    try:
        yield
    finally:
        _fields.reset(token)


def audit(fields: Mapping[str, str]) -> None:
    """Write the audit line of an operation: who asked for it, where, for what, and its outcome."""
    AUDIT.info("audit", extra={"fields": dict(fields)})


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower()}
        line |= {"logger": record.name, **_fields.get(), "message": record.getMessage()}
        if isinstance(known := getattr(record, "fields", None), dict):
            line |= known
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def setup(level: str) -> None:
    """Send all loggers to stderr as JSON, without Kopf's lines for each event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in (*_CHATTY, "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
