"""Step Checks: what the ConfigMap, its copy and the result mean."""

import pytest

from tests.unit.plan.promotions.cases import ask, ended, extras, judged, promotion, results, status
from vulcan_contract.reasons import Reason
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import DeleteConfigMap, ReadConfigMap
from vulcan_operator.plan.core.needs import Unread
from vulcan_operator.plan.promotions.steps.checks import Checks

SODA = {"configMapRef": {"name": "soda"}}
REQUIRED, OPTIONAL = (
    {"gates": {"checks": {"mode": m, "soda": SODA}}} for m in ("Required", "Optional")
)
NEED = ReadConfigMap("data", "soda")
FILES = {NEED: {"a.yaml": b"checks"}}


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        pytest.param({}, "gates.checks is not set", id="none"),
        pytest.param({"checks": {"mode": "Required"}}, "gates.checks is not set", id="no files"),
        pytest.param(
            {"checks": {"mode": "Skip", "soda": SODA}}, "gates.checks: Skip", id="skipped"
        ),
    ],
)
def test_without_checks_it_is_skipped(gates: dict[str, object], says: str) -> None:
    assert ask(Checks(), spec={"gates": gates}) == ("Done Skipped", says)


def test_the_files_are_read_before_anything_is_ordered() -> None:
    with pytest.raises(Unread) as unread:
        ask(Checks(), spec=REQUIRED)
    assert unread.value.needs == {NEED}


def test_missing_files_are_waited_for_where_the_gate_is_required() -> None:
    assert ask(Checks(), spec=REQUIRED, live={NEED: None})[0] == "Wait ConfigMapNotFound"
    assert ask(Checks(), spec=OPTIONAL, live={NEED: None})[0] == "Done Skipped"


def test_other_files_are_other_checks() -> None:
    first, second = (
        ask(Checks(), spec=REQUIRED, live={NEED: {"a.yaml": text}}) for text in (b"a", b"b")
    )
    assert first[0] == second[0] == "Order checks on data/warehouse" and first[1] != second[1]


def test_its_job_gets_a_copy_of_them_which_is_known_while_the_task_is() -> None:
    found = extras(Checks(), status(), REQUIRED, live=FILES)
    (copy,) = found.copies
    assert copy.manifest["metadata"]["name"] == found.checks_config_map
    assert found.task.checks is not None and found.task.environment == "staging"
    task = {
        "kind": "checks",
        "job": "j",
        "inputs": "i",
        "since": "2026-11-22T12:00:00Z",
        "gateway": "live/w",
    }
    meta, running = promotion().metadata, status({"name": "Checks", "task": task})
    assert [d.namespace for d in Checks().leftovers(running, meta)] == ["live"]
    assert Checks().leftovers(status({"name": "Checks"}), meta) == set[DeleteConfigMap]()


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        pytest.param(Reason.CHECKS_FAILED, ("Failed", "Failed"), id="rejected"),
        pytest.param(Reason.CHECKS_NOT_EVALUATED, ("Inconclusive", "Inconclusive"), id="not evaluated: a human must look"),
    ],
)  # fmt: skip
def test_what_its_failure_means(reason: Reason, step: tuple[str, str]) -> None:
    found: PromotionStatus = judged(Checks(), ended("checks", reason, "m"), spec=REQUIRED)
    assert results(found, Checks()) == step
