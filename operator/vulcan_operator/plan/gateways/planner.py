"""plan_gateway: everything seen of a VulcanGateway -> its complete new status and what to do. Pure.

A gateway is probed when its connections change, when asked, after failures and every
probe.interval; any Job of its environments that reached both databases counts as a probe. Called by
`reconcile` only.
"""

import datetime as dt

from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.gateway import GatewayStatus
from vulcan_operator.plan.core.actions import Key, Kind, Plan
from vulcan_operator.plan.core.decision import Draft, GatewayDraft
from vulcan_operator.plan.core.facts import GatewayFacts
from vulcan_operator.plan.core.moves import Order, Site
from vulcan_operator.plan.core.needs import answering
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.gateways import conditions, preempt
from vulcan_operator.plan.gateways.steps import STEPS, Step
from vulcan_operator.plan.rules.messages import is_suspended
from vulcan_operator.plan.tasks import life, retention, slot

_LANE: life.OwnLane[GatewayStatus] = life.OwnLane()


def plan_gateway(seen: GatewaySeen, now: dt.datetime) -> Plan[GatewayStatus]:
    """The Plan for one gateway."""
    return answering(seen.gateway.status, lambda: _plan(seen, now))


def _plan(seen: GatewaySeen, now: dt.datetime) -> Plan[GatewayStatus]:
    meta, site = seen.gateway.metadata, _site(seen)
    draft, progress = Draft(seen.gateway.status), None
    if seen.live.denied is not None:
        return conditions.finish(draft, seen, site, now, None).finish()
    if meta.deletion_timestamp is not None:
        return draft.finish()
    key = Key(Kind.GATEWAY, meta.namespace, meta.name)
    mine = life.Pass(key, meta, seen.settings, seen.jobs, seen.pods, seen.live, now)
    draft, progress = life.settle(
        draft, _LANE, site, meta.namespace, mine,
        lambda d, ended: STEPS[TaskKind(ended.task.kind)].judge(d, ended, seen, now),
    )  # fmt: skip
    if progress is None:
        draft = _advance(draft, seen, site, mine)
    current = {draft.status.task.job} if draft.status.task is not None else set()
    policy = life.site_policy(site)
    draft = draft.after_status(*retention.expired_jobs(seen.jobs, seen.pods, current, policy, now))
    draft = preempt.preempt(draft, seen, now)
    return conditions.finish(draft, seen, site, now, progress).finish()


def _site(seen: GatewaySeen) -> Site:
    image = seen.gateway.spec.runner.image or seen.settings.runner_image
    me = Kind.GATEWAY
    waiters = tuple(w for w in seen.waiters if w.key.kind is not me)
    return Site(GatewayFacts.of(seen.gateway), image, waiters, seen.tasks)


def _advance(draft: GatewayDraft, seen: GatewaySeen, site: Site, mine: life.Pass) -> GatewayDraft:
    """Starts the first task that is wanted."""
    if is_suspended(seen.gateway.spec, mine.now):
        return draft.with_status(task=None).again(seen.gateway.spec.suspend_until)
    for step in STEPS.values():
        move = step.next(draft.status, site, seen, mine.now)
        draft = draft.with_status(**move.settles).again(move.until)
        if isinstance(move, Order):
            return _start(draft, move, step, seen, mine)
    return draft.with_status(task=None)


def _start(
    draft: GatewayDraft, order: Order, step: Step, seen: GatewaySeen, mine: life.Pass
) -> GatewayDraft:
    observed, rank = seen.gateway.status.task, slot.Priority.PROTECTED_RUN
    match life.start(draft, _LANE, order, observed, rank, step.task, mine):
        case life.Started(started):
            return started
        case life.Queued(queued):
            return queued
        case life.Outdated():
            return draft.with_status(task=None)
