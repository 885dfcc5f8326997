"""Text as people see it: without characters that move the cursor, reverse what follows or hide.

What a Job says is shown in statuses, Events, terminals and reports, and may be written by project
code. `Result.from_message` and `report.frames` call this; nothing else needs to.
"""

import re

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SPACE = "\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029"
# The other control characters; marks, embeddings, overrides and isolates of direction; and those
# that take no room. Joiners (U+200C, U+200D) stay: words of some scripts need them.
_HIDDEN = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u200b\u2060\ufeff\U000e0000-\U000e007f"
)
_ANY_SPACE = re.compile(f"[{_SPACE}]")
_ANY_HIDDEN = re.compile(f"[{_HIDDEN}]")
_HIDDEN_IN_LINES = re.compile(f"[{_HIDDEN}\v\f\r\x1c-\x1f\x85\u2028\u2029\ud800-\udfff]")


def line(text: str) -> str:
    """One line of as many characters: line breaks and tabs become spaces."""
    return _ANY_HIDDEN.sub(_REPLACEMENT, _ANY_SPACE.sub(" ", text))


def lines(value: object) -> object:
    """A JSON-like value with its strings cleaned; `\\n` and `\\t` stay, `\\r\\n` becomes `\\n`."""
    if isinstance(value, str):
        return _HIDDEN_IN_LINES.sub(_REPLACEMENT, value.replace("\r\n", "\n"))
    if isinstance(value, dict):
        return {lines(key): lines(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [lines(inner) for inner in value]
    return value
