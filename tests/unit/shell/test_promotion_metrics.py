"""Series of promotions: per object while it goes on, per environment afterwards, few values per label."""

import datetime as dt
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import env
from vulcan_operator import metrics
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import AuditEntry, Key, Kind, Note
from vulcan_operator.plan.core.seen import Waiter


class Objects:
    """A cache that holds these."""

    def __init__(self, *found: VulcanEnvironment | VulcanPromotion) -> None:
        self.found = list(found)

    def all_gateways(self) -> list[VulcanGateway]:
        return []

    def all_environments(self) -> list[VulcanEnvironment]:
        return [o for o in self.found if isinstance(o, VulcanEnvironment)]

    def all_promotions(self) -> list[VulcanPromotion]:
        return [o for o in self.found if isinstance(o, VulcanPromotion)]

    def waiters(self, gateway: tuple[str, str]) -> tuple[Waiter, ...]:
        return ()


def exposed(objects: Objects) -> list[str]:
    """Lines about promotions, as Prometheus gets them."""
    registry = CollectorRegistry()
    registry.register(metrics.ObjectCollector(objects, lambda: NOW, lambda: True))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and ("promotion" in line or "held" in line)]


def promotion(**status: Any) -> VulcanPromotion:
    """A VulcanPromotion with this status."""
    raw = builders.promotion()
    return VulcanPromotion.model_validate({**raw, "metadata": {**raw["metadata"], "uid": "u"}, "status": status})


def test_a_promotion_that_goes_on_says_where_it_is_and_for_how_long_it_waits() -> None:
    since = builders.stamp(NOW - dt.timedelta(minutes=2))
    waiting = {"type": "AwaitingApproval", "status": "True", "reason": "AwaitingApproval", "lastTransitionTime": since}
    side = {"environment": "prod", "gateway": "data/warehouse"}
    going = promotion(step="Approval", startedAt=since, target=side, conditions=[waiting])
    where = 'gateway="data/warehouse",name="to-prod",namespace="data"'
    objects = Objects(going)
    assert sorted(exposed(objects)) == [
        f'vulcan_promotion_age_seconds{{{where},target="data/prod"}} 120.0',
        f'vulcan_promotion_pending_approval_seconds{{{where},target="data/prod"}} 120.0',
        f'vulcan_promotion_step{{{where},step="Approval",target="data/prod"}} 1.0',
    ]
    objects.found = [promotion(step="Verify", startedAt=since, outcome="Succeeded")]
    assert exposed(objects) == []  # or series would pile up with the records


def test_an_environment_counts_what_has_ended_and_its_series_go_with_it() -> None:
    item = {"namespace": "data", "uid": "u", "evidence": {"name": "e", "sha256": "0"}}
    ended = [
        {**item, "name": "b", "outcome": "RolledBack", "finishedAt": builders.stamp(NOW)},
        {**item, "name": "a", "outcome": "Succeeded", "finishedAt": builders.stamp(NOW - dt.timedelta(hours=1))},
    ]
    held = [{"id": "h", "revision": "r", "promotion": "data/b", "time": builders.stamp(NOW)}]
    objects = Objects(env(status={"promotions": ended, "held": held}), env("preview"))
    said = exposed(objects)
    labels = 'gateway="data/warehouse",name="prod",namespace="data"'
    assert f'vulcan_environment_promotions{{{labels},outcome="RolledBack"}} 1.0' in said
    assert f'vulcan_environment_promotions{{{labels},outcome="Failed"}} 0.0' in said
    assert 'vulcan_environment_held_revisions{name="prod",namespace="data"} 1.0' in said
    assert any(line.startswith("vulcan_environment_last_promotion") and 'outcome="RolledBack"' in line for line in said)
    assert not any("preview" in line for line in said)
    objects.found = []
    assert exposed(objects) == []


def test_the_end_of_a_promotion_is_counted_by_outcome_and_is_no_task() -> None:
    audit = AuditEntry("promotion", "RolledBack", reason="x", seconds=42)
    tasks = metrics.TASKS.labels("promotion", "RolledBack", "x")
    before = metrics.PROMOTIONS.labels("RolledBack")._value.get()
    metrics.noted(Key(Kind.PROMOTION, "data", "to-prod"), Note("EvidenceKept", "", audit=audit))
    assert metrics.PROMOTIONS.labels("RolledBack")._value.get() == before + 1
    assert tasks._value.get() == 0
