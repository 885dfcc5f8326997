"""Whether a plan may be applied: its token, what makes it need people, and what they said. Pure.

The token binds what the operator knows without asking project code: which environment, which plan
of it, which source, image and inputs, which report, under which rules. So an approval is for one
plan, once. What the plan's Job says of its content (target, base) is bound, too, but is a claim of
the code that is judged: it catches change, not malice. Who may approve is decided by the API server
(deploy/policies.yaml): `by` is the user who wrote it, with verb `approve`, and the author is who
created the object.
"""

import datetime as dt
import enum
from dataclasses import dataclass

from vulcan_contract import limits
from vulcan_contract.digest import of_json
from vulcan_operator.api import names
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment import EnvironmentSpec
from vulcan_operator.api.environment_status import PlanStatus, PlanSummaryStatus
from vulcan_operator.api.fields import ObjectMeta, parse_duration
from vulcan_operator.api.policy import ApprovalPolicy
from vulcan_operator.plan.tasks import values

_SHA = "sha256:"
ASKS = (Why.AWAITING, Why.AUTHOR_UNKNOWN)
"""Why a plan waits for people."""
_UNKNOWN = (
    "excludeAuthor is set and nobody knows who created this. Create it again, with"
    f" deploy/created-by applied or with annotation {names.CREATED_BY}: YOUR-USER-NAME (kubectl"
    " auth whoami); nobody can add it later"
)


_EARLIER = "it was planned by an earlier release, whose approvals do not count any more"


class Say(enum.Enum):
    """What the rules and people say of a plan."""

    GO = enum.auto()
    WAIT = enum.auto()
    NO = enum.auto()


@dataclass(frozen=True)
class Decision:
    """Verdict on a plan, with the reason for people."""

    say: Say
    why: str
    by: tuple[str, ...] = ()  # whose approvals count (or who rejected)
    reason: Why = Why.AWAITING  # for WAIT: what for


def token(environment: str, plan: PlanStatus, rules: EnvironmentSpec) -> str:
    """What an approval names: a plan as it was recorded, under the rules in force today.
    `environment`: uid of the object whose views it changes."""
    report = plan.report_ref.sha256 if plan.report_ref is not None else ""
    made_of = [plan.revision, plan.source_digest, plan.image, plan.inputs, list(plan.operations)]
    gates = [rules.plan.approval.to_json(), rules.plan.limits.to_json(), rules.checks.to_json()]
    claimed = [plan.target, plan.base]
    which = [environment, plan.number, plan.ordered.isoformat() if plan.ordered else ""]
    return f"{_SHA}{of_json([which, made_of, report, gates, claimed])}"


def token_today(environment: str, plan: PlanStatus, rules: EnvironmentSpec) -> str:
    """The token under the rules in force today. A plan of an earlier release that needs nobody's
    approval keeps its own: the Job that applies it is named by it."""
    if plan.number == 0 and not needs_people(plan, rules):
        return plan.digest
    return token(environment, plan, rules)


def apply_inputs(plan: PlanStatus) -> str:
    """Inputs of the task that applies a plan: 16 hex digits of its token."""
    return plan.digest.removeprefix(_SHA)[:16]


def author(metadata: ObjectMeta) -> str | None:
    """Who created an object; None when nobody knows."""
    return metadata.annotations.get(names.CREATED_BY) or None


def expires_at(plan: PlanStatus, policy: ApprovalPolicy) -> dt.datetime:
    """When votes on a plan come too late: it is planned again then."""
    return plan.time + parse_duration(policy.expire_after)


def decide(plan: PlanStatus, spec: EnvironmentSpec, author: str | None) -> Decision:
    """GO, WAIT or NO. One vote of Reject for this very plan rejects it, also the author's."""
    digest, policy = plan.digest.removeprefix(_SHA), spec.plan.approval
    votes = [a for a in spec.approvals if a.plan.removeprefix(_SHA) == digest]
    rejected = [a for a in votes if a.decision == "Reject"]
    if rejected:
        by, comment = rejected[0].by, rejected[0].comment
        why = f"{by} rejected it" + (f": {comment}" if comment else "")
        return Decision(Say.NO, why, tuple(a.by for a in rejected))
    causes = needs_people(plan, spec)
    if not causes:
        return Decision(Say.GO, f"approval is not needed (mode {policy.mode}, within the limits)")
    if plan.number == 0:
        causes.append(_EARLIER)
    without = policy.exclude_author
    if without and author is None:
        return Decision(Say.WAIT, f"{'; '.join(causes)}: {_UNKNOWN}", reason=Why.AUTHOR_UNKNOWN)
    approvers = {a.by for a in votes if a.decision == "Approve"}
    approved = tuple(sorted(approvers - {author} if without else approvers))
    missing = policy.count - len(approved)
    if missing <= 0:
        return Decision(Say.GO, f"approved by {', '.join(approved)}", approved)
    others = f", by others than {author}, who created it (excludeAuthor)" if without else ""
    why = f"{'; '.join(causes)}: {missing} approval{'s' if missing > 1 else ''} missing{others}"
    return Decision(Say.WAIT, why, approved)


def needs_people(plan: PlanStatus, spec: EnvironmentSpec) -> list[str]:
    """Why this plan needs people; empty: it does not."""
    causes = []
    approval, summary = spec.plan.approval, plan.summary
    if approval.mode == "Always":
        causes.append("every plan needs approval")
    if approval.mode == "OnRisk" and plan.operations:
        causes.append("it recomputes data (operations)")
    if approval.mode == "OnRisk":
        causes += [f"risk {risk}" for risk in approval.risks if _has_risk(summary, risk)]
    if plan.adopted:
        causes.append("the environment was not made by the operator")
    above = limits.exceeded(summary, values.limits_of(spec.plan))
    return causes + [f"{e.limit}: {_text(e.value)} above {e.most}" for e in above]


def _has_risk(summary: PlanSummaryStatus, risk: str) -> bool:
    destructive = summary.destructive or summary.destructive_count > 0 or summary.removed > 0
    backfill = summary.backfill_intervals > 0
    breaking = summary.breaking > 0
    return {"Breaking": breaking, "Destructive": bool(destructive), "Backfill": backfill}[risk]


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.1f}"


def approve_command(
    namespace: str, name: str, digest: str, *, is_first: bool, resource: str = "vulcanenvironment"
) -> str:
    """A complete command that adds one item. Not `kubectl apply --server-side`: on an object made
    by client-side apply that takes over every field, and the next approval would give them up
    (docs/decisions/0005)."""
    item = f'{{"plan":"{digest}","by":"\'"$U"\'"}}'
    add = f'{{"op":"add","path":"/spec/approvals/-","value":{item}}}'
    if is_first:  # there is no list yet; the test is for somebody who was quicker
        test = '{"op":"test","path":"/spec/approvals","value":null}'
        add = f'{test},{{"op":"add","path":"/spec/approvals","value":[{item}]}}'
    return (
        "U=$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}'); "
        f"kubectl patch {resource} {name} -n {namespace}"
        f" --field-manager=vulcan-approval-by-hand --type=json -p '[{add}]'"
    )
