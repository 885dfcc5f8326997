"""What a step of any kind can answer with. Pure data; made by steps, carried out by their planner.

`settles` of each: fields of the status that the answer decides, whatever comes of it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vulcan_contract.task import TaskKind
from vulcan_operator.api.connection import GrantConnections
from vulcan_operator.api.promotion_status import StepState
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.facts import GatewayFacts, TaskFacts
from vulcan_operator.plan.core.seen import Waiter


@dataclass(frozen=True)
class Site:
    """Where Jobs run: a gateway, the runner image there, and who else works or waits on it."""

    gateway: GatewayFacts
    image: str
    waiters: tuple[Waiter, ...] = ()  # others only
    tasks: tuple[TaskFacts, ...] = ()
    connections: GrantConnections | None = None  # instead of the gateway's

    @property
    def namespace(self) -> str:
        """Namespace of the gateway, and of its Jobs."""
        return self.gateway.metadata.namespace

    @property
    def name(self) -> str:
        """The gateway as namespace/name."""
        return self.gateway.metadata.full_name


@dataclass(frozen=True)
class Done:
    """The step has nothing left to do. Of a promotion: how it ended, with its evidence."""

    state: StepState = StepState.SUCCEEDED
    message: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    settles: Mapping[str, Any] = field(default_factory=dict)
    until: dt.datetime | None = None  # when to look again at the latest


@dataclass(frozen=True)
class Order:
    """A task is to run, and its result judges the step."""

    kind: TaskKind
    inputs: str  # digest of what it is made from, 16 hex digits
    why: str
    site: Site
    request: str | None = None  # the request annotation that it answers
    due: dt.datetime | None = None
    settles: Mapping[str, Any] = field(default_factory=dict)
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Wait:
    """The step waits, and until when at the longest."""

    verdict: Verdict
    until: dt.datetime | None = None
    settles: Mapping[str, Any] = field(default_factory=dict)


Move = Done | Order | Wait
