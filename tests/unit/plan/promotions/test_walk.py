"""The walk through the steps: what of them is started, in which order, and what waits."""

import dataclasses
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.promotions.cases import ACROSS, APPLIED, HAD, PLAN, promotion, seen, status
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import (
    CreateJob,
    DeleteConfigMap,
    Key,
    Kind,
    Plan,
    ReadSlot,
    SetFinalizer,
)
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import SlotSeen, Waiter
from vulcan_operator.plan.core.world import PromotionSeen
from vulcan_operator.plan.promotions.planner import plan_promotion

DUCKDB = {"connection": {"type": "duckdb"}, "stateConnection": {"type": "duckdb"}}
READY = [
    {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "lastTransitionTime": builders.stamp(NOW),
    }
]
TARGET = {"status": {"observedGeneration": 1, "environment": "prod", "conditions": READY}}
GATES = [
    {"name": n, "state": "Skipped"}
    for n in ("Resolve", "Plan", "Tests", "Audits", "Diff", "Checks", "Soak")
]
SLOT = ReadSlot("data", "warehouse")


def world(
    *steps: dict[str, Any], spec: dict[str, Any] | None = None, **fields: Any
) -> PromotionSeen:
    """What is seen of a promotion with these steps."""
    found = status(*steps, **fields.pop("status", {})) if steps else PromotionStatus()
    mine = promotion(status=found.to_json(), **(spec or {}))
    return seen(mine, **{"target": TARGET, **fields})


def plan(found: PromotionSeen) -> Plan[PromotionStatus]:
    """The Plan for it."""
    made = plan_promotion(found, NOW)
    assert made.needs == frozenset()
    return made


def states(made: Plan[PromotionStatus]) -> dict[str, str]:
    """The steps and their states."""
    return {step.name: step.state for step in made.status.steps}


def jobs(made: Plan[PromotionStatus]) -> list[str]:
    """Kinds of the Jobs that are created."""
    return [
        a.manifest["metadata"]["labels"]["vulcan.dev/task"]
        for a in made.actions
        if isinstance(a, CreateJob)
    ]


def test_in_its_first_pass_it_resolves_and_starts_the_plan_and_the_gates() -> None:
    made = plan(world())
    assert states(made) == {
        "Resolve": "Succeeded", "Plan": "Running", "Tests": "Succeeded", "Audits": "Running", "Diff": "Skipped",
        "Checks": "Skipped", "Soak": "Skipped",
    }  # fmt: skip
    assert jobs(made) == ["plan", "audit"] and made.prepare == ()


def test_on_an_engine_for_one_process_one_step_is_at_work_at_a_time() -> None:
    made = plan(world(gateway=DUCKDB, live={SLOT: SlotSeen()}))
    assert (states(made)["Plan"], states(made)["Audits"], jobs(made)) == (
        "Running",
        "Pending",
        ["plan"],
    )


def test_a_step_that_says_no_ends_it_and_starts_nothing() -> None:
    made = plan(world(spec={"revision": "other"}))
    assert (states(made), made.status.outcome, jobs(made)) == ({"Resolve": "Failed"}, "Failed", [])


@pytest.mark.parametrize(
    ("slot", "started"),
    [
        pytest.param(SlotSeen(), True, id="the slot is free"),
        pytest.param(SlotSeen("other", live=True), False, id="somebody writes"),
        pytest.param(SlotSeen("other", live=False), True, id="its holder is dead"),
    ],
)
def test_views_are_changed_with_the_writer_slot_and_under_a_finalizer(
    slot: SlotSeen, started: bool
) -> None:
    steps = [
        *GATES,
        {"name": "Approval", "state": "Succeeded"},
        {"name": "CatchUp", "state": "Skipped"},
    ]
    other = Waiter(Key(Kind.ENVIRONMENT, "data", "dev"), 9, NOW)  # waits too, so the Lease is asked
    made = plan(world(*steps, status={"plan": PLAN}, live={SLOT: slot}, waiters=(other,)))
    assert jobs(made) == (["promote"] if started else [])
    assert [type(a) for a in made.prepare] == ([SetFinalizer] if started else [])
    step = made.status.find("Apply")
    assert step is not None and step.task is not None
    assert (bool(step.job), step.task.state) == (started, "Started" if started else "Waiting")


def test_who_is_not_first_in_the_queue_does_not_ask_for_the_lease() -> None:
    steps = [
        *GATES,
        {"name": "Approval", "state": "Succeeded"},
        {"name": "CatchUp", "state": "Skipped"},
    ]
    first = Waiter(Key(Kind.ENVIRONMENT, "data", "dev"), 0, NOW)
    assert jobs(plan(world(*steps, status={"plan": PLAN}, waiters=(first,)))) == []


def test_a_target_that_has_moved_is_planned_again_in_the_same_pass() -> None:
    made = plan(world(*GATES, status={"plan": PLAN}, had={**HAD, "planId": "other"}))
    assert (made.status.plans, jobs(made)) == (1, ["plan"])
    assert made.status.target is not None and made.status.target.plan_id == "other"


@pytest.mark.parametrize(("has", "outcome"), [("p-newer", "Failed"), ("p-new", None)])
def test_what_was_copied_goes_with_the_promotion_s_end(has: str, outcome: str | None) -> None:
    across = {
        **ACROSS,
        "origin": {"kind": "ConfigMap", "copy": "data/staging-source-1"},
        "plan": PLAN,
    }
    soak, source = {"gates": {"soak": {"duration": "1h"}}}, {**APPLIED, "planId": has}
    made = plan(world(*GATES[:-1], spec=soak, status=across, across=True, has=source))
    assert made.status.outcome == outcome
    assert [type(a) for a in made.prepare] == ([DeleteConfigMap] if outcome else [])


def test_what_is_over_stays_as_it_is() -> None:
    ended = {
        "outcome": "Succeeded",
        "finishedAt": builders.stamp(NOW),
        "evidenceRef": {"name": "e", "sha256": "0"},
    }
    found = world(*GATES, status=ended)
    made = plan(found)
    assert made.status.steps == found.promotion.status.steps and made.actions == made.prepare == ()


def test_a_refusal_of_the_api_server_is_told_and_nothing_is_done() -> None:
    found = dataclasses.replace(
        world(), live=Live(denied='pods is forbidden: User "x" cannot list in the namespace "data"')
    )
    made = plan(found)
    assert [c.reason for c in made.status.conditions if c.type == "Ready"] == [
        "OperatorNotAuthorized"
    ]
    assert made.actions == made.prepare == ()
