"""A plan as people see it: the summary in status, the full report in a ConfigMap. Pure."""

import base64
import dataclasses
import datetime as dt
import enum
import hashlib
from typing import Any

from vulcan_contract import words
from vulcan_contract.result import ModelChange, PlanSummary
from vulcan_operator.api import environment_status as statuses
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment import EnvironmentSpec, VulcanEnvironment
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.rules import approval
from vulcan_operator.plan.tasks import config_maps, values
from vulcan_operator.plan.tasks.life import Ended

REPORT_KEY = "report.json.gz"


def report_name(owner: VulcanEnvironment | VulcanPromotion, digest: str, sha256: str) -> str:
    """ConfigMap with the report of a plan: by the plan and by its own content."""
    return f"{owner.metadata.name}-plan-{digest.removeprefix('sha256:')[:12]}-{sha256[:8]}"


def plan_status(
    owner: VulcanEnvironment | VulcanPromotion,
    ended: Ended,
    rules: EnvironmentSpec,
    operations: tuple[str, ...],
    now: dt.datetime,
    *,
    environment: str,
    image: str,
    number: int,
    revision: str,
    source_digest: str,
) -> statuses.PlanStatus:
    """What a plan task has found, as its owner's status has it; see `approval.token` for what an
    approval of it is bound to."""
    summary, sha = ended.result.summary, ended.result.report_sha256
    assert summary is not None
    plan = statuses.PlanStatus(
        digest="",
        number=number,
        ordered=ended.task.since,
        image=values.pinned(image, ended.image)[:512],
        state="Pending" if summary.has_changes else "NoChanges",
        inputs=ended.task.inputs,
        target=summary.target,
        base=summary.base,
        revision=revision,
        source_digest=source_digest,
        time=now,
        adopted=summary.adopted,
        operations=list(operations),
        summary=summary_status(summary),
    )
    if sha and summary.has_changes:
        plan = plan.but(report_ref=statuses.ReportRef(name="report", sha256=sha))
    digest = approval.token(environment, plan, rules)
    if plan.report_ref is not None:
        name = report_name(owner, digest, plan.report_ref.sha256)
        plan = plan.but(report_ref=plan.report_ref.but(name=name))
    return plan.but(digest=digest)


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


class Report(enum.Enum):
    """What became of the report that people look at before they approve."""

    KEPT = enum.auto()
    GONE = enum.auto()
    TAMPERED = enum.auto()  # another one is in its place


def report_of(plan: statuses.PlanStatus, namespace: str, live: Live) -> Report:
    """Whether a plan's report is still there, as its Job wrote it."""
    if plan.report_ref is None:
        return Report.KEPT
    content = live.config_map(namespace, plan.report_ref.name)
    if content is None:
        return Report.GONE
    found = hashlib.sha256(content.get(REPORT_KEY, b"")).hexdigest()
    is_it = found == plan.report_ref.sha256 and not plan.tampered
    return Report.KEPT if is_it else Report.TAMPERED


def tampered(plan: statuses.PlanStatus, namespace: str) -> Verdict:
    """Nobody knows what people have looked at when they approved."""
    name = plan.report_ref.name if plan.report_ref is not None else ""
    message = (
        f"ConfigMap {namespace}/{name} is not the report that the plan's Job wrote (sha256 in"
        " status.plan.reportRef): somebody has replaced it, and approvals of this plan do not"
        " count. Find out who; then delete the ConfigMap, so that it is planned again"
    )
    return Verdict("False", Why.REPORT_TAMPERED, message, stalled=True)


def report_manifest(
    of: VulcanEnvironment | VulcanPromotion, name: str, packed: bytes
) -> dict[str, Any]:
    """A report (gzipped JSON) as an immutable ConfigMap that belongs to the object it tells of."""
    kind = "VulcanPromotion" if isinstance(of, VulcanPromotion) else "VulcanEnvironment"
    meta, binary = of.metadata, {REPORT_KEY: base64.b64encode(packed).decode()}
    return config_maps.immutable(meta, meta.namespace, name, owner=kind, binaryData=binary)
