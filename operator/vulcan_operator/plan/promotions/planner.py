"""plan_promotion: everything seen of a VulcanPromotion -> its new status and what to do. Pure.

Called by `reconcile` only. Current tasks are inspected and, when ended, judged by their steps; then
the preconditions say whether anything may go on; then the steps are walked through in their order,
from the first that has not ended. A promotion is a record: what is over stays as it is.
"""

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import assert_never

from vulcan_contract.tasks import TaskKind
from vulcan_operator.api.promotion_status import Outcome, PromotionStatus, StepName, StepState
from vulcan_operator.plan.core.actions import KeepJob, Plan
from vulcan_operator.plan.core.conditions import Verdict
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.moves import Done, Order, Wait
from vulcan_operator.plan.core.needs import answering
from vulcan_operator.plan.core.world import PromotionSeen
from vulcan_operator.plan.promotions import conditions, ending, evidence, preconditions
from vulcan_operator.plan.promotions.ending import Walk
from vulcan_operator.plan.promotions.lane import Going, StepLane, begin, change, end, replanned
from vulcan_operator.plan.promotions.route import Case, Route
from vulcan_operator.plan.promotions.step import Again, Judged, Step, closed
from vulcan_operator.plan.promotions.steps import BACK, FORWARD, STEPS, Stage
from vulcan_operator.plan.promotions.steps.approval import under_rules_of_today
from vulcan_operator.plan.rules import messages, schedule
from vulcan_operator.plan.tasks import life, retention, slot
from vulcan_operator.plan.tasks.jobs import Progress

_MINUTE = dt.timedelta(minutes=1)
_THERE = Done(StepState.SKIPPED, "the target has this revision already")


def plan_promotion(seen: PromotionSeen, now: dt.datetime) -> Plan[PromotionStatus]:
    """The Plan for one promotion."""
    return answering(seen.promotion.status, lambda: _plan(Case(seen, now)).finish())


def _plan(case: Case) -> Draft[PromotionStatus]:
    seen, draft = case.seen, Draft(case.promotion.status)
    verdict: Verdict | None = None
    if seen.live.denied is not None:
        hosts = [g.metadata.namespace for g in (seen.gateway, seen.source_gateway) if g is not None]
        account = seen.settings.operator_account
        refused = messages.refusal(seen.live.denied, account, hosts or [case.key.namespace])
        return ending.give_up(conditions.finish(draft, case, refused, {}), case)
    draft, going = _settle(draft, case)
    if draft.status.outcome is None:
        walk = _advance if case.meta.deletion_timestamp is None else _cancel
        draft, verdict = walk(draft, case, going)
    draft = ending.drop_leftovers(ending.stop(draft, case, going), case)
    draft = ending.remove_finalizer(_tidy(draft, case), case)
    return evidence.leave(conditions.finish(draft, case, verdict, going), case)


def _tidy(draft: Draft[PromotionStatus], case: Case) -> Draft[PromotionStatus]:
    """The last Jobs of each task stay until it is over: people who decide look at their logs,
    however long that takes."""
    route, over = case.route(draft.status), draft.status.outcome is not None
    current = {task.job for task in draft.status.tasks}
    for site in route.sites if route is not None else ():
        here = tuple(j for j in case.seen.jobs if j.namespace == site.namespace)
        policy = life.site_policy(site)
        expired = retention.expired_jobs(here, case.seen.pods, current, policy, case.now)
        draft = draft.after_status(*(a for a in expired if over or not isinstance(a, KeepJob)))
    return draft


def _pass(case: Case) -> life.Pass:
    seen = case.seen
    return life.Pass(case.key, case.meta, seen.settings, seen.jobs, seen.pods, seen.live, case.now)


def _settle(draft: Draft[PromotionStatus], case: Case) -> tuple[Draft[PromotionStatus], Going]:
    """Every current task inspected, and judged where it has ended."""
    going: dict[StepName, Progress] = {}
    for step in draft.status.steps if draft.status.outcome is None else ():
        if step.task is None:
            continue
        name, route = StepName(step.name), case.route(draft.status)
        site = route.site(step.task.gateway) if route is not None else None
        namespace, _ = step.task.place
        judge = partial(_judge, name=name, case=case)
        draft, progress = life.settle(draft, StepLane(name), site, namespace, _pass(case), judge)
        if progress is not None:
            going[name] = progress
    # A step that has ended may have had others removed: what they look at has moved.
    return draft, {name: going[name] for name in going if draft.status.find(name) is not None}


def _judge(
    draft: Draft[PromotionStatus], ended: life.Ended, name: StepName, case: Case
) -> Draft[PromotionStatus]:
    step, route = STEPS[name], case.route(draft.status)
    if route is not None:
        judged = step.judge(draft.status, route, ended)
    else:
        judged = Judged(step.judge_blind(draft.status, case, ended))
    note = conditions.note(judged.status, name, ended.task, ended.result)
    return draft.with_new(judged.status).before_status(*judged.kept).noting(note)


