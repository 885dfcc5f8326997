"""The steps of a promotion: what each looks at and what it makes of it. Pure; walked through by `plan.promotion`.

A step answers with Done (judged from what is seen), with Order (a task whose result will judge it), with Hold (why it
waits), or with needs. Nothing here remembers where it was: what is done is in `status.steps`.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PreviousStatus, PromotionStatus, RollbackStatus, SideStatus
from vulcan_operator.plan import approval, given, stop_the_line
from vulcan_operator.plan.actions import Need
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.status import Verdict
from vulcan_operator.plan.verdicts import short

PASSED, SKIPPED, FAILED, INCONCLUSIVE = "Succeeded", "Skipped", "Failed", "Inconclusive"


@dataclass(frozen=True)
class Done:
    """A step's end, and what else of the status it settles."""

    state: str
    message: str
    evidence: dict[str, str] = field(default_factory=dict)
    settles: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """A task whose result judges the step."""

    kind: TaskKind
    inputs: str
    why: str


@dataclass(frozen=True)
class Again:
    """The plan must be built anew, and why."""

    why: str


@dataclass(frozen=True)
class Hold:
    """Why a step waits, and until when at the longest."""

    verdict: Verdict
    until: dt.datetime | None = None
    needs: frozenset[Need] = frozenset()


Move = Done | Order | Hold | Again
Step = Callable[[PromotionStatus, PromotionContext], Move]


