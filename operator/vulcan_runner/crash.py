"""For crash tests only: CRASH_TEST_AT=<task>:<stage> kills supervisor and worker when that stage
begins, as a power cut would.

Stages are those of `Lines.enter`, and while a plan is applied SQLMesh's own (BackfillStage,
FinalizeEnvironmentStage, …). The tests set the variable through a gateway's `spec.runner.env`,
hence a name without VULCAN_. Armed by `worker`; does nothing without the variable.
"""

import logging
import os
import signal

from vulcan_contract.task import TaskKind
from vulcan_runner.lines import Lines

VARIABLE = "CRASH_TEST_AT"
_SQLMESH = "sqlmesh.core.plan.evaluator"  # says "Evaluating plan stage X" before each


class _Stages(logging.Handler):
    def __init__(self, stage: str) -> None:
        super().__init__(logging.INFO)
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        if self._stage in map(str, record.args or ()):
            _crash()


def arm(kind: TaskKind, lines: Lines) -> None:
    """Watches for the stage that the variable names."""
    task, _, wanted = os.environ.get(VARIABLE, "").partition(":")
    if task != kind.value:
        return
    lines.entered = lambda stage: _crash() if stage == wanted else None
    logger = logging.getLogger(_SQLMESH)
    logger.setLevel(logging.INFO)
    logger.addHandler(_Stages(wanted))


def _crash() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
