"""Digests that both sides must compute alike: a source tree, a plan token, stable JSON.

sha256 throughout: SQLMesh's own fingerprints are crc32, for which collisions are easily made.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def of_json(value: Any) -> str:
    """sha256 (hex) of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def of_names(names: Iterable[str]) -> str:
    """Digest of a set of names, so that a list that was cut can still be compared; "" for none."""
    whole = sorted(set(names))
    return of_json(whole) if whole else ""


def of_files(files: Mapping[str, bytes]) -> str:
    """Digest of a source tree: paths and contents, without times, modes and empty folders."""
    return of_blocks({path: (len(content), (content,)) for path, content in files.items()})


def of_blocks(files: Mapping[str, tuple[int, Iterable[bytes]]]) -> str:
    """`of_files` for sizes and contents in blocks, which are taken one after the other.

    Names that are not UTF-8 count as their bytes. Raises ValueError for a content that is not as
    long as its size says.
    """
    whole = hashlib.sha256()
    for path in sorted(files):
        left, blocks = files[path]
        name = path.encode(errors="surrogateescape")
        whole.update(b"%d:%b:%d:" % (len(name), name, left))
        for block in blocks:
            left -= len(block)
            whole.update(block)
        if left:
            raise ValueError(f"{path!r} changed while it was read")
    return f"sha256:{whole.hexdigest()}"
