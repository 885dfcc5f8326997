"""TaskContext: what every task needs of the process it runs in.

Built by `worker`, handed down by `tasks`. Opens nothing: `session` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vulcan_contract.task import Task
from vulcan_runner.console import Recorder
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.stop import Stop


@dataclass(frozen=True)
class TaskContext:
    """The task, and the process that works on it."""

    task: Task
    pod: Pod
    lines: Lines
    stop: Stop
    recorder: Recorder
    send: Callable[[Any], None]  # a report goes to the supervisor, which scrubs and frames it
