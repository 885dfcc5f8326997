"""Somebody who reads views all the time, and what is wrong with what was seen.

`Reader` is used by `promotions_live`; it starts this file as a program, so that reading has a process of its own. One line
of JSON on the program's stdin says what to read. A line on stdout says that it has begun; it ends when stdin does, and
then writes one line of JSON. Each view is read by one connection only, so that what was seen of it has an order.
"""

import bisect
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg2

POLLS = 1000
"""Per second; one that was not made counts as failed."""
_PACE = 1100
_CONNECTIONS = 4
_SHOWN = 5


class Reader:
    """The process that reads while the body runs."""

    def __init__(self, where: dict[str, Any], views: list[str]) -> None:
        argv = [sys.executable, "-m", "benchmarks.promotions_reader"]
        self._views, self._said = views, dict[str, Any]()
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"where": where, "views": views}) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        out = self._process.communicate()[0]
        if kind is None:
            self._said = json.loads(out)

    def failed(self, ways: list[float]) -> int:
        """Errors, changes of a view that were not one on each way (which began at these times), and polls not made."""
        said = self._said
        polls, seconds, errors = int(said["polls"]), float(said["seconds"]), int(said["errors"])
        wrong, missing = _wrong(said["changes"], self._views, ways), max(0, round(POLLS * seconds) - polls)
        print(
            f"   {polls} polls in {seconds:.0f} s ({polls / seconds:.0f} per second) while {len(self._views)} views changed"
            f" {len(ways)} times: {errors} errors {said['first_errors']}, {wrong} changes too many or too few, {missing}"
            " polls not made",
            flush=True,
        )
        return errors + wrong + missing


def _wrong(changes: Iterable[tuple[str, float]], views: list[str], ways: list[float]) -> int:
    """How many changes there were on one way beyond one of each view, or short of it."""
    seen = Counter((view, bisect.bisect(ways, at) - 1) for view, at in changes)
    return sum(abs(seen[view, way] - 1) for view, way in itertools.product(views, range(len(ways))))


@dataclass
class Seen:
    """What one connection saw. `changes`: view, and when it was first seen to be another."""

    polls: int = 0
    errors: list[str] = field(default_factory=list)
    changes: list[tuple[str, float]] = field(default_factory=list)


def main() -> None:
    """Until stdin ends."""
    wanted, done, began = json.loads(sys.stdin.readline()), threading.Event(), time.monotonic()
    where, views, pause = wanted["where"], wanted["views"], _CONNECTIONS / _PACE
    seen = [Seen() for _ in range(_CONNECTIONS)]
    threads = [
        threading.Thread(target=_read, args=(where, views[i::_CONNECTIONS], pause, seen[i], done))
        for i in range(_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    print("reading", flush=True)
    try:
        sys.stdin.read()
    finally:
        done.set()
    for thread in threads:
        thread.join()
    errors = [text for one in seen for text in one.errors]
    said = {
        "polls": sum(one.polls for one in seen), "seconds": time.monotonic() - began,
        "errors": len(errors), "first_errors": errors[:_SHOWN],
        "changes": [change for one in seen for change in one.changes],
    }  # fmt: skip
    print(json.dumps(said))


def _read(where: dict[str, Any], views: list[str], pause: float, seen: Seen, done: threading.Event) -> None:
    """One view after the other; what was late is made up for."""
    session = _session(where)
    last = dict[str, Any]()
    due, number = time.monotonic(), 0
    while not done.is_set():
        view = views[number % len(views)]
        number += 1
        try:
            with session.cursor() as cursor:
                cursor.execute(f"select revision from {view}")
                rows = cursor.fetchall()
            if len(rows) != 1:
                seen.errors.append(f"{len(rows)} rows in {view}")
            elif rows[0][0] != last.setdefault(view, rows[0][0]):
                last[view] = rows[0][0]
                seen.changes.append((view, time.time()))
        except psycopg2.Error as error:
            seen.errors.append(str(error).partition("\n")[0])
            if session.closed:
                session = _session(where)
        seen.polls += 1
        due += pause
        done.wait(max(0.0, due - time.monotonic()))


def _session(where: dict[str, Any]) -> Any:
    session = psycopg2.connect(**where)
    session.autocommit = True  # a transaction would hold its lock on the view
    return session


if __name__ == "__main__":
    main()
