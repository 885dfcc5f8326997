"""A plan as people see it: the summary in status, the full report in a ConfigMap. Pure."""

import base64
import dataclasses
import datetime as dt
import hashlib
from typing import Any

from vulcan_contract import words
from vulcan_contract.result import ModelChange, PlanSummary, Result
from vulcan_operator.api import environment_status as statuses
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.rules import approval
from vulcan_operator.plan.tasks import config_maps

REPORT_KEY = "report.json.gz"


def report_name(owner: VulcanEnvironment | VulcanPromotion, digest: str, sha256: str) -> str:
    """ConfigMap with the report of a plan: by the plan and by its own content."""
    return f"{owner.metadata.name}-plan-{digest.removeprefix('sha256:')[:12]}-{sha256[:8]}"


def plan_status(
    owner: VulcanEnvironment | VulcanPromotion,
    task: TaskStatus,
    result: Result,
    rules: EnvironmentSpec,
    operations: tuple[str, ...],
    now: dt.datetime,
    *,
    revision: str,
    source_digest: str,
) -> statuses.PlanStatus:
    """What a plan task has found, as its owner's status has it. An approval of it is also one of
    the `rules` and `operations`."""
    summary = result.summary
    assert summary is not None
    digest = approval.token(summary, rules, operations)
    sha = result.report_sha256 if summary.has_changes else None
    return statuses.PlanStatus(
        digest=digest,
        state="Pending" if summary.has_changes else "NoChanges",
        inputs=task.inputs,
        target=summary.target,
        base=summary.base,
        revision=revision,
        source_digest=source_digest,
        time=now,
        adopted=summary.adopted,
        operations=list(operations),
        summary=summary_status(summary),
        report_ref=statuses.ReportRef(name=report_name(owner, digest, sha), sha256=sha)
        if sha
        else None,
    )


def summary_status(summary: PlanSummary) -> statuses.PlanSummaryStatus:
    """The summary as status shows it: its counts by their names, its lists shortened."""
    shown, status = summary.models[:20], statuses.PlanSummaryStatus
    shortened: dict[str, Any] = {
        "text": words.plan(summary)[:1024],
        "destructive": [name[:512] for name in summary.destructive[:256]],
        "models": [_model(m) for m in shown],
        "omitted": summary.omitted + len(summary.models) - len(shown),
    }
    same = status.model_fields.keys() & {f.name for f in dataclasses.fields(summary)}
    return status(**{name: getattr(summary, name) for name in same} | shortened)


def _model(change: ModelChange) -> statuses.PlanModelStatus:
    return statuses.PlanModelStatus(
        name=change.name[:256],
        change=change.change,
        category=change.category,
        intervals=change.intervals,
        destructive=change.destructive,
    )


def is_report_kept(plan: statuses.PlanStatus, namespace: str, live: Live) -> bool:
    """Whether what people look at before they approve is still there, as it was."""
    if plan.report_ref is None:
        return True
    packed = (live.config_map(namespace, plan.report_ref.name) or {}).get(REPORT_KEY, b"")
    return hashlib.sha256(packed).hexdigest() == plan.report_ref.sha256


def report_manifest(
    of: VulcanEnvironment | VulcanPromotion, name: str, packed: bytes
) -> dict[str, Any]:
    """A report (gzipped JSON) as an immutable ConfigMap that belongs to the object it tells of."""
    kind = "VulcanPromotion" if isinstance(of, VulcanPromotion) else "VulcanEnvironment"
    meta, binary = of.metadata, {REPORT_KEY: base64.b64encode(packed).decode()}
    return config_maps.immutable(meta, meta.namespace, name, owner=kind, binaryData=binary)
