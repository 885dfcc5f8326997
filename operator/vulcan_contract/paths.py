"""Paths of project files as ConfigMap keys and back.

A ConfigMap's keys allow neither `/` nor most other characters, so the operator escapes paths and
the runner unescapes them when it lays the project out. Reversible for every path.
"""

import re

IGNORED = frozenset({".git", ".cache", "__pycache__"})
"""Folders and files that are not part of a source: not in its digest and not handed over."""


def escape(path: str) -> str:
    """`models/a b.sql` -> `models_2fa_20b.sql`: bytes outside [A-Za-z0-9.-] become _xx."""
    return re.sub(rb"[^A-Za-z0-9.\-]", lambda m: b"_%02x" % m.group()[0], path.encode()).decode()


def unescape(key: str) -> str:
    """Inverse of `escape`."""
    return re.sub(rb"_([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), key.encode()).decode()


def counts(path: str) -> bool:
    """Whether a file is part of the source."""
    return IGNORED.isdisjoint(path.split("/"))


def of_key(key: str) -> str:
    """The path that a key of a user's ConfigMap means: `__` is `/`, except in `__init__.py`."""
    init = "__init__.py"
    head = key.removesuffix(init)
    return head.replace("__", "/") + (init if head != key else "")
