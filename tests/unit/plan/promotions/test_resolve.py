"""Step Resolve: which revision moves, and why it cannot."""

from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.promotions.cases import (
    APPLIED,
    HAD,
    ask,
    back,
    promotion,
    route,
    status,
    told,
)
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.promotions.steps.resolve import Resolve

NEW = PromotionStatus()
DONE = {
    "outcome": "Succeeded", "appliedPlanId": "p-old", "revision": "old", "sourceDigest": "d-old",
    "finishedAt": HAD["time"], "previous": {"revision": "older", "planId": "p-older"}, "plan": None,
}  # fmt: skip
HISTORY = {
    "status": {"history": [{"revision": "older", "planId": "p-older", "time": builders.stamp(NOW)}]}
}


def resolved(spec: dict[str, Any] | None = None, *rivals: Any, **fields: Any) -> tuple[str, str]:
    """What it answers at the beginning."""
    return told(Resolve().next(NEW, route(NEW, spec, *rivals, **fields)))


@pytest.mark.parametrize(
    ("spec", "has", "says"),
    [
        pytest.param({}, APPLIED, "Done Succeeded", id="what the source has"),
        pytest.param({"revision": "new"}, APPLIED, "Done Succeeded", id="which is the wanted one"),
        pytest.param({"revision": "d-new"}, APPLIED, "Done Succeeded", id="by its digest"),
        pytest.param({"revision": "other"}, APPLIED, "Done Failed", id="which is another one"),
        pytest.param({}, None, "Wait SourceNotReady", id="nothing yet"),
        pytest.param(
            {}, {**APPLIED, "planId": ""}, "Wait SourceNotReady", id="nothing that SQLMesh knows"
        ),
    ],
)
def test_the_revision_is_what_the_source_has(spec: dict[str, Any], has: Any, says: str) -> None:
    assert resolved(spec, has=has)[0] == says


def test_what_it_settles_is_what_everything_else_stands_on() -> None:
    move = Resolve().next(NEW, route(NEW))
    assert isinstance(move, Done)
    found = NEW.but(**move.settles)
    assert (found.revision, found.relation) == ("new", "SameSystem")
    assert found.source is not None and (found.source.environment, found.source.plan_id) == (
        "staging",
        "p-new",
    )
    assert found.target is not None and (found.target.environment, found.target.plan_id) == (
        "prod",
        "p-old",
    )
    assert found.previous is not None and found.previous.plan_id == "p-old"


def test_a_target_that_has_not_taken_up_what_it_was_given_is_waited_for() -> None:
    given = promotion(
        "first", status={**DONE, "appliedPlanId": "p-1", "finishedAt": "2026-11-22T13:00:00Z"}
    )
    assert resolved({}, given)[0] == "Wait Queued"
    assert resolved({}, promotion("first", status=DONE))[0] == "Done Succeeded"


@pytest.mark.parametrize(("lifted", "says"), [("", "Done Failed"), ("x,h1", "Done Succeeded")])
def test_a_held_revision_is_not_tried_again_before_the_hold_is_lifted(
    lifted: str, says: str
) -> None:
    held = {
        "id": "h1",
        "revision": "new",
        "sourceDigest": "d-new",
        "promotion": "data/bad",
        "time": builders.stamp(NOW),
    }
    way = route(NEW, None, target={"status": {"held": [held]}})
    object.__setattr__(way.target.metadata, "annotations", {"vulcan.dev/hold-lifted": lifted})
    assert told(Resolve().next(NEW, way))[0] == says


@pytest.mark.parametrize(
    ("has", "project", "says"),
    [
        pytest.param({**APPLIED, "origin": {"kind": "Git", "url": "u", "commit": "c"}}, None, "Done Succeeded", id="noted"),
        pytest.param(APPLIED, None, "Done Failed", id="nobody has noted them"),
        pytest.param({**APPLIED, "partial": True}, None, "Done Failed", id="only some models"),
        pytest.param(APPLIED, {"configMap": {"name": "project"}}, "Wait SourceNotReady", id="the project has changed"),
        pytest.param(
            {**APPLIED, "origin": {"kind": "Image", "image": "evil:1"}}, None, "Done Failed", id="not an allowed image"
        ),
    ],
)  # fmt: skip
def test_another_system_needs_the_files(has: Any, project: Any, says: str) -> None:
    assert resolved({}, has=has, across=True, source={"project": project})[0] == says


@pytest.mark.parametrize(
    ("before", "says", "why"),
    [
        pytest.param(DONE, "Done Succeeded", "back to revision older", id="undone"),
        pytest.param({**DONE, "outcome": None}, "Done Failed", "has not ended", id="not over"),
        pytest.param({**DONE, "appliedPlanId": ""}, "Done Failed", "has changed nothing", id="changed nothing"),
        pytest.param({**DONE, "previous": None}, "Done Failed", "found nothing", id="nothing was there"),
        pytest.param({**DONE, "appliedPlanId": "p-0", "finishedAt": "2026-11-21T12:00:00Z"}, "Done Failed",
                     "has moved on", id="the target has moved on"),
    ],
)  # fmt: skip
def test_a_promotion_can_be_undone_while_the_target_has_its_result(
    before: Any, says: str, why: str
) -> None:
    state, message = resolved(back(promotion="first"), promotion("first", status=before))
    assert (state, why in message) == (says, True), message


def test_a_rollback_is_not_rolled_back_and_what_is_unknown_neither() -> None:
    undone = promotion("first", status=DONE, **back(planId="p"))
    assert "is a rollback itself" in resolved(back(promotion="first"), undone)[1]
    assert "is not there" in resolved(back(promotion="other"), undone)[1]


def test_an_earlier_plan_is_one_of_the_history() -> None:
    assert resolved(back(planId="p-older"), target=HISTORY) == (
        "Done Succeeded",
        "back to revision older, plan p-older",
    )
    assert "there are: p-older" in resolved(back(planId="p-x"), target=HISTORY)[1]


def test_the_same_revision_goes_on_when_the_target_has_moved() -> None:
    assert ask(Resolve(), status(), has=None) == ("Done Succeeded", "revision new")
