"""Names and attempts of Jobs, and what became of one."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import job, pod, task
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.task import TaskKind
from vulcan_operator.plan.core.actions import DeleteJob, KeepJob
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen
from vulcan_operator.plan.tasks import jobs, retention
from vulcan_operator.plan.tasks.jobs import JobPolicy, Stage

LABEL = "[a-z0-9]([-a-z0-9]{0,9}[a-z0-9])?"
NAMES = st.from_regex(rf"{LABEL}(\.{LABEL}){{0,4}}", fullmatch=True)
KINDS = st.sampled_from(list(TaskKind))
GOOD = builders.planned().to_message()


@given(
    NAMES,
    st.text("abcdef0123456789", min_size=1),
    KINDS,
    st.text("abcdef0123456789"),
    st.integers(1, 10**6),
)
def test_a_name_is_one_that_a_job_and_a_label_can_have(
    name: str, uid: str, kind: str, inputs: str, attempt: int
) -> None:
    made = jobs.job_name(name, uid, kind, inputs, attempt)
    assert len(made) <= 63 and made[0].isalnum() and made[-1].isalnum()
    assert all(part and part[0].isalnum() and part[-1].isalnum() for part in made.split("."))


@given(
    st.sets(
        st.tuples(
            NAMES,
            st.sampled_from(["u1", "u2"]),
            KINDS,
            st.sampled_from(["i", "j"]),
            st.integers(1, 3),
        )
    )
)
def test_names_of_different_work_differ(work: set[tuple[str, str, str, str, int]]) -> None:
    assert len({jobs.job_name(*w) for w in work}) == len(
        {w[1:] for w in work} if not work else {(w[0][:40].rstrip("-."), *w[1:]) for w in work}
    )


def test_an_attempt_is_one_above_all_that_are_known() -> None:
    known = (job(attempt=3), job(attempt=7, task="apply"), job(attempt=9, inputs="other"))
    assert jobs.next_attempt(known, "plan", "i", 0) == 4
    assert jobs.next_attempt(known, "plan", "i", 5) == 6
    assert jobs.next_attempt((), "plan", "i", 0) == 1


def ended(state: JobState = JobState.COMPLETE, **fields: Any) -> JobSeen:
    """The Job's conditions say that it ended."""
    return job(state, **fields)


@pytest.mark.parametrize(
    ("found", "pods", "minutes", "stage"),
    [
        pytest.param(None, [], 0, Stage.ABSENT, id="no Job"),
        pytest.param(None, [pod()], 0, Stage.RUNNING, id="no Job, but its pod may still write"),
        pytest.param(None, [pod("Failed")], 0, Stage.ABSENT, id="no Job, and its pod has ended without a word"),
        pytest.param(None, [pod("Succeeded", termination=GOOD, exit_code=0)], 0, Stage.ENDED, id="no Job, but a result"),
        pytest.param(job(), [], 0, Stage.PENDING, id="no pod yet"),
        pytest.param(job(), [pod("Pending")], 4, Stage.PENDING, id="a pod that waits"),
        pytest.param(job(), [pod("Pending")], 5, Stage.STUCK, id="a pod that waits too long"),
        pytest.param(job(), [], 5, Stage.STUCK, id="no pod for too long"),
        pytest.param(job(), [pod(started=True)], 999, Stage.RUNNING, id="a pod that runs, however long"),
        pytest.param(job(), [pod("Failed", started=True)], 0, Stage.RUNNING, id="the pod's end is not the Job's"),
        pytest.param(
            job(), [pod("Failed", started=True, deleted=NOW, termination=GOOD)], 0, Stage.ENDED, id="a stopped pod's word"
        ),
        pytest.param(ended(), [pod("Succeeded", termination=GOOD)], 0, Stage.ENDED, id="ended"),
        pytest.param(ended(), [], 0, Stage.ENDED, id="ended, its pod is gone"),
        pytest.param(job(name="other"), [], 0, Stage.ABSENT, id="a Job of another name"),
    ],
)  # fmt: skip
def test_stages(found: JobSeen | None, pods: list[PodSeen], minutes: int, stage: Stage) -> None:
    now = NOW + dt.timedelta(minutes=minutes)
    progress = jobs.classify(task(), (found,) if found else (), tuple(pods), JobPolicy(), now)
    assert progress.stage is stage
    assert (progress.result is not None) == (stage in (Stage.ENDED, Stage.STUCK))


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param([], Reason.POD_NOT_STARTED, id="no pod"),
        pytest.param([pod("Pending", waiting="ErrImagePull")], Reason.IMAGE_PULL_FAILED, id="pull"),
        pytest.param(
            [pod("Pending", waiting="ImagePullBackOff")], Reason.IMAGE_PULL_FAILED, id="pull, later"
        ),
        pytest.param(
            [pod("Pending", waiting="InvalidImageName")],
            Reason.IMAGE_PULL_FAILED,
            id="no image name",
        ),
        pytest.param(
            [pod("Pending", waiting="Unschedulable")], Reason.POD_NOT_STARTED, id="no node"
        ),
    ],
)
def test_why_it_never_started(pods: list[PodSeen], reason: Reason) -> None:
    progress = jobs.classify(
        task(), (job(),), tuple(pods), JobPolicy(), NOW + dt.timedelta(hours=1)
    )
    assert progress.result is not None and progress.result.reason is reason


