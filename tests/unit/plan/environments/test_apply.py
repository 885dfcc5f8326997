"""Step apply: whether a plan may be applied now, and what its Job gets."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

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
    filled,
    held,
    later,
    ordered,
)
from tests.unit.plan.seen_objects import failure, gw, plan
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import (
    EnvironmentStatus,
    PlanStatus,
    ReportRef,
)
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
UID = FREE.meta.uid
READ_TOKEN, FREE_READ_TOKEN = (approval.token(UID, REPORTED, c.spec) for c in (ASKS, FREE))
TOKEN, ASKED_TOKEN = (approval.token(UID, PLAN, c.spec) for c in (FREE, ASKS))


def said(
    decision: str = "Approve", read: Any = READ, token: str = ASKED_TOKEN, **more: Any
) -> Context:
    """Every plan needs approval, and ann has said this of it."""
    words = [{"plan": token, "by": "ann", "decision": decision}]
    return context(read, approvals=words, **ALWAYS, **more)


def decided(
    state: str,
    why: str,
    *by: str,
    token: str = ASKED_TOKEN,
    of: PlanStatus = PLAN,
    reason: str | None = None,
) -> dict[str, Any]:
    """The plan with what was decided on it."""
    return {"plan": of.but(digest=token, state=state, why=why, approved_by=list(by), reason=reason)}


FREELY = "approval is not needed (mode Never, within the limits)"
NOT_YET = "every plan needs approval: 1 approval missing"
APPROVED = "approved by ann"
YES = decided("Pending", APPROVED, "ann")
YES_REPORTED = decided("Pending", APPROVED, "ann", token=READ_TOKEN, of=REPORTED)
GO = ordered(TaskKind.APPLY, TOKEN[7:23], FREELY, settles=decided("Pending", FREELY, token=TOKEN))
APPROVED_GO = ordered(TaskKind.APPLY, ASKED_TOKEN[7:23], APPROVED, settles=YES)
READ_GO = ordered(TaskKind.APPLY, READ_TOKEN[7:23], APPROVED, settles=YES_REPORTED)
WAITED, LOST = "the plan waited too long", "the plan's report is gone"
KEPT, ALTERED = {**READ, REPORT: {REPORT_KEY: b"packed"}}, {**READ, REPORT: {REPORT_KEY: b"other"}}
GOES_ON = {"status": EnvironmentStatus(task=current(TaskKind.APPLY))}
FROZEN = {"gateway": gw(freeze={"reason": "audit", "until": objects.stamp(later(hours=2))})}
FOR_GOOD = {"gateway": gw(freeze={"reason": "audit"})}
GUARDED = {"gateway": gw(**objects.PROTECTED)}
AUTHOR = {"plan": {"approval": {"mode": "Always", "excludeAuthor": True}}}
AUTHOR_TOKEN = approval.token(UID, PLAN, context(**AUTHOR).spec)

UNKNOWN_AUTHOR = decided(
    "Pending",
    approval.decide(PLAN, context(**AUTHOR).spec, None).why,
    token=AUTHOR_TOKEN,
    reason=Why.AUTHOR_UNKNOWN,
)


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
        pytest.param(
            status(PLAN.but(state="NoChanges")), FREE, Done(), id="there is nothing to apply"
        ),
        pytest.param(
            status(PLAN.but(state="Outdated")), FREE, Done(), id="it does not hold any more"
        ),
        pytest.param(
            status(PLAN, applied=applied(INPUTS)), FREE, Done(),
            id="the environment has the revision",
        ),
        pytest.param(status(PLAN), FREE, GO, id="it needs nobody"),
        pytest.param(
            status(PLAN), ASKS,
            held(Why.AWAITING, until=later(hours=72), settles=decided("Pending", NOT_YET, reason=Why.AWAITING)),
            id="it waits for people",
        ),
        pytest.param(
            status(PLAN), context(**ALWAYS, now=later(hours=72)),
            again(WAITED, decided("Pending", NOT_YET, reason=Why.AWAITING)),
            id="nobody has answered in time",
        ),
        pytest.param(
            status(PLAN), context(**AUTHOR),
            held(Why.AUTHOR_UNKNOWN, until=later(hours=72), settles=UNKNOWN_AUTHOR),
            id="nobody knows the author, who is excluded",
        ),
        pytest.param(status(PLAN), said(), APPROVED_GO, id="it is approved"),
        pytest.param(
            status(PLAN), said("Reject"),
            held(Why.REJECTED, settles=decided("Rejected", "ann rejected it")),
            id="it is rejected",
        ),
        pytest.param(
            status(PLAN.but(state="Rejected", digest=ASKED_TOKEN)), said(), APPROVED_GO,
            id="a rejection is withdrawn",
        ),
        pytest.param(
            status(PLAN), said(now=later(hours=71)), APPROVED_GO, id="it is approved in time"
        ),
        pytest.param(
            status(PLAN), said(now=later(hours=72)), again(WAITED), id="it is approved too late"
        ),
        pytest.param(
            status(PLAN), said(now=later(hours=72), **GOES_ON), APPROVED_GO,
            id="its apply had begun in time",
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
            status(PLAN), context(now=later(days=9)), GO,
            id="a plan that needs nobody does not expire",
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
        pytest.param(
            status(PLAN), context(seen={"unguarded": ("x",)}), GO,
            id="which counts for protected ones only",
        ),
        pytest.param(
            status(PLAN), context(**FROZEN), frozen(later(hours=2), reconciling=True),
            id="the gateway is frozen",
        ),
        pytest.param(
            status(PLAN), context(**FOR_GOOD), frozen(None), id="nobody knows for how long"
        ),
        pytest.param(
            status(PLAN, failure=failure(Reason.PREEMPTED, Retry.NOW, task="apply")),
            context(**FROZEN),
            replace(GO, site=context(**FROZEN).site or SITE),
            id="what was begun before the freeze is finished",
        ),
        pytest.param(
            status(REPORTED), said(token=READ_TOKEN), frozenset({REPORT}), id="what people looked at has to be read"
        ),
        pytest.param(
            status(REPORTED), said(read=KEPT, token=READ_TOKEN), READ_GO,
            id="it is still there",
        ),
        pytest.param(
            status(REPORTED), said(read=ALTERED, token=READ_TOKEN),
            held(
                Why.REPORT_TAMPERED, until=later(seconds=30), stalled=True,
                settles={"plan": YES_REPORTED["plan"].but(tampered=True)},
            ),
            id="somebody has replaced it",
        ),
        pytest.param(
            status(REPORTED), said(read={**READ, REPORT: None}, token=READ_TOKEN), again(LOST, YES_REPORTED),
            id="it is gone",
        ),
        pytest.param(
            status(REPORTED), said(token=READ_TOKEN, **GOES_ON), READ_GO,
            id="nobody reads it again while its apply is in flight",
        ),
        pytest.param(
            status(REPORTED), FREE,
            ordered(
                TaskKind.APPLY, FREE_READ_TOKEN[7:23], FREELY,
                settles=decided("Pending", FREELY, token=FREE_READ_TOKEN, of=REPORTED),
            ),
            id="nobody had to look at it",
        ),
    ],
)  # fmt: skip
def test_when_it_is_applied(now: EnvironmentStatus, spec: Context, expected: Answer) -> None:
    asked, settled = applies.answered(now, spec), getattr(expected, "settles", {})
    then = settled.get("plan", now.plan)
    tampered = then is not None and then.tampered  # which the step finds out
    assert not settled or asked.plan == (then and then.but(tampered=False))
    settles = {"plan": then} if tampered else {}
    assert answer(STEP, asked, spec) == (
        replace(expected, settles=settles) if settled else expected
    )  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        pytest.param(ASKS, '"op":"test"', id="the command makes the first item of a list"),
        pytest.param(context(approvals=[], **ALWAYS), "/spec/approvals/-", id="or adds one"),
    ],
)
def test_who_waits_for_people_says_what_to_do(spec: Context, command: str) -> None:
    summarized = PLAN.but(summary=PLAN.summary.but(text="1 added"))
    said_ = objects.message(STEP, applies.answered(status(summarized), spec), spec)
    assert said_.startswith(f"1 added — {NOT_YET}. To approve: U=$(kubectl auth whoami")
    assert command in said_ and ASKED_TOKEN in said_ and "vulcanenvironment prod -n data" in said_


def test_no_command_helps_where_the_author_is_unknown() -> None:
    unknown = context(**AUTHOR)
    asked = applies.answered(status(PLAN), unknown)
    assert "To approve" not in objects.message(STEP, asked, unknown)


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
    extras = filled(STEP, FREE, status(PLAN), approval.apply_inputs(PLAN))
    assert extras is not None and extras.task.approved is not None
    assert not extras.task.approved.by_human and extras.task.approved.target == "t"


@pytest.mark.parametrize(
    ("now", "inputs"),
    [
        pytest.param(status(), TOKEN[7:23], id="the plan is gone"),
        pytest.param(status(PLAN), "another", id="it is another plan"),
        pytest.param(
            status(PLAN, revision=None), approval.apply_inputs(PLAN), id="the revision is forgotten"
        ),
        pytest.param(
            status(PLAN, revision=REVISION.but(inputs="old")), approval.apply_inputs(PLAN),
            id="another source",
        ),
    ],
)  # fmt: skip
def test_what_was_announced_for_another_plan_is_not_started(
    now: EnvironmentStatus, inputs: str
) -> None:
    assert filled(STEP, FREE, now, inputs) is None
