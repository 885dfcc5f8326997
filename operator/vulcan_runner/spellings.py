"""How a secret may be written by libraries that mean no harm: quoted for SQL, a URL, HTML or JSON,
inside another JSON text, as base64 alone or with what stands before it (Basic authentication).

Used by `secrets` for what is scrubbed. Against somebody who hides a secret on purpose there is no
complete list, and this is not meant as one.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

SHORTEST = 4  # a shorter spelling would blank out ordinary words
_SHORTEST_PART = 8  # of base64 without its ends: too likely to be chance otherwise
_LONGEST_PASSWORD = 128  # longer secrets are keys or documents, which nobody puts behind a user


def spellings(word: str, users: Iterable[str] = ()) -> set[str]:
    """Every text that stands for a secret. `users`: names that may stand before it as user:secret;
    behind others its base64 is recognised, too, but for a character at each end."""
    raw = word.encode("utf-8", errors="surrogateescape")
    found = _escaped(word) | _of_html(word) | _of_url(raw) | _base64(raw) | _inside_base64(raw)
    if len(word) <= _LONGEST_PASSWORD and "\n" not in word:
        names = (user.encode("utf-8", errors="surrogateescape") for user in users)
        found = found.union(*(_base64(name + b":" + raw) for name in names))
    return {s for s in found if len(s) >= SHORTEST}


def _escaped(word: str) -> set[str]:
    """As a literal of SQL, libpq, Python or JSON; and that as a literal again."""
    once = {word, word.replace("'", "''")}
    for text in (word, word.encode("utf-8", errors="surrogateescape")):
        once |= {repr(text).lstrip("b")[1:-1]}
    for literal in _LITERALS:
        once |= {literal(word)}
    return once | {literal(text) for text in once for literal in _LITERALS}


def _of_json(word: str) -> str:
    return json.dumps(word)[1:-1]


def _of_json_as_it_is(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)[1:-1]


def _of_json_for_html(word: str) -> str:
    """As Go writes it."""
    return _without_tags(_of_json_as_it_is(word))


def _of_plain_json_for_html(word: str) -> str:
    """As PHP and Ruby do."""
    return _without_tags(_of_json(word))


def _without_tags(text: str) -> str:
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _of_repr(word: str) -> str:
    """In a text that has quotes of both kinds, so that the single ones are escaped."""
    return repr("'\"" + word)[4:-1]


def _of_libpq(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "\\'")


_LITERALS: tuple[Callable[[str], str], ...] = (
    _of_json, _of_json_as_it_is, _of_json_for_html, _of_plain_json_for_html, _of_repr, _of_libpq,
)  # fmt: skip


def _of_html(word: str) -> set[str]:
    """Single quotes and double ones have several names each, or stay."""
    plain = html.escape(word, quote=False)
    named = {plain.replace("'", s) for s in ("'", "&#x27;", "&#39;", "&apos;")}
    return {text.replace('"', d) for text in named for d in ('"', "&quot;", "&#34;")}


def _of_url(raw: bytes) -> set[str]:
    quoted = {q(raw, safe=safe) for q in (quote, quote_plus) for safe in ("", "/", "!$&()*,;=:@/")}
    return quoted | {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), q) for q in quoted}


def _base64(raw: bytes) -> set[str]:
    padded = {f(raw).decode() for f in (base64.b64encode, base64.urlsafe_b64encode)}
    return padded | {text.rstrip("=") for text in padded}


def _inside_base64(raw: bytes) -> set[str]:
    """The characters that depend on the secret alone, for each place in a group of three bytes at
    which it may begin."""
    found: set[str] = set()
    for before, first in ((0, 0), (1, 2), (2, 3)):
        end = (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            part = encode(bytes(before) + raw).decode()[first:end]
            found |= {part} if len(part) >= _SHORTEST_PART else set()
    return found
