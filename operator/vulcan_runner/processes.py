"""What supervisor and worker ask of Linux: to close a process to others of the same user, to end
with one's parent, to end whatever a task has started, and whether memory ran out.

Called by `__main__`, `supervisor` and `worker`. Needs no privilege. Elsewhere than on Linux most of
it does nothing: people start the runner by hand there.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PARENT_DEATH_SIGNAL, _DUMPABLE, _CHILD_SUBREAPER = 1, 4, 36  # options of prctl
_CGROUPS = Path("/sys/fs/cgroup")


def close_to_others() -> None:
    """Nobody of the same user reads this process's environment, memory or descriptors below /proc,
    or traces it. Only root, or CAP_SYS_PTRACE, still may."""
    _prctl(_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Whatever a descendant leaves behind becomes a child of this process, daemons included."""
    _prctl(_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """This process is killed when its parent ends; at once, if it has."""
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def end_descendants(seconds: float = 10.0) -> bool:
    """Kills and reaps all descendants; whether none is left. To have no child means to have no
    descendant: orphans were adopted."""
    until = time.monotonic() + seconds
    while not _reaped():
        if time.monotonic() > until:
            return False
        _kill_all()
        time.sleep(0.002)
    return True


def out_of_memory_kills() -> int | None:
    """How often the kernel has killed a process of this container for memory; None: unknown."""
    for file in _counters():
        with contextlib.suppress(OSError, ValueError):
            words = (line.split() for line in file.read_text().splitlines())
            return next(int(count) for name, count in words if name == "oom_kill")
    return None


def _reaped() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _kill_all() -> None:
    if os.getpid() == 1:
        # All processes of the container but this one, at once: none can fork away.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, ahead = list[int](), [os.getpid()]
    while ahead:
        ahead = [pid for parent in ahead for pid in children.get(parent, ())]
        found += ahead
    return found


def _parents() -> Iterator[tuple[int, int]]:
    names = os.listdir("/proc") if os.path.isdir("/proc") else []
    for name in filter(str.isdigit, names):
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            yield int(name), int(stat.rpartition(")")[2].split()[1])


def _counters() -> Iterator[Path]:
    """Of this process's group, in cgroups v2 and v1; most containers see it as the root."""
    v1 = _CGROUPS / "memory"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                yield _CGROUPS / path.lstrip("/") / "memory.events"
            elif controllers == "memory":
                yield v1 / path.lstrip("/") / "memory.oom_control"
    yield _CGROUPS / "memory.events"
    yield v1 / "memory.oom_control"


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
