"""Old Jobs, and the copies of ConfigMaps that a status refers to. Pure; used by all planners.

Jobs are judged in every pass by what is there and what status names, so that a crash between a
record and its clean-up leaves none behind.
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator

from vulcan_contract.task import TaskKind
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.plan.core.actions import Action, DeleteJob, KeepJob
from vulcan_operator.plan.core.seen import Jobs, JobSeen, JobState, Pods
from vulcan_operator.plan.tasks import checks, values
from vulcan_operator.plan.tasks.jobs import JobPolicy

KEEP_RECORDED = 3 * 24 * 3600  # seconds a recorded Job stays for people to look at
_KEPT_JOBS = 3  # of each task
_NO_COPY = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|.*@sha256:.*")  # revisions of git and images


def expired_jobs(
    jobs: Jobs, pods: Pods, current: set[str], policy: JobPolicy, now: dt.datetime
) -> list[Action]:
    """Jobs of no current task: few ended ones are kept, those that never start are deleted."""
    others = [j for j in jobs if j.name not in current]
    ended = [j for j in others if j.state is not JobState.UNFINISHED]
    by_task: defaultdict[str, list[JobSeen]] = defaultdict(list)
    for job in sorted(ended, key=lambda j: (j.created or now, j.name), reverse=True):
        by_task[job.task].append(job)
    old = {j.name for group in by_task.values() for j in group[_KEPT_JOBS:]}
    stuck = {j.name for j in others if (at := stuck_at(j, pods, policy)) is not None and at <= now}
    recorded = [j for j in ended if j.ttl is None and j.name not in old]
    return [
        *(KeepJob(j.namespace, j.name, KEEP_RECORDED) for j in recorded),
        *(DeleteJob(j.namespace, j.name) for j in others if j.name in old | stuck),
    ]


def stuck_at(job: JobSeen, pods: Pods, policy: JobPolicy) -> dt.datetime | None:
    """When an unfinished Job whose container has not run counts as one that never will."""
    started = any(p.started for p in pods if p.job == job.name)
    if job.state is not JobState.UNFINISHED or job.created is None or started:
        return None
    return job.created if policy.is_outdated(job) else job.created + policy.start_deadline


def source_copies(environment: VulcanEnvironment, status: EnvironmentStatus) -> Iterator[str]:
    """Copies of a project that a status refers to: of the pending and of the applied source."""
    pending, known = status.revision, (status.plan, status.applied)
    sources = [(pending.resolved, pending.digest)] if pending is not None else []
    sources += [(p.revision, p.source_digest) for p in known if p is not None]
    copied = (digest for revision, digest in sources if not _NO_COPY.fullmatch(revision))
    yield from (values.source_copy(environment, digest) for digest in copied)


def copy_names(environment: VulcanEnvironment, status: EnvironmentStatus) -> Iterator[str]:
    """All copies that a status refers to: of sources, and of the files that are being checked."""
    yield from source_copies(environment, status)
    if status.task is not None and status.task.kind == TaskKind.CHECKS:
        yield checks.copy_name(environment.metadata, status.task.inputs)
