"""What the steps of an environment are asked with, and their answers as a row can state them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests import builders
from tests.builders import NOW
from tests.unit.plan import seen_objects
from tests.unit.plan.seen_objects import facts
from vulcan_contract import digest
from vulcan_contract import task as contract
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Result
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.environment_status import AppliedStatus, EnvironmentStatus, RevisionStatus
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.plan.core.actions import Need, ReadConfigMap
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.facts import Claim
from vulcan_operator.plan.core.moves import Move, Order, Site, Wait
from vulcan_operator.plan.core.needs import Live, Unread
from vulcan_operator.plan.environments.context import Context
from vulcan_operator.plan.environments.step import Step
from vulcan_operator.plan.tasks import values
from vulcan_operator.plan.tasks.life import Ended, Extras

FILES = {"config.yaml": b"x", "models__a.sql": b"y"}
FILES_DIGEST = digest.of_files({"config.yaml": b"x", "models/a.sql": b"y"})
PROJECT = ReadConfigMap("data", "project")
READ: Mapping[Need, Any] = {PROJECT: FILES}
SITE = Site(facts(), "runner:1")
NO_FLOOR = {"approval": {"mode": "Never"}}
PROTECTED = {
    "grants": [
        {
            "namespaces": {"from": "Same"},
            "environments": ["*"],
            "protected": True,
            "minimum": NO_FLOOR,
        }
    ]
}

Answer = Move | frozenset[Need]


def later(**time: float) -> dt.datetime:
    """So long after NOW."""
    return NOW + dt.timedelta(**time)


def context(
    read: Mapping[Need, Any] = READ,
    *,
    now: dt.datetime = NOW,
    status: EnvironmentStatus | None = None,
    asked: Mapping[str, str] | None = None,
    gateway: VulcanGateway | None = None,
    claims: Iterable[Claim] = (),
    seen: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Context:
    """One environment and the time; `read`: what was read live, `asked`: annotations."""
    found = seen_objects.env(status=status.to_json() if status is not None else None, **spec)
    found = found.but(metadata=found.metadata.but(annotations=dict(asked or {})))
    return Context(seen_objects.seen(found, gateway, claims, live=Live(read), **(seen or {})), now)


def requested(what: str = "plan", answer: str = "1") -> dict[str, str]:
    """The annotation that asks for a plan or a run."""
    return {names.PLAN_REQUESTED if what == "plan" else names.RUN_REQUESTED: answer}


def revision(spec: Context, **fields: Any) -> RevisionStatus:
    """What the project of this context was resolved to."""
    assert spec.spec.project is not None
    inputs = values.project_inputs(spec.spec.project)
    return RevisionStatus(
        **{"resolved": "project", "digest": FILES_DIGEST, "inputs": inputs, **fields}
    )


def applied(inputs: str = "i", **fields: Any) -> AppliedStatus:
    """What an environment has since NOW."""
    default = {"revision": "r", "source_digest": "d", "plan_id": "p1", "time": NOW}
    return AppliedStatus(**{**default, "inputs": inputs, **fields})


def current(kind: TaskKind, inputs: str = "i", **fields: Any) -> TaskStatus:
    """A task that was announced."""
    return TaskStatus(**{"kind": kind, "job": "j", "inputs": inputs, "since": NOW, **fields})


def ended(
    kind: TaskKind, reason: Reason = Reason.SUCCEEDED, *, task: Any = None, **result: Any
) -> Ended:
    """The end of a task of this kind; `task`: fields of its TaskStatus."""
    packed = result.pop("packed", None)
    return Ended(current(kind, **(task or {})), Result(kind, reason, **result), packed)


def ordered(kind: TaskKind, inputs: str, why: str, **fields: Any) -> Order:
    """The Order of a task on the gateway of `context`."""
    return Order(kind, inputs, why, SITE, **fields)


def held(
    reason: str, ready: str = "False", *, until: dt.datetime | None = None, **fields: Any
) -> Wait:
    """A Wait without its message; `settles` beside the flags of the verdict."""
    settles = fields.pop("settles", {})
    return Wait(Verdict(ready, reason, **fields), until, settles)


def answer(step: Step, status: EnvironmentStatus, context: Context) -> Answer:
    """What a step answers, a Wait without its message; or what it has to read first."""
    try:
        move = step.next(status, context)
    except Unread as unread:
        return unread.needs
    return (
        replace(move, verdict=replace(move.verdict, message="")) if isinstance(move, Wait) else move
    )


def message(step: Step, status: EnvironmentStatus, context: Context) -> str:
    """The message of a Wait."""
    move = step.next(status, context)
    assert isinstance(move, Wait)
    return move.verdict.message


def base(kind: TaskKind) -> contract.Task:
    """The Task as every Job of this kind gets it."""
    return contract.Task(
        kind, "j", "n", values.gateway_of(SITE, seen_objects.SETTINGS, planning=False)
    )


def filled(
    step: Step, context: Context, status: EnvironmentStatus, inputs: str = "i"
) -> Extras | None:
    """What the Job of a step gets."""
    return step.task(base(step.kind), current(step.kind, inputs), status, context)


def stamp(moment: dt.datetime) -> str:
    """RFC 3339."""
    return builders.stamp(moment)
