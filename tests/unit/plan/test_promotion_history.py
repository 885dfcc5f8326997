"""When a promotion that has ended may go because its environment knows of it."""

import datetime as dt
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import env
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.rules import promotion_history

REFERENCE = {"name": "e", "sha256": "0"}


def promotion(hours: int = 0, **status: Any) -> VulcanPromotion:
    """One that ended so many hours before NOW."""
    finished = builders.stamp(NOW - dt.timedelta(hours=hours))
    ended = {"outcome": "Succeeded", "finishedAt": finished, "evidenceRef": REFERENCE, **status}
    raw = builders.promotion()
    return VulcanPromotion.model_validate(
        {**raw, "metadata": {**raw["metadata"], "uid": "u"}, "status": ended}
    )


def item(uid: str, hours: int) -> dict[str, Any]:
    """A promotion in status."""
    finished = builders.stamp(NOW - dt.timedelta(hours=hours))
    known = {
        "namespace": "data",
        "name": uid,
        "uid": uid,
        "outcome": "Succeeded",
        "evidence": REFERENCE,
    }
    return {**known, "finishedAt": finished}


@pytest.mark.parametrize(
    ("known", "seen", "noted"),
    [
        pytest.param([item("u", 0)], promotion(), True, id="it is there"),
        pytest.param([], promotion(), False, id="it was not looked at yet"),
        pytest.param([item("v", 1)], promotion(2), False, id="there is place for an older one"),
        pytest.param(
            [item("v", 1), item("w", 1)], promotion(2), True, id="two newer ones fill the history"
        ),
        pytest.param([], promotion(25), True, id="it is too old"),
        pytest.param([], promotion(outcome=None), False, id="it has not ended"),
        pytest.param(
            [], promotion(25, evidenceRef=None), False, id="its evidence is still to come"
        ),
    ],
)
def test_noted_is_what_is_known_or_has_no_place(
    known: list[dict[str, Any]], seen: VulcanPromotion, noted: bool
) -> None:
    environment = env(promotionHistory={"limit": 2, "maxAge": "24h"}, status={"promotions": known})
    item, before = promotion_history.item_of(seen), environment.status.promotions
    history = environment.spec.promotion_history
    assert promotion_history.is_noted(history, before, item, NOW) is noted
