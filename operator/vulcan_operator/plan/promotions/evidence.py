"""The evidence of a promotion that has ended: one immutable ConfigMap, its sha256 in status. Pure.

First the end is written into the status, then, in the next pass, the evidence that is made from
that status alone: after a crash in between the same bytes are made again. It has no owner: the
target environment deletes it (`promotion_history`), and labels find it. What a status would not say
otherwise is recorded in it while the promotion goes on: votes on its plans, images of its pods.
"""

import hashlib
import json
from typing import Any

from vulcan_operator.api import names
from vulcan_operator.api import promotion_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import ReportRef
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import AuditEntry, Note, WriteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.promotions.route import Case
from vulcan_operator.plan.tasks import config_maps

KEY = "evidence.json"
_MOST_BYTES = 900_000  # of the 1 MiB of an object
_LONGEST = (1024, 256, 64, 16)  # texts and lists are cut, step by step until all of it fits
_KEPT = (
    "outcome", "relation", "revision", "sourceDigest", "source", "target", "origin", "plan",
    "steps", "previous", "rollback", "approvals", "approvedBy", "runnerImages", "appliedPlanId",
    "supersedes", "supersededBy", "startedAt", "finishedAt",
)  # fmt: skip


def leave(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """The draft with what must be remembered; with the ConfigMap in the pass after the end."""
    if case.promotion.status.outcome is None:
        draft = draft.with_status(**_votes(draft.status, case), **_images(draft.status, case))
        return draft.again(case.now) if draft.status.outcome is not None else draft
    if draft.status.evidence_ref is not None:
        return draft
    text = _text(draft.status, case)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    reference = ReportRef(name=f"{case.key.name}-evidence-{sha256[:12]}", sha256=sha256)
    written = draft.before_status(WriteConfigMap(_manifest(case, reference.name, text)))
    return written.with_status(evidence_ref=reference).noting(_note(draft.status, case, reference))


def _votes(status: PromotionStatus, case: Case) -> dict[str, Any]:
    """Each vote with the time of the pass that first saw it, also if it is withdrawn later."""
    recorded = {(vote.plan, vote.by, vote.decision) for vote in status.approvals}
    standing = {(a.plan, a.by, a.decision): a.comment or "" for a in case.promotion.spec.approvals}
    unseen = ((*vote, comment) for vote, comment in standing.items() if vote not in recorded)
    new = [
        statuses.VoteStatus(plan=plan, by=by, decision=decision, comment=comment, time=case.now)
        for plan, by, decision, comment in unseen
    ]
    if not new:
        return {}
    votes = [*status.approvals, *new]
    # Those that still stand are never dropped: they would be recorded as new ones in each pass.
    past = [v for v in votes if (v.plan, v.by, v.decision) not in standing]
    dropped = past[: max(len(votes) - statuses.MOST_VOTES, 0)]
    return {"approvals": [vote for vote in votes if vote not in dropped]}


def _images(status: PromotionStatus, case: Case) -> dict[str, Any]:
    """Images of pods that have ended, as their nodes report them: by digest."""
    found = {pod.image_id for pod in case.seen.pods if pod.ended and pod.image_id}
    new = sorted(found - set(status.runner_images))
    return {"runner_images": [*status.runner_images, *new][: statuses.MOST_IMAGES]} if new else {}


def _text(status: PromotionStatus, case: Case) -> str:
    """Names, digests, verdicts and votes; no data and no credential passes through a status."""
    told, spec, meta = status.to_json(), case.promotion.spec.to_json(), case.promotion.metadata
    document = {
        "promotion": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
        # People change approvals at any time.
        "spec": {name: value for name, value in spec.items() if name != "approvals"},
        **{name: told[name] for name in _KEPT if name in told},
    }
    text = _dump(document)
    for most in _LONGEST:
        if len(text.encode()) <= _MOST_BYTES:
            break
        text = _dump(_cut(document, most))
    return text


def _dump(document: Any) -> str:
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False)


def _cut(value: Any, most: int) -> Any:
    """The same with shorter texts and lists; the steps are few and all stay."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[: most - 1]}…"
    if isinstance(value, list):
        return [_cut(item, most) for item in value[:most]]
    if isinstance(value, dict):
        return {name: _cut(item, most) for name, item in value.items()}
    return value


def _manifest(case: Case, name: str, text: str) -> dict[str, Any]:
    """Without the install's label, by which `collect` finds what is deleted with an object."""
    meta, target = case.promotion.metadata, case.promotion.spec.to.environment_ref
    labels = {
        names.EVIDENCE: "true",
        names.TARGET: target.name[:63],
        names.TARGET_NAMESPACE: target.namespace or meta.namespace,
    }
    return config_maps.immutable(meta, meta.namespace, name, labels=labels, data={KEY: text})


def _note(status: PromotionStatus, case: Case, reference: ReportRef) -> Note:
    target = status.target
    began, ended = status.started_at, status.finished_at
    took = (ended - began).total_seconds() if ended is not None and began is not None else 0
    audit = AuditEntry(
        operation="promotion",
        gateway=target.gateway.rpartition("/")[2] if target is not None else "",
        environment=target.environment if target is not None else "",
        revision=status.revision or "",
        plan=status.plan.digest if status.plan is not None else "",
        outcome=status.outcome or "",
        seconds=round(took),
        evidence=f"{case.key.namespace}/{reference.name}",
        sha256=reference.sha256,
        asked=", ".join(status.approved_by),
    )
    message = f"{status.outcome}: evidence is in ConfigMap {reference.name}"
    return Note(Why.EVIDENCE, message, audit=audit)
