"""The container's command: a small process that reads the Task, has it done and writes the Result.

`python -m vulcan_runner` in the main container, `python -m vulcan_runner fetch` in the init
container. Whatever needs SQLMesh or may run project code is done by a worker (`supervisor`); this
process must import neither. It alone has the termination message and the nonce of the report, and
all output passes through it.
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vulcan_contract import ExitCode, PodEnv
from vulcan_contract.codec import ContractError, mapped
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.result import Result
from vulcan_contract.task import SourceKind, Task, TaskKind
from vulcan_runner import edge, processes, scrubbers, supervisor
from vulcan_runner import lines as out
from vulcan_runner.claim import Claim
from vulcan_runner.lines import Clean, Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import Scrubber, arm, git_scrubber
from vulcan_runner.stop import Stop
from vulcan_runner.termination import TerminationMessage

_EXIT = {
    Outcome.SUCCEEDED: ExitCode.SUCCEEDED,
    Outcome.FAILED: ExitCode.FAILED,
    Outcome.ERRORED: ExitCode.ERRORED,
    Outcome.ABORTED: ExitCode.ABORTED,
}


def main(arguments: list[str]) -> int:
    """Returns one of `vulcan_contract.ExitCode`."""
    processes.close_to_others()
    message = TerminationMessage(Path(os.environ.get(PodEnv.RESULT, "/dev/termination-log")))
    try:
        task = Task.from_json(os.environ.get(PodEnv.TASK, ""))
    except ContractError as error:
        said = f"The task cannot be read: {error}"
        message.write(Result("", Reason.CONTRACT_MISMATCH, said))
        return ExitCode.BAD_TASK
    pod, lines, is_fetch = Pod.of(), Lines(), arguments == ["fetch"]
    scrub = git_scrubber(pod.git_credentials) if is_fetch else scrubbers.of_task(task, pod.secrets)
    arm(scrub)
    stdout, stderr = out.install(scrub)
    if is_fetch or task.kind is TaskKind.RESOLVE:
        result = edge.guarded(lambda: _fetched_or_resolved(task, pod, lines, is_fetch), task, lines)
        lines.enter("end")
        if result is not None:  # with the seconds of the last stage
            result = dataclasses.replace(result, seconds=dict(lines.seconds))
    else:
        message.hold()
        result = _sent(supervisor.supervise(task, stdout, stderr), task, stdout, scrub)
        lines.enter("end")
    if result is None:
        return ExitCode.SUCCEEDED
    message.write(_clean(result, scrub.text))
    for failure in result.failures:
        about = {"model": failure.model, "interval": failure.interval}
        lines.say(failure.message, reason=failure.reason.value, **about)
    lines.say(result.message, reason=result.reason.value, outcome=result.outcome.value)
    for stream in (stdout, stderr):
        stream.finish()
    return _EXIT[result.outcome]


def _fetched_or_resolved(task: Task, pod: Pod, lines: Lines, is_fetch: bool) -> Result | None:
    """What runs no project code is done here. A fetch returns no Result when it succeeds: the main
    container writes one."""
    for name in (PodEnv.TASK, PodEnv.RESULT):
        os.environ.pop(name, None)  # git needs neither
    Stop().install()
    if not is_fetch:
        from vulcan_runner.resolving import resolve

        return resolve(task, pod, lines)
    from vulcan_runner.fetch import fetch

    lines.enter("fetch")
    if task.source is None or task.source.kind is not SourceKind.GIT:
        raise Problem(Reason.CONTRACT_MISMATCH, "Nothing to fetch: the task's source is not git.")
    fetch(task.source, pod, lines)
    return None


def _sent(claim: Claim, task: Task, stdout: Clean, scrub: Scrubber) -> Result:
    """The claim's Result, after its report is printed: scrubbed, and in frames, which are not
    scrubbed themselves: one letter less would spoil them."""
    if claim.report is None:
        return dataclasses.replace(claim.result, report_sha256=None)
    from vulcan_contract import report  # here, because OpenSSL takes 4 MB

    frames, sha256, _ = report.frames(scrub.tree(claim.report), task.nonce)
    stdout.verbatim(frames)
    return dataclasses.replace(claim.result, report_sha256=sha256)


def _clean(result: Result, text: Callable[[str], str]) -> Result:
    """Scrubs only what people read: digests and identifiers must stay whole."""

    def scrubbed(part: Any, *names: str) -> Any:
        return dataclasses.replace(part, **{n: mapped(getattr(part, n), text) for n in names})

    clean: Result = scrubbed(result, "message", "failures")
    if result.summary is not None:
        said = scrubbed(result.summary, "computed", "destructive", "effective", "models")
        clean = dataclasses.replace(clean, summary=said)
    if result.probe is not None:
        clean = dataclasses.replace(clean, probe=scrubbed(result.probe, "versions"))
    if result.work is not None and result.work.rollback:
        options = tuple(scrubbed(option, "unavailable") for option in result.work.rollback)
        clean = dataclasses.replace(clean, work=dataclasses.replace(result.work, rollback=options))
    return clean


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BaseException:  # noqa: BLE001  the process edge
        # No other exit code may come of this: the file may have somebody else's words.
        code = ExitCode.NO_RESULT
        sys.excepthook(*sys.exc_info())
    os._exit(code)
