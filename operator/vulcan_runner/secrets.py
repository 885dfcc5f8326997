"""Secrets from files, and the scrubber that keeps them (and data values) inside the pod.

Used by `config` to fill connections and by `lines` and `__main__` for everything that is printed or
returned. A value that leaves this module goes to SQLMesh and nowhere else.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.task import Connection, SecretForm, SecretRef
from vulcan_runner.problem import Problem
from vulcan_runner.spellings import SHORTEST, spellings

MASK = "***"
_LARGEST = 64 * 1024  # bytes of a mounted file that is read
_SHORTEST_UNNAMED = 8  # of keys that no connection names: a Secret is mounted whole
_PUBLIC = ("username", "known_hosts", "identity.pub", "ca.crt")  # of Flux's key names
_USERS = ("username", "user", "login")  # keys, options and secret fields that name a user
# What ends at an @ without blanks and quotes, and in it what follows scheme:// and has a colon:
# apart, because together they would be tried from every place of a long text.
_BEFORE_AT = re.compile(r"(?<![^\s@'\"])[^\s@'\"]+@")
_LOGIN = re.compile(r"(?<=[a-zA-Z0-9+.-]://)[^/:]*:.*")
_NAMED = re.compile(
    r"(?i)\b(?P<key>password|passwd|pwd|token|secret|access_key|secret_key|bearer)\b"
    r"(?P<sep>\s*=\s*|['\"]?\s*:\s*(?=['\"])|\s+(?=[A-Za-z0-9._-]{20}))"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;)\"']+)"
)


class Secrets:
    """The folder `$VULCAN_SECRETS`: one folder per Secret, one file per key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, connection: Connection) -> dict[str, Any]:
        """SQLMesh's fields of a connection: its options and its secret fields."""
        values = {name: self.value(ref) for name, ref in connection.secrets.items()}
        return {"type": connection.type, **connection.options, **values}

    def value(self, ref: SecretRef) -> Any:
        """One key's value without a final line break; raises SecretMissing or SecretKeyMissing."""
        folder = self.folder / ref.name
        if not folder.is_dir() or not any(_keys(folder)):
            message = f"Secret {ref.name} does not exist; its key {ref.key} is needed."
            raise Problem(Reason.SECRET_MISSING, message)
        path = folder / ref.key
        if not path.is_file():
            raise Problem(Reason.SECRET_KEY_MISSING, f"Secret {ref.name} has no key {ref.key}.")
        if ref.form is SecretForm.PATH:
            return str(path)
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if ref.form is SecretForm.VALUE:
            return text.removesuffix("\n").removesuffix("\r")
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            message = f"Key {ref.key} of Secret {ref.name} is not JSON (line {error.lineno})."
            raise Problem(Reason.CONFIG_INVALID, message) from None

    def scrubber(self, connections: Iterable[Connection], more: Iterable[str] = ()) -> "Scrubber":
        """Knows `more` and every mounted key's value; a short one if a connection names it."""
        used = list(connections)
        named = {(ref.name, ref.key) for c in used for ref in c.secrets.values()}
        users = {str(c.options[name]) for c in used for name in _USERS if name in c.options}
        users |= {w for c in used for name in _USERS for w in self._user(c.secrets.get(name))}
        words: set[str] = set(more)
        if self.folder.is_dir():
            for secret in self.folder.iterdir():
                for path in _keys(secret) if secret.is_dir() else ():
                    shortest = SHORTEST if (secret.name, path.name) in named else _SHORTEST_UNNAMED
                    words |= {w for w in _words(path) if len(w) >= shortest}
                    users |= _user_name(path)
        return Scrubber(words, users)

    def _user(self, ref: SecretRef | None) -> set[str]:
        """The user of a connection, under whatever key a Secret has it."""
        path = self.folder / ref.name / ref.key if ref is not None else None
        return {_text(path)} if path is not None and path.is_file() else set()


