"""Series of promotions and of what environments remember of them, for the collector in `metrics`.

Promotions are records that stay for years, so one has series of its own only until it ends. After
that its environment counts it, as long as it is in that environment's history. Pure.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.api.promotion_status import Outcome

_PLACE = ["namespace", "name"]


def series(
    promotions: Iterable[VulcanPromotion],
    environments: Iterable[VulcanEnvironment],
    now: dt.datetime,
) -> Iterator[Metric]:
    """Return all families."""
    yield from _open([p for p in promotions if p.status.outcome is None], now)
    yield from _remembered(
        [e for e in environments if e.spec.revision_from == "Promotion" or e.status.promotions]
    )
    yield _targets(environments)


def _open(promotions: list[VulcanPromotion], now: dt.datetime) -> Iterator[Metric]:
    """Return the series of promotions in progress; `target` is the VulcanEnvironment as namespace/name."""
    labels = [*_PLACE, "gateway", "target"]
    step = GaugeMetricFamily(
        "vulcan_promotion_step",
        "1 for the current step of a promotion in progress.",
        labels=[*labels, "step"],
    )
    age = GaugeMetricFamily(
        "vulcan_promotion_age_seconds",
        "Time since a promotion in progress has started.",
        labels=labels,
    )
    waits = GaugeMetricFamily(
        "vulcan_promotion_pending_approval_seconds",
        "Time that a promotion in progress has waited for approval.",
        labels=labels,
    )
    for promotion in promotions:
        meta, status = promotion.metadata, promotion.status
        place = [
            meta.namespace,
            meta.name,
            status.target.gateway if status.target else "",
            _target(promotion),
        ]
        if status.step is not None:
            step.add_metric([*place, status.step], 1)
        if status.started_at is not None:
            age.add_metric(place, (now - status.started_at).total_seconds())
        for condition in status.conditions:
            if condition.type == "AwaitingApproval" and condition.status == "True":
                waits.add_metric(place, (now - condition.last_transition_time).total_seconds())
    yield from (step, age, waits)


def _target(promotion: VulcanPromotion) -> str:
    reference = promotion.spec.to.environment_ref
    return f"{reference.namespace or promotion.metadata.namespace}/{reference.name}"


def _remembered(environments: list[VulcanEnvironment]) -> Iterator[Metric]:
    ended = GaugeMetricFamily(
        "vulcan_environment_promotions",
        "Promotions in status.promotions of the environment, by outcome.",
        labels=[*_PLACE, "gateway", "outcome"],
    )
    last = GaugeMetricFamily(
        "vulcan_environment_last_promotion_timestamp_seconds",
        "Time when the last promotion to the environment ended, with its outcome.",
        labels=[*_PLACE, "outcome"],
    )
    held = GaugeMetricFamily(
        "vulcan_environment_held_revisions",
        "Revisions that were rolled back and are refused until their hold is lifted.",
        labels=_PLACE,
    )
    for environment in environments:
        meta, reference, status = (
            environment.metadata,
            environment.spec.gateway_ref,
            environment.status,
        )
        place, gateway = (
            [meta.namespace, meta.name],
            f"{reference.namespace or meta.namespace}/{reference.name}",
        )
        count = Counter(item.outcome for item in status.promotions)
        for outcome in Outcome:
            ended.add_metric([*place, gateway, outcome.value], count[outcome.value])
        if status.promotions:
            newest = status.promotions[0]
            last.add_metric([*place, newest.outcome], newest.finished_at.timestamp())
        held.add_metric(place, len(status.held))
    yield from (ended, last, held)


def _targets(environments: Iterable[VulcanEnvironment]) -> Metric:
    family = GaugeMetricFamily(
        "vulcan_environment_rollback_targets",
        "Earlier revisions that a view swap can restore.",
        labels=_PLACE,
    )
    for environment in environments:
        if environment.status.applied is not None:
            there = sum(
                target.state == "Available" for target in environment.status.rollback_targets
            )
            family.add_metric([environment.metadata.namespace, environment.metadata.name], there)
    return family
