"""Everything a planner looks at, as one frozen value. Made by `reconcile.observe`."""

import datetime as dt
from dataclasses import dataclass

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core import facts
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import Jobs, Pods, Settings, Waiter

NOTHING_READ, NO_CLAIMS = Live(), facts.Claims()


@dataclass(frozen=True)
class GatewaySeen:
    """Everything `plan_gateway` looks at."""

    gateway: VulcanGateway
    settings: Settings
    live: Live = NOTHING_READ
    jobs: Jobs = ()
    pods: Pods = ()
    contacts: tuple[facts.Contact, ...] = ()  # of its environments
    tasks: tuple[facts.TaskFacts, ...] = ()  # of its environments, and of promotions that run here
    writer_pods: Pods = ()  # of those that run, while others wait for the slot
    waiters: tuple[Waiter, ...] = ()
    claims: facts.Claims = NO_CLAIMS  # of all environments on it
    taken_over: dt.datetime | None = None  # when a gateway that may have its state was last probed


@dataclass(frozen=True)
class EnvironmentSeen:
    """Everything `plan_environment` looks at."""

    environment: VulcanEnvironment
    settings: Settings
    gateway: facts.GatewayFacts | None = None
    live: Live = NOTHING_READ
    jobs: Jobs = ()
    pods: Pods = ()
    claims: facts.Claims = NO_CLAIMS  # of all on the gateway, any namespace
    waiters: tuple[Waiter, ...] = ()  # others only
    tasks: tuple[facts.TaskFacts, ...] = ()
    promotions: tuple[facts.PromotionFacts, ...] = ()  # all to it
    unguarded: tuple[str, ...] | None = None  # policies that do not hold; None: not judged yet


@dataclass(frozen=True)
class PromotionSeen:
    """Everything `plan_promotion` looks at."""

    promotion: VulcanPromotion
    settings: Settings
    live: Live = NOTHING_READ
    source: facts.EnvironmentFacts | None = None
    target: facts.EnvironmentFacts | None = None
    source_gateway: facts.GatewayFacts | None = None
    gateway: facts.GatewayFacts | None = None  # the target's
    rivals: tuple[facts.PromotionFacts, ...] = ()  # all others to the same target
    upstream: tuple[facts.PromotionFacts, ...] = ()  # all to the source
    jobs: Jobs = ()
    pods: Pods = ()
    waiters: tuple[Waiter, ...] = ()  # others only, at the target's gateway
    source_waiters: tuple[Waiter, ...] = ()  # the same at the source's
    tasks: tuple[facts.TaskFacts, ...] = ()  # at the target's gateway
    source_tasks: tuple[facts.TaskFacts, ...] = ()
    unguarded: tuple[str, ...] | None = None
