"""Processes that must never be confused: who a process is, how it is started, and how it is ended.

Called by the cluster, the node and the two launchers. A process is its id plus its start time, so a recycled id is
never killed. Must import the standard library only and stay small: every pod's launcher loads it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MARKER = "VULCAN_LOCALCLUSTER"
"""Environment variable of every process of a cluster; its value is the cluster's state folder."""

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class LaunchError(RuntimeError):
    """A program could not be started."""


class Process(NamedTuple):
    """A process that can be recognised again, also by another process and after a restart of this one."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not count."""
        return _started(self.pid) == self.started

    def command(self) -> str:
        """Its command line, or nothing; only where /proc exists."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    def signal(self, number: int) -> bool:
        """Signal this one process; False when it is gone."""
        return self.alive() and _quietly(lambda: os.kill(self.pid, number))

    def signal_group(self, number: int) -> bool:
        """Signal the process group this process leads; False when it is gone or leads none."""
        if not self.alive():
            return False
        try:
            leads = os.getpgid(self.pid) == self.pid
        except ProcessLookupError:
            return False
        return leads and _quietly(lambda: os.killpg(self.pid, number))


def this_process() -> Process:
    """The calling process."""
    return identify(os.getpid())


def identify(pid: int) -> Process:
    """The process that has this id now."""
    return Process(pid, _started(pid) or "gone")


def read(record: Path) -> Process | None:
    """The process a record file names, dead or alive; None without a (complete) record."""
    try:
        data = json.loads(record.read_text())
        return Process(int(data["pid"]), str(data["started"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return None


def write(record: Path, process: Process) -> None:
    """Record a process; readers see the old or the new record, never half of one."""
    temporary = record.with_name(f".{record.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": process.pid, "started": process.started}))
    temporary.rename(record)


def start_detached(argv: Sequence[str], record: Path, log: Path, env: Mapping[str, str]) -> Process:
    """Start a program that outlives us: own session, no parent, recorded before its first instruction."""
    import subprocess  # here, because the launchers import this module and have no use for it

    launcher = [*_launcher("detach"), str(record), str(log), *argv]
    done = subprocess.run(launcher, cwd=PACKAGE_ROOT, env=dict(env), capture_output=True, text=True, check=False)
    process = read(record)
    if done.returncode != 0 or process is None:
        raise LaunchError(f"cannot start {argv[0]}: {done.stderr.strip() or f'launcher exited {done.returncode}'}")
    return process


def shim_command(folder: Path, descriptor: int) -> list[str]:
    """The command that holds one container's process; see the shim module."""
    return [*_launcher("shim"), str(folder), str(descriptor)]


def end(processes: Iterable[Process], grace: float) -> None:
    """Stop processes together: SIGTERM, then SIGKILL for those that outlive the grace; returns when all are gone."""
    remaining = [process for process in processes if process.signal(signal.SIGTERM if grace > 0 else signal.SIGKILL)]
    deadline = time.monotonic() + grace
    while remaining and time.monotonic() < deadline:
        time.sleep(0.01)
        remaining = [process for process in remaining if process.alive()]
    for process in remaining:
        process.signal(signal.SIGKILL)
    while any(process.alive() for process in remaining):
        time.sleep(0.005)


def marked(state: Path) -> Iterator[Process]:
    """Processes that carry our marker for this state folder. Only where /proc exists; elsewhere the records must do."""
    needle = f"{MARKER}={state}".encode()
    proc = Path("/proc")
    for entry in proc.iterdir() if proc.is_dir() else ():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if needle in environment.split(b"\0"):
            process = identify(int(entry.name))
            if process.alive():
                yield process


def _launcher(module: str) -> list[str]:
    """Starts one of our modules in a third of the time that `python -m` takes."""
    return [sys.executable, "-S", "-E", "-c", f"from tools.localcluster import {module}; {module}.run()"]


def _quietly(kill: Callable[[], None]) -> bool:
    try:
        kill()
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _started(pid: int) -> str | None:
    """A text that differs between two processes that get the same id; None for a dead process or a zombie."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else f"{_boot()}/{fields[19]}"
    import subprocess

    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, since = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else " ".join(since.split())


def _boot() -> str:
    """Distinguishes boots, because start times count from the boot and records survive it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"
