"""The operator process under measurement: its metrics, processor time and memory.

Used by `operator` and `schedule`. Linux only for processor time and memory (/proc). Must not be asked while something
is timed: a scrape of a thousand objects costs the operator some ten milliseconds.
"""

import os
import re
import time
import urllib.request
from pathlib import Path

from tools.stand.stand import Operator

_WRITES = ("create", "replace", "apply", "merge", "patch", "delete")
_NOT_STORED = ("selfsubjectreviews",)
"""Questions that are asked by POST."""
_SERIES = re.compile(r'vulcan_api_requests_total\{code="(\d+)",resource="([^"]*)",verb="([^"]*)"\} ([0-9.e+]+)')
_LOOKS = re.compile(r"vulcan_reconciles_total\{[^}]*\} ([0-9.e+]+)")


class Meter:
    """One running operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._proc = Path("/proc") / str(operator.process.pid)

    def scrape(self) -> str:
        """/metrics."""
        port = self._operator.health_port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def writes(self, *, leader_lease: bool = False) -> dict[str, int]:
        """Answered writes so far by `<verb>-<resource>`; of Leases only creation and change of writer slots.

        The leader's Lease cannot be told from the slots' here; `leader_lease=False` leaves out all Leases.
        """
        found: dict[str, int] = {}
        for code, resource, verb, count in _SERIES.findall(self.scrape()):
            lease = resource == "leases" and not leader_lease
            if verb in _WRITES and code.startswith("2") and not lease and resource not in _NOT_STORED:
                found[f"{verb}-{resource}"] = found.get(f"{verb}-{resource}", 0) + int(float(count))
        return found

    def looks(self) -> tuple[bool, int]:
        """Whether it leads, and how often it has looked at objects."""
        text = self.scrape()
        return "vulcan_leader 1.0" in text, sum(int(float(n)) for n in _LOOKS.findall(text))

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory now."""
        text = (self._proc / "status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def peak_rss_mb(self) -> float:
        """Resident memory at its highest so far."""
        text = (self._proc / "status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024

    def settled(self, seconds: float = 60) -> tuple[dict[str, int], float]:
        """Wait until a second passes without a write; the writes, and since when they were all made (monotonic)."""
        until = time.monotonic() + seconds
        last, since = self.writes(leader_lease=True), time.monotonic()
        while time.monotonic() < until:
            time.sleep(0.25)
            now = self.writes(leader_lease=True)
            if any(now[kind] != last.get(kind) for kind in now if "leases" not in kind):
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 1:
                return now, since
        raise TimeoutError(f"the operator does not come to rest within {seconds:g} s")
