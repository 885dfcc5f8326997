"""Step Plan: what a plan is made from, and what its result leads to."""

from typing import Any

import pytest

from tests.unit.plan.promotions.cases import (
    ACROSS,
    HAD,
    ask,
    ended,
    extras,
    judged,
    promotion,
    results,
    route,
    status,
)
from vulcan_contract.result import PlanSummary
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.actions import DeleteConfigMap, ReadConfigMap
from vulcan_operator.plan.promotions.steps.plan import Plan
from vulcan_operator.plan.tasks.life import Ended

COPY = {"kind": "ConfigMap", "copy": "data/staging-source-1"}
COPIED = status(**{**ACROSS, "origin": COPY})
NEED = ReadConfigMap("data", "staging-source-1")


def planned(*, changes: bool, base_plan_id: str = "p-old", packed: bytes | None = None) -> Ended:
    """The end of a plan."""
    summary = PlanSummary(
        target="t", base="b", has_changes=changes, added=1, base_plan_id=base_plan_id
    )
    sha = "5" * 64 if packed is not None else None
    return ended("plan", packed=packed, summary=summary, report_sha256=sha)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"found": status(plans=1)}, id="planned again"),
        pytest.param({"spec": {"gates": {"virtualOnly": "Optional"}}}, id="may compute"),
        pytest.param({"target": {"runner": {"image": "other:2"}}}, id="another runner"),
    ],
)
def test_another_plan_of_the_same_revision_is_another_task(other: dict[str, Any]) -> None:
    assert ask(Plan())[1] != ask(Plan(), **other)[1]


def test_within_one_system_it_reads_the_state_and_across_systems_the_files() -> None:
    here, there = extras(Plan(), status()), extras(Plan(), status(**ACROSS), across=True)
    assert here.task.promotion is not None and here.task.promotion.environment == "staging"
    assert here.task.source is None
    assert (
        there.task.source is not None
        and there.task.source.commit == "c" * 40
        and there.task.promotion is None
    )


def test_a_config_map_s_copy_is_copied_beside_the_job_until_the_promotion_is_over() -> None:
    found = extras(Plan(), COPIED, across=True, live={NEED: {"a__b.sql": b"x"}})
    (copy,) = found.copies
    name = copy.manifest["metadata"]["name"]
    assert (found.source_config_map, set(copy.manifest["binaryData"])) == (name, {"a__b.sql"})
    meta = promotion().metadata
    assert Plan().leftovers(COPIED, meta) == {DeleteConfigMap("data", name)}
    assert Plan().leftovers(COPIED.but(outcome="Failed"), meta) == set[DeleteConfigMap]()


def test_files_that_are_gone_end_it() -> None:
    state, message = ask(Plan(), COPIED, across=True, live={NEED: None})
    assert state == "Done Failed" and "data/staging-source-1 is gone" in message


def test_a_plan_with_changes_waits_for_people_with_its_report() -> None:
    found = judged(Plan(), planned(changes=True))
    assert results(found, Plan()) == ("Succeeded", None)
    assert found.plan is not None and (found.plan.state, found.plan.operations) == (
        "Pending",
        ["uid-to-prod"],
    )
    running = {
        "name": "Plan",
        "task": TaskStatus(kind="plan", job="j", inputs="i", since=HAD["time"]).to_json(),
    }
    before = status(running)
    (report,) = Plan().judge(before, route(before), planned(changes=True, packed=b"gz")).kept
    assert report.manifest["metadata"]["namespace"] == "data"


@pytest.mark.parametrize(
    ("had", "target", "before", "outcome"),
    [
        pytest.param({**HAD, "verification": "Passed"}, {}, status(), "Succeeded", id="verified before"),
        pytest.param({**HAD, "verification": "Failed"}, {}, status(), None, id="audits have rejected it: asked again"),
        pytest.param(HAD, {}, status({"name": "Apply", "touched": True}), None, id="half changed: asked again"),
        pytest.param(
            {**HAD, "verification": "Failed"}, {"checks": {"audits": False}}, status(), "Succeeded", id="nobody audits"
        ),
    ],
)  # fmt: skip
def test_what_is_there_already_is_a_success_if_it_was_verified(
    had: dict[str, Any], target: dict[str, Any], before: Any, outcome: str | None
) -> None:
    found = judged(Plan(), planned(changes=False), before, had=had, target=target)
    assert (found.outcome, found.applied_plan_id, found.is_there) == (outcome, "p-old", True)


def test_nothing_to_do_for_a_target_that_has_moved_is_looked_at_again() -> None:
    found = judged(Plan(), planned(changes=False), had={**HAD, "planId": "other"})
    assert (found.plans, found.outcome, results(found, Plan())[0]) == (1, None, None)


def test_categories_of_both_systems_are_compared_across_systems_only() -> None:
    assert "categoriesCompared" not in _evidence(judged(Plan(), planned(changes=True)))
    across = judged(Plan(), planned(changes=True), status(**ACROSS), across=True)
    assert _evidence(across)["categoriesCompared"] == "0"


def _evidence(found: Any) -> dict[str, str]:
    return dict(found.find("Plan").evidence)
