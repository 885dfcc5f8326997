"""Step run: when a run is due, and what one means."""

import datetime as dt
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    Answer,
    answer,
    applied,
    context,
    ended,
    filled,
    held,
    later,
    ordered,
    requested,
    stamp,
)
from tests.unit.plan.seen_objects import failure
from vulcan_contract import digest
from vulcan_contract.reasons import ABOUT, Reason, Retry
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, RunStatus
from vulcan_operator.api.fields import FailureStatus
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.tasks import ended as ends

STEP = STEPS[TaskKind.RUN]


def cron(text: str = "0 13 * * *", zone: str = "UTC") -> dict[str, Any]:
    """A schedule of its own."""
    return {"schedule": {"mode": "Cron", "cron": {"cron": text, "timeZone": zone}}}


AUTO, CRON, MANUAL = context(), context(**cron()), context(schedule={"mode": "Manual"})
ASKED, NOON = context(asked=requested("run")), later(hours=-1)
SOON, AT_ONE = later(hours=3), later(hours=1)
BY_CRON = "0 13 * * * UTC"
BY_CRON_NOW = {"schedule": BY_CRON}
FITTED = {"schedule": BY_CRON, "next_run_time": AT_ONE}
AUTO_NOW = {"schedule": "Auto", "next_run_time": NOW}


def status(
    due: dt.datetime | None = None, schedule: str | None = "Auto", **fields: Any
) -> EnvironmentStatus:
    """Applied, and due then."""
    return EnvironmentStatus(
        **{"applied": applied(), "next_run_time": due, "schedule": schedule, **fields}
    )


def run(
    why: str,
    due: dt.datetime | None = None,
    request: str | None = None,
    made: str = "p1",
    **fields: Any,
) -> Answer:
    inputs = digest.of_json([made, due.isoformat() if due else "", request])[:16]
    return ordered(TaskKind.RUN, inputs, why, request=request, due=due, **fields)


def run_failed(
    reason: Reason = Reason.MODEL_FAILED, retry: Retry = Retry.BACKOFF, **fields: Any
) -> FailureStatus:
    return failure(reason, retry, task="run", **fields)


