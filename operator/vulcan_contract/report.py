"""A full report on its way through a pod's log.

The runner's supervisor prints frames; the operator finds them among whatever project code printed:
each line carries the Job's nonce, which project code does not get to see, and the whole is checked
against a sha256 in the Result. Gzipped it has at
most MAX_BYTES; the runner cuts details of models before that.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from vulcan_contract import plain

MAX_BYTES = 512 * 1024
MAX_LOG = 4 * MAX_BYTES // 3 + 128 * 1024  # what the frames of the biggest report take, and some
MARK = "::vulcan-report:"
_WIDTH = 1024


def frames(report: Any, nonce: str) -> tuple[list[str], str, int]:
    """Lines to print, sha256 of the gzipped report, its size in bytes. People read reports in
    terminals, so control characters are replaced."""
    text = json.dumps(
        plain.lines(report), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    packed = gzip.compress(text.encode(), mtime=0)
    encoded = base64.b64encode(packed).decode()
    chunks = [encoded[i : i + _WIDTH] for i in range(0, len(encoded), _WIDTH)]
    lines = [f"{MARK}{nonce}:{i}/{len(chunks)}:{chunk}" for i, chunk in enumerate(chunks, 1)]
    return lines, hashlib.sha256(packed).hexdigest(), len(packed)


def packed(lines: Iterable[str], nonce: str, sha256: str) -> bytes | None:
    """The gzipped report in a log; None: it is missing, incomplete or not the Result's."""
    encoded = ""
    for chunk in _chunks(lines, f"{MARK}{nonce}:"):
        encoded += chunk
        if len(encoded) > 4 * MAX_BYTES // 3 + 4:
            return None
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    is_it = hashlib.sha256(data).hexdigest() == sha256
    return data if is_it and 0 < len(data) <= MAX_BYTES else None


def _chunks(lines: Iterable[str], prefix: str) -> Iterator[str]:
    for line in lines:
        start = line.find(prefix)
        if start >= 0:
            yield line[start + len(prefix) :].rstrip("\n").split(":", 1)[-1]
