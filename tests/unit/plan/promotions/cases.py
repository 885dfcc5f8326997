"""A promotion from staging to prod as its steps see it, for tables without World."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, env, facts
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import Need
from vulcan_operator.plan.core.facts import EnvironmentFacts
from vulcan_operator.plan.core.moves import Done, Move, Order, Wait
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.world import PromotionSeen
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.promotions.step import Step
from vulcan_operator.plan.rules.promotion_facts import promotion_facts
from vulcan_operator.plan.tasks.life import Ended, Extras

HOUR = dt.timedelta(hours=1)
APPLIED = {
    "revision": "new", "sourceDigest": "d-new", "inputs": "i", "planId": "p-new", "planDigest": "x", "testsRun": 3,
    "time": builders.stamp(NOW),
}  # fmt: skip
HAD = {**APPLIED, "revision": "old", "sourceDigest": "d-old", "planId": "p-old"}
SOURCE = {
    "environment": "staging",
    "gateway": "data/warehouse",
    "planId": "p-new",
    "revision": "new",
}
TARGET = {"environment": "prod", "gateway": "data/warehouse", "planId": "p-old", "revision": "old"}
PREVIOUS = {"revision": "old", "sourceDigest": "d-old", "planId": "p-old"}
PLAN = {
    "digest": "sha256:" + "a" * 64, "number": 1, "state": "Pending", "inputs": "i", "target": "t", "base": "b",
    "revision": "new", "sourceDigest": "d-new", "time": builders.stamp(NOW), "summary": {"text": "1 added"},
}  # fmt: skip
RESOLVED = {
    "relation": "SameSystem", "revision": "new", "sourceDigest": "d-new", "source": SOURCE, "target": TARGET,
    "previous": PREVIOUS, "startedAt": builders.stamp(NOW),
}  # fmt: skip
GIT = {"kind": "Git", "url": "https://git.acme.com/a.git", "commit": "c" * 40, "path": "."}
ACROSS = {
    **RESOLVED,
    "relation": "AcrossSystems",
    "source": {**SOURCE, "gateway": "data/lab"},
    "origin": GIT,
}


def promotion(
    name: str = "to-prod", *, minutes: int = 0, status: dict[str, Any] | None = None, **spec: Any
) -> VulcanPromotion:
    """A VulcanPromotion, created so many minutes after NOW."""
    raw = builders.promotion(name, **spec)
    created = builders.stamp(NOW + dt.timedelta(minutes=minutes))
    meta = {
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": created,
    }
    return VulcanPromotion.model_validate(
        {**raw, "metadata": {**meta, **raw["metadata"]}, "status": status or {}}
    )


def back(**rollback_to: str) -> dict[str, Any]:
    """The spec of a rollback by hand."""
    return {"from": None, "rollbackTo": rollback_to}


def status(*steps: dict[str, Any], **fields: Any) -> PromotionStatus:
    """The status behind Resolve, with these steps."""
    return PromotionStatus.model_validate({**RESOLVED, "steps": list(steps), **fields})


def side(name: str, applied: dict[str, Any] | None, **fields: Any) -> EnvironmentFacts:
    """An environment on either side."""
    known = {"applied": applied} if applied else {}
    found = EnvironmentFacts.of(env(name, status={**known, **fields.pop("status", {})}, **fields))
    return dataclasses.replace(
        found, metadata=dataclasses.replace(found.metadata, uid=f"uid-{name}")
    )


def seen(
    mine: VulcanPromotion | None = None, *rivals: VulcanPromotion, target: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None, had: dict[str, Any] | None = HAD, has: dict[str, Any] | None = APPLIED,
    across: bool = False, live: dict[Need, Any] | None = None, gateway: dict[str, Any] | None = None, **fields: Any,
) -> PromotionSeen:  # fmt: skip
    """What plan_promotion sees; `had`, `has`: what target and source have applied."""
    managed = {"revisionFrom": "Promotion", "project": None, **(target or {})}
    there, here = facts(**(gateway or {})), facts("lab")
    lab = dataclasses.replace(here, metadata=dataclasses.replace(here.metadata, uid="uid-lab"))
    default = {
        "target": side("prod", had, **managed), "source": side("staging", has, **(source or {})),
        "gateway": there, "source_gateway": lab if across else there,
        "rivals": tuple(map(promotion_facts, rivals)), "live": Live(live or {}), "unguarded": (),
    }  # fmt: skip
    return PromotionSeen(mine or promotion(), SETTINGS, **{**default, **fields})


def route(
    found: PromotionStatus, spec: dict[str, Any] | None = None, *rivals: VulcanPromotion, now: dt.datetime = NOW,
    **fields: Any,
) -> Route:  # fmt: skip
    """The way of a promotion with this spec."""
    way = Case(seen(promotion(**(spec or {})), *rivals, **fields), now).route(found)
    assert way is not None
    return way


def told(move: Move) -> tuple[str, str]:
    """A Move as rows show it: its class, and what it says."""
    match move:
        case Done():
            return f"Done {move.state}", move.message
        case Wait():
            return f"Wait {move.verdict.reason}", move.verdict.message
        case Order():
            return f"Order {move.kind} on {move.site.name}", move.inputs
    return "Again", ""


def ask(
    step: Step,
    found: PromotionStatus | None = None,
    spec: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[str, str]:
    """What a step answers."""
    found = found or status()
    return told(step.next(found, route(found, spec, **fields)))


def extras(
    step: Step, found: PromotionStatus, spec: dict[str, Any] | None = None, **fields: Any
) -> Extras:
    """What the Job of a step gets, as ordered."""
    way = route(found, spec, **fields)
    order = step.next(found, way)
    assert isinstance(order, Order)
    owner = contract.Owner("c", "data", "warehouse")
    base = contract.Task(
        order.kind, "j", "n", contract.Gateway("w", contract.Connection("postgres"), owner)
    )
    current = TaskStatus(
        kind=order.kind, job="j", inputs=order.inputs, since=NOW, gateway=order.site.name
    )
    return step.task(base, current, found, way)


def ended(
    kind: str,
    reason: Reason = Reason.SUCCEEDED,
    message: str = "",
    packed: bytes | None = None,
    **fields: Any,
) -> Ended:
    """The end of a task of this kind."""
    task = TaskStatus(
        kind=kind, job="j", inputs="i", since=NOW, gateway=fields.pop("gateway", "data/warehouse")
    )
    return Ended(task, Result(kind, reason, message, **fields), packed)


def judged(
    step: Step,
    end: Ended,
    found: PromotionStatus | None = None,
    spec: dict[str, Any] | None = None,
    **fields: Any,
) -> PromotionStatus:
    """The status with the end of the step's task in it."""
    running = {"name": step.name, "state": "Running", "job": "j", "task": end.task.to_json()}
    before = found or status()
    before = before.but(
        steps=[*before.steps, *PromotionStatus.model_validate({"steps": [running]}).steps]
    )
    return step.judge(before, route(before, spec, **fields), end).status


def results(found: PromotionStatus, step: Step) -> Sequence[str | None]:
    """State of a step, and how the promotion ended."""
    known = found.find(step.name)
    return (known.state if known is not None else None, found.outcome)
