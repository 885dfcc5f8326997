"""Step Resolve: which revision moves, where its files are, and what the target has. Pure.

Of a rollback by hand it is an earlier revision of the target itself. It has no Job.
"""

import fnmatch
from dataclasses import dataclass, replace
from typing import Any

from vulcan_operator.api import names
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import AppliedStatus
from vulcan_operator.api.promotion import RollbackTarget
from vulcan_operator.api.promotion_status import PromotionStatus, StepName, StepState
from vulcan_operator.api.source import Origin
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.facts import EnvironmentFacts, PromotionFacts
from vulcan_operator.plan.core.moves import Done, Move, Site, Wait
from vulcan_operator.plan.promotions import files
from vulcan_operator.plan.promotions.route import Route
from vulcan_operator.plan.promotions.step import SOURCE_GONE, Step
from vulcan_operator.plan.rules import access, held_revisions
from vulcan_operator.plan.rules.messages import named, short


class Resolve(Step):
    """The first step in both directions."""

    name = StepName.RESOLVE

    def next(self, status: PromotionStatus, route: Route) -> Move:
        last, target = route.unadopted(), route.target
        if last is not None:
            left = f"what VulcanPromotion {last.full_name} has left"
            message = f"waiting for {target.metadata.full_name} to take up {left}"
            return Wait(Verdict("False", Why.QUEUED, message, reconciling=True))
        wanted = route.promotion.spec.rollback_to
        found: Done | Wait
        if wanted is not None:
            found = _resolve_back(wanted, route)
        elif status.source is not None:  # the target has moved: the same revision goes on
            revision, digest = status.revision or "", status.source_digest or ""
            done = Done(message=f"revision {short(revision)}")
            found = _unless_held(revision, digest, done, route)
        else:
            found = _resolve_source(route)
        if isinstance(found, Wait):
            return found
        had = target.applied
        settles = {"target": _side(target, route.to_site, had), "previous": _previous(had)}
        return replace(found, settles={**settles, **found.settles})


def _resolve_source(route: Route) -> Done | Wait:
    source, site, wanted = route.source, route.from_site, route.promotion.spec.revision
    if source is None or site is None:
        return SOURCE_GONE
    applied, name = source.applied, source.metadata.full_name
    if source.metadata.uid == route.target.metadata.uid:
        return Done(StepState.FAILED, f"from and to are the same environment, {name}")
    if applied is None or not applied.plan_id:
        return _not_ready(f"waiting for VulcanEnvironment {name}: nothing is applied there")
    if wanted is not None and wanted not in (applied.revision, applied.source_digest):
        has = f"{name} has revision {short(applied.revision)}"
        return Done(StepState.FAILED, f"{has}, not {wanted}")
    found = _files(source, applied, route)
    if isinstance(found, Done | Wait):
        return found
    settles: dict[str, Any] = {
        "origin": found,
        "relation": route.relation,
        "revision": applied.revision,
        "source_digest": applied.source_digest,
        "source": _side(source, site, applied),
    }
    message = f"revision {short(applied.revision)}, plan {applied.plan_id}"
    done = Done(message=message, settles=settles)
    return _unless_held(applied.revision, applied.source_digest, done, route)


def _files(
    source: EnvironmentFacts, applied: AppliedStatus, route: Route
) -> Origin | Done | Wait | None:
    """Where another system gets the files, or why it cannot. Within one system they are noted."""
    found, name = files.of_applied(source), source.metadata.full_name
    if not route.is_across:
        return found
    if applied.partial:
        some = f"{name} has only some models of it (plan.selectModels)"
        return Done(StepState.FAILED, f"{some}; another system would get all")
    if found is None and source.spec.project is None:
        unknown = f"it is not known where the files of what {name} has are"
        return Done(StepState.FAILED, f"{unknown}; promote from the environment with the project")
    if found is None:
        changed = "its project has changed since it was applied"
        return _not_ready(f"waiting for VulcanEnvironment {name}: {changed}")
    allowed = route.gateway.spec.runner.allowed_images
    if found.image and not any(fnmatch.fnmatchcase(found.image, pattern) for pattern in allowed):
        missing = "is not in the runner.allowedImages of the target's gateway"
        return Done(StepState.FAILED, f"image {found.image} {missing}")
    if found.image and not access.image_granted(found.image, route.access.ruling):
        missing = "matches no minimum.runnerImages in the grants of the target's gateway"
        return Done(StepState.FAILED, f"image {found.image} {missing}")
    return found


def _not_ready(message: str) -> Wait:
    return Wait(Verdict("False", Why.SOURCE_NOT_READY, message, reconciling=True))


