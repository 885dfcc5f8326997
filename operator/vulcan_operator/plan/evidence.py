"""What a promotion that has ended leaves as evidence: one immutable ConfigMap beside it, and its sha256 in status. Pure.

Made in the pass that ends it, before the status that names it is written. Owned by the promotion: kept as long as that.
"""

import hashlib
import json
from typing import Any

from vulcan_operator.api.environment_status import ReportRef
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan import reports
from vulcan_operator.plan.actions import WriteConfigMap
from vulcan_operator.plan.promotion_context import PromotionContext
from vulcan_operator.plan.status import Draft

KEY = "evidence.json"


def leave(draft: Draft[PromotionStatus], context: PromotionContext) -> Draft[PromotionStatus]:
    """The draft with the ConfigMap and its name, in the pass in which the promotion ends."""
    if draft.status.outcome is None or context.promotion.status.outcome is not None:
        return draft
    text = json.dumps(_document(draft.status, context), sort_keys=True, indent=1, ensure_ascii=False)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    reference = ReportRef(name=f"{context.key.name}-evidence-{sha256[:12]}", sha256=sha256)
    manifest = reports.kept_for(context.promotion, reference.name, data={KEY: text})
    return draft.having(evidence_ref=reference).first(WriteConfigMap(manifest))


def _document(status: PromotionStatus, context: PromotionContext) -> dict[str, Any]:
    """Names, digests, verdicts and words; no data and no credential passes through a status."""
    said = status.to_json()
    kept = (
        "outcome", "relation", "revision", "sourceDigest", "source", "target", "plan", "steps", "previous", "rollback",
        "approvedBy", "appliedPlanId", "startedAt", "finishedAt",
    )  # fmt: skip
    digest = status.plan.digest if status.plan is not None else ""
    words = [item.to_json() for item in context.promotion.spec.approvals if item.plan == digest]
    there = context.seen.gateway is not None and context.seen.target is not None
    return {
        "promotion": {
            "namespace": context.key.namespace,
            "name": context.key.name,
            "uid": context.promotion.metadata.uid,
        },
        "spec": context.promotion.spec.to_json(),
        "approvals": words,
        "runnerImage": context.image if there else "",
        **{key: said[key] for key in kept if key in said},
    }
