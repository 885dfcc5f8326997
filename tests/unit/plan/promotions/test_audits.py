"""Step Audits, and with it what all gates with a Job have in common."""

import pytest

from tests.unit.plan.promotions.cases import (
    ACROSS,
    APPLIED,
    HAD,
    PLAN,
    ask,
    ended,
    extras,
    judged,
    results,
    status,
)
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_operator.plan.promotions.steps.audits import Audits

FAILED, GONE = Reason.AUDIT_FAILED, Reason.PROJECT_LOAD_FAILED


@pytest.mark.parametrize(
    ("gate", "says"),
    [("Required", "Order audit"), ("Optional", "Order audit"), ("Skip", "Done Skipped")],
)
def test_a_gate_is_asked_unless_it_is_skipped(gate: str, says: str) -> None:
    assert ask(Audits(), spec={"gates": {"audits": gate}})[0].startswith(says)


def test_it_runs_where_the_source_is() -> None:
    assert ask(Audits(), status(**ACROSS), across=True)[0] == "Order audit on data/lab"
    assert extras(Audits(), status()).task.environment == "staging"


def test_it_is_asked_again_for_another_plan_of_the_source() -> None:
    source = {"environment": "staging", "gateway": "data/warehouse", "planId": "p-newer"}
    assert ask(Audits(), status(source=source))[1] != ask(Audits())[1]


def test_a_source_that_is_gone_is_waited_for() -> None:
    found = status(**ACROSS)
    assert ask(Audits(), found, across=True)[0] != "Wait EnvironmentObjectNotFound"
    assert ask(Audits(), found, source_gateway=None)[0] == "Wait EnvironmentObjectNotFound"


def test_nothing_is_asked_before_the_plan_where_it_may_find_nothing_to_do() -> None:
    """The target may have the revision already: a Job would have looked in vain."""
    same = {**HAD, "sourceDigest": APPLIED["sourceDigest"]}
    assert ask(Audits(), had=same)[0] == "Wait Planning"
    assert ask(Audits(), status(plan=PLAN), had=same)[0].startswith("Order")


@pytest.mark.parametrize(
    ("reason", "gate", "step", "outcome"),
    [
        pytest.param(Reason.SUCCEEDED, "Required", "Succeeded", None, id="passed"),
        pytest.param(FAILED, "Required", "Failed", "Failed", id="rejected at the first word"),
        pytest.param(FAILED, "Optional", "Skipped", None, id="rejected, and only shown"),
        pytest.param(
            GONE,
            "Required",
            "Inconclusive",
            "Inconclusive",
            id="could not be judged: a human must look",
        ),
        pytest.param(GONE, "Optional", "Skipped", None, id="could not be judged, and nobody asks"),
        pytest.param(Reason.LOST, "Required", "Running", None, id="lost: another attempt"),
    ],
)
def test_what_its_result_means(reason: Reason, gate: str, step: str, outcome: str | None) -> None:
    work = Work(plan_id="p-new", audits_run=4) if reason is Reason.SUCCEEDED else None
    found = judged(
        Audits(), ended("audit", reason, "m", work=work), spec={"gates": {"audits": gate}}
    )
    assert results(found, Audits()) == (step, outcome)


def test_a_lost_attempt_is_remembered_and_nothing_was_touched() -> None:
    step = judged(Audits(), ended("audit", Reason.LOST)).find("Audits")
    assert step is not None and step.failure is not None and step.failure.reason == "Lost"
    assert (step.task, step.touched) == (None, False)


@pytest.mark.parametrize(("gate", "step"), [("Required", "Failed"), ("Optional", "Skipped")])
def test_audits_of_another_plan_have_not_judged_this_one(gate: str, step: str) -> None:
    end = ended("audit", work=Work(plan_id="p-newer"))
    found = judged(Audits(), end, spec={"gates": {"audits": gate}}).find("Audits")
    assert found is not None and (found.state, "not p-new" in found.message) == (step, True)
