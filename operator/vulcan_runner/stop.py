"""Stop: one flag for SIGTERM and for a lost writer lock, which SQLMesh reads before every batch.

While the task only reads, a signal ends it at once; while it writes, the current batch is finished
first. A second signal changes nothing. `worker` installs it, `__main__` where there is none;
`engine` gives it to SQLMesh as circuit breaker.
"""

import signal
import threading
from types import FrameType

from vulcan_contract.reasons import Reason
from vulcan_runner.problem import Problem, Stopped


class Stop:
    """Whether and why the task has to end."""

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._lock = threading.RLock()
        self.writing = False

    def install(self) -> None:
        """Main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def because(self, problem: Problem) -> None:
        """Sets why the task has to end; the first reason counts."""
        with self._lock:
            self._problem = self._problem or problem

    def __call__(self) -> bool:
        """Is SQLMesh's circuit breaker."""
        return self._problem is not None

    def check(self) -> None:
        """Raises Stopped when it is time to end."""
        if self._problem is not None:
            raise Stopped(self._problem)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = self._problem is not None
        message = "Told to stop; finished batches are kept, and the next attempt continues there."
        self.because(Problem(Reason.CANCELLED, message))
        if not self.writing and not again:
            self.check()
