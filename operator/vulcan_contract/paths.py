"""Paths of project files as ConfigMap keys and back.

A ConfigMap's keys know neither `/` nor most characters, so the operator writes escaped paths and the runner undoes it
(`unescape`) when it lays the project out. Reversible for every path.
"""

import re


def escape(path: str) -> str:
    """`models/a b.sql` -> `models_2fa_20b.sql`: bytes outside [A-Za-z0-9.-] become _xx."""
    return re.sub(rb"[^A-Za-z0-9.\-]", lambda m: b"_%02x" % m.group()[0], path.encode()).decode()


def unescape(key: str) -> str:
    """Inverse of `escape`."""
    return re.sub(rb"_([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), key.encode()).decode()
