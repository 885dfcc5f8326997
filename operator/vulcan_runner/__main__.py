"""The process edge: reads the Task, runs it, writes the Result, exits.

`python -m vulcan_runner` in the main container, `python -m vulcan_runner fetch` in the init
container. The environment that SQLMesh reads at import is set here, before anything imports it. The
only place that catches everything.
"""

import dataclasses
import functools
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from vulcan_contract import ExitCode, PodEnv
from vulcan_contract.codec import ContractError
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.result import Failure, Result
from vulcan_contract.task import SourceKind, Task, TaskKind
from vulcan_runner import crash
from vulcan_runner import lines as out
from vulcan_runner.fetch import fetch
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem, Stopped
from vulcan_runner.secrets import Scrubber, Secrets, arm, cut, git_scrubber, other_secrets
from vulcan_runner.stop import Stop

_EXIT = {
    Outcome.SUCCEEDED: ExitCode.SUCCEEDED,
    Outcome.FAILED: ExitCode.FAILED,
    Outcome.ERRORED: ExitCode.ERRORED,
    Outcome.ABORTED: ExitCode.ABORTED,
}


def main(arguments: list[str]) -> int:
    """Returns one of `vulcan_contract.ExitCode`."""
    _collect_garbage_rarely()
    pod, lines = Pod.of(), Lines()
    try:
        task = Task.from_json(os.environ.get(PodEnv.TASK, ""))
    except ContractError as error:
        message = f"The task cannot be read: {error}"
        _write(pod, Result("", Reason.CONTRACT_MISMATCH, message), Scrubber())
        return ExitCode.BAD_TASK
    os.environ.pop(PodEnv.TASK)  # project code has no business with the nonce
    scrub = _scrubber(task, pod, is_fetch=arguments == ["fetch"])
    arm(scrub)
    streams = out.install(scrub)
    out.log_through(lines)
    crash.arm(task.kind, lines)
    whole = functools.partial(_work, frames=streams[0].verbatim)
    work = _fetch if arguments == ["fetch"] else whole
    result = _guarded(work, task, pod, lines, scrub)
    lines.enter("end")
    if result is not None:
        # With those of the last stage.
        result = dataclasses.replace(result, seconds=dict(lines.seconds))
        _write(pod, result, scrub)
        for failure in result.failures:
            about = {"model": failure.model, "interval": failure.interval}
            lines.say(failure.message, reason=failure.reason.value, **about)
        lines.say(result.message, reason=result.reason.value, outcome=result.outcome.value)
    for stream in streams:
        stream.finish()
    return ExitCode.SUCCEEDED if result is None else _EXIT[result.outcome]


def _collect_garbage_rarely() -> None:
    """Importing SQLMesh and parsing models create millions of objects that stay. Scanning them at
    Python's default of every 700 new ones takes a fifth of a short task's time."""
    gc.set_threshold(100_000, 20, 100)


def _fetch(task: Task, pod: Pod, lines: Lines, scrub: Scrubber) -> Result | None:
    """Returns no Result when it succeeds: the main container writes one."""
    lines.enter("fetch")
    if task.source is None or task.source.kind is not SourceKind.GIT:
        raise Problem(Reason.CONTRACT_MISMATCH, "Nothing to fetch: the task's source is not git.")
    Stop().install()
    fetch(task.source, pod, lines)
    return None


def _work(
    task: Task, pod: Pod, lines: Lines, scrub: Scrubber, frames: Callable[[Iterable[str]], None]
) -> Result:
    _prepare_environment(pod)
    stop = Stop()
    stop.install()
    if task.kind is TaskKind.RESOLVE:
        # Without the seconds that importing SQLMesh takes.
        from vulcan_runner.resolving import resolve

        return resolve(task, pod, lines)
    from vulcan_runner import tasks
    from vulcan_runner.console import Recorder
    from vulcan_runner.context import TaskContext

    return tasks.run(TaskContext(task, pod, lines, scrub, stop, Recorder(lines), frames))


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


def _guarded(
    work: Callable[..., Result | None], task: Task, pod: Pod, lines: Lines, scrub: Scrubber
) -> Result | None:
    try:
        result = work(task, pod, lines, scrub)
        _ignore_signals()
    except Stopped as stopped:
        _ignore_signals()
        return _result(task, stopped.problem)
    except BaseException as error:  # noqa: BLE001  the process edge
        _ignore_signals()
        return _result(task, _problem(error, lines))
    return result


def _ignore_signals() -> None:
    """The end is decided; a signal now could only spoil the result."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _problem(error: BaseException, lines: Lines) -> Problem:
    """`failures` needs SQLMesh, which is imported only if the error can be SQLMesh's."""
    if isinstance(error, Problem):
        return error
    if "sqlmesh" in sys.modules:
        from vulcan_runner import failures

        problem = failures.problem(error, lines.stage)
    else:
        problem = Problem(Reason.RUNNER_CRASHED, cut(f"{type(error).__name__}: {error}", 500))
    if problem.reason is Reason.RUNNER_CRASHED:
        frames = "".join(traceback.format_tb(error.__traceback__))
        lines.say("Unexpected error", error=type(error).__name__, traceback=frames[-6000:])
    return problem


def _result(task: Task, problem: Problem) -> Result:
    return Result(
        task.kind, problem.reason, problem.message, retry=problem.retry, failures=problem.failures,
        probe=problem.probe, work=problem.work,
    )  # fmt: skip


def _scrubber(task: Task, pod: Pod, is_fetch: bool) -> Scrubber:
    """Knows the secrets of this container: the gateway's, or the git credential's."""
    if is_fetch:
        return git_scrubber(pod.git_credentials)
    gateway = task.gateway
    connections = [gateway.connection, *(n.connection for n in gateway.additional)]
    connections += [gateway.state_connection] if gateway.state_connection else []
    others = other_secrets(task.secret_env, task.secret_paths)
    return Secrets(pod.secrets).scrubber(connections, others)


def _write(pod: Pod, result: Result, scrub: Scrubber) -> None:
    """Writes the termination message. Scrubs only what people read: digests must stay whole."""
    clean = _clean(result, scrub.text)
    pod.result.parent.mkdir(parents=True, exist_ok=True)
    with pod.result.open("wb", buffering=0) as file:  # at most 4 KiB: one write
        file.write(clean.to_message().encode())


def _clean(result: Result, text: Callable[[str], str]) -> Result:
    def failure(f: Failure) -> Failure:
        named = dataclasses.replace(f, model=text(f.model), audit=text(f.audit))
        return dataclasses.replace(named, message=text(f.message))

    failures = tuple(map(failure, result.failures))
    changes: dict[str, Any] = {"message": text(result.message), "failures": failures}
    if result.summary is not None:
        effective = {k: text(v) for k, v in result.summary.effective.items()}
        models = tuple(dataclasses.replace(m, name=text(m.name)) for m in result.summary.models)
        changes["summary"] = dataclasses.replace(result.summary, effective=effective, models=models)
    return dataclasses.replace(result, **changes)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads and exit handlers of project code must neither keep the pod nor change its result.
    os._exit(code)
