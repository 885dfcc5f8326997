"""The guard tries its vote where there is room for one: a full list of votes would be refused for its size."""

import pytest

from tests.unit.plan.seen_objects import env
from vulcan_operator.api.policy import has_room

DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("votes", "comment", "room"),
    [(0, "", True), (63, "", True), (64, "", False), (30, "x" * 100, True), (30, "🦆" * 50, False)],
)
def test_room_for_another_vote(votes: int, comment: str, room: bool) -> None:
    given = [{"plan": DIGEST, "by": f"u{number}", "comment": comment} for number in range(votes)]
    assert has_room(env(approvals=given).spec.approvals) is room
