"""A task's life after its start, for lanes of any kind: in flight, ended, never created."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, env, facts, job, pod
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import (
    Key,
    Kind,
    ReadJob,
    ReadReport,
    ReleaseSlot,
)
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.moves import Site
from vulcan_operator.plan.core.needs import Live, Unread
from vulcan_operator.plan.core.seen import JobState, PodSeen
from vulcan_operator.plan.tasks import jobs, life
from vulcan_operator.plan.tasks.jobs import Stage

ME = Key(Kind.ENVIRONMENT, "data", "prod")
LANE: life.OwnLane[EnvironmentStatus] = life.OwnLane()
JOB, REPORT = ReadJob("data", "j"), ReadReport("data", "j")
SITE = Site(facts(), "runner:1")
MINUTES = dt.timedelta(minutes=1)


def seen(
    read: Any = None, jobs_: Iterable[Any] = (), pods: Iterable[Any] = (), now: dt.datetime = NOW
) -> life.Pass:
    """What a pass knows of the tasks of environment prod."""
    return life.Pass(ME, env().metadata, SETTINGS, tuple(jobs_), tuple(pods), Live(read or {}), now)


def task(state: str = "Running", kind: str = "plan", **fields: Any) -> TaskStatus:
    """The task whose Job is `j`."""
    return TaskStatus(
        **{"kind": kind, "job": "j", "inputs": "i", "state": state, "since": NOW, **fields}
    )


def word(result: Result) -> PodSeen:
    """A pod that has ended with this result."""
    return pod("Succeeded", started=True, exit_code=0, termination=result.to_message())


PLANNED, SAME = builders.planned(), builders.planned(changes=False)
REPORTED, SAME_REPORTED = (
    replace(PLANNED, report_sha256="f" * 64),
    replace(SAME, report_sha256="f" * 64),
)
DIFF, APPLIED = Result("diff", Reason.SUCCEEDED, report_sha256="f" * 64), builders.applied()
VANISHED = Result("plan", Reason.LOST, "Job j vanished before its result was recorded")
NO_REPORT = Result("plan", Reason.LOST, "the report is not in the Job's log")
LATE = NOW + 5 * MINUTES
STUCK = "not started within 0:05:00: no pod was created (quota or admission)"
OVER = job(JobState.COMPLETE)


def ended(
    result: Result, packed: bytes | None = None, *, kind: str = "plan", frees: bool = True
) -> life.Ended:
    return life.Ended(task(kind=kind), result, packed, frees)


@pytest.mark.parametrize(
    ("current", "what", "expected"),
    [
        pytest.param(
            task("Waiting"), seen(jobs_=[OVER]), life.NotCreated(),
            id="it waits: no Job of it can be there",
        ),
        pytest.param(task(), seen(jobs_=[job()]), Stage.PENDING, id="its container has not run"),
        pytest.param(
            task(), seen(jobs_=[job()], pods=[pod(started=True)]), Stage.RUNNING, id="it runs"
        ),
        pytest.param(
            task("Started"), seen(jobs_=[job()]), Stage.PENDING,
            id="its Job was seen for the first time",
        ),
        pytest.param(task(), seen(), {JOB}, id="its Job is not in the cache"),
        pytest.param(
            task("Started"), seen(), {JOB}, id="it is not there yet, or the cache is late"
        ),
        pytest.param(task(), seen({JOB: None}), ended(VANISHED), id="its Job is gone"),
        pytest.param(
            task("Started"), seen({JOB: None}), life.NotCreated(), id="its Job was never created"
        ),
        pytest.param(
            task(), seen(jobs_=[job()], now=LATE),
            ended(Result("plan", Reason.POD_NOT_STARTED, STUCK), frees=False),
            id="it never starts, and its Job is still there",
        ),
        pytest.param(
            task(), seen(jobs_=[OVER]), {JOB}, id="its Job's end was seen before its pod's"
        ),
        pytest.param(
            task(), seen({JOB: None}, jobs_=[OVER]),
            ended(Result("plan", Reason.LOST, "the Job ended, its pod and result are gone")),
            id="its pod is gone",
        ),
        pytest.param(
            task(), seen(jobs_=[OVER], pods=[word(PLANNED)]), ended(PLANNED), id="it has no report"
        ),
        pytest.param(
            task(), seen(jobs_=[OVER], pods=[word(REPORTED)]), {REPORT},
            id="its report has to be read",
        ),
        pytest.param(
            task(), seen({REPORT: b"gz"}, jobs_=[OVER], pods=[word(REPORTED)]),
            ended(REPORTED, b"gz"),
            id="it has one",
        ),
        pytest.param(
            task(), seen({REPORT: None}, jobs_=[OVER], pods=[word(REPORTED)]), ended(NO_REPORT),
            id="its report is gone",
        ),
        pytest.param(
            task(), seen(jobs_=[OVER], pods=[word(SAME_REPORTED)]), ended(SAME_REPORTED),
            id="nobody reads the report of a plan without changes",
        ),
        pytest.param(
            task(kind="diff"), seen(jobs_=[OVER], pods=[word(DIFF)]), {REPORT},
            id="a diff's report is always read",
        ),
        pytest.param(
            task(kind="apply"),
            seen(jobs_=[OVER], pods=[word(replace(APPLIED, report_sha256="f" * 64))]),
            ended(replace(APPLIED, report_sha256="f" * 64), kind="apply"), id="an apply's never",
        ),
    ],
)  # fmt: skip
def test_what_became_of_a_task(current: TaskStatus, what: life.Pass, expected: Any) -> None:
    try:
        found: Any = life.inspect(current, "data", jobs.JobPolicy(), what)
    except Unread as unread:
        found = unread.needs
    assert (found.progress.stage if isinstance(found, life.Going) else found) == expected


def settle(
    current: TaskStatus | None, what: life.Pass, site: Site | None = SITE
) -> tuple[Draft[EnvironmentStatus], Any, list[life.Ended]]:
    """The draft, the progress, and what was recorded."""
    recorded: list[life.Ended] = []

    def record(draft: Draft[EnvironmentStatus], end: life.Ended) -> Draft[EnvironmentStatus]:
        recorded.append(end)
        return draft.with_status(task=None)

    draft, progress = life.settle(
        Draft(EnvironmentStatus(task=current)), LANE, site, "data", what, record
    )
    return draft, progress, recorded


GAVE_BACK = (ReleaseSlot("data", "warehouse", "j"),)
RUNS = {"jobs_": [job()], "pods": [pod(started=True)]}
ENDED: dict[str, Any] = {"jobs_": [OVER], "pods": [word(replace(APPLIED, task="apply"))]}


@pytest.mark.parametrize(
    ("current", "what", "state", "goes", "actions"),
    [
        pytest.param(None, seen(), None, False, (), id="there is none"),
        pytest.param(
            task("Started"), seen(**RUNS), "Running", True, (),
            id="its Job was seen: marked as running",
        ),
        pytest.param(task(), seen(**RUNS), "Running", True, (), id="it goes on"),
        pytest.param(task("Waiting"), seen(), "Waiting", False, (), id="it goes on waiting"),
        pytest.param(
            task("Started"), seen({JOB: None}), "Waiting", False, (),
            id="its Job was never created: it waits again",
        ),
        pytest.param(
            task(kind="apply"), seen(**ENDED), None, False, GAVE_BACK,
            id="a writer gives the slot back",
        ),
        pytest.param(
            task(kind="apply"), seen({JOB: None}), None, False, GAVE_BACK, id="a lost one, too"
        ),
        pytest.param(
            task(kind="apply"), seen(jobs_=[job()], now=LATE), None, False, (),
            id="one that never started keeps it until its Job is gone",
        ),
        pytest.param(
            task(), seen(jobs_=[OVER], pods=[word(PLANNED)]), None, False, (),
            id="who writes nothing had none",
        ),
    ],
)  # fmt: skip
def test_settling(
    current: TaskStatus | None,
    what: life.Pass,
    state: str | None,
    goes: bool,
    actions: tuple[Any, ...],
) -> None:
    draft, progress, recorded = settle(current, what)
    after = draft.status.task
    assert (after.state if after else None, progress is not None, draft.actions) == (
        state,
        goes,
        actions,
    )
    assert bool(recorded) == (current is not None and after is None)


def test_without_a_gateway_the_end_is_recorded_and_there_is_no_slot() -> None:
    draft, _, recorded = settle(task(kind="apply"), seen(**ENDED), None)
    assert draft.actions == () and [r.result.reason for r in recorded] == [Reason.SUCCEEDED]


def test_who_has_not_started_is_looked_at_again_at_its_deadline() -> None:
    assert settle(task(), seen(jobs_=[job()]))[0].look_again == NOW + 5 * MINUTES
    assert settle(task(), seen(**RUNS))[0].look_again is None


def test_a_job_made_with_corrected_settings_is_given_up_at_once() -> None:
    _, progress, recorded = settle(task(), seen(jobs_=[job(runner="old")]))
    assert (
        progress is None
        and recorded[0].result.reason is Reason.CANCELLED
        and not recorded[0].frees_slot
    )
