"""What a promotion that has ended leaves as evidence: one immutable ConfigMap, and its sha256 in status. Pure.

First the end is written into the status, then, in the next pass, the evidence that is made from that status alone: after
a crash in between the same bytes are made again. It has no owner: the target environment lets it go
(`promotion_history`), and labels find it. What a status would not tell otherwise is noted in it while the promotion goes
on: words on its plans, images of its pods.
"""

import hashlib
import json
from typing import Any

from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import ReportRef
from vulcan_operator.api.promotion_status import MOST_IMAGES, MOST_WORDS, PromotionStatus, WordStatus
from vulcan_operator.plan.core.actions import Note, WriteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.promotions.context import PromotionContext
from vulcan_operator.plan.tasks import config_maps

KEY = "evidence.json"
_MOST_BYTES = 900_000  # of the 1 MiB of an object
_LONGEST = (1024, 256, 64, 16)  # texts are cut, and lists shortened, step by step until all of it fits
_TOLD = (
    "outcome", "relation", "revision", "sourceDigest", "source", "target", "origin", "plan", "steps", "previous",
    "rollback", "approvals", "approvedBy", "runnerImages", "appliedPlanId", "supersedes", "supersededBy", "startedAt",
    "finishedAt",
)  # fmt: skip


def leave(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """The draft with what is to be remembered noted, and with the ConfigMap in the pass after the promotion's end."""
    if context.promotion.status.outcome is None:
        return draft.with_status(**_heard(draft.status, context), **_ran(draft.status, context))
    if draft.status.evidence_ref is not None:
        return draft
    text = _text(draft.status, context)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    reference = ReportRef(name=f"{context.key.name}-evidence-{sha256[:12]}", sha256=sha256)
    written = draft.before_status(WriteConfigMap(_manifest(context, reference.name, text)))
    return written.with_status(evidence_ref=reference).noting(_note(draft.status, context, reference))


def _heard(status: PromotionStatus, context: PromotionContext) -> dict[str, Any]:
    """Each word with the time of the pass that first saw it; also those that are taken back later."""
    known = {(word.plan, word.by, word.decision) for word in status.approvals}
    new = [
        WordStatus(plan=a.plan, by=a.by, decision=a.decision, comment=a.comment or "", time=context.now)
        for a in context.promotion.spec.approvals
        if (a.plan, a.by, a.decision) not in known
    ]
    if not new:
        return {}
    # Those that still stand are never dropped: they would be heard anew in each pass.
    words, standing = [*status.approvals, *new], {(a.plan, a.by, a.decision) for a in context.promotion.spec.approvals}
    past = [w for w in words if (w.plan, w.by, w.decision) not in standing]
    dropped = past[: max(len(words) - MOST_WORDS, 0)]
    return {"approvals": [word for word in words if word not in dropped]}


def _ran(status: PromotionStatus, context: PromotionContext) -> dict[str, Any]:
    """Images of pods that have ended, as their nodes report them: by digest."""
    found = {pod.image_id for pod in context.seen.pods if pod.ended and pod.image_id}
    new = sorted(found - set(status.runner_images))
    return {"runner_images": [*status.runner_images, *new][:MOST_IMAGES]} if new else {}


def _text(status: PromotionStatus, context: PromotionContext) -> str:
    """Names, digests, verdicts and words; no data and no credential passes through a status."""
    said, spec, meta = status.to_json(), context.promotion.spec.to_json(), context.promotion.metadata
    document = {
        "promotion": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
        "spec": {name: value for name, value in spec.items() if name != "approvals"},  # which people change any time
        **{name: said[name] for name in _TOLD if name in said},
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
    match value:
        case str():
            return value if len(value) <= most else f"{value[: most - 1]}…"
        case list():
            return [_cut(item, most) for item in value[:most]]
        case dict():
            return {name: _cut(item, most) for name, item in value.items()}
        case _:
            return value


def _manifest(context: PromotionContext, name: str, text: str) -> dict[str, Any]:
    """Without the install's label: that is for what goes with an object (`collect`)."""
    meta, target = context.promotion.metadata, context.promotion.spec.to.environment_ref
    labels = {
        names.EVIDENCE: "true",
        names.TARGET: target.name[:63],
        names.TARGET_NAMESPACE: target.namespace or meta.namespace,
    }
    return config_maps.immutable(meta, meta.namespace, name, labels=labels, data={KEY: text})


def _note(status: PromotionStatus, context: PromotionContext, reference: ReportRef) -> Note:
    target = status.target
    took = (status.finished_at - status.started_at).total_seconds() if status.finished_at and status.started_at else 0
    audit = {
        "operation": "promotion",
        "gateway": target.gateway.rpartition("/")[2] if target is not None else "",
        "environment": target.environment if target is not None else "",
        "revision": status.revision or "",
        "plan": status.plan.digest if status.plan is not None else "",
        "outcome": status.outcome or "",
        "seconds": f"{took:.0f}",
        "evidence": f"{context.key.namespace}/{reference.name}",
        "sha256": reference.sha256,
        "asked": ", ".join(status.approved_by),
    }
    return Note(Why.EVIDENCE, f"{status.outcome}: evidence is in ConfigMap {reference.name}", audit=audit)
