"""Evidence is the same bytes from the same status, and always fits."""

import datetime as dt
import json
from typing import Any

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS
from vulcan_operator.api.environment_status import ReportRef
from vulcan_operator.api.promotion import VulcanPromotion
from vulcan_operator.plan.core.actions import WriteConfigMap
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.world import PromotionSeen
from vulcan_operator.plan.promotions import evidence
from vulcan_operator.plan.promotions.route import Case

ENDED = {
    "outcome": "Succeeded",
    "startedAt": builders.stamp(NOW),
    "finishedAt": builders.stamp(NOW),
}


def seen(status: dict[str, Any], later: int = 0, **spec: Any) -> Case:
    """A promotion with this status, so many hours after NOW."""
    raw = builders.promotion(**spec)
    found = VulcanPromotion.model_validate(
        {**raw, "metadata": {**raw["metadata"], "uid": "u"}, "status": status}
    )
    return Case(PromotionSeen(found, SETTINGS), NOW + dt.timedelta(hours=later))


def left(status: dict[str, Any], *, later: int = 0, **spec: Any) -> tuple[str, str]:
    """Name and text of the ConfigMap."""
    case = seen(status, later, **spec)
    (action,) = evidence.leave(Draft(case.promotion.status), case).prepare
    assert isinstance(action, WriteConfigMap)
    return action.manifest["metadata"]["name"], action.manifest["data"][evidence.KEY]


def test_the_same_bytes_at_any_time_and_whatever_people_say_afterwards() -> None:
    vote = {"plan": "a" * 64, "by": "late"}
    assert left(ENDED) == left(ENDED, later=5, approvals=[vote])
    assert left(ENDED) != left({**ENDED, "outcome": "Failed"})


def test_the_end_is_written_first() -> None:
    """Or a crash after the ConfigMap would leave two, of two ends."""
    ended = seen(ENDED).promotion.status
    assert evidence.leave(Draft(ended), seen({})).prepare == ()
    known = ended.but(evidence_ref=ReportRef(name="e", sha256="0"))
    assert evidence.leave(Draft(known), seen(known.to_json())).prepare == ()


def test_the_fullest_status_fits_and_keeps_its_verdicts() -> None:
    wide = "语" * 1024
    steps = [
        {
            "name": name,
            "state": "Succeeded",
            "message": wide,
            "evidence": {f"k{i}": wide for i in range(32)},
        }
        for name in (
            "Resolve",
            "Plan",
            "Tests",
            "Diff",
            "Checks",
            "Soak",
            "Approval",
            "CatchUp",
            "Apply",
            "Verify",
        )
    ]
    votes = [
        {
            "plan": "a" * 64,
            "by": "b",
            "decision": "Approve",
            "comment": wide,
            "time": builders.stamp(NOW),
        }
    ] * 64
    _, text = left({**ENDED, "steps": steps, "approvals": votes})
    assert len(text.encode()) < 1_000_000
    said = json.loads(text)
    assert [s["state"] for s in said["steps"]] == ["Succeeded"] * 10 and said[
        "outcome"
    ] == "Succeeded"
    assert len(said["approvals"]) == 64


def test_a_step_that_waits_for_nothing_says_so_by_silence() -> None:
    """The field is younger than evidence of releases before, whose bytes stay the same."""
    _, text = left({**ENDED, "steps": [{"name": "Soak", "state": "Succeeded"}]})
    assert "reason" not in json.loads(text)["steps"][0]


def test_a_vote_is_recorded_once_with_the_time_when_it_was_first_seen() -> None:
    vote = {"plan": "a" * 64, "by": "bea"}
    first = seen({}, approvals=[vote])
    recorded = evidence.leave(Draft(first.promotion.status), first).status
    assert [(v.by, v.time) for v in recorded.approvals] == [("bea", NOW)]
    later = seen(recorded.to_json(), 5, approvals=[vote])
    assert evidence.leave(Draft(recorded), later).status == recorded
    withdrawn = seen(recorded.to_json(), 6)
    assert evidence.leave(Draft(recorded), withdrawn).status.approvals == recorded.approvals
