"""What promotions gave an environment with revisionFrom: Promotion. Pure.

Its revision is what the last promotion that changed its views has left, so it can be told from the objects alone, also after
its status was wiped. Used by `environments`, and by promotions that look at what others have left; promotions never write
an environment's status.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from vulcan_contract.digest import of_json
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import MOST_HISTORY, AppliedStatus, EnvironmentStatus, HistoryItem
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.rules import held_revisions

_JUDGED = ("Passed", "Failed")  # what audits can say


def take(
    draft: Draft[EnvironmentStatus],
    environment: VulcanEnvironment,
    promotions: Sequence[VulcanPromotion],
    now: dt.datetime,
) -> Draft[EnvironmentStatus]:
    """The draft with what the last promotion left, and with the holds of today."""
    if environment.spec.revision_from != "Promotion":
        return draft
    held = held_revisions.of(environment, promotions)
    draft = draft.with_status(held=held) if held != draft.status.held else draft
    last = last_given(promotions)
    if last is None or is_taken(draft.status.applied, last):
        return draft
    before = draft.status.applied
    applied = _applied(last) if before is not None else _left_by(promotions)
    if before is not None and before.plan_id == applied.plan_id:
        return draft.with_status(applied=_named_anew(before, applied))
    item = HistoryItem(
        revision=applied.revision, source_digest=applied.source_digest, plan_id=applied.plan_id,
        plan_digest=applied.plan_digest, time=applied.time,
    )  # fmt: skip
    return draft.with_status(
        applied=applied,
        promotion=last.metadata.full_name,
        history=[item, *draft.status.history][:MOST_HISTORY],
        green_runs=0,
        failure=None,
        run_failure=None,
        plan=None,
        next_run_time=now,  # every change of views is followed at once by a run
        observed_plan_id=applied.plan_id,
        intervals_behind=_behind(last, draft.status),
        rollback_targets=[],  # the run that follows looks anew; until then nobody knows
    )


def _left_by(promotions: Sequence[VulcanPromotion]) -> AppliedStatus:
    """What all of them left, one after the other: of an environment that has forgotten it."""
    first, *others = map(_applied, sorted(_over(promotions), key=_order))
    for found in others:
        first = _named_anew(first, found) if first.plan_id == found.plan_id else found
    return first


def _named_anew(before: AppliedStatus, found: AppliedStatus) -> AppliedStatus:
    """Nothing was changed: what is there has another name, or somebody vouches for it now."""
    update: dict[str, object] = {
        "revision": found.revision, "source_digest": found.source_digest, "origin": found.origin, "as_of": found.time,
    }  # fmt: skip
    if found.tests_run >= 0:
        update["tests_run"] = found.tests_run
    if found.verification in _JUDGED:
        update |= {"verification": found.verification, "verification_message": found.verification_message}
    return before.but(**update)


def _behind(last: VulcanPromotion, status: EnvironmentStatus) -> int | None:
    back = last.status.rollback
    return back.intervals_behind if back is not None and last.status.went_back else status.intervals_behind


def last_given(promotions: Iterable[VulcanPromotion]) -> VulcanPromotion | None:
    """The last that changed the views. Also one that failed afterwards and was not taken back: what it gave is there."""
    return max(_over(promotions), key=_order, default=None)


def _over(promotions: Iterable[VulcanPromotion]) -> list[VulcanPromotion]:
    return [p for p in promotions if p.status.outcome is not None and p.status.applied_plan_id and p.status.finished_at]


def _order(promotion: VulcanPromotion) -> tuple[dt.datetime, str]:
    return _known_at(promotion), promotion.metadata.name


def _known_at(promotion: VulcanPromotion) -> dt.datetime:
    """When the environment had what the promotion left. One that found it there knows no more than its plan did: while it
    asked audits, a way back may have come."""
    status = promotion.status
    assert status.finished_at is not None
    return status.plan.time if status.plan is not None and status.is_there else status.finished_at


def is_taken(applied: AppliedStatus | None, last: VulcanPromotion) -> bool:
    """Whether an environment's status knows of what a promotion left, or of something newer."""
    if applied is None or last.status.finished_at is None:
        return False
    wanted = _applied(last)
    same = (applied.plan_id, applied.source_digest) == (wanted.plan_id, wanted.source_digest)
    unheard = wanted.verification in _JUDGED and wanted.verification_message != applied.verification_message
    return (same and not unheard) or (applied.as_of or applied.time) > _known_at(last)


def _applied(promotion: VulcanPromotion) -> AppliedStatus:
    """What the environment has: the promoted revision, or after a way back what it had before."""
    status = promotion.status
    back = status.previous if status.outcome == "RolledBack" else None
    found = [
        s.evidence["testsRun"] for s in status.steps if s.name in ("Resolve", "Tests") and "testsRun" in s.evidence
    ]
    tests = found[-1] if found else "-1"
    verification, message = _verification(promotion)
    return AppliedStatus(
        revision=(back.revision if back is not None else status.revision) or "",
        source_digest=(back.source_digest if back is not None else status.source_digest) or "",
        inputs=of_json([promotion.metadata.uid, status.applied_plan_id])[:16],
        plan_id=status.applied_plan_id,
        plan_digest=status.plan.digest if status.plan is not None and back is None else "",
        time=_known_at(promotion),
        origin=back.origin if back is not None else status.origin,
        complete_until=status.rollback.complete_until if status.rollback is not None else None,
        verification=verification,
        verification_message=message,
        tests_run=back.tests_run if back is not None else int(tests) if tests.isdecimal() else -1,
        approved_by=[] if back is not None else status.approved_by,
    )


def _verification(promotion: VulcanPromotion) -> tuple[str, str]:
    """What is known of the data behind the views: (Passed, Failed, Unknown or nothing, a sentence)."""
    status, name = promotion.status, f"VulcanPromotion {promotion.metadata.full_name}"
    step = status.find("Verify")
    if status.went_back:
        return "Unknown", f"{name} put it back as it was; nothing was audited since"
    if step is not None and step.state == "Failed" and "reason" in step.evidence:
        return "Failed", f"{name}: {step.message}"[:1024]
    if step is not None and step.state == "Failed":  # it looked at another plan than the one that it was to vouch for
        return "Unknown", f"{name}: {step.message}"[:1024]
    if step is not None and step.state == "Succeeded":
        return "Passed", name
    if step is not None and step.state == "Skipped" and status.outcome == "Succeeded":
        return "", ""
    return "Unknown", f"{name} ended before its step Verify had said anything"
