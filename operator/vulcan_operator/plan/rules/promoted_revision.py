"""What promotions gave an environment with revisionFrom: Promotion. Pure.

Its revision is what the last promotion that changed its views has left, so it can be told from the
objects alone, also after its status was lost. Used by `environments`, and by promotions that look
at what others have left; promotions never write an environment's status.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from vulcan_contract.digest import of_json
from vulcan_operator.api import environment_status as statuses
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import AppliedStatus, EnvironmentStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import Outcome, StepName, StepState
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.facts import PromotionFacts
from vulcan_operator.plan.rules import held_revisions

_JUDGED = ("Passed", "Failed")  # what audits can say


def adopt(
    draft: Draft[EnvironmentStatus],
    environment: VulcanEnvironment,
    promotions: Sequence[PromotionFacts],
    now: dt.datetime,
) -> Draft[EnvironmentStatus]:
    """The draft with what the last promotion left, and with the revisions that are held today."""
    if environment.spec.revision_from != "Promotion":
        return draft
    held = held_revisions.of(environment.metadata.annotations, environment.status.held, promotions)
    draft = draft.with_status(held=held) if held != draft.status.held else draft
    last = last_given(promotions)
    if last is None or last.left is None or is_adopted(draft.status.applied, last.left):
        return draft
    before = draft.status.applied
    applied = last.left if before is not None else _left_by_all(promotions)
    if before is not None and before.plan_id == applied.plan_id:
        return draft.with_status(applied=_renamed(before, applied))
    item = statuses.HistoryItem(
        revision=applied.revision, source_digest=applied.source_digest, plan_id=applied.plan_id,
        plan_digest=applied.plan_digest, time=applied.time,
    )  # fmt: skip
    behind = last.intervals_behind
    return draft.with_status(
        applied=applied,
        promotion=last.full_name,
        history=[item, *draft.status.history][: statuses.MOST_HISTORY],
        green_runs=0,
        failure=None,
        run_failure=None,
        plan=None,
        next_run_time=now,  # every change of views is followed at once by a run
        observed_plan_id=applied.plan_id,
        intervals_behind=behind if behind is not None else draft.status.intervals_behind,
        rollback_targets=[],  # the run that follows looks for them; until then nobody knows
    )


def last_given(promotions: Iterable[PromotionFacts]) -> PromotionFacts | None:
    """The last that changed the views, even if it failed then and was not rolled back."""
    return max((p for p in promotions if p.left is not None), key=_order, default=None)


def is_adopted(applied: AppliedStatus | None, left: AppliedStatus) -> bool:
    """Whether an environment's status has what a promotion left, or something newer."""
    if applied is None:
        return False
    same = (applied.plan_id, applied.source_digest) == (left.plan_id, left.source_digest)
    told = left.verification_message == applied.verification_message
    news = left.verification in _JUDGED and not told
    return (same and not news) or (applied.as_of or applied.time) > left.time


def left_by(promotion: VulcanPromotion) -> AppliedStatus | None:
    """What the environment has: the promoted revision, or after a rollback what it had before. None
    while it goes on, and where it has changed nothing."""
    status = promotion.status
    if status.outcome is None or not status.applied_plan_id or status.finished_at is None:
        return None
    back = status.previous if status.outcome == Outcome.ROLLED_BACK else None
    steps = (s for s in status.steps if s.name in (StepName.RESOLVE, StepName.TESTS))
    found = [s.evidence["testsRun"] for s in steps if "testsRun" in s.evidence]
    tests = found[-1] if found else "-1"
    verification, message = _verification(promotion)
    # One that found it there knows no more than its plan did: a rollback may have come since.
    plan = status.plan
    known_at = plan.time if plan is not None and status.is_there else status.finished_at
    return AppliedStatus(
        revision=(back.revision if back is not None else status.revision) or "",
        source_digest=(back.source_digest if back is not None else status.source_digest) or "",
        inputs=of_json([promotion.metadata.uid, status.applied_plan_id])[:16],
        plan_id=status.applied_plan_id,
        image=plan.image if plan is not None and back is None else "",
        plan_digest=plan.digest if plan is not None and back is None else "",
        time=known_at,
        origin=back.origin if back is not None else status.origin,
        complete_until=status.rollback.complete_until if status.rollback is not None else None,
        verification=verification,
        verification_message=message,
        tests_run=back.tests_run if back is not None else int(tests) if tests.isdecimal() else -1,
        approved_by=[] if back is not None else status.approved_by,
    )


def _verification(promotion: VulcanPromotion) -> tuple[str, str]:
    """What is known of the data behind the views: (Passed, Failed, Unknown or "", a sentence)."""
    status, name = promotion.status, f"VulcanPromotion {promotion.metadata.full_name}"
    step = status.find(StepName.VERIFY)
    if status.went_back:
        return "Unknown", f"{name} rolled it back; no audits have run since"
    if step is not None and step.state == StepState.FAILED:  # without: it audited another plan
        judged = "Failed" if "reason" in step.evidence else "Unknown"
        return judged, f"{name}: {step.message}"[:1024]
    if step is not None and step.state == StepState.SUCCEEDED:
        return "Passed", name
    if step is not None and step.state == StepState.SKIPPED and status.outcome == Outcome.SUCCEEDED:
        return "", ""
    return "Unknown", f"{name} ended before its step Verify had a result"


def _left_by_all(promotions: Sequence[PromotionFacts]) -> AppliedStatus:
    """What all of them left, one after the other: of an environment that has lost its status."""
    ended = sorted((p for p in promotions if p.left is not None), key=_order)
    first, *others = [p.left for p in ended if p.left is not None]
    for left in others:
        first = _renamed(first, left) if first.plan_id == left.plan_id else left
    return first


def _renamed(before: AppliedStatus, left: AppliedStatus) -> AppliedStatus:
    """Nothing was changed: what is there has another name, or it is verified now."""
    new = before.but(revision=left.revision, source_digest=left.source_digest)
    if left.source_digest != before.source_digest:  # nobody has approved these files here
        new = new.but(approved_by=[])
    new = new.but(origin=left.origin, as_of=left.time)
    if left.tests_run >= 0:
        new = new.but(tests_run=left.tests_run)
    if left.verification not in _JUDGED:
        return new
    return new.but(verification=left.verification, verification_message=left.verification_message)


def _order(promotion: PromotionFacts) -> tuple[dt.datetime, str]:
    assert promotion.left is not None
    return promotion.left.time, promotion.key.name
