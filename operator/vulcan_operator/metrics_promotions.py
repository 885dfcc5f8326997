"""Series of promotions and of what environments remember of them, for the collector in `metrics`.

Promotions are records that stay for years, so one has series of its own only until it ends. After
that its environment counts it, as long as it is in that environment's history. Pure.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.fields import ObjectMeta, ObjectRef
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import Outcome

_PLACE = ("namespace", "name")


def series(
    promotions: Iterable[VulcanPromotion], environments: list[VulcanEnvironment], now: dt.datetime
) -> Iterator[Metric]:
    """Return all families."""
    yield from _open((p for p in promotions if p.status.outcome is None), now)
    yield from _remembered(
        e for e in environments if e.spec.revision_from == "Promotion" or e.status.promotions
    )
    yield _targets(environments)


def _open(promotions: Iterable[VulcanPromotion], now: dt.datetime) -> Iterator[Metric]:
    """Return the series of promotions in progress; `target` is an environment: namespace/name."""
    labels = (*_PLACE, "gateway", "target")
    about = "1 for the current step of a promotion in progress."
    step = _family("vulcan_promotion_step", about, *labels, "step")
    about = "Time since a promotion in progress has started."
    age = _family("vulcan_promotion_age_seconds", about, *labels)
    about = "Time that a promotion in progress has waited for approval."
    waits = _family("vulcan_promotion_pending_approval_seconds", about, *labels)
    for promotion in promotions:
        meta, status = promotion.metadata, promotion.status
        gateway = status.target.gateway if status.target else ""
        target = _place(promotion.spec.to.environment_ref, meta)
        place = [meta.namespace, meta.name, gateway, target]
        if status.step is not None:
            step.add_metric([*place, status.step], 1)
        if status.started_at is not None:
            age.add_metric(place, (now - status.started_at).total_seconds())
        for condition in status.conditions:
            if condition.type == "AwaitingApproval" and condition.status == "True":
                waits.add_metric(place, (now - condition.last_transition_time).total_seconds())
    yield from (step, age, waits)


def _remembered(environments: Iterable[VulcanEnvironment]) -> Iterator[Metric]:
    about = "Promotions in status.promotions of the environment, by outcome."
    ended = _family("vulcan_environment_promotions", about, *_PLACE, "gateway", "outcome")
    about = "Time when the last promotion to the environment ended, with its outcome."
    name = "vulcan_environment_last_promotion_timestamp_seconds"
    last = _family(name, about, *_PLACE, "outcome")
    about = "Revisions that were rolled back and are refused until their hold is lifted."
    held = _family("vulcan_environment_held_revisions", about, *_PLACE)
    for environment in environments:
        meta, status = environment.metadata, environment.status
        place, gateway = [meta.namespace, meta.name], _place(environment.spec.gateway_ref, meta)
        count = Counter(item.outcome for item in status.promotions)
        for outcome in Outcome:
            ended.add_metric([*place, gateway, outcome.value], count[outcome.value])
        if status.promotions:
            newest = status.promotions[0]
            last.add_metric([*place, newest.outcome], newest.finished_at.timestamp())
        held.add_metric(place, len(status.held))
    yield from (ended, last, held)


def _targets(environments: Iterable[VulcanEnvironment]) -> Metric:
    about = "Earlier revisions that a view swap can restore."
    family = _family("vulcan_environment_rollback_targets", about, *_PLACE)
    for environment in environments:
        meta, status = environment.metadata, environment.status
        if status.applied is not None:
            there = sum(target.state == "Available" for target in status.rollback_targets)
            family.add_metric([meta.namespace, meta.name], there)
    return family


def _family(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)


def _place(reference: ObjectRef, meta: ObjectMeta) -> str:
    return f"{reference.namespace or meta.namespace}/{reference.name}"