GIVEN_UP = run_failed(retry=Retry.NEVER)
CHECK = run_failed(Reason.MANUAL_CHECK, Retry.NEVER)
AGAIN = ordered(TaskKind.RUN, "i", "the last run failed", until=SOON)


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(EnvironmentStatus(), AUTO, Done(), id="nothing is applied"),
        pytest.param(
            status(NOW, applied=applied("")), AUTO, Done(),
            id="it is half swapped: it is planned again",
        ),
        pytest.param(
            status(NOW, applied=applied("")), context(project=None),
            held(Why.NO_REVISION, stalled=True),
            id="it is half swapped: it is promoted again",
        ),
        pytest.param(
            status(NOW), AUTO, run("due at 2026-11-22T12:00:00Z", NOW), id="it is due now"
        ),
        pytest.param(
            status(NOON), AUTO, run("due at 2026-11-22T11:00:00Z", NOON),
            id="it has been due for an hour",
        ),
        pytest.param(status(SOON), AUTO, Done(until=SOON), id="it is due later"),
        pytest.param(status(), AUTO, Done(), id="no model is ever due"),
        pytest.param(
            status(NOW, applied=applied("i", plan_id="")), AUTO,
            run("due at 2026-11-22T12:00:00Z", NOW, made="i"), id="nobody knows the plan's id",
        ),
        pytest.param(
            status(SOON), ASKED, run("requested", SOON, "1"), id="somebody asks before it is due"
        ),
        pytest.param(
            status(), ASKED, run("requested", None, "1"), id="somebody asks where nothing is due"
        ),
        pytest.param(
            status(SOON, last_handled_run_requested_at="1"), ASKED, Done(until=SOON),
            id="the request was answered",
        ),
        pytest.param(
            status(SOON), context(asked=requested("plan")), Done(until=SOON),
            id="to ask for a plan asks for no run",
        ),
        pytest.param(
            status(NOW, BY_CRON), CRON, run("due at 2026-11-22T12:00:00Z by its own schedule", NOW),
            id="it is due by its cron",
        ),
        pytest.param(status(AT_ONE, BY_CRON), CRON, Done(until=AT_ONE), id="its cron fires later"),
        pytest.param(
            status(SOON, BY_CRON), CRON, Done(until=AT_ONE, settles={"next_run_time": AT_ONE}),
            id="the cron of today decides",
        ),
        pytest.param(
            status(SOON), CRON,
            Done(until=AT_ONE, settles=FITTED),
            id="a cron replaces the models' schedule",
        ),
        pytest.param(
            status(NOON), CRON,
            run("due at 2026-11-22T11:00:00Z by its own schedule", NOON, settles=BY_CRON_NOW),
            id="what is due stays due under another schedule",
        ),
        pytest.param(
            status(AT_ONE, BY_CRON), AUTO,
            run("due at 2026-11-22T12:00:00Z", NOW, settles=AUTO_NOW),
            id="back to the models' schedule: a run tells when they are due",
        ),
        pytest.param(
            status(SOON, None), AUTO, Done(until=SOON, settles={"schedule": "Auto"}),
            id="its first schedule",
        ),
        pytest.param(
            status(SOON), MANUAL, Done(settles={"schedule": "Manual", "next_run_time": None}),
            id="nothing by itself",
        ),
        pytest.param(
            status(NOW, "Manual"), MANUAL, run("due at 2026-11-22T12:00:00Z", NOW),
            id="but after an apply",
        ),
        pytest.param(
            status(NOW, run_failure=CHECK), AUTO, held("ManualCheckRequired", stalled=True),
            id="a human has to look",
        ),
        pytest.param(
            status(NOW, run_failure=CHECK), ASKED, run("requested", NOW, "1"),
            id="a human has looked, and asks",
        ),
        pytest.param(
            status(SOON, run_failure=run_failed()), AUTO, AGAIN,
            id="a failed one is tried again before it is due",
        ),
        pytest.param(
            status(SOON, run_failure=GIVEN_UP), AUTO, held(Why.RUN_FAILED, until=SOON),
            id="it is given up till it is due",
        ),
        pytest.param(
            status(NOW, run_failure=GIVEN_UP), AUTO, run("due at 2026-11-22T12:00:00Z", NOW),
            id="it is due again",
        ),
        pytest.param(
            status(SOON, run_failure=GIVEN_UP), CRON,
            held(Why.RUN_FAILED, until=AT_ONE, settles=FITTED),
            id="it is given up till the cron of today fires",
        ),
    ],
)  # fmt: skip
def test_when_it_runs(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


def test_who_was_half_swapped_says_what_helps() -> None:
    said = objects.message(STEP, status(applied=applied("")), context(project=None))
    assert said.endswith("promote to it again")


def test_its_job_needs_no_project() -> None:
    extras = filled(STEP, context({}, operations=[{"id": "o", "models": ["s.a"]}]), status())
    assert extras is not None and extras.task.source is None and extras.task.approved is None
    assert extras.source_config_map is None and extras.copies == ()
    assert [o.id for o in extras.task.operations] == ["o"]


WORK = Work(plan_id="p2", models=3, rows=5, intervals_behind=1, next_run=stamp(SOON))


def run_ended(reason: Reason = Reason.SUCCEEDED, work: Work | None = WORK, **fields: Any) -> Any:
    return ended(TaskKind.RUN, reason, message="m", work=work, task={"due": NOON}, **fields)


def test_what_a_run_means() -> None:
    before = status(NOON, applied=applied(complete_until=NOON), green_runs=2, intervals_behind=9)
    last = RunStatus(time=NOW, due=NOON, reason="Succeeded", message="m", models=3, rows=5, job="j")
    assert STEP.judge(before, run_ended(), AUTO).status == before.but(
        last_run=last, green_runs=3, next_run_time=SOON, observed_plan_id="p2", intervals_behind=1,
        applied=applied(),
    )  # fmt: skip


def test_a_run_that_tells_nothing_keeps_what_is_known() -> None:
    before = status(NOON, applied=None, green_runs=2, observed_plan_id="p1", intervals_behind=9)
    after = STEP.judge(before, run_ended(Reason.NOTHING_TO_DO, None), AUTO).status
    assert (after.green_runs, after.observed_plan_id, after.intervals_behind) == (2, "p1", None)
    assert after.applied is None and after.last_run is not None and after.last_run.models == 0


@pytest.mark.parametrize(
    ("spec", "work", "following"),
    [
        pytest.param(AUTO, WORK, SOON, id="the runner tells"),
        pytest.param(AUTO, Work(next_run=stamp(NOON)), later(seconds=1), id="never at once again"),
        pytest.param(AUTO, Work(), None, id="no model is ever due"),
        pytest.param(AUTO, None, None, id="nobody tells"),
        pytest.param(CRON, WORK, AT_ONE, id="the cron tells, whatever the models say"),
        pytest.param(
            context(**cron("99 * * * *")), WORK, None, id="the cron is wrong, which others say"
        ),
        pytest.param(MANUAL, WORK, None, id="nothing by itself"),
    ],
)
def test_when_the_next_run_is_due(
    spec: Context, work: Work | None, following: dt.datetime | None
) -> None:
    assert STEP.judge(status(NOON), run_ended(work=work), spec).status.next_run_time == following


def test_a_failure_waits_for_another_attempt() -> None:
    end, before = (
        run_ended(Reason.MODEL_FAILED),
        status(NOON, green_runs=2, failure=failure(task="plan")),
    )
    failed = ends.failure(None, end.task, end.result, NOW)
    last = RunStatus(
        time=NOW, due=NOON, succeeded=False, reason="ModelFailed", message=failed.message, job="j"
    )  # fmt: skip
    assert STEP.failed(before, end, AUTO) == before.but(run_failure=failed, last_run=last)
    once_more = STEP.failed(STEP.failed(before, end, AUTO), end, AUTO)
    assert once_more.run_failure is not None and once_more.run_failure.attempts == 2


@pytest.mark.parametrize(
    "reason", [r for r in Reason if ABOUT[r].retry is Retry.REPLAN] + [Reason.UNFINALIZED]
)
def test_an_environment_that_is_not_what_was_applied_is_planned_again(reason: Reason) -> None:
    after = STEP.failed(status(NOON, run_failure=run_failed()), run_ended(reason), AUTO)
    assert after.applied == applied("") and after.next_run_time == NOON
    assert after.run_failure is not None and after.run_failure.retry is Retry.BACKOFF
    assert after.last_run is not None and (after.last_run.succeeded, after.last_run.reason) == (
        False,
        reason,
    )
    assert STEP.failed(status(applied=None), run_ended(reason), AUTO).applied is None


@pytest.mark.parametrize(
    ("spec", "work", "following"),
    [
        pytest.param({}, WORK, SOON, id="the runner could still tell"),
        pytest.param({}, Work(next_run=stamp(NOW)), later(minutes=30), id="what it told is over"),
        pytest.param({}, Work(), later(minutes=30), id="no model is ever due"),
        pytest.param({}, None, later(minutes=30), id="it could not tell"),
        pytest.param(
            {"retry": {"maxBackoff": "1s"}},
            None,
            later(minutes=1),
            id="never sooner than in a minute",
        ),
        pytest.param(cron(), WORK, AT_ONE, id="the cron fires"),
        pytest.param(cron("99 * * * *"), None, later(minutes=30), id="the cron is wrong"),
    ],
)
def test_when_a_run_is_given_up(
    spec: dict[str, Any], work: Work | None, following: dt.datetime
) -> None:
    end = run_ended(Reason.MODEL_FAILED, work, retry=Retry.NEVER)
    after = STEP.failed(status(NOON), end, context(**spec))
    assert after.next_run_time == following and after.run_failure is not None


def test_a_success_ends_the_failure_of_runs_only_and_answers() -> None:
    both = status(failure=failure(task="apply"), run_failure=run_failed())
    assert STEP.recovered(both) == both.but(run_failure=None)
    assert STEP.answered(ended(TaskKind.RUN, task={"request": "1"})) == {
        "last_handled_run_requested_at": "1"
    }
    assert STEP.answered(ended(TaskKind.RUN)) == {} and STEP.leftovers(both, both, AUTO) == ()
