"""No regular expression of ours takes long over a text because somebody has built it for that.

Each function that applies one to text from outside reads 60 KB of what makes backtracking expensive. No module is
forgotten: a test finds those that import `re` or `fnmatch`.
"""

import contextlib
import datetime as dt
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vulcan_contract import paths, plain
from vulcan_operator.api.fields import parse_duration, short_revision
from vulcan_operator.kube.transport import encode
from vulcan_operator.plan.environments.steps import resolve
from vulcan_operator.plan.rules import access, messages, recurrence
from vulcan_operator.plan.tasks import retention
from vulcan_operator.reconcile import slots
from vulcan_runner import failures, fetch
from vulcan_runner.secrets import Scrubber, without_data

OPERATOR = Path(__file__).parents[3] / "operator"
SIZE = 60_000
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WORST = 2.0  # seconds, on a busy machine; what is quadratic takes ten to sixty
NAME = 512  # no name or pattern of names is longer

PIECES = (
    "\n ", "\n", " ", "\t", "\r\n", "\u00a0", "'", '"', "''", '""', "\\'", "'\\", "\\", "(", ")", "()=(", "(a)=", "a",
    "0", "1", "a://", "a://:", "://", ":", "@", "a:", "a://b:c", "a://b:c@", "-", "_", "_0", "%", "%2", "=", "[",
    "\x1b[", "\x1b[0;", "password", "password ", "password=", "password='", 'password="', "password :", "token\n",
    "pwd='\\'", 'key "', 'key "\n', 'key ""', 'value "', ': "', ": '", "value 1", "LINE 1", "\nLINE 1", "\nDETAIL",
    "DETAIL:", "\n^", "\n ^", 'role "', 'role "x" does not ', "m1", "1m", "@sha256:", "INTERVAL=", "INTERVAL=0", "0;",
    'in the namespace "', "canary", "canar", "Y2FuYXJ5LTAxMjM0NTY3OD", "&#x27;", "\ud800", "\u2028", "*a", "?", "é",
)  # fmt: skip
BEGINNINGS = ("password=", "'", '"', 'value "', "a://", "\n", "INTERVAL=", "(", "\x1b[")
INSIDE = ("\n ", " ", "a", "'", '"', "\\'", ":", "0", ": '")
PAIRS = (
    ("'", "\\'"),
    ("password='", "\\'"),
    ("a://a:", "b://"),
    ('"', "\n"),
    (': "', " ' "),
    ("a" * 30 + "://", ":" * 256),
)


def _texts() -> Iterator[str]:
    for piece in PIECES:
        for end in ("", "x"):
            yield piece * (SIZE // len(piece)) + end
    for begin in BEGINNINGS:
        for piece in INSIDE:
            yield begin + piece * (SIZE // len(piece)) + "!"
    for one, other in PAIRS:
        yield one * (SIZE // 2 // len(one)) + other * (SIZE // 2 // len(other))
        yield (one + other) * (SIZE // len(one + other))


def _granted(text: str) -> None:
    pattern: Any = SimpleNamespace(environments=[text[:NAME]])
    for name in (text[:NAME], text[: NAME - 1] + "!"):
        access.covers(pattern, name)


SCRUBBER = Scrubber(["canary-0123456789", 'it\'s "canary" & co', "line-1-of-canary\nline-2-of-canary"], ["root"])
NOBODY_S = Scrubber()
# Every function that applies a regular expression to text from outside, by the module that has the expression.
READERS: dict[str, list[Callable[[str], object]]] = {
    "vulcan_contract.plain": [plain.line, plain.lines],
    "vulcan_contract.paths": [paths.escape, paths.unescape],
    "vulcan_operator.api.fields": [parse_duration, short_revision],
    "vulcan_operator.kube.transport": [lambda text: encode({"text": text})],
    "vulcan_operator.plan.environments.steps.resolve": [resolve._COMMIT.fullmatch],
    "vulcan_operator.plan.promotions.steps.resolve": [_granted],  # patterns of images, as of environments
    "vulcan_operator.plan.rules.access": [_granted],
    "vulcan_operator.plan.rules.messages": [lambda text: messages.refusal(text, "", ["a"])],
    "vulcan_operator.plan.rules.recurrence": [
        lambda text: recurrence._number({"INTERVAL": text}, "INTERVAL", 1),
        lambda text: recurrence._days_of_year({"FREQ": "WEEKLY", "BYDAY": text}, NOW),
    ],
    "vulcan_operator.reconcile.slots": [slots._JOB.fullmatch],
    "vulcan_operator.plan.tasks.retention": [retention._NO_COPY.fullmatch],
    "vulcan_runner.failures": [
        lambda text: failures.connection_reason(text, None, failures.Reason.STATE_UNREACHABLE),
        lambda text: failures._first_words(failures.sqlmesh_errors.SQLMeshError(text)),
    ],
    "vulcan_runner.fetch": [fetch._scheme, fetch._COMMIT.match],
    "vulcan_runner.secrets": [
        NOBODY_S.text, SCRUBBER.text, without_data, lambda text: SCRUBBER.whole(text, len(text) // 2),
    ],
}  # fmt: skip
NOT_FROM_OUTSIDE = {
    "vulcan_operator.config": "the operator's own variables",
    "vulcan_runner.spellings": "Secrets of the gateway's owner, one class of characters",
    "vulcan_runner.kept_project": "only asks whether something is a pattern",
}


def test_no_module_is_forgotten() -> None:
    uses = re.compile(r"^(import|from) (re|fnmatch)\b|^(import|from) .*\b(re2|regex)\b", re.MULTILINE)
    found = {p for p in OPERATOR.rglob("*.py") if uses.search(p.read_text())}
    modules = {".".join(p.relative_to(OPERATOR).with_suffix("").parts) for p in found}
    assert modules == READERS.keys() | NOT_FROM_OUTSIDE.keys()


@pytest.mark.parametrize("module", list(READERS))
def test_no_text_takes_long(module: str) -> None:
    slow = []
    for number, read in enumerate(READERS[module]):
        for text in _texts():
            began = time.process_time()
            with contextlib.suppress(Exception):  # that it is refused is as good
                read(text)
            taken = time.process_time() - began
            if taken > WORST:
                slow.append((number, text[:40], round(taken, 1)))
                break
    assert slow == []
