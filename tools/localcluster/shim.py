"""Holds one container's process: starts it, keeps its output, and writes down how it ended.

Started by the node as `shim FOLDER DESCRIPTOR`; outlives the node, so that a restarted node can still report honestly.
The descriptor is the node's end-of-life pipe: a line says that the program started, closing it says that all is over.
Must import little (each container pays for it) and never talk to the API server.

Files in FOLDER: `spec.json` (in), `shim.json` (claim: who holds this attempt), `process.json`, `started.json` and
`exit.json` (out), `log` (one line per output line: time, stream, F or P for a partial line, text).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from tools.localcluster import processes

_SUBREAPER = 36  # prctl option
_CHUNK = 65536
_DRAIN_SECONDS = 0.2


def main(folder: Path, descriptor: int) -> int:
    """Run the container of this folder to its end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # held by the program, the pipe would not tell of our own end
    spec = json.loads((folder / "spec.json").read_text())
    if not claim(folder, processes.this_process()):
        return 1  # a restarted node gave this attempt up before we began
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    started = now()
    output, complaint, pid = _start(spec)
    log = _Log(folder / "log")
    if complaint:
        failure = {"exitCode": 128, "reason": "StartError", "message": complaint}
        _write(folder, "exit.json", {**failure, "startedAt": started, "finishedAt": now()})
        return 0
    processes.write(folder / "process.json", processes.identify(pid))
    _write(folder, "started.json", {"startedAt": started})
    _tell(descriptor, b"started\n")
    _adopt_orphans()
    status = _wait(pid, output, wake_read, log)
    finished = now()
    _end_stragglers(pid)
    log.drain(output)
    code = os.waitstatus_to_exitcode(status)
    result = {"exitCode": code} if code >= 0 else {"exitCode": 128 - code, "signal": -code}
    _write(folder, "exit.json", {**result, "startedAt": started, "finishedAt": finished})
    return 0


def claim(folder: Path, process: processes.Process) -> bool:
    """Become the only holder of a container's attempt; False if somebody else is."""
    mine = folder / f"claim.{process.pid}"
    processes.write(mine, process)
    try:
        os.link(mine, folder / "shim.json")
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def now() -> str:
    """UTC with nanosecond digits, as container runtimes write it."""
    whole, fraction = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:09}Z"


class _Log:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._rest = b""

    def write(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if lines:
            stamp = f"{now()} stdout F ".encode()
            self._append(b"".join(stamp + line + b"\n" for line in lines))

    def drain(self, output: int) -> None:
        """Take what the ended program left in the pipe; a process that escaped us may hold it open, so do not wait."""
        while select.select([output], [], [], _DRAIN_SECONDS)[0]:
            data = os.read(output, _CHUNK)
            if not data:
                break
            self.write(data)
        if self._rest:
            self._append(f"{now()} stdout P ".encode() + self._rest + b"\n")

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def _start(spec: dict[str, object]) -> tuple[int, str, int]:
    """The program's output, why it could not start (or nothing), and its id."""
    output_read, output_write = os.pipe()
    report_read, report_write = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        _become(spec, output_write, report_write)
    os.close(output_write)
    os.close(report_write)
    with os.fdopen(report_read) as report:
        return output_read, report.read(), pid


def _become(spec: dict[str, object], output: int, report: int) -> None:
    """In the new process: own group, own output, then the program itself."""
    argv, env = spec["argv"], spec["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(str(spec["cwd"]))
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        missing = "executable file not found in $PATH" if "/" not in argv[0] else (error.strerror or "").lower()
        os.write(report, f'failed to start container: exec: "{argv[0]}": {missing}'.encode())
    finally:
        os._exit(128)


def _wait(pid: int, output: int, wake: int, log: _Log) -> int:
    """Copy output until the program ends; orphans it leaves become our children and are reaped, too."""
    sources = [output, wake]
    while True:
        ready = select.select(sources, [], [], 1.0)[0]
        if output in ready:
            data = os.read(output, _CHUNK)
            log.write(data)
            if not data:
                sources.remove(output)
        if wake in ready:
            os.read(wake, 1024)
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if ended == pid:
                return status
            if ended == 0:
                break


def _end_stragglers(pid: int) -> None:
    """A container ends with its first process: kill its group, and on Linux all that escaped it and came back to us."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while children.exists():
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _adopt_orphans() -> None:
    """Become the parent of what the program's children leave behind; after the start, because the import takes time."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _tell(descriptor: int, line: bytes) -> None:
    with contextlib.suppress(OSError):  # no node is listening now; a later one reads the files
        os.write(descriptor, line)


def _write(folder: Path, name: str, data: dict[str, object]) -> None:
    temporary = folder / f".{name}"
    temporary.write_text(json.dumps(data))
    temporary.rename(folder / name)


def run() -> None:
    """Command line."""
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    run()
