"""How a task is announced, queued for the writer slot and started, for lanes of any kind."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, env, facts, failure, job
from vulcan_contract import task as contract
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.environment_status import EnvironmentStatus
from vulcan_operator.api.fields import TaskState, TaskStatus
from vulcan_operator.plan.core.actions import (
    CreateJob,
    Key,
    Kind,
    Need,
    ReadSlot,
    ReleaseSlot,
    TakeSlot,
    WriteConfigMap,
)
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.facts import TaskFacts
from vulcan_operator.plan.core.moves import Order, Site
from vulcan_operator.plan.core.needs import Live, Unread
from vulcan_operator.plan.core.seen import SlotSeen, Waiter
from vulcan_operator.plan.tasks import jobs, life
from vulcan_operator.plan.tasks.slot import Priority

ME, OTHER = Key(Kind.ENVIRONMENT, "data", "prod"), Key(Kind.ENVIRONMENT, "data", "dev")
LANE: life.OwnLane[EnvironmentStatus] = life.OwnLane()
SLOT = ReadSlot("data", "warehouse")
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


def order(kind: TaskKind = TaskKind.APPLY, site: Site = SITE, **fields: Any) -> Order:
    return Order(kind, "i", "why", site, **fields)


def announced(
    status: EnvironmentStatus, *known: Any, kind: TaskKind = TaskKind.APPLY
) -> TaskStatus:
    return life.announce(
        Draft(status), LANE, order(kind), Priority.OTHER, seen(jobs_=known, now=NOW + MINUTES)
    )


FAILED = failure(task="apply", last_attempt=3)
APPLY_JOB = {"task": "apply", "inputs": "i"}


@pytest.mark.parametrize(
    ("status", "known", "attempt"),
    [
        pytest.param({}, [], 1, id="the first"),
        pytest.param({"failure": FAILED}, [], 4, id="after the one that has failed"),
        pytest.param(
            {"failure": FAILED.but(inputs="old")},
            [],
            1,
            id="a failure of other inputs does not count",
        ),
        pytest.param({"failure": FAILED.but(task="plan")}, [], 1, id="nor that of another task"),
        pytest.param({"run_failure": FAILED}, [], 1, id="nor that of another lane"),
        pytest.param({}, [job(attempt=7, **APPLY_JOB)], 8, id="status was lost, but not the Jobs"),
        pytest.param({}, [job(attempt=7, task="plan")], 1, id="Jobs of another task do not count"),
        pytest.param(
            {"failure": FAILED}, [job(attempt=2, **APPLY_JOB)], 4, id="the highest of both"
        ),
    ],
)
def test_the_number_of_an_attempt(status: dict[str, Any], known: list[Any], attempt: int) -> None:
    found = announced(EnvironmentStatus(**status), *known)
    assert found.attempt == attempt and found.job == jobs.job_name(
        "prod", "u1", "apply", "i", attempt
    )


@pytest.mark.parametrize(
    ("waiting", "since"),
    [
        pytest.param(None, NOW + MINUTES, id="it begins to wait"),
        pytest.param(task("Waiting", "apply"), NOW, id="it has waited"),
        pytest.param(
            task("Waiting", "apply", inputs="old"), NOW + MINUTES, id="something else has waited"
        ),
        pytest.param(task("Waiting", "run"), NOW + MINUTES, id="another task has waited"),
    ],
)
def test_since_when_it_waits(waiting: TaskStatus | None, since: dt.datetime) -> None:
    assert announced(EnvironmentStatus(task=waiting)).since == since


def test_what_a_task_says_of_its_order() -> None:
    asked = order(request="1", due=NOW)
    found = life.announce(Draft(EnvironmentStatus()), LANE, asked, Priority.PREVIEW, seen())
    assert (found.request, found.due, found.why, found.priority) == ("1", NOW, "why", 5)
    assert (found.state, found.gateway, found.inputs) == (TaskState.STARTED, "", "i")


def test_each_lane_repeats_its_own_failure() -> None:
    status = EnvironmentStatus(failure=failure(), run_failure=FAILED)
    assert life.OwnLane[EnvironmentStatus]("run_failure").failure(status) == FAILED
    assert LANE.failure(status) == failure() and LANE.with_task(status, task()).task == task()


NAME = jobs.job_name("prod", "u1", "apply", "i", 1)
MINE = task("Waiting", "apply", job=NAME)


def waits(minutes: int = 0, priority: Priority = Priority.OTHER) -> Waiter:
    """Another environment has waited so long."""
    return Waiter(OTHER, priority, NOW - minutes * MINUTES)


def works(kind: str = "apply", key: Key = OTHER) -> TaskFacts:
    """A task in flight on the gateway."""
    return TaskFacts(key, "u", kind, "other", "Running", 4, NOW)


def site(waiters: Iterable[Waiter] = (), tasks: Iterable[TaskFacts] = ()) -> Site:
    return Site(facts(), "runner:1", tuple(waiters), tuple(tasks))


def begin(
    where: Site = SITE, read: Any = None, *, observed: TaskStatus | None = None,
    kind: TaskKind = TaskKind.APPLY,
    draft: Draft[EnvironmentStatus] | None = None, fill: life.Fill = lambda base,
    current: life.Extras(base),
    now: dt.datetime = NOW, **more: Any,
) -> Any:  # fmt: skip
    """What `start` answers, or what has to be read first."""
    begun = draft or Draft(EnvironmentStatus(task=observed))
    asked = order(kind, where, **more)
    try:
        return life.start(begun, LANE, asked, observed, Priority.OTHER, fill, seen(read, now=now))
    except Unread as unread:
        return unread.needs


FREE, TAKEN = {SLOT: SlotSeen()}, {SLOT: SlotSeen("other", live=True)}
DEAD, OURS = {SLOT: SlotSeen("other", live=False)}, {SLOT: SlotSeen(NAME, live=True)}
NEEDS: frozenset[Need] = frozenset({SLOT})
STARTED, QUEUED = life.Started, life.Queued
GOES_BEFORE, BEHIND = [waits(5)], [waits(-5)]
MARKED = MINE.but(state=TaskState.STARTED)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(begin(), STARTED, id="nobody works or waits: no read"),
        pytest.param(
            begin(site(tasks=[works("plan")])),
            STARTED,
            id="who works there writes nothing: no read",
        ),
        pytest.param(
            begin(site(tasks=[works(key=ME)])),
            STARTED,
            id="a task of its own is not another's: no read",
        ),
        pytest.param(
            begin(site(tasks=[works()])), NEEDS, id="another works there: the Lease is read"
        ),
        pytest.param(begin(site(BEHIND)), NEEDS, id="another waits behind: the Lease is read"),
        pytest.param(begin(site(GOES_BEFORE)), QUEUED, id="another goes before: no read"),
        pytest.param(begin(observed=MINE), NEEDS, id="who has waited reads before it starts"),
        pytest.param(
            begin(observed=MINE.but(job="old")), STARTED, id="something else has waited: no read"
        ),
        pytest.param(begin(site(tasks=[works()]), TAKEN), QUEUED, id="another has the slot"),
        pytest.param(
            begin(site(tasks=[works()]), FREE), STARTED, id="another is only about to give it back"
        ),
        pytest.param(begin(site(tasks=[works()]), DEAD), STARTED, id="its holder is dead"),
        pytest.param(begin(read=TAKEN), QUEUED, id="what was read anyhow is believed"),
        pytest.param(begin(site(BEHIND), FREE), STARTED, id="it is the first in the queue"),
        pytest.param(begin(site(GOES_BEFORE), FREE), QUEUED, id="a free slot is another's turn"),
        pytest.param(
            begin(site(GOES_BEFORE), observed=MARKED),
            NEEDS,
            id="who was started does not queue again",
        ),
        pytest.param(
            begin(site(GOES_BEFORE), OURS, observed=MARKED), STARTED, id="it may have the slot"
        ),
        pytest.param(begin(site(GOES_BEFORE), FREE, observed=MARKED), QUEUED, id="or not"),
        pytest.param(
            begin(site(GOES_BEFORE), OURS, observed=MINE),
            QUEUED,
            id="who waits is not yet at its turn",
        ),
        pytest.param(
            begin(site(GOES_BEFORE), kind=TaskKind.PLAN),
            STARTED,
            id="who writes nothing needs no slot",
        ),
    ],
)
def test_whose_turn_it_is(answer: Any, expected: Any) -> None:
    assert answer == expected if isinstance(expected, frozenset) else type(answer) is expected


RELEASED = Draft(EnvironmentStatus()).after_status(ReleaseSlot("data", "warehouse", "before"))


@pytest.mark.parametrize(
    ("holder", "kind"),
    [("before", STARTED), ("other", QUEUED)],
    ids=["it is given back in this pass", "it is not"],
)
def test_a_slot_that_this_pass_gives_back_is_free(holder: str, kind: Any) -> None:
    found = begin(read={SLOT: SlotSeen(holder, live=True)}, draft=RELEASED)
    assert type(found) is kind and found.draft.actions[0] == RELEASED.actions[0]


def test_a_queued_task_is_announced_as_waiting_and_looked_at_again() -> None:
    draft = begin(site(GOES_BEFORE)).draft
    assert (
        draft.status.task == MINE.but(priority=4, why="why")
        and draft.actions == draft.prepare == ()
    )
    assert draft.look_again == NOW + dt.timedelta(seconds=20) and draft.confirm is None


COPY = WriteConfigMap({"metadata": {"name": "c"}})


def test_a_started_task_takes_the_slot_and_then_creates_its_job() -> None:
    draft = begin(
        fill=lambda base, current: life.Extras(base, (COPY,)), until=NOW + 2 * MINUTES
    ).draft
    take, create = draft.actions
    assert draft.prepare == (COPY,) and take == TakeSlot("data", "warehouse", NAME)
    assert isinstance(create, CreateJob) and (create.namespace, create.name) == ("data", NAME)
    assert draft.status.task == MINE.but(state=TaskState.STARTED, priority=4, why="why")
    assert draft.look_again == NOW + 2 * MINUTES


def test_a_pod_that_never_comes_is_looked_for() -> None:
    assert begin().draft.look_again == NOW + 5 * MINUTES


def test_a_task_keeps_the_class_that_it_has_risen_to() -> None:
    found = begin(read=FREE, observed=MINE.but(since=NOW - 20 * MINUTES))
    assert found.draft.status.task.priority == Priority.PROTECTED_APPLY


def test_what_is_not_wanted_any_more_is_outdated() -> None:
    assert begin(fill=lambda base, current: None) == life.Outdated()


@pytest.mark.parametrize(
    ("kind", "user"), [(TaskKind.PLAN, "weak"), (TaskKind.APPLY, "u"), (TaskKind.CHECKS, "weak")]
)
def test_the_credentials_are_those_of_its_kind(kind: TaskKind, user: str) -> None:
    weak = {"type": "postgres", "options": {"user": "weak"}}
    filled: list[contract.Task] = []

    def fill(base: contract.Task, current: TaskStatus) -> life.Extras:
        filled.append(base)
        return life.Extras(base)

    begin(Site(facts(planning={"connection": weak}), "runner:1"), kind=kind, fill=fill)
    assert filled[0].gateway.connection.options["user"] == user and filled[0].kind is kind


def test_a_created_job_is_confirmed_in_the_same_pass() -> None:
    plan = begin().draft.finish()
    assert plan.status.task.state == "Started"
    assert plan.confirmed == plan.status.but(task=plan.status.task.but(state=TaskState.RUNNING))


def test_only_the_task_that_was_started_is_confirmed() -> None:
    draft = begin().draft
    assert draft.with_status(task=None).finish().confirmed == EnvironmentStatus()
    another = draft.status.task.but(job="another")
    assert draft.with_status(task=another).finish().confirmed.task == another


def test_what_others_confirm_stays_confirmed() -> None:
    before = replace(Draft(EnvironmentStatus()), confirm=lambda status: status.but(green_runs=9))
    confirmed = begin(draft=before).draft.finish().confirmed
    assert (confirmed.green_runs, confirmed.task.state) == (9, "Running")