def other_secrets(variables: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    """Secrets that the pod has besides its connections': in variables, and as volumes."""
    for name in variables:
        value = os.environ.get(name, "").strip("\r\n")
        yield from ([value] if len(value) >= SHORTEST else [])
    for folder in map(Path, folders):
        for path in folder.rglob("*"):
            inside = path.relative_to(folder).parts
            hidden = any(part.startswith("..") for part in inside)
            if not hidden and path.is_file() and path.stat().st_size <= _LARGEST:
                yield from (word for word in _words(path) if len(word) >= _SHORTEST_UNNAMED)


def git_scrubber(folder: Path) -> "Scrubber":
    """The init container's scrubber, for a git credential's folder; its public files stay."""
    if not folder.is_dir():
        return Scrubber()
    secret = [path for path in _keys(folder) if path.name not in _PUBLIC]
    words = (word for path in secret for word in _words(path) if len(word) >= SHORTEST)
    return Scrubber(words, {user for path in _keys(folder) for user in _user_name(path)})


class Scrubber:
    """Replaces secrets, in every spelling a driver or a URL gives them, by ***."""

    def __init__(self, words: Iterable[str] = (), users: Iterable[str] = ()) -> None:
        names = sorted(set(users))
        found = {s for word in set(words) for s in spellings(word, names)}
        self._known = sorted(found, key=lambda s: (-len(s), s))  # the longest goes first
        self.longest = max(map(len, self._known), default=0)

    def text(self, text: str) -> str:
        """The text without secrets and without credentials in URLs and connection strings."""
        return _NAMED.sub(rf"\g<key>\g<sep>{MASK}", self.known(text))

    def whole(self, text: str, end: int) -> int:
        """Where to cut a text instead of at `end`, so that no secret is cut in two."""
        for found in (*_logins(text), *(found.span() for found in _NAMED.finditer(text))):
            if found[0] < end < found[1]:
                end = found[1]
        for word in self._known:
            at = text.find(word, max(0, end - len(word) + 1), end + len(word) - 1)
            end = at + len(word) if at >= 0 else end
        return end

    def known(self, text: str) -> str:
        """The text without known secrets only: for project text, in which `token = x` is code."""
        for word in self._known:
            text = text.replace(word, MASK)
        parts, after = [], 0
        for start, end in _logins(text):
            parts += [text[after:start], MASK]
            after = end - 1  # the @ stays
        return "".join((*parts, text[after:]))

    def tree(self, value: Any) -> Any:
        """`known` for every string in a JSON-like value, keys included."""
        if isinstance(value, str):
            return self.known(value)
        if isinstance(value, dict):
            return {self.tree(k): self.tree(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.tree(v) for v in value]
        return value


class _Process:
    scrubber = Scrubber()


def arm(scrubber: Scrubber) -> None:
    """Sets what `cut` and `without_data` know from here on."""
    _Process.scrubber = scrubber


def cut(text: str, most: int) -> str:
    """At most so many characters. Scrubs first: half a secret would not be recognised."""
    text = _Process.scrubber.text(text.strip())
    return text if len(text) <= most else text[: most - 1] + "…"


def _logins(text: str) -> Iterator[tuple[int, int]]:
    """Where user:password@ stands in a URL."""
    for run in _BEFORE_AT.finditer(text):
        found = _LOGIN.search(run.group())
        if found is not None:
            yield run.start() + found.start(), run.end()


# Values may hold quotes and newlines, and PostgreSQL doubles neither: what begins with a quote is
# cut up to the last one, and all that follows the message itself (DETAIL and the like) is dropped.
_DATA: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?s)\n[^\S\n]*(DETAIL|CONTEXT|HINT|QUERY|WHERE|LINE \d+):.*"), ""),
    (re.compile(r"(?m)^[^\S\n]*\^.*$"), ""),
    (re.compile(r'(?s)(?<=: )".*"'), '"…"'),
    (re.compile(r'(?is)\b(value|string|row|literal) ".*"'), r'\1 "…"'),
    (re.compile(r"\([^()]*\)=\([^()]*\)"), "(…)=(…)"),
    # Where no end is found, there is none for what follows either: it is not tried again.
    (
        re.compile(r"(?s)'(?:[^'\\]|''|\\.)*'|(?P<open>'.*)"),
        lambda found: found["open"] or "'…'",
    ),
    (re.compile(r'(?i)\bkey "(?:[^"\n]|"")*"'), 'key "…"'),
    (re.compile(r"(?i)\b(value|number|key) -?\d[\d.,:eE+-]*"), r"\1 …"),
)


def without_data(text: str) -> str:
    """A driver's or a model's error text without the data that it quotes. Identifiers stay."""
    text = _Process.scrubber.text(text)
    for pattern, by in _DATA:
        text = pattern.sub(by, text)
    return "\n".join(line for line in text.split("\n") if line.strip()).strip()


def _keys(folder: Path) -> Iterator[Path]:
    return (p for p in folder.iterdir() if not p.name.startswith("..") and p.is_file())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape").strip("\r\n")


def _user_name(path: Path) -> set[str]:
    return {_text(path)} if path.name in _USERS else set()


def _words(path: Path) -> Iterator[str]:
    """A secret file's whole text, its lines, and every string in it when it is JSON."""
    text = _text(path)
    yield text
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _SHORTEST_UNNAMED)
    if text.startswith(("{", "[")):
        try:
            yield from _strings(json.loads(text))
        except json.JSONDecodeError:
            return


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from ([value] if len(value) >= _SHORTEST_UNNAMED else [])
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