def test_the_kubelets_alternating_words_are_one_detail() -> None:
    details = {
        jobs.classify(
            task(), (job(),), (pod("Pending", waiting=w, waiting_message=w),), JobPolicy(), NOW
        ).detail
        for w in ("ErrImagePull", "ImagePullBackOff")
    }
    assert len(details) == 1 and "cannot be pulled" in details.pop()


@pytest.mark.parametrize("waiting", ["", "ContainerCreating", "PodInitializing"])
def test_what_is_only_starting_is_no_detail(waiting: str) -> None:
    assert (
        jobs.classify(task(), (job(),), (pod("Pending", waiting=waiting),), JobPolicy(), NOW).detail
        == ""
    )


def said(reason: Reason, kind: str = "plan") -> str:
    return Result(kind, reason).to_message()


NEWS, DEAF = '{"task":"plan","reason":"New"}', said(Reason.CONTRACT_MISMATCH, "")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"termination": GOOD, "exit_code": 0}, Reason.SUCCEEDED, id="its word"),
        pytest.param({"termination": said(Reason.LINT_FAILED), "exit_code": 1}, Reason.LINT_FAILED, id="a no"),
        pytest.param({"termination": said(Reason.LINT_FAILED), "exit_code": 0}, Reason.RUNNER_CRASHED, id="a no, exit 0"),
        pytest.param({"termination": GOOD, "exit_code": 137}, Reason.RUNNER_CRASHED, id="a yes, killed"),
        pytest.param({"termination": said(Reason.LINT_FAILED), "exit_code": 137}, Reason.RUNNER_CRASHED, id="a no, killed"),
        pytest.param({"termination": said(Reason.LINT_FAILED), "exit_code": 70}, Reason.RUNNER_CRASHED, id="not written"),
        pytest.param({"exit_code": 137, "exit_reason": "OOMKilled"}, Reason.OUT_OF_MEMORY, id="out of memory"),
        pytest.param({"termination": said(Reason.LOST, "run"), "exit_code": 1}, Reason.RUNNER_CRASHED, id="not its own"),
        pytest.param({"termination": said(Reason.SUCCEEDED), "exit_code": 0}, Reason.RUNNER_CRASHED, id="no plan"),
        pytest.param({"termination": "[]", "exit_code": 0}, Reason.RUNNER_CRASHED, id="no object"),
        pytest.param({"termination": '{"task":1}', "exit_code": 0}, Reason.RUNNER_CRASHED, id="no Result"),
        pytest.param({"termination": NEWS, "exit_code": 1}, Reason.RUNNER_CRASHED, id="a reason nobody knows"),
        pytest.param({"termination": DEAF, "exit_code": 64}, Reason.CONTRACT_MISMATCH, id="cannot read its task"),
        pytest.param({"exit_code": 1, "exit_reason": "DeadlineExceeded"}, Reason.DEADLINE_EXCEEDED, id="deadline"),
        pytest.param(
            {"termination": said(Reason.CANCELLED), "exit_code": 3, "exit_reason": "DeadlineExceeded"},
            Reason.DEADLINE_EXCEEDED, id="deadline, and it said that it was stopped",
        ),
        pytest.param({"termination": said(Reason.CANCELLED), "exit_code": 3}, Reason.CANCELLED, id="stopped"),
        pytest.param(None, Reason.LOST, id="no pod"),
    ],
)  # fmt: skip
def test_what_an_ended_job_says(fields: dict[str, Any] | None, reason: Reason) -> None:
    pods = (pod("Failed", started=True, **fields),) if fields is not None else ()
    progress = jobs.classify(task(), (ended(JobState.FAILED),), pods, JobPolicy(), NOW)
    assert progress.result is not None and progress.result.reason is reason


@given(st.text(max_size=300), st.one_of(st.none(), st.integers(0, 255)))
def test_no_termination_message_breaks_the_operator(text: str, code: int | None) -> None:
    pods = (pod("Failed", started=True, termination=text, exit_code=code),)
    assert (
        jobs.classify(task(), (ended(JobState.FAILED),), pods, JobPolicy(), NOW).result is not None
    )


def test_recorded_jobs_get_an_end_and_three_of_each_task_are_kept() -> None:
    old = [ended(name=f"p{i}", ttl=9, created=NOW - dt.timedelta(hours=i)) for i in range(5)]
    others = [ended(name="run", task="run"), ended(name="now"), job(name="young"), job(name="runs")]
    stuck = job(name="stuck", created=NOW - dt.timedelta(hours=9))
    found = retention.expired_jobs(
        (*old, *others, stuck), (pod(job="runs", started=True),), "now", JobPolicy(), NOW
    )
    assert found == [
        KeepJob("data", "run", retention.KEEP_RECORDED),
        *(DeleteJob("data", name) for name in ("p3", "p4", "stuck")),
    ]
