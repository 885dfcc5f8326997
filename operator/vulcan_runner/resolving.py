"""The resolve task, and the check that a later task got what was resolved. Must not import SQLMesh.

Called by `__main__` (resolve) and `revision` (checked).
"""

from dataclasses import dataclass
from pathlib import Path

from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import Source, Task
from vulcan_runner import project
from vulcan_runner.fetch import fetched_commit
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem


def resolve(task: Task, pod: Pod, lines: Lines) -> Result:
    """Returns the commit and digest of what `fetch` left; needs neither secrets nor a state."""
    lines.enter("resolve")
    source = _source(task)
    folder = project.locate(pod.project, source, pod.work)
    project.require_project(folder, source.path)
    commit, digest = fetched_commit(pod), project.source_digest(folder)
    at = f" of commit {commit[:12]}" if commit else ""
    said = f"Source digest {digest[:19]}{at}."
    return Result(task.kind, Reason.SUCCEEDED, said, commit=commit, digest=digest)


@dataclass(frozen=True)
class Got:
    """A project as it is in the pod."""

    folder: Path
    digest: str


def checked(task: Task, pod: Pod) -> Got:
    """The project in the pod; raises SourceDigestMismatch when it is not what was resolved."""
    source = _source(task)
    folder = project.locate(pod.project, source, pod.work)
    project.require_project(folder, source.path)
    found = project.source_digest(folder)
    if source.digest is not None and found != source.digest:
        message = f"The source is {found}, it was resolved to {source.digest}."
        raise Problem(Reason.SOURCE_CHANGED, message)
    return Got(folder, found)


def _source(task: Task) -> Source:
    if task.source is None:
        raise Problem(Reason.CONTRACT_MISMATCH, f"The task {task.kind.value} needs a source.")
    return task.source
