"""Jobs as the planners see them: names, attempts, what became of one. Pure.

A Job's name is a function of owner uid, task, inputs and attempt, so creating it twice is the same
as once. One pod per Job, ever; retries are new Jobs and are decided in the planner alone.
"""

import datetime as dt
import enum
from dataclasses import dataclass

from vulcan_contract import ExitCode
from vulcan_contract.codec import ContractError
from vulcan_contract.digest import of_json
from vulcan_contract.reasons import Outcome, Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.seen import Jobs, JobSeen, JobState, Pods, PodSeen

_PULL = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "ImageInspectError",
)  # fmt: skip
_DEADLINE, _OUT_OF_MEMORY = "DeadlineExceeded", "OOMKilled"


@dataclass(frozen=True)
class JobPolicy:
    """What today's spec means for a Job that was made earlier."""

    start_deadline: dt.timedelta = dt.timedelta(minutes=5)
    runner: str = ""  # manifest.runner_digest of today; "": not compared
    fenced: bool = True  # nothing gets hurt if its pod, whose node is dead, should still run
    gateway: str = ""  # whose Job it is

    def is_outdated(self, job: JobSeen) -> bool:
        """Whether a Job was made with an image or settings that the spec does not have any more."""
        return bool(self.runner and job.runner) and job.runner != self.runner


class Stage(enum.Enum):
    """What became of the current task."""

    ABSENT = enum.auto()  # no Job of this name
    PENDING = enum.auto()  # its container has not run yet
    STUCK = enum.auto()  # not started within startDeadline, or its settings were corrected since
    RUNNING = enum.auto()
    ENDED = enum.auto()  # `result` says how


@dataclass(frozen=True)
class Progress:
    """The current task, classified."""

    stage: Stage
    detail: str = ""  # for people: what keeps it
    why: Why = Why.POD_WAITING  # the reason that goes with it
    result: Result | None = None
    job: JobSeen | None = None
    pod: PodSeen | None = None


def job_name(owner_name: str, owner_uid: str, kind: str, inputs: str, attempt: int) -> str:
    """At most 63 characters: readable prefix, task, 10 hex digits of what it stands for."""
    prefix, digest = owner_name[:40].rstrip("-."), of_json([owner_uid, kind, inputs, attempt])
    return f"{prefix}-{kind}-{digest[:10]}"


def next_attempt(jobs: Jobs, kind: str, inputs: str, known: int) -> int:
    """One above the highest attempt known from status, which may be lost, or from a Job's label."""
    return 1 + max([known, *(j.attempt for j in jobs if j.task == kind and j.inputs == inputs)])


def classify(
    task: TaskStatus, jobs: Jobs, pods: Pods, policy: JobPolicy, now: dt.datetime
) -> Progress:
    """What became of the current task: it ends with its pod, or is given up with its pod's node."""
    job = next((j for j in jobs if j.name == task.job), None)
    mine = [p for p in pods if p.job == task.job]
    pod = max(mine, key=lambda p: (p.ended, p.started), default=None)
    if pod is not None and pod.is_on_dead_node(now):
        return _on_dead_node(task, job, pod, policy)
    if job is None:
        # Its pod may still be writing although the Job is gone: not absent before that has ended.
        if pod is not None and not pod.ended:
            return Progress(Stage.RUNNING, "the Job was deleted, its pod is still there", pod=pod)
        if pod is not None and pod.termination:
            return Progress(Stage.ENDED, result=_result(task, job, pod), pod=pod)
        return Progress(Stage.ABSENT, pod=pod)
    # The Job controller counts an ended pod a second later, and a stopped one goes away with its
    # result then: the result is taken before that. It is the only one that a Job ever has.
    spoke = pod is not None and bool(pod.termination) and all(p.ended for p in mine)
    if job.state is not JobState.UNFINISHED or spoke:
        return Progress(Stage.ENDED, result=_result(task, job, pod), job=job, pod=pod)
    if pod is not None and pod.started:
        return Progress(Stage.RUNNING, job=job, pod=pod)
    detail = _why_waiting(pod)
    if policy.is_outdated(job):
        message = "its pod had not started when the runner's settings were changed"
        result = Result(task.kind, Reason.CANCELLED, message)
        return Progress(Stage.STUCK, detail, result=result, job=job, pod=pod)
    if job.created is not None and now >= job.created + policy.start_deadline:
        result = _stuck(task, pod, detail, policy)
        return Progress(Stage.STUCK, detail, result=result, job=job, pod=pod)
    return Progress(Stage.PENDING, detail, job=job, pod=pod)


