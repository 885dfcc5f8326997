"""Step apply: whether a plan may be applied now, what its Job gets, and what the environment has afterwards."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.environments import objects
from tests.unit.plan.environments.objects import (
    FILES_DIGEST,
    READ,
    SITE,
    Answer,
    answer,
    applied,
    context,
    current,
    ended,
    filled,
    held,
    later,
    ordered,
)
from tests.unit.plan.seen_objects import failure, gw, plan
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.result import Work
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import EnvironmentStatus, HistoryItem, PlanStatus, ReportRef
from vulcan_operator.plan.core.actions import ReadConfigMap
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.steps import STEPS
from vulcan_operator.plan.environments.steps import apply as applies
from vulcan_operator.plan.environments.steps import plan as plans
from vulcan_operator.plan.rules import approval
from vulcan_operator.plan.rules.plan_text import REPORT_KEY

STEP = STEPS[TaskKind.APPLY]
SHA = hashlib.sha256(b"packed").hexdigest()
REPORT = ReadConfigMap("data", "rep")
ALWAYS = {"plan": {"approval": {"mode": "Always"}}}
FREE, ASKS = context(), context(**ALWAYS)
REVISION = objects.revision(FREE)


def status(plan: PlanStatus | None = None, **fields: Any) -> EnvironmentStatus:
    return EnvironmentStatus(**{"revision": REVISION, "plan": plan, **fields})


INPUTS = plans.inputs_of(status(), FREE)
PLAN = plan().but(inputs=INPUTS)
REPORTED = PLAN.but(report_ref=ReportRef(name="rep", sha256=SHA))
TOKEN, ASKED_TOKEN = approval.retoken(PLAN, FREE.spec), approval.retoken(PLAN, ASKS.spec)


def said(decision: str = "Approve", read: Any = READ, **more: Any) -> Context:
    """Every plan needs approval, and ann has said this of it."""
    words = [{"plan": ASKED_TOKEN, "by": "ann", "decision": decision}]
    return context(read, approvals=words, **ALWAYS, **more)


def decided(state: str, why: str, *by: str, token: str = ASKED_TOKEN, of: PlanStatus = PLAN) -> dict[str, Any]:
    """What an answer settles: the plan with what was decided on it."""
    return {"plan": of.but(digest=token, state=state, why=why, approved_by=list(by))}


FREELY = "approval is not needed (mode Never, within the limits)"
NOT_YET = "every plan needs approval: 1 approval missing"
APPROVED = "approved by ann"
YES = decided("Pending", APPROVED, "ann")
YES_REPORTED = decided("Pending", APPROVED, "ann", of=REPORTED)
GO = ordered(TaskKind.APPLY, TOKEN[7:23], FREELY, settles=decided("Pending", FREELY, token=TOKEN))
APPROVED_GO = ordered(TaskKind.APPLY, ASKED_TOKEN[7:23], APPROVED, settles=YES)
WAITED, LOST = "the plan waited too long", "the plan's report is gone"
KEPT, ALTERED = {**READ, REPORT: {REPORT_KEY: b"packed"}}, {**READ, REPORT: {REPORT_KEY: b"other"}}
GOES_ON = {"status": EnvironmentStatus(task=current(TaskKind.APPLY))}
FROZEN = {"gateway": gw(freeze={"reason": "audit", "until": objects.stamp(later(hours=2))})}
FOR_GOOD = {"gateway": gw(freeze={"reason": "audit"})}
GUARDED = {"gateway": gw(**objects.PROTECTED)}
AUTHOR = {"plan": {"approval": {"mode": "Always", "excludeAuthor": True}}}
AUTHOR_TOKEN = approval.retoken(PLAN, context(**AUTHOR).spec)


def frozen(until: Any, **flags: Any) -> Answer:
    settles = decided("Pending", FREELY, token=TOKEN)
    return held(Why.FROZEN, until=until, settles=settles, **flags)


UNGUARDED = held(
    Why.UNPROTECTED,
    until=later(seconds=30),
    reconciling=True,
    settles=decided("Pending", FREELY, token=TOKEN),
)


def again(why: str, settles: Any = YES) -> Answer:
    return ordered(TaskKind.PLAN, INPUTS, why, settles=settles)


@pytest.mark.parametrize(
    ("now", "spec", "expected"),
    [
        pytest.param(status(PLAN), context(project=None), Done(), id="promotions change it"),
        pytest.param(status(), FREE, Done(), id="there is no plan"),
        pytest.param(status(PLAN.but(state="Applied")), FREE, Done(), id="it is applied"),
        pytest.param(status(PLAN.but(state="NoChanges")), FREE, Done(), id="there is nothing to apply"),
        pytest.param(status(PLAN.but(state="Outdated")), FREE, Done(), id="it does not hold any more"),
        pytest.param(status(PLAN, applied=applied(INPUTS)), FREE, Done(), id="the environment has the revision"),
        pytest.param(status(PLAN), FREE, GO, id="it needs nobody"),
        pytest.param(
            status(PLAN), ASKS, held(Why.AWAITING, until=later(hours=72), settles=decided("Pending", NOT_YET)),
            id="it waits for people",
        ),
        pytest.param(
            status(PLAN), context(**ALWAYS, now=later(hours=72)), again(WAITED, decided("Pending", NOT_YET)),
            id="nobody has answered in time",
        ),
        pytest.param(
            status(PLAN), context(**AUTHOR),
            held(Why.AUTHOR_UNKNOWN, until=later(hours=72), settles=decided(
                "Pending", approval.decide(PLAN, context(**AUTHOR).spec, None).why, token=AUTHOR_TOKEN
            )),
            id="nobody knows the author, who is excluded",
        ),
        pytest.param(status(PLAN), said(), APPROVED_GO, id="it is approved"),
        pytest.param(
            status(PLAN), said("Reject"), held(Why.REJECTED, settles=decided("Rejected", "ann rejected it")),
            id="it is rejected",
        ),
        pytest.param(
            status(PLAN.but(state="Rejected", digest=ASKED_TOKEN)), said(), APPROVED_GO, id="a rejection is withdrawn"
        ),
        pytest.param(status(PLAN), said(now=later(hours=71)), APPROVED_GO, id="it is approved in time"),
        pytest.param(status(PLAN), said(now=later(hours=72)), again(WAITED), id="it is approved too late"),
        pytest.param(
            status(PLAN), said(now=later(hours=72), **GOES_ON), APPROVED_GO, id="its apply had begun in time"
        ),
        pytest.param(
            status(PLAN, failure=failure(task="apply")), said(now=later(hours=72)), APPROVED_GO,
            id="its apply had failed in time",
        ),
        pytest.param(
            status(PLAN, failure=failure(task="plan")), said(now=later(hours=72)), again(WAITED),
            id="another failure is no beginning",
        ),
        pytest.param(
            status(PLAN), context(now=later(days=9)), GO, id="a plan that needs nobody does not expire"
        ),
        pytest.param(
            status(PLAN), context(**GUARDED),
            UNGUARDED,
            id="nobody knows whether approvals are guarded",
        ),
        pytest.param(
            status(PLAN), context(**GUARDED, seen={"unguarded": ("x",)}),
            UNGUARDED,
            id="approvals are not guarded",
        ),
        pytest.param(status(PLAN), context(seen={"unguarded": ("x",)}), GO, id="which counts for protected ones only"),
        pytest.param(
            status(PLAN), context(**FROZEN), frozen(later(hours=2), reconciling=True), id="the gateway is frozen"
        ),
        pytest.param(status(PLAN), context(**FOR_GOOD), frozen(None), id="nobody knows for how long"),
        pytest.param(
            status(PLAN, failure=failure(Reason.PREEMPTED, Retry.NOW, task="apply")), context(**FROZEN),
            replace(GO, site=context(**FROZEN).site or SITE), id="what was begun before the freeze is finished",
        ),
        pytest.param(
            status(REPORTED), said(), frozenset({REPORT}), id="what people looked at has to be read"
        ),
        pytest.param(
            status(REPORTED), said(read=KEPT), ordered(TaskKind.APPLY, ASKED_TOKEN[7:23], APPROVED, settles=YES_REPORTED),
            id="it is still there",
        ),
        pytest.param(
            status(REPORTED), said(read=ALTERED), again(LOST, YES_REPORTED), id="it is not what it was"
        ),
        pytest.param(
            status(REPORTED), said(read={**READ, REPORT: None}), again(LOST, YES_REPORTED), id="it is gone"
        ),
        pytest.param(
            status(REPORTED), said(**GOES_ON),
            ordered(TaskKind.APPLY, ASKED_TOKEN[7:23], APPROVED, settles=YES_REPORTED),
            id="nobody reads it again while its apply is in flight",
        ),
        pytest.param(
            status(REPORTED), FREE,
            ordered(TaskKind.APPLY, TOKEN[7:23], FREELY, settles=decided("Pending", FREELY, token=TOKEN, of=REPORTED)),
            id="nobody had to look at it",
        ),
    ],
)  # fmt: skip
def test_when_it_is_applied(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    assert answer(STEP, now, spec) == expected


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        pytest.param(ASKS, '"op":"test"', id="the command makes the first item of a list"),
        pytest.param(context(approvals=[], **ALWAYS), "/spec/approvals/-", id="or adds one"),
    ],
)
def test_who_waits_for_people_says_what_to_do(spec: Context, command: str) -> None:
    summarized = PLAN.but(summary=PLAN.summary.but(text="1 added"))
    said_ = objects.message(STEP, status(summarized), spec)
    assert said_.startswith(f"1 added — {NOT_YET}. To approve: U=$(kubectl auth whoami")
    assert command in said_ and ASKED_TOKEN in said_ and "vulcanenvironment prod -n data" in said_


def test_no_command_helps_where_the_author_is_unknown() -> None:
    assert "To approve" not in objects.message(STEP, status(PLAN), context(**AUTHOR))


def test_its_job_carries_the_decision_and_only_the_planned_operations() -> None:
    spec = said(operations=[{"id": "o", "models": ["s.a"]}, {"id": "new", "models": ["s.b"]}])
    decision = PLAN.but(digest=ASKED_TOKEN, approved_by=["ann"], operations=["o"])
    extras = filled(STEP, spec, status(decision), ASKED_TOKEN[7:23])
    assert extras is not None and extras.task.approved is not None
    assert (extras.task.approved.token, extras.task.approved.by_human) == (ASKED_TOKEN, True)
    assert [o.id for o in extras.task.operations] == ["o"] and len(extras.copies) == 1
    expected = contract.Source(contract.SourceKind.CONFIG_MAP, digest=FILES_DIGEST)
    assert extras.task.source == expected and extras.task.kind is TaskKind.APPLY


def test_nobody_had_to_approve() -> None:
    extras = filled(STEP, FREE, status(PLAN), applies.inputs_of(PLAN))
    assert extras is not None and extras.task.approved is not None
    assert not extras.task.approved.by_human and extras.task.approved.target == "t"


@pytest.mark.parametrize(
    ("now", "inputs"),
    [
        pytest.param(status(), TOKEN[7:23], id="the plan is gone"),
        pytest.param(status(PLAN), "another", id="it is another plan"),
        pytest.param(status(PLAN, revision=None), applies.inputs_of(PLAN), id="the revision is forgotten"),
        pytest.param(
            status(PLAN, revision=REVISION.but(inputs="old")), applies.inputs_of(PLAN), id="another source"
        ),
    ],
)  # fmt: skip
def test_what_was_announced_for_another_plan_is_not_started(now: EnvironmentStatus, inputs: str) -> None:
    assert filled(STEP, FREE, now, inputs) is None


DONE = ended(TaskKind.APPLY, work=Work(plan_id="p2", intervals_behind=3))


def test_what_the_environment_has_after_an_apply() -> None:
    decision = REPORTED.but(approved_by=["ann"], changed=2, summary=PLAN.summary.but(tests_run=4))
    before = status(
        decision, applied=applied("old"), green_runs=4, run_failure=failure(task="run"), next_run_time=later(days=1),
        history=[HistoryItem(revision=str(n), time=NOW) for n in range(10)], intervals_behind=9,
    )  # fmt: skip
    judged = STEP.judge(before, DONE, FREE)
    item = HistoryItem(revision="r", source_digest="d", plan_id="p2", plan_digest=PLAN.digest, time=NOW)
    assert judged.kept == () and judged.status == before.but(
        plan=decision.but(state="Applied", changed=0),
        applied=applied(
            INPUTS, plan_id="p2", plan_digest=PLAN.digest, report="rep", tests_run=4, approved_by=["ann"]
        ),
        history=[item, *before.history[:9]], green_runs=0, run_failure=None, next_run_time=NOW,
        observed_plan_id="p2", intervals_behind=3,
    )  # fmt: skip


RESTATE = {"operations": [{"id": "o", "models": ["s.a"]}]}
WITH_ONE = plans.inputs_of(status(), context(**RESTATE))


@pytest.mark.parametrize(
    ("inputs", "spec", "expected"),
    [
        pytest.param(WITH_ONE, context(**RESTATE), INPUTS, id="they are done: nothing is left to be planned"),
        pytest.param(WITH_ONE, FREE, WITH_ONE, id="the spec has moved on"),
        pytest.param(INPUTS, context(**RESTATE), INPUTS, id="an operation was added meanwhile"),
    ],
)
def test_inputs_after_one_shots(inputs: str, spec: Context, expected: str) -> None:
    planned = PLAN.but(inputs=inputs, operations=["o"] if inputs == WITH_ONE else [], source_digest=FILES_DIGEST)
    after = STEP.judge(status(planned, operations_done=["x"]), DONE, spec).status
    assert after.applied is not None and after.applied.inputs == expected
    assert after.operations_done == (["x", "o"] if inputs == WITH_ONE else ["x"])


def test_an_apply_that_found_nothing_to_do_keeps_what_is_known() -> None:
    end = ended(TaskKind.APPLY, Reason.ALREADY_APPLIED, summary=builders.planned(base="b1").summary)
    after = STEP.judge(status(PLAN, intervals_behind=9), end, context(plan={"skipTests": True, "selectModels": ["a"]}))
    assert after.status.applied is not None and after.status.intervals_behind == 9
    found = after.status.applied
    assert (found.plan_id, found.tests_run, found.partial) == ("b1", -1, True)


def test_an_apply_of_a_plan_that_is_forgotten_means_nothing() -> None:
    assert STEP.judge(status(), DONE, FREE).status == status()


@pytest.mark.parametrize(
    ("reason", "plan_now", "state", "waits", "keeps"),
    [
        pytest.param(Reason.MODEL_FAILED, PLAN, ("Pending", 0), True, True, id="it is tried again"),
        pytest.param(Reason.PLAN_CHANGED, PLAN, ("Outdated", 1), False, True, id="it is planned again"),
        pytest.param(Reason.PLAN_CHANGED, None, None, True, True, id="there is no plan any more"),
        pytest.param(Reason.SOURCE_CHANGED, PLAN, ("Outdated", 1), False, False, id="the files are others"),
    ],
)
def test_what_a_failure_means(reason: Reason, plan_now: Any, state: Any, waits: bool, keeps: bool) -> None:
    after = STEP.failed(status(plan_now), ended(TaskKind.APPLY, reason), FREE)
    assert (after.plan and (after.plan.state, after.plan.changed)) == state
    assert (after.failure is not None, after.revision is not None) == (waits, keeps)


def test_a_success_ends_any_failure_of_the_change_and_answers() -> None:
    both = status(failure=failure(task="plan"), run_failure=failure(task="run"))
    assert STEP.recovered(both) == both.but(failure=None)
    asked = ended(TaskKind.APPLY, task={"request": "1"})
    assert STEP.answered(asked) == {"last_handled_plan_requested_at": "1"}
    assert STEP.answered(DONE) == {} and STEP.leftovers(status(PLAN), status(), FREE) == ()
