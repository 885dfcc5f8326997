"""The worker: loads the project, drives SQLMesh, answers with a claim.

Started by `supervisor` as a process of its own, with the task on stdin and a pipe for its answer;
of no use to anybody else. It has the credentials of its task and runs project code, so it has
neither the termination message nor the report's nonce. The environment that SQLMesh reads at import
is set here, before anything imports it.
"""

import dataclasses
import gc
import os
import signal
import sys
import time
from typing import Any

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Task
from vulcan_runner import claim, crash, edge, processes, scrubbers
from vulcan_runner import lines as out
from vulcan_runner.claim import Claim
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Scrubber, arm
from vulcan_runner.stop import Stop
from vulcan_runner.supervisor import ANSWER, STOPPING


def main(parent: int) -> None:
    """Answers once, whatever happens; `parent` is the supervisor."""
    processes.end_with_parent(parent)
    own = os.getpid()
    os.set_inheritable(ANSWER, False)
    _collect_garbage_rarely()
    task, pod, lines = Task.from_json(_order()), Pod.of(), Lines()
    scrub = scrubbers.of_task(task, pod.secrets)
    arm(scrub)
    streams = out.install(scrub)
    out.log_through(lines)
    crash.arm(task.kind, lines)
    reports: list[Any] = []
    result = edge.guarded(lambda: _done(task, pod, lines, scrub, reports), task, lines, _explained)
    lines.enter("end")
    for stream in streams:
        stream.finish()
    if os.getpid() != own or result is None:
        return  # a child that project code forked and that has come this far
    # With the seconds of the last stage.
    result = dataclasses.replace(result, seconds=dict(lines.seconds))
    report = reports[-1] if reports else None
    with os.fdopen(ANSWER, "wb") as answer:
        answer.write(claim.pack(Claim(result, report)))


def _order() -> str:
    """The task; after it stdin is empty, as project code expects of a Job."""
    with os.fdopen(os.dup(0), encoding="utf-8") as pipe:
        text = pipe.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return text


def _collect_garbage_rarely() -> None:
    """Importing SQLMesh and parsing models create millions of objects that stay. Scanning them at
    Python's default of every 700 new ones takes a fifth of a short task's time."""
    gc.set_threshold(100_000, 20, 100)


def _done(task: Task, pod: Pod, lines: Lines, scrub: Scrubber, reports: list[Any]) -> Result:
    _prepare_environment(pod)
    stop = Stop()
    stop.install()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    from vulcan_runner import tasks
    from vulcan_runner.console import Recorder
    from vulcan_runner.context import TaskContext

    return tasks.run(TaskContext(task, pod, lines, stop, Recorder(lines), reports.append))


def _prepare_environment(pod: Pod) -> None:
    """Sets what SQLMesh reads when it is imported."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        message = "PYTHONHASHSEED is not 0; plans would differ from process to process."
        raise Problem(Reason.RUNNER_CRASHED, message)
    home = pod.work / "sqlmesh"
    home.mkdir(parents=True, exist_ok=True)
    os.environ |= {"SQLMESH_HOME": str(home), "TZ": "UTC"}
    os.environ["SQLMESH__DISABLE_ANONYMIZED_ANALYTICS"] = "true"
    os.environ.setdefault("MAX_FORK_WORKERS", "1")
    os.environ.setdefault("SQLMESH_RUNTIME_ENVIRONMENT", "ci")
    time.tzset()


def _explained(error: BaseException, stage: str) -> Problem:
    """`failures` needs SQLMesh, which is imported only if the error can be SQLMesh's."""
    if "sqlmesh" not in sys.modules:
        return edge.unexplained(error, stage)
    from vulcan_runner import failures

    return failures.problem(error, stage)


if __name__ == "__main__":
    main(int(sys.argv[1]))
    # Threads and exit handlers of project code must neither keep the pod nor change its result.
    os._exit(0)
