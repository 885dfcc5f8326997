"""Words for more than one kind: missing rights, suspension, failures, revisions. Pure."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Protocol

from vulcan_contract import times
from vulcan_contract.reasons import Reason
from vulcan_contract.task import TaskKind
from vulcan_operator.api.conditions import Type, Why
from vulcan_operator.api.fields import Condition, FailureStatus
from vulcan_operator.plan.core.conditions import Verdict, condition, is_true
from vulcan_operator.plan.core.decision import Draft

_WHERE = re.compile(r'in the namespace "([^"]+)"')  # the API server's words


def refusal(answer: str, operator_account: str, hosts: Sequence[str]) -> Verdict:
    """Missing rights with the command that gives them; anything else (quota, admission) in the API
    server's words. `hosts`: namespaces of gateways; the first is meant if the answer names none."""
    account = operator_account.removeprefix("system:serviceaccount:").partition(":")
    named = _WHERE.search(answer)
    where = named.group(1) if named is not None else hosts[0]
    if " cannot " not in answer:
        refused = f"the API server refuses what the operator does in namespace {where}"
        message = f"{refused}; tried again: {answer[:600]}"
        return Verdict("False", Why.NOT_AUTHORIZED, message, reconciling=True)
    role = "vulcan-gateway" if where in hosts else "vulcan-environment"
    message = (
        f"the operator may not work in namespace {where}: kubectl create rolebinding"
        f" vulcan-operator --clusterrole={role} --serviceaccount={account[0]}:{account[2]}"
        f" --namespace={where} ({answer[:300]})"
    )
    return Verdict("False", Why.NOT_AUTHORIZED, message, stalled=True)


def still_refused(
    draft: Draft[Any], conditions: list[Condition], denied: str | None
) -> Verdict | None:
    """What was refused is tried again in this pass: Ready changes only when that has worked."""
    old = condition(conditions, Type.READY)
    if denied is not None or old is None or old.reason != Why.NOT_AUTHORIZED or not draft.actions:
        return None
    stalled = is_true(conditions, Type.STALLED)
    return Verdict(old.status, old.reason, old.message, reconciling=not stalled, stalled=stalled)


class Suspendable(Protocol):
    """A spec with suspend, suspendReason and suspendUntil."""

    @property
    def suspend(self) -> bool: ...
    @property
    def suspend_reason(self) -> str | None: ...
    @property
    def suspend_until(self) -> dt.datetime | None: ...


def is_suspended(spec: Suspendable, now: dt.datetime) -> bool:
    """Whether it is suspended now."""
    return spec.suspend and (spec.suspend_until is None or spec.suspend_until > now)


def suspension(spec: Suspendable, since: dt.datetime | None) -> str:
    """Since when, until when and why."""
    began = f" since {times.to_minute(since)}" if since is not None else ""
    ends = f" until {times.to_minute(spec.suspend_until)}" if spec.suspend_until else ""
    return f"suspended{began}{ends}" + (f": {spec.suspend_reason}" if spec.suspend_reason else "")


def unguarded(missing: tuple[str, ...] | None) -> Verdict | None:
    """What is protected relies on approvals: they count only while the API server guards them."""
    if missing == ():
        return None
    message = "checking that the API server guards approvals"
    if missing is not None:
        said = (
            f"the API server does not guard approvals and their rules ({'; '.join(missing)[:2048]})"
        )
        message = f"{said}: apply deploy/policies.yaml of the operator's release"
    return Verdict("False", Why.UNPROTECTED, message, reconciling=True)


def failing(failure: FailureStatus, again: dt.datetime | None) -> Verdict:
    """How a failure shows in Ready; a run that is given up is not stalled: the next will be due."""
    if again is not None:
        message = f"{failure.message} Next attempt at {times.to_second(again)}."
        return Verdict("False", failure.reason, message, reconciling=True)
    if failure.task == TaskKind.RUN and failure.reason != Reason.MANUAL_CHECK:
        return Verdict("False", Why.RUN_FAILED, f"{failure.reason}: {failure.message}")
    return Verdict("False", failure.reason, failure.message, stalled=True)


def named(revision: str, digest: str) -> str:
    """A revision for people. The files of a ConfigMap may change: it is named with their digest."""
    shown = short(revision)
    stable = shown != revision or "@sha256:" in revision or not digest
    return shown if stable else f"{shown} ({digest.removeprefix('sha256:')[:8]})"


def short(revision: str) -> str:
    """A commit's first twelve digits; other revisions as they are."""
    return revision[:12] if len(revision) in (40, 64) and revision.isalnum() else revision