def resolve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The revision that moves, and what the target has."""
    spec, target = context.promotion.spec, context.target
    last = given.last_given(context.seen.rivals)
    if last is not None and not given.is_taken(target.status.applied, last):
        message = f"waiting for {_name(target)} to take up what VulcanPromotion {_name(last)} has left"
        return Hold(Verdict("False", Why.QUEUED, message, reconciling=True))
    had = target.status.applied
    to = _side(context.target.sqlmesh_environment, context, had.plan_id if had else "", had.revision if had else "")
    previous = (
        PreviousStatus(revision=had.revision, source_digest=had.source_digest, plan_id=had.plan_id, time=had.time)
        if had is not None
        else None
    )
    if spec.rollback_to is not None:
        return _resolve_back(context, to, previous)
    if status.source is not None:  # looked at again because the target has moved: the same revision goes on
        revision, digest, side = status.revision or "", status.source_digest or "", status.source
        settles: dict[str, object] = {"target": to, "previous": previous}
        return _unless_held(context, revision, digest, Done(PASSED, f"revision {short(revision)}", settles=settles))
    applied = context.source.status.applied
    if applied is None or not applied.plan_id:
        message = f"waiting for VulcanEnvironment {_name(context.source)}: nothing is applied there"
        return Hold(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))
    if spec.revision is not None and spec.revision != applied.revision:
        return Done(FAILED, f"{_name(context.source)} has revision {short(applied.revision)}, not {spec.revision}")
    side = _side(context.source.sqlmesh_environment, context, applied.plan_id, applied.revision)
    settles = {
        "relation": "SameSystem", "revision": applied.revision, "source_digest": applied.source_digest,
        "source": side, "target": to, "previous": previous,
    }  # fmt: skip
    done = Done(PASSED, f"revision {short(applied.revision)}, plan {applied.plan_id}", settles=settles)
    return _unless_held(context, applied.revision, applied.source_digest, done)


def _unless_held(context: PromotionContext, revision: str, digest: str, done: Done) -> Done:
    """A revision that was taken back is not tried again before somebody has lifted the hold."""
    target = context.target
    everything = (*context.seen.rivals, context.promotion)
    held = next((h for h in given.holds(target, everything) if h.source_digest == digest and digest), None)
    if held is None:
        return done
    known = target.metadata.annotations.get(names.HOLD_LIFTED, "")
    message = (
        f"revision {short(revision)} was rolled back by {held.promotion} and is held; promote another revision, or lift the"
        f" hold: kubectl annotate vulcanenvironment {target.metadata.name} -n {target.metadata.namespace} --overwrite"
        f" {names.HOLD_LIFTED}={','.join(filter(None, (known, held.id)))}"
    )
    return Done(FAILED, message, settles=done.settles)


def _resolve_back(context: PromotionContext, to: SideStatus, previous: PreviousStatus | None) -> Move:
    wanted = context.promotion.spec.rollback_to
    assert wanted is not None
    history = context.target.status.history
    if wanted.promotion is not None:
        undone = next((p for p in context.seen.rivals if _can_be_undone(p, context, wanted.promotion)), None)
        if undone is None or undone.status.previous is None:
            what = "that has changed this environment, from a revision before, and is no way back itself"
            return Done(FAILED, f"there is no VulcanPromotion {wanted.promotion} in this namespace {what}")
        revision, plan_id = undone.status.previous.revision, undone.status.previous.plan_id
        digest = undone.status.previous.source_digest
    else:
        item = next((h for h in history if h.plan_id == wanted.plan_id), None)
        if item is None:
            known = ", ".join(h.plan_id for h in history) or "none"
            return Done(FAILED, f"plan {wanted.plan_id} is not in the environment's status.history; there are: {known}")
        revision, plan_id, digest = item.revision, item.plan_id, item.source_digest
    settles: dict[str, object] = {
        "relation": "SameSystem", "revision": revision, "source_digest": digest, "target": to, "previous": previous,
        "source": _side(context.target.sqlmesh_environment, context, plan_id, revision),
    }  # fmt: skip
    done = Done(PASSED, f"back to revision {short(revision)}, plan {plan_id}", settles=settles)
    return _unless_held(context, revision, digest, done)


def _can_be_undone(promotion: VulcanPromotion, context: PromotionContext, name: str) -> bool:
    meta, status = promotion.metadata, promotion.status
    mine = meta.name == name and meta.namespace == context.key.namespace
    return mine and promotion.spec.rollback_to is None and status.outcome is not None and bool(status.applied_plan_id)


def plan(status: PromotionStatus, context: PromotionContext) -> Move:
    """Built from what the state has; says what would change and what would be computed."""
    assert status.source is not None
    made_of = [status.source.plan_id, context.image, context.promotion.spec.gates.virtual_only, status.plans]
    return Order(TaskKind.PLAN, of_json(made_of)[:16], "what the promotion would change")


def tests(status: PromotionStatus, context: PromotionContext) -> Move:
    """Unit tests ran when the revision was planned in the source environment, or it would not be there."""
    gate = context.promotion.spec.gates.tests
    if gate == "Skip":
        return Done(SKIPPED, "gates.tests: Skip")
    applied = context.source.status.applied
    known = applied is not None and status.source is not None and applied.plan_id == status.source.plan_id
    count = applied.tests_run if known and applied is not None else -1
    if count < 0:
        return _judged(gate, f"{_name(context.source)} skips unit tests, or does not say whether they ran", {})
    evidence = {"testsRun": str(count)}
    if count == 0:
        return Done(SKIPPED, "the project has no unit tests", evidence)
    return Done(PASSED, f"{count} unit tests passed when it was planned in {_name(context.source)}", evidence)


def _judged(gate: str, message: str, evidence: dict[str, str]) -> Done:
    """A gate that could not be judged asks a human where it is required, and never passes."""
    return Done(INCONCLUSIVE if gate == "Required" else SKIPPED, message, evidence)


def diff(status: PromotionStatus, context: PromotionContext) -> Move:
    """Refused by the CRD until something compares data."""
    return Done(SKIPPED, "gates.dataDiff is not set")


def checks(status: PromotionStatus, context: PromotionContext) -> Move:
    """Audits of the source environment, over all that is computed there."""
    if context.promotion.spec.gates.audits == "Skip":
        return Done(SKIPPED, "gates.audits: Skip")
    assert status.source is not None
    return Order(TaskKind.AUDIT, of_json(["checks", status.source.plan_id, context.image])[:16], "audits of the source")


def soak(status: PromotionStatus, context: PromotionContext) -> Move:
    """Time and green runs in the source environment since the revision was applied there."""
    gate = context.promotion.spec.gates.soak
    if gate is None:
        return Done(SKIPPED, "gates.soak is not set")
    applied = context.source.status.applied
    if applied is None or status.source is None or applied.plan_id != status.source.plan_id:
        return Done(FAILED, f"{_name(context.source)} has moved on; promote what it has now")
    ends, runs = applied.time + parse_duration(gate.duration), context.source.status.green_runs
    evidence = {"since": applied.time.isoformat(), "greenRuns": str(runs)}
    if ends <= context.now and runs >= gate.green_runs:
        return Done(PASSED, f"applied since {applied.time:%Y-%m-%dT%H:%M:%SZ}, {runs} green runs", evidence)
    missing = [f"until {ends:%Y-%m-%dT%H:%M:%SZ}"] if ends > context.now else []
    missing += [f"{gate.green_runs - runs} more green runs"] if runs < gate.green_runs else []
    message = f"soaking in {_name(context.source)}: {' and '.join(missing)}"
    until = ends if ends > context.now else None
    return Hold(Verdict("False", Why.SOAKING, message, reconciling=True), until)


def approve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The stricter rule of target and promotion; words are on this very plan."""
    plan_ = status.plan
    assert plan_ is not None
    decision = approval.decide(plan_, context.rules)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if decision.say is approval.Say.WAIT:
        meta, first = context.promotion.metadata, "approvals" not in context.promotion.spec.model_fields_set
        command = approval.approve_command(
            meta.namespace, meta.name, plan_.digest, is_first=first, resource="vulcanpromotion"
        )
        message = f"{plan_.summary.text} — {decision.why}. To approve: {command}"
        expires = plan_.time + parse_duration(context.policy.expire_after)
        if expires <= context.now:
            return Again("the plan waited too long")
        return Hold(Verdict("False", Why.AWAITING, message), expires)
    if context.protected and context.seen.approvals_guarded is not True:
        message = "the API server does not guard approvals and their rules: apply deploy/policies.yaml"
        if context.seen.approvals_guarded is None:
            message = "checking that the API server guards approvals"
        soon = context.now + dt.timedelta(seconds=30)
        return Hold(Verdict("False", Why.UNPROTECTED, message, reconciling=True), soon)
    if decision.by and plan_.report_ref is not None and context.seen.report_kept is None:
        return Hold(Verdict("False", Why.AWAITING, ""), needs=frozenset({Need.KEPT}))
    if decision.by and context.seen.report_kept is False:
        return Again("the plan's report is gone")
    by = {"by": ", ".join(decision.by)} if decision.by else {}
    return Done(PASSED, decision.why, {"plan": plan_.digest, **by}, {"approved_by": list(decision.by)})


