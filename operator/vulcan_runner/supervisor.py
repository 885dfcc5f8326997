"""The supervisor's part of a Job: starts the worker, passes on its output scrubbed, forwards
signals, and says how it ended.

Called by `__main__` for tasks that may run project code or need SQLMesh. Must import neither: what
the worker can reach, project code can reach. The worker has the supervisor's user, so this process
is closed to it (`processes`), and its environment has neither the task nor the path of the
termination message; the task comes through its stdin, without the nonce.
"""

import codecs
import contextlib
import dataclasses
import os
import selectors
import signal
import sys
from dataclasses import dataclass
from types import FrameType

from vulcan_contract import PodEnv
from vulcan_contract.codec import ContractError
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Task
from vulcan_runner import claim, processes
from vulcan_runner.claim import Claim
from vulcan_runner.lines import Clean

ANSWER = 3
"""The worker's descriptor for its answer."""
STOPPING = (signal.SIGTERM, signal.SIGINT)
"""Forwarded to the worker, which begins with them blocked until it can handle them."""
_OWN = (PodEnv.TASK, PodEnv.RESULT)
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Ending:
    """How a worker ended. `code`: its exit code, or the signal's number below zero."""

    code: int
    answer: bytes
    out_of_memory: bool
    left: bool = False  # something that it started could not be ended


def supervise(task: Task, out: Clean, err: Clean) -> Claim:
    """Runs the task in a worker, to the end of all that it starts."""
    return judged(task, _Worker(task).ended(out, err))


def judged(task: Task, ending: Ending) -> Claim:
    """The worker's claim, or the supervisor's word about how it ended without one."""
    if ending.left:
        return _word(task, Reason.RUNNER_CRASHED, "What the task had started could not be ended.")
    if ending.answer:
        try:
            found = claim.unpack(ending.answer)
        except ContractError as error:
            said = f"The worker's answer is not believed: {error}"
            return _word(task, Reason.RUNNER_CRASHED, said)
        if found.result.task == task.kind:
            return found
        return _word(task, Reason.RUNNER_CRASHED, "The worker's answer is that of another task.")
    if ending.out_of_memory:
        said = "The kernel killed the worker because the container's memory was used up."
        return _word(task, Reason.OUT_OF_MEMORY, said)
    if ending.code < 0:
        name = _signal_name(-ending.code)
        return _word(task, Reason.WORKER_KILLED, f"The worker was ended by {name}, unanswered.")
    said = f"The worker ended with exit code {ending.code} and without an answer."
    return _word(task, Reason.WORKER_EXITED, said)


def _word(task: Task, reason: Reason, said: str) -> Claim:
    return Claim(Result(task.kind, reason, said))


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


class _Pipe:
    """This side of a pipe that the worker writes to."""

    def __init__(self, end: int) -> None:
        self.end = end
        os.set_blocking(end, False)

    def read(self) -> bool:
        """Takes what is there; whether there was anything."""
        try:
            data = os.read(self.end, _BLOCK)
        except BlockingIOError:
            return False
        self.take(data)
        return bool(data)

    def take(self, data: bytes) -> None:
        raise NotImplementedError


class _Output(_Pipe):
    """What is printed, by the worker and by all that it starts, on its way to the pod's log."""

    def __init__(self, end: int, to: Clean) -> None:
        super().__init__(end)
        self._to, self._decoder = to, codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def take(self, data: bytes) -> None:
        self._to.write(self._decoder.decode(data, final=not data))


class _Answer(_Pipe):
    """The worker's answer: one line. What comes after it, or is too much, is dropped."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self._data = bytearray()

    def take(self, data: bytes) -> None:
        self._data += data[: claim.MOST_BYTES - len(self._data)]

    def line(self) -> bytes:
        """Empty if the worker ended in the middle of it."""
        end = self._data.find(b"\n") + 1
        return bytes(self._data[:end] if len(self._data) < claim.MOST_BYTES else self._data)


class _Worker:
    """A running worker: its process, and this side of its pipes."""

    def __init__(self, task: Task) -> None:
        processes.adopt_orphans()
        self._kills = processes.out_of_memory_kills()
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._told = list[int]()
        self._pid = 0
        for number in STOPPING:
            signal.signal(number, self._forward)
        order = self._start()
        for told in self._told:  # before there was a worker
            os.kill(self._pid, told)
        with contextlib.suppress(BrokenPipeError), os.fdopen(order, "w", encoding="utf-8") as pipe:
            pipe.write(dataclasses.replace(task, nonce="").to_json())

    def _start(self) -> int:
        """Returns where the worker's order is written."""
        theirs, order = os.pipe()
        self._stdout, stdout = os.pipe()
        self._stderr, stderr = os.pipe()
        self._answer, answer = os.pipe()
        places = ((theirs, 0), (stdout, 1), (stderr, 2), (answer, ANSWER))
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "vulcan_runner.worker", str(os.getpid())],
            {key: value for key, value in os.environ.items() if key not in _OWN},
            file_actions=[(os.POSIX_SPAWN_DUP2, source, place) for source, place in places],
            setsid=True,
            setsigmask=STOPPING,
        )
        for end, _ in places:
            os.close(end)
        return order

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._told.append(number)
        if self._pid:
            os.kill(self._pid, number)

    def ended(self, out: Clean, err: Clean) -> Ending:
        """Passes on what comes until the worker and all that it started have ended."""
        answer = _Answer(self._answer)
        pipes = (_Output(self._stdout, out), _Output(self._stderr, err), answer)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ, None)
            for pipe in pipes:
                selector.register(pipe.end, selectors.EVENT_READ, pipe)
            code = None
            while code is None:
                for key, _ in selector.select():
                    if key.data is None:
                        os.read(self._wake, _BLOCK)
                    elif not key.data.read():
                        selector.unregister(key.fd)  # closed by all who had it
                code = self._reap()
        left = not processes.end_descendants()
        for pipe in pipes:
            while pipe.read():
                pass
        kills = processes.out_of_memory_kills()
        more = kills is not None and self._kills is not None and kills > self._kills
        return Ending(code, answer.line(), more and code == -signal.SIGKILL, left)

    def _reap(self) -> int | None:
        """Reaps what has ended; the worker's exit code, if it has."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if pid == self._pid:
                self._pid, code = 0, os.waitstatus_to_exitcode(status)
