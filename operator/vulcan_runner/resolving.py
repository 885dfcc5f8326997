"""The resolve task, and the check that a later task got what was resolved. Must not import SQLMesh.

Called by `__main__` (resolve) and `revision` (checked).
"""

from dataclasses import dataclass
from pathlib import Path

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Source, Task
from vulcan_runner import project, unfetched
from vulcan_runner.fetch import fetched
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem


def resolve(task: Task, pod: Pod, lines: Lines) -> Result:
    """Returns the commit and digest of what `fetch` left; needs neither secrets nor a state."""
    lines.enter("resolve")
    got, known = _got(task, pod), fetched(pod)
    commit = known.commit if known is not None else None
    at = f" of commit {commit[:12]}" if commit else ""
    said = " ".join([f"Source digest {got.digest[:19]}{at}.", *got.warnings])
    return Result(task.kind, Reason.SUCCEEDED, said, commit=commit, digest=got.digest)


@dataclass(frozen=True)
class Got:
    """A project as it is in the pod, and what it names without containing it."""

    folder: Path
    digest: str
    warnings: tuple[str, ...]


def checked(task: Task, pod: Pod) -> Got:
    """The project in the pod; raises SourceDigestMismatch when it is not what was resolved."""
    got, expected = _got(task, pod), _source(task).digest
    if expected is not None and got.digest != expected:
        message = f"The source is {got.digest}, it was resolved to {expected}."
        raise Problem(Reason.SOURCE_CHANGED, message)
    return got


def _got(task: Task, pod: Pod) -> Got:
    source, known = _source(task), fetched(pod)
    folder = project.locate(pod.project, source, pod.work)
    project.require_project(folder, source.path)
    warnings = unfetched.require_complete(folder, known.submodules if known is not None else ())
    return Got(folder, project.source_digest(folder), tuple(warnings))


def _source(task: Task) -> Source:
    if task.source is None:
        raise Problem(Reason.CONTRACT_MISMATCH, f"The task {task.kind.value} needs a source.")
    return task.source
