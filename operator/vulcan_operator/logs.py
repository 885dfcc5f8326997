"""JSON log lines, and the fields that every line of a reconcile carries; the audit log.

Set up once by `cli`; `bind` is used by `loop`, `audit` by `reconcile`. No I/O but stderr.
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
_NONE: Mapping[str, str] = types.MappingProxyType({})
_fields: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("log_fields", default=_NONE)


@contextlib.contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add fields (object, job, revision, reconcile) to all log lines of this task."""
    token = _fields.set({**_fields.get(), **{k: v for k, v in fields.items() if v}})
    try:
        yield
    finally:
        _fields.reset(token)


def audit(fields: Mapping[str, str]) -> None:
    """One line per operation: who asked, gateway, environment, task, revision, plan digest, outcome."""
    AUDIT.info("audit", extra={"fields": dict(fields)})


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "logger": record.name}
        line |= _fields.get()
        line["message"] = record.getMessage()
        if isinstance(known := getattr(record, "fields", None), dict):
            line |= known
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def setup(level: str) -> None:
    """All loggers to stderr as JSON; Kopf's per-event chatter is left out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("kopf.objects", "kopf.activities", "kopf._core", "aiohttp.access", "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
