"""The end of a task whose target is gone: what was done to it counts, gates are asked again."""

import dataclasses

import pytest

from tests.builders import NOW
from tests.unit.plan.promotions.cases import PLAN, ended, results, seen, status
from vulcan_contract.reasons import Reason
from vulcan_contract.result import Work
from vulcan_operator.api.promotion_status import StepName
from vulcan_operator.plan.promotions.route import Case
from vulcan_operator.plan.promotions.steps import STEPS

GONE = Case(dataclasses.replace(seen(), target=None, gateway=None), NOW)


@pytest.mark.parametrize(
    ("name", "reason", "step", "outcome"),
    [
        pytest.param("Apply", Reason.SUCCEEDED, "Succeeded", None, id="views were changed"),
        pytest.param(
            "Rollback", Reason.SUCCEEDED, "Succeeded", "RolledBack", id="views were put back"
        ),
        pytest.param(
            "Apply", Reason.LOST, "Errored", "Errored", id="nobody knows how often to try"
        ),
        pytest.param("Audits", Reason.SUCCEEDED, "Running", None, id="a gate that passed"),
        pytest.param("Audits", Reason.AUDIT_FAILED, "Running", None, id="a gate that rejected it"),
        pytest.param("Plan", Reason.SUCCEEDED, "Running", None, id="a plan under unknown rules"),
    ],
)
def test_what_an_end_means(name: str, reason: Reason, step: str, outcome: str | None) -> None:
    judge, end = STEPS[StepName(name)], ended("promote", reason, work=Work(plan_id="p-1"))
    running = status(
        {"name": name, "state": "Running", "job": "j", "task": end.task.to_json()}, plan=PLAN
    )
    assert GONE.route(running) is None
    found = judge.judge_blind(running, GONE, end)
    known = found.find(name)
    assert results(found, judge) == (step, outcome) and known is not None and known.task is None
