"""What promotions gave an environment with revisionFrom: Promotion, and which revisions are held. Pure.

Its revision is what the last promotion that changed its views has left, so it can be told from the objects alone, also after
its status was wiped. Used by `environments`, and by promotions that look at what others have left; promotions never write
an environment's status.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.environment_status import AppliedStatus, EnvironmentStatus, HeldStatus, HistoryItem
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.status import Draft

_HISTORY = 10
_HELD = 16


def take(
    draft: Draft[EnvironmentStatus],
    environment: VulcanEnvironment,
    promotions: Sequence[VulcanPromotion],
    now: dt.datetime,
) -> Draft[EnvironmentStatus]:
    """The draft with what the last promotion left, and with the holds of today."""
    if environment.spec.revision_from != "Promotion":
        return draft
    held = holds(environment, promotions)
    draft = draft.having(held=held) if held != draft.status.held else draft
    last = last_given(promotions)
    if last is None or is_taken(draft.status.applied, last):
        return draft
    applied = _applied(last)
    item = HistoryItem(
        revision=applied.revision, source_digest=applied.source_digest, plan_id=applied.plan_id,
        plan_digest=applied.plan_digest, time=applied.time,
    )  # fmt: skip
    return draft.having(
        applied=applied,
        promotion=last.metadata.full_name,
        history=[item, *draft.status.history][:_HISTORY],
        green_runs=0,
        failure=None,
        run_failure=None,
        plan=None,
        next_run_time=now,  # every change of views is followed at once by a run
        observed_plan_id=applied.plan_id,
        intervals_behind=_behind(last, draft.status),
        rollback_targets=[],  # the run that follows looks anew; until then nobody knows
    )


def _behind(last: VulcanPromotion, status: EnvironmentStatus) -> int | None:
    back = last.status.rollback
    return back.intervals_behind if back is not None and back.state == "Succeeded" else status.intervals_behind


def last_given(promotions: Iterable[VulcanPromotion]) -> VulcanPromotion | None:
    """The last that changed the views. Also one that failed afterwards and was not taken back: what it gave is there."""
    over = [p for p in promotions if p.status.outcome is not None and p.status.applied_plan_id and p.status.finished_at]
    return max(over, key=lambda p: (p.status.finished_at, p.metadata.name), default=None)


def is_taken(applied: AppliedStatus | None, last: VulcanPromotion) -> bool:
    """Whether an environment's status knows of what a promotion left, or of something newer."""
    if applied is None or last.status.finished_at is None:
        return False
    wanted = _applied(last)
    same = (applied.plan_id, applied.source_digest) == (wanted.plan_id, wanted.source_digest)
    return same or applied.time > last.status.finished_at


def holds(environment: VulcanEnvironment, promotions: Iterable[VulcanPromotion]) -> list[HeldStatus]:
    """Revisions that were taken back and that nobody has let go: no promotion tries one of them again, under any name."""
    lifted = set(environment.metadata.annotations.get(names.HOLD_LIFTED, "").split(","))
    known = {held.id: held for held in environment.status.held}
    known |= {held.id: held for held in map(_held, promotions) if held is not None}
    found = sorted(known.values(), key=lambda held: (held.time, held.id), reverse=True)
    return [held for held in found if held.id not in lifted][:_HELD]


def _applied(promotion: VulcanPromotion) -> AppliedStatus:
    """What the environment has: the promoted revision, or after a way back what it had before."""
    status = promotion.status
    back = status.previous if status.outcome == "RolledBack" else None
    assert status.finished_at is not None
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
        time=status.finished_at,
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
    if status.rollback is not None and status.rollback.state == "Succeeded":
        return "Unknown", f"{name} put it back as it was; nothing was audited since"
    if step is not None and step.state == "Failed":
        return "Failed", f"{name}: {step.message}"[:1024]
    if step is not None and step.state in ("Succeeded", "Skipped"):
        return ("Passed", name) if step.state == "Succeeded" else ("", "")
    return "Unknown", f"{name} ended before its step Verify had said anything"


def _held(promotion: VulcanPromotion) -> HeldStatus | None:
    """The revision that was taken back; a promotion that took nothing back holds nothing."""
    status = promotion.status
    if status.outcome is None or status.rollback is None or status.rollback.state != "Succeeded":
        return None
    if status.rollback.time is None:
        return None
    undone = status.previous if promotion.spec.rollback_to is not None else None
    revision = undone.revision if undone is not None else status.revision
    digest = undone.source_digest if undone is not None else status.source_digest
    verified = status.find("Verify")
    return HeldStatus(
        id=of_json([promotion.metadata.uid, status.rollback.plan_id])[:12],
        revision=revision or "",
        source_digest=digest or "",
        promotion=promotion.metadata.full_name,
        time=status.rollback.time,
        message=verified.message if verified is not None and verified.state == "Failed" else "taken back by hand",
    )