def catch_up(status: PromotionStatus, context: PromotionContext) -> Move:
    """Recent intervals that the target has and the source does not; the Job that computes them changes the views then."""
    assert status.plan is not None
    if not status.plan.summary.catch_up_intervals:
        return Done(SKIPPED, "nothing to catch up with")
    return swap(status, context)


def swap(status: PromotionStatus, context: PromotionContext) -> Move:
    """Changes the views; asked again before each Job, for words may have been taken back and windows shut meanwhile."""
    assert status.plan is not None
    decision = approval.decide(status.plan, context.rules)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if decision.say is approval.Say.WAIT:
        return Hold(Verdict("False", Why.AWAITING, f"a word was taken back: {decision.why}"))
    line = stop_the_line.hold(context.target, context.gateway, status.failure, context.now)
    if line is not None:
        return Hold(line.verdict, line.look_again)
    return Order(TaskKind.PROMOTE, status.plan.digest.removeprefix("sha256:")[:16], "the promotion was decided on")


def verify(status: PromotionStatus, context: PromotionContext) -> Move:
    """Audits of the target, with its views changed."""
    if not context.target.spec.checks.audits:
        return Done(SKIPPED, "the target's checks.audits is off")
    return Order(TaskKind.AUDIT, of_json(["verify", status.applied_plan_id])[:16], "audits of the target")


def go_back(status: PromotionStatus, context: PromotionContext) -> Move:
    """Puts back what the target had before, by view swap."""
    to = status.source if context.promotion.spec.rollback_to is not None else status.previous
    if to is None or not to.plan_id:
        message = "the target had nothing before that could be put back"
        return Done(FAILED, message, settles={"rollback": RollbackStatus(state="Unavailable", message=message)})
    return Order(TaskKind.ROLLBACK, of_json(["rollback", to.plan_id, undone(status)])[:16], "going back")


def undone(status: PromotionStatus) -> str:
    """The plan that the target must still have when it is put back: ours, or what it had when that was looked at."""
    return status.applied_plan_id or (status.target.plan_id if status.target is not None else "")


def _side(environment: str, context: PromotionContext, plan_id: str, revision: str) -> SideStatus:
    gateway = context.gateway.metadata
    return SideStatus(
        environment=environment, gateway=f"{gateway.namespace}/{gateway.name}", plan_id=plan_id, revision=revision
    )


def _name(environment: object) -> str:
    meta = environment.metadata  # type: ignore[attr-defined]
    return f"{meta.namespace}/{meta.name}"


FORWARD: tuple[tuple[str, Step], ...] = (
    ("Resolve", resolve), ("Plan", plan), ("Tests", tests), ("Diff", diff), ("Checks", checks), ("Soak", soak),
    ("Approval", approve), ("CatchUp", catch_up), ("Apply", swap), ("Verify", verify),
)  # fmt: skip
BACK: tuple[tuple[str, Step], ...] = (("Resolve", resolve), ("Rollback", go_back))