def _cancel(draft: Draft[PromotionStatus], case: Case, going: Going) -> Walk:
    """Deleted under way. The step that may have left the views half changed is finished first."""
    name, route = ending.unfinished(draft.status, case, going), case.route(draft.status)
    if name is None or route is None:
        return ending.cancel(draft, case, going)
    return _stage(draft, route, going, (STEPS[name],))


def _advance(draft: Draft[PromotionStatus], case: Case, going: Going) -> Walk:
    """Walks on until tasks are started, something is waited for, or it is over."""
    found = preconditions.check(draft.status, case)
    superseded = ending.superseded(draft, case)
    if superseded is not None:
        return superseded, None
    if isinstance(found, Verdict):
        # Changes of what is seen wake it; labels are not watched.
        soon = _MINUTE if found.reconciling else 10 * _MINUTE
        return ending.idle(draft, going).again(case.now + soon), None if going else found
    if draft.status.started_at is None:
        draft = draft.with_status(started_at=case.now)
    return _walk(ending.superseding(draft, case), found, going)


def _walk(draft: Draft[PromotionStatus], route: Route, going: Going, again: bool = False) -> Walk:
    draft = draft.with_new(under_rules_of_today(draft.status, route))
    plans, verdict = draft.status.plans, None
    for stage in _stages(draft.status, route):
        draft, verdict = _stage(draft, route, going, stage)
        if draft.status.outcome is not None:
            return draft, verdict
        route = route.route(draft.status) or route  # Resolve has settled how both ends relate
        if draft.status.plans != plans:  # a step has said Again
            if again:
                return draft.again(route.now), None
            return _walk(draft, route, going, again=True)
        if not all(_has_ended(draft.status, step) for step in stage):
            return draft, verdict
    return draft.with_new(end(draft.status, Outcome.SUCCEEDED, route.now)), None


def _stages(status: PromotionStatus, route: Route) -> tuple[Stage, ...]:
    if route.is_back:
        return BACK
    return BACK[1:] if status.rollback is not None else FORWARD


def _has_ended(status: PromotionStatus, step: Step) -> bool:
    known = status.find(step.name)
    return known is not None and known.has_ended


def _stage(draft: Draft[PromotionStatus], route: Route, going: Going, stage: Stage) -> Walk:
    """Every step of a stage that has not ended and has no task that goes on; the verdict is that of
    the first that waits."""
    first: Verdict | None = None
    for step in stage:
        if step.name in going or _has_ended(draft.status, step):
            continue
        verdict: Verdict | None = None
        asked = step.runs_even_there or not draft.status.is_there
        move = step.next(draft.status, route) if asked else _THERE
        match move:
            case Done(settles=settles, until=until):
                draft = draft.with_status(**settles).again(until)
                draft = draft.with_new(closed(draft.status, step.name, route, move))
                if draft.status.outcome is not None:
                    return draft, None
            case Wait(verdict=verdict, settles=settles, until=until):
                draft = draft.with_status(**settles).again(until)
                status = begin(
                    draft.status, step.name, route.now, reason=verdict.reason,
                    state=StepState.WAITING, message=verdict.message[:1024], task=None,
                )  # fmt: skip
                draft = draft.with_new(status)
            case Again():
                return draft.with_new(replanned(draft.status)), None
            case Order():
                draft, verdict = _order(draft.with_status(**move.settles), step, move, route)
            case _:
                assert_never(move)
        first = first or verdict
    return draft, first


def _order(draft: Draft[PromotionStatus], step: Step, order: Order, route: Route) -> Walk:
    """A task is started, or waits: for its next attempt, another step, or the writer slot."""
    status, name, now = draft.status, step.name, route.now
    lane, observed = StepLane(name), route.promotion.status.find(name)
    failed = lane.failure(status)
    if failed is not None and (failed.task, failed.inputs) == (order.kind, order.inputs):
        again = schedule.retry_time(failed, route.target.spec.retry)
        if again is not None and again > now:
            waiting = draft.with_new(change(status, name, task=None))
            return waiting.again(again), messages.failing(failed, again)
    if slot.needs_slot(order.kind, order.site.gateway) and _is_busy(status, name, order):
        message = "another step is at work on this gateway, which lets one in at a time"
        waiting = draft.with_new(begin(status, name, now, state=StepState.PENDING, message=message))
        return waiting, None
    draft = draft.with_new(begin(status, name, now))
    begun = ending.add_finalizer(draft, route) if step.needs_finalizer(route) else draft
    before = observed.task if observed is not None else None
    fill = partial(step.task, status=draft.status, route=route)
    started = life.start(begun, lane, order, before, step.rank, fill, _pass(route))
    match started:
        case life.Started(announced):
            return announced, None
        case life.Queued(queued):  # no Job yet that could leave anything
            return replace(queued, prepare=draft.prepare), None
        case life.Outdated():
            return draft, None
        case _:
            assert_never(started)


def _is_busy(status: PromotionStatus, name: StepName, order: Order) -> bool:
    """Whether another step of this promotion needs the same writer slot: one object has one place
    in a queue."""
    others = (s.task for s in status.steps if s.name != name and s.task is not None)
    here = (task for task in others if task.gateway == order.site.name)
    return any(slot.needs_slot(TaskKind(task.kind), order.site.gateway) for task in here)