def next_look(progress: Progress, policy: JobPolicy, now: dt.datetime) -> dt.datetime | None:
    """When time alone will change what a Job that goes on is."""
    job, pod = progress.job, progress.pod
    created = job.created if job is not None and progress.stage is Stage.PENDING else None
    times = [created + policy.start_deadline] if created is not None else []
    if pod is not None and pod.given_up_at is not None:
        times.append(pod.given_up_at)
    return min((at for at in times if at > now), default=None)


def _on_dead_node(
    task: TaskStatus, job: JobSeen | None, pod: PodSeen, policy: JobPolicy
) -> Progress:
    if policy.fenced:
        message = f"pod {pod.name} was told to stop and its node does not say that it has"
        result = Result(task.kind, Reason.LOST, message)
        return Progress(Stage.ENDED, result=result, job=job, pod=pod)
    detail = (
        f"the node of pod {pod.name} does not answer, and nothing in the state database fences off"
        " what it may still write. When it is certainly dead: kubectl annotate vulcangateway"
        f" {policy.gateway} -n {pod.namespace} --overwrite {names.WRITER_GONE}={task.job}"
    )
    return Progress(Stage.RUNNING, detail, Why.WRITER_UNKNOWN, job=job, pod=pod)


NO_POD = (False, False, "", "", None)


def pod_facts(pod: PodSeen) -> tuple[bool, bool, str, str, dt.datetime | None]:
    """What of a pod `classify` reads at each change; the rest counts at the start deadline."""
    return pod.started, pod.ended, pod.termination, _why_waiting(pod), pod.deleted


def _why_waiting(pod: PodSeen | None) -> str:
    if pod is None:
        return ""
    if pod.waiting in _PULL:
        # The kubelet's texts alternate between pulling and backing off: one text for both keeps
        # status at rest.
        hint = "correct runner.image or its imagePullSecrets"
        return f"ImagePullFailed: the runner image cannot be pulled; {hint}"
    if pod.waiting in ("", "ContainerCreating", "PodInitializing"):
        return ""
    return f"{pod.waiting}: {pod.waiting_message}"[:300]


def _stuck(task: TaskStatus, pod: PodSeen | None, detail: str, policy: JobPolicy) -> Result:
    pulling = pod is not None and pod.waiting in _PULL
    reason = Reason.IMAGE_PULL_FAILED if pulling else Reason.POD_NOT_STARTED
    what = detail or "no pod was created (quota or admission)"
    if pod is not None and not detail:
        volume = "a volume of the pod is missing (a ConfigMap of runner.caBundle or runner.volumes)"
        what = f"{volume}, or its image is slow" if pod.waiting else "no node took the pod"
    return Result(task.kind, reason, f"not started within {policy.start_deadline}: {what}")


def _believable(result: Result, task: TaskStatus, pod: PodSeen) -> bool:
    """Project code can write the file, too: it must fit the task and the exit code, which is the
    supervisor's own. One that was killed has not written it, whatever is in it."""
    if pod.exit_code not in ExitCode.KNOWN:
        return False
    good = result.outcome is Outcome.SUCCEEDED
    timed_out = pod.exit_reason == _DEADLINE and result.outcome is Outcome.ABORTED
    # A runner that cannot read its task does not know which it is.
    fits = result.task == task.kind or (not good and not result.task)
    if not fits or timed_out or good != (pod.exit_code == 0):
        return False
    # A success must bring what it is good for.
    brings = TaskKind(task.kind).traits.brings
    return not good or not brings or getattr(result, brings) is not None


def _result(task: TaskStatus, job: JobSeen | None, pod: PodSeen | None) -> Result:
    if pod is not None and pod.termination:
        try:
            result = Result.from_message(pod.termination)
        except ContractError:
            result = None
        if result is not None and _believable(result, task, pod):
            return result
    exit_reason = pod.exit_reason if pod is not None else ""
    if exit_reason == _DEADLINE or (job is not None and job.reason == _DEADLINE):
        message = "the task took longer than runner.deadline"
        return Result(task.kind, Reason.DEADLINE_EXCEEDED, message)
    if exit_reason == _OUT_OF_MEMORY:
        message = "the container was killed because its memory was used up (OOMKilled)"
        return Result(task.kind, Reason.OUT_OF_MEMORY, message)
    if pod is None:
        return Result(task.kind, Reason.LOST, "the Job ended, its pod and result are gone")
    how = f"{exit_reason or 'Error'}, exit {pod.exit_code}"
    return Result(task.kind, Reason.RUNNER_CRASHED, f"the runner ended without a result: {how}")