def _unless_held(revision: str, digest: str, done: Done, route: Route) -> Done:
    """A revision that was rolled back is not tried again before somebody has lifted the hold."""
    meta = route.target.metadata
    everything = held_revisions.of(meta.annotations, route.target.held, route.seen.rivals)
    held = next((h for h in everything if h.source_digest == digest and digest), None)
    if held is None:
        return done
    lifted = ",".join(filter(None, (meta.annotations.get(names.HOLD_LIFTED, ""), held.id)))
    message = (
        f"revision {named(revision, digest)} was rolled back by {held.promotion} and is held;"
        f" promote another revision, or lift the hold: kubectl annotate vulcanenvironment"
        f" {meta.name} -n {meta.namespace} --overwrite {names.HOLD_LIFTED}={lifted}"
    )
    return Done(StepState.FAILED, message, settles=done.settles)


@dataclass(frozen=True)
class _Earlier:
    """What a rollback by hand goes back to."""

    revision: str
    digest: str
    plan_id: str
    origin: Origin | None = None
    tests_run: int = -1


def _resolve_back(wanted: RollbackTarget, route: Route) -> Done:
    name = wanted.promotion
    earlier = _undoing(name, route) if name is not None else _by_plan(wanted.plan_id or "", route)
    if isinstance(earlier, Done):
        return earlier
    settles: dict[str, Any] = {
        "relation": statuses.Relation.SAME,
        "revision": earlier.revision,
        "source_digest": earlier.digest,
        "origin": earlier.origin,
        "source": _side(route.target, route.to_site, earlier),
    }
    message = f"back to revision {short(earlier.revision)}, plan {earlier.plan_id}"
    done = Done(message=message, evidence={"testsRun": str(earlier.tests_run)}, settles=settles)
    return _unless_held(earlier.revision, earlier.digest, done, route)


def _undoing(name: str, route: Route) -> _Earlier | Done:
    """What the target had before a promotion."""
    full_name = f"{route.key.namespace}/{name}"
    undone = next((p for p in route.seen.rivals if p.full_name == full_name), None)
    why_not = _why_not(undone)
    if undone is None or undone.previous is None or why_not:
        hint = f"to go back to an earlier plan write {route.rollback_hint}"
        return Done(StepState.FAILED, f"VulcanPromotion {full_name} {why_not}; {hint}")
    before, has = undone.previous, route.target.applied
    # It may be there already: GitOps creates objects again.
    is_there = has is not None and has.source_digest == before.source_digest
    if has is not None and has.plan_id != undone.applied_plan_id and not is_there:
        where = f"VulcanEnvironment {route.target.metadata.full_name}"
        moved = f"{where} has moved on since VulcanPromotion {name}"
        hint = "name the plan to go back to as rollbackTo.planId (see its status.rollbackTargets)"
        message = f"{moved}: it has revision {short(has.revision)}; {hint}"
        return Done(StepState.FAILED, message)
    digest, tests = before.source_digest, before.tests_run
    return _Earlier(before.revision, digest, before.plan_id, before.origin, tests)


def _why_not(promotion: PromotionFacts | None) -> str:
    """Why a promotion cannot be undone; empty: it can."""
    if promotion is None:
        return "is not there, or goes to another environment"
    if promotion.is_rollback:
        return "is a rollback itself"
    if promotion.outcome is None:
        return "has not ended; delete it to cancel it"
    if not promotion.applied_plan_id or promotion.is_there:
        return "has changed nothing"
    return "" if promotion.previous is not None else "found nothing that could be put back"


def _by_plan(plan_id: str, route: Route) -> _Earlier | Done:
    """What the target had with a plan."""
    target = route.target
    known = {h.plan_id: (h.revision, h.source_digest) for h in target.rollback_targets}
    known |= {h.plan_id: (h.revision, h.source_digest) for h in target.history}
    if plan_id not in known:
        listed = ", ".join(sorted(known)) or "none"
        listed_in = "the environment's status.rollbackTargets or status.history"
        message = f"plan {plan_id} is not in {listed_in}; there are: {listed}"
        return Done(StepState.FAILED, message)
    return _Earlier(*known[plan_id], plan_id)


def _side(
    environment: EnvironmentFacts, site: Site, applied: AppliedStatus | _Earlier | None
) -> statuses.SideStatus:
    return statuses.SideStatus(
        environment=environment.sqlmesh_environment,
        gateway=site.name,
        plan_id=applied.plan_id if applied is not None else "",
        revision=applied.revision if applied is not None else "",
    )


def _previous(had: AppliedStatus | None) -> statuses.PreviousStatus | None:
    if had is None:
        return None
    return statuses.PreviousStatus(
        revision=had.revision, source_digest=had.source_digest, plan_id=had.plan_id, time=had.time,
        tests_run=had.tests_run, origin=had.origin,
    )  # fmt: skip
