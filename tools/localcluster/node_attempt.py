"""One run of a container's program, seen from the node: start it, find it again after a restart, wait, signal, report.

Called by the pod's worker. The program itself is held by a shim, a process of its own; all that is known about it is in
the attempt's folder, plus a pipe whose end tells that it is over. Must not know about pods or the API.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster import processes, shim

Object = dict[str, Any]
_NOBODY = processes.Process(0, "given up by a restarted node")
_MESSAGE_LIMIT, _FALLBACK_LIMIT, _FALLBACK_LINES = 4096, 2048, 80


class Attempt:
    """One attempt; `folder` is named by its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = int(folder.name)
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def termination_log(self) -> Path:
        """The file that stands for the container's terminationMessagePath."""
        return self.folder / "termination-log"

    def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        """Start the program. Does not wait: there must be no await between deciding and having started."""
        spec = {"argv": list(argv), "env": dict(env), "cwd": cwd}
        descriptor = os.open(self.folder / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(spec, file)
        os.mkfifo(self.folder / "alive")
        reader = os.open(self.folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(self.folder / "alive", os.O_WRONLY)
        with (self.folder / "shim.log").open("wb") as log:
            self._shim = subprocess.Popen(
                processes.shim_command(self.folder, writer),
                cwd=processes.PACKAGE_ROOT,
                pass_fds=(writer,),
                env={processes.MARKER: env[processes.MARKER]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(writer)
        asyncio.get_running_loop().add_reader(reader, self._heard, reader)

    def attach(self) -> None:
        """Go on watching an attempt that an earlier node started."""
        reader = os.open(self.folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
        if (self.folder / "started.json").exists():  # asked after opening: what is written from now on is heard
            self.started.set()
        asyncio.get_running_loop().add_reader(reader, self._heard, reader)
        self._heard(reader)  # a pipe nobody writes to any more does not wake the loop

    def signal(self, number: int) -> None:
        """Signal the program and all processes of its group."""
        process = processes.read(self.folder / "process.json")
        if process is not None:
            process.signal_group(number)

    def started_at(self) -> str | None:
        """When the program started; None if it has not (yet)."""
        data = _read(self.folder / "started.json")
        return None if data is None else seconds(data["startedAt"])

    def result(self, fallback_to_logs: bool, limit: int = _MESSAGE_LIMIT) -> Object | None:
        """How the program ended, in the API's form; None if nobody knows."""
        data = _read(self.folder / "exit.json")
        if data is None:
            return None
        code = data["exitCode"]
        message = data.get("message") or self._message(limit, fallback_to_logs and code != 0)
        return {
            "exitCode": code,
            "reason": data.get("reason") or ("Completed" if code == 0 else "Error"),
            **({"signal": data["signal"]} if "signal" in data else {}),
            **({"message": message} if message else {}),
            "startedAt": seconds(data["startedAt"]),
            "finishedAt": seconds(data["finishedAt"]),
        }

    def _message(self, limit: int, fallback_to_logs: bool) -> str:
        """The end of the message file, or of the log if there is none and the container asked for that."""
        message = _end_of(self.termination_log, limit)
        if message or not fallback_to_logs:
            return message
        lines = [
            line.split(" ", 3)[3]
            for line in _end_of(self.folder / "log", 65536).splitlines()[-_FALLBACK_LINES:]
            if line.count(" ") >= 3
        ]
        text = "\n".join(lines) + ("\n" if lines else "")
        return text.encode()[-_FALLBACK_LIMIT:].decode(errors="replace")

    def _heard(self, reader: int) -> None:
        try:
            said = os.read(reader, 4096)
        except BlockingIOError:
            return
        if said:
            self.started.set()
            return
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)
        if self._shim is not None:
            self._shim.wait()
        self.signal(9)  # only if the shim was killed is there anything left of its program
        self.started.set()
        self.ended.set()


def latest(container: Path) -> Attempt | None:
    """The newest attempt an earlier node really started; one it only prepared is given up for good."""
    numbers = sorted((int(path.name) for path in container.glob("[0-9]*")), reverse=True)
    for number in numbers:
        folder = container / str(number)
        if not (folder / "shim.json").exists():
            shim.claim(folder, _NOBODY)
        if processes.read(folder / "shim.json") != _NOBODY:
            return Attempt(folder)
    return None


def create(container: Path) -> Attempt:
    """A fresh folder for the next attempt."""
    numbers = [int(path.name) for path in container.glob("[0-9]*")]
    folder = container / str(max(numbers, default=-1) + 1)
    for part in ("home", "tmp"):
        (folder / part).mkdir(parents=True)
    (folder / "termination-log").touch()
    return Attempt(folder)


def seconds(moment: str) -> str:
    """A time as the API keeps it: without fractions."""
    return moment[:19] + "Z"


def _end_of(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""


def _read(path: Path) -> Object | None:
    try:
        data: Object = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return data
