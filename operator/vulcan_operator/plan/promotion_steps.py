"""The steps of a promotion but its gates (`promotion_trials`): what each looks at and what it makes of it. Pure; walked
through by `plan.promotion`.

Nothing here remembers where it was: what is done is in `status.steps`.
"""

import datetime as dt
import fnmatch

from vulcan_contract.digest import of_json
from vulcan_contract.task import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import AppliedStatus
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PreviousStatus, PromotionStatus, RollbackStatus, SideStatus
from vulcan_operator.api.source import Origin
from vulcan_operator.plan import (
    approval,
    given,
    origin,
    promotion_diff,
    promotion_trials,
    stop_the_line,
    tasks,
    verdicts,
)
from vulcan_operator.plan.actions import Need
from vulcan_operator.plan.promotion_context import ACROSS, SAME, PromotionContext, Site
from vulcan_operator.plan.promotion_moves import (
    FAILED,
    PASSED,
    SKIPPED,
    Again,
    Done,
    Hold,
    Move,
    Order,
    Step,
    name_of,
)
from vulcan_operator.plan.status import Verdict
from vulcan_operator.plan.verdicts import short


def resolve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The revision that moves, and what the target has."""
    target = context.target
    last = given.last_given(context.seen.rivals)
    if last is not None and not given.is_taken(target.status.applied, last):
        name = f"{last.metadata.namespace}/{last.metadata.name}"
        message = f"waiting for {name_of(target)} to take up what VulcanPromotion {name} has left"
        return Hold(Verdict("False", Why.QUEUED, message, reconciling=True))
    had = target.status.applied
    settles: dict[str, object] = {"target": _side(context.to, had), "previous": _previous(had)}
    if context.promotion.spec.rollback_to is not None:
        return _resolve_back(context, settles)
    if status.source is not None:  # looked at again because the target has moved: the same revision goes on
        revision, digest = status.revision or "", status.source_digest or ""
        return _unless_held(context, revision, digest, Done(PASSED, f"revision {short(revision)}", settles=settles))
    return _resolve_source(context, settles)


def _resolve_source(context: PromotionContext, settles: dict[str, object]) -> Move:
    source, wanted = context.source, context.promotion.spec.revision
    applied, name = source.status.applied, name_of(source)
    if applied is None or not applied.plan_id:
        message = f"waiting for VulcanEnvironment {name}: nothing is applied there"
        return Hold(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))
    if wanted is not None and wanted != applied.revision:
        return Done(FAILED, f"{name} has revision {short(applied.revision)}, not {wanted}")
    found = _origin(context, applied)
    if isinstance(found, Done | Hold):
        return found
    settles = settles | {
        "origin": found,
        "relation": context.relation, "revision": applied.revision, "source_digest": applied.source_digest,
        "source": _side(context.origin, applied),
    }  # fmt: skip
    done = Done(PASSED, f"revision {short(applied.revision)}, plan {applied.plan_id}", settles=settles)
    return _unless_held(context, applied.revision, applied.source_digest, done)


def _origin(context: PromotionContext, applied: AppliedStatus) -> Origin | Done | Hold | None:
    """Where another system gets the files from, or why it cannot. Within one system it is only noted, if it is known."""
    source, name = context.source, name_of(context.source)
    if context.relation == SAME:
        return origin.of_applied(source)
    if applied.partial:
        return Done(FAILED, f"{name} has only some models of it (plan.selectModels); another system would get all")
    found = origin.of_applied(source)
    if found is None and source.spec.project is None:
        message = (
            f"it is not known where the files of what {name} has are; promote from the environment with the project"
        )
        return Done(FAILED, message)
    if found is None:
        message = f"waiting for VulcanEnvironment {name}: its project has changed since it was applied"
        return Hold(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))
    allowed = context.gateway.spec.runner.allowed_images
    if found.image and not any(fnmatch.fnmatchcase(found.image, pattern) for pattern in allowed):
        return Done(FAILED, f"image {found.image} is not in the runner.allowedImages of the target's gateway")
    return found


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


def _resolve_back(context: PromotionContext, settles: dict[str, object]) -> Move:
    wanted = context.promotion.spec.rollback_to
    assert wanted is not None
    if wanted.promotion is not None:
        undone_ = next((p for p in context.seen.rivals if _can_be_undone(p, context, wanted.promotion)), None)
        if undone_ is None or undone_.status.previous is None:
            what = "that has changed this environment, from a revision before, and is no way back itself"
            return Done(FAILED, f"there is no VulcanPromotion {wanted.promotion} in this namespace {what}")
        before = undone_.status.previous
        revision, plan_id, digest, files = before.revision, before.plan_id, before.source_digest, before.origin
    else:
        status = context.target.status
        had = {h.plan_id: (h.revision, h.source_digest) for h in status.rollback_targets}
        had |= {h.plan_id: (h.revision, h.source_digest) for h in status.history}
        plan_id, files = wanted.plan_id or "", None
        if plan_id not in had:
            known = ", ".join(sorted(had)) or "none"
            return Done(FAILED, f"plan {plan_id} is not in the environment's status.history; there are: {known}")
        revision, digest = had[plan_id]
    side = SideStatus(
        environment=context.target.sqlmesh_environment,
        gateway=context.to.name if context.to is not None else "",
        plan_id=plan_id,
        revision=revision,
    )
    settles = settles | {
        "relation": SAME, "revision": revision, "source_digest": digest, "source": side, "origin": files,
    }  # fmt: skip
    done = Done(PASSED, f"back to revision {short(revision)}, plan {plan_id}", settles=settles)
    return _unless_held(context, revision, digest, done)


def _can_be_undone(promotion: VulcanPromotion, context: PromotionContext, name: str) -> bool:
    meta, status = promotion.metadata, promotion.status
    mine = meta.name == name and meta.namespace == context.key.namespace
    return mine and promotion.spec.rollback_to is None and status.outcome is not None and bool(status.applied_plan_id)


def plan(status: PromotionStatus, context: PromotionContext) -> Move:
    """Says what would change and what would be computed: from what the state has, or anew from the files in another
    system."""
    assert status.source is not None and context.to is not None
    made_of = [status.source.plan_id, context.image, context.promotion.spec.gates.virtual_only, status.plans]
    if status.relation == ACROSS:
        if status.origin is not None and status.origin.kind == "ConfigMap":
            if context.seen.source_files is None:
                return Hold(Verdict("Unknown", Why.PENDING), needs=frozenset({Need.SOURCE_FILES}))
            if context.seen.source_files.files is None:
                gone = f"ConfigMap {status.origin.copy_} is gone; promote from the environment that has the project"
                return Done(FAILED, f"the files of revision {short(status.revision or '')} are not there: {gone}")
        options = tasks.options_of(context.target.spec.plan).__dict__
        gateway = context.gateway
        made_of = [status.source_digest, options, context.image, gateway.sqlmesh_name, gateway.spec.variables]
        made_of += [status.plans]
    return Order(TaskKind.PLAN, of_json(made_of)[:16], "what the promotion would change", context.to)


def approve(status: PromotionStatus, context: PromotionContext) -> Move:
    """The stricter rule of target and promotion; words are on this very plan."""
    plan_ = status.plan
    assert plan_ is not None
    decision = approval.decide(plan_, context.rules, context.author)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if decision.say is approval.Say.WAIT:
        meta, first = context.promotion.metadata, "approvals" not in context.promotion.spec.model_fields_set
        command = approval.approve_command(
            meta.namespace, meta.name, plan_.digest, is_first=first, resource="vulcanpromotion"
        )
        message = f"{plan_.summary.text} — {decision.why}"
        if decision.reason is Why.AWAITING:
            message = f"{message}. To approve: {command}"
        expires = plan_.time + parse_duration(context.policy.expire_after)
        if expires <= context.now:
            return Again("the plan waited too long")
        return Hold(Verdict("False", decision.reason, message), expires)
    unguarded = verdicts.unguarded(context.seen.unguarded) if context.protected else None
    if unguarded is not None:
        return Hold(unguarded, context.now + dt.timedelta(seconds=30))
    if decision.by and plan_.report_ref is not None and context.seen.report_kept is None:
        return Hold(Verdict("False", Why.AWAITING, ""), needs=frozenset({Need.KEPT}))
    if decision.by and context.seen.report_kept is False:
        return Again("the plan's report is gone")
    by = {"by": ", ".join(decision.by)} if decision.by else {}
    return Done(PASSED, decision.why, {"plan": plan_.digest, **by}, {"approved_by": list(decision.by)})


def catch_up(status: PromotionStatus, context: PromotionContext) -> Move:
    """Recent intervals that the target has and the source does not; the Job that computes them changes the views then."""
    assert status.plan is not None
    if status.relation == ACROSS or not status.plan.summary.catch_up_intervals:
        return Done(SKIPPED, "nothing to catch up with")
    return swap(status, context)


def swap(status: PromotionStatus, context: PromotionContext) -> Move:
    """Changes the views; asked again before each Job, for words may have been taken back and windows shut meanwhile."""
    assert status.plan is not None and context.to is not None
    decision = approval.decide(status.plan, context.rules, context.author)
    if decision.say is approval.Say.NO:
        return Done(FAILED, f"rejected: {decision.why}")
    if decision.say is approval.Say.WAIT:
        return Hold(Verdict("False", Why.AWAITING, f"a word was taken back: {decision.why}"))
    tried = [s.failure for name in ("CatchUp", "Apply") if (s := status.find(name)) is not None]
    failure = next((f for f in tried if f is not None), None)
    line = stop_the_line.hold(context.target, context.gateway, failure, context.now)
    if line is not None:
        return Hold(line.verdict, line.look_again)
    kind = TaskKind.APPLY if status.relation == ACROSS else TaskKind.PROMOTE
    return Order(kind, status.plan.digest.removeprefix("sha256:")[:16], "the promotion was decided on", context.to)


def verify(status: PromotionStatus, context: PromotionContext) -> Move:
    """Audits of the target, with its views changed."""
    assert context.to is not None
    if not context.target.spec.checks.audits:
        return Done(SKIPPED, "the target's checks.audits is off")
    return Order(TaskKind.AUDIT, of_json(["verify", status.applied_plan_id])[:16], "audits of the target", context.to)


def go_back(status: PromotionStatus, context: PromotionContext) -> Move:
    """Puts back what the target had before, by view swap."""
    assert context.to is not None
    to = status.source if context.promotion.spec.rollback_to is not None else status.previous
    if to is None or not to.plan_id:
        message = "the target had nothing before that could be put back"
        return Done(FAILED, message, settles={"rollback": RollbackStatus(state="Unavailable", message=message)})
    inputs = of_json(["rollback", to.plan_id, undone(status)])[:16]
    return Order(TaskKind.ROLLBACK, inputs, "going back", context.to)


def undone(status: PromotionStatus) -> str:
    """The plan that the target must still have when it is put back: ours, or what it had when that was looked at."""
    return status.applied_plan_id or (status.target.plan_id if status.target is not None else "")


def _side(site: Site | None, applied: AppliedStatus | None) -> SideStatus:
    assert site is not None
    return SideStatus(
        environment=site.environment.sqlmesh_environment,
        gateway=site.name,
        plan_id=applied.plan_id if applied is not None else "",
        revision=applied.revision if applied is not None else "",
    )


def _previous(had: AppliedStatus | None) -> PreviousStatus | None:
    if had is None:
        return None
    return PreviousStatus(
        revision=had.revision, source_digest=had.source_digest, plan_id=had.plan_id, time=had.time,
        tests_run=had.tests_run, origin=had.origin,
    )  # fmt: skip


Stage = tuple[tuple[str, Step], ...]
"""Steps that do not need each other. The next ones wait for all of them."""

FORWARD: tuple[Stage, ...] = (
    (("Resolve", resolve),),
    (
        ("Plan", plan),
        ("Tests", promotion_trials.tests),
        ("Audits", promotion_trials.audits),
        ("Diff", promotion_diff.step),
        ("Checks", promotion_trials.checks),
        ("Soak", promotion_trials.soak),
    ),
    (("Approval", approve),),
    (("CatchUp", catch_up),),
    (("Apply", swap),),
    (("Verify", verify),),
)
BACK: tuple[Stage, ...] = ((("Resolve", resolve),), (("Rollback", go_back),))
