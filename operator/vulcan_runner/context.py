"""TaskContext: what every task needs of the process it runs in.

Built by `__main__`, handed down by `tasks`. Opens nothing: `session` does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vulcan_contract import report as reports
from vulcan_contract.task import Task
from vulcan_runner.console import Recorder
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.secrets import Scrubber
from vulcan_runner.stop import Stop


@dataclass(frozen=True)
class TaskContext:
    """The task, and the process that works on it."""

    task: Task
    pod: Pod
    lines: Lines
    scrub: Scrubber
    stop: Stop
    recorder: Recorder
    frames: Callable[[Iterable[str]], None]  # prints lines past the scrubber

    def send(self, report: Any) -> str:
        """Prints a report, scrubbed and in frames, and returns its sha256. The frames themselves
        are not scrubbed: one letter less would spoil them."""
        frames, sha256, _ = reports.frames(self.scrub.tree(report), self.task.nonce)
        self.frames(frames)
        return sha256
