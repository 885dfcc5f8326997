"""Step Diff: what is counted next, where, and which reports are judged."""

import gzip
import json
from typing import Any

import pytest

from tests.builders import NOW
from tests.unit.plan.promotions.cases import (
    ACROSS,
    ask,
    ended,
    extras,
    judged,
    promotion,
    results,
    route,
    status,
    told,
)
from vulcan_contract.codec import encode
from vulcan_contract.diff_report import DiffReport, ModelDiff, ModelStatistics
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.promotion_status import PromotionStatus
from vulcan_operator.plan.core.actions import DeleteConfigMap, ReadConfigMap
from vulcan_operator.plan.promotions.steps.diff import Diff

GATE = {"gates": {"dataDiff": {"mode": "Required"}}}
EARLY, LATE = "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"


def counted(environment: str, plan_id: str, rows: int = 10, end: str = LATE) -> dict[str, bytes]:
    """A ConfigMap with the report of one side."""
    model = ModelStatistics("s.a", "code", rows=rows, end=end, restricted=True)
    report = DiffReport(True, environment, plan_id, counted=(model,))
    return {"report.json.gz": gzip.compress(json.dumps(encode(report)).encode())}


def left(**evidence: str) -> PromotionStatus:
    """What was counted so far."""
    return status({"name": "Diff", "state": "Pending", "evidence": evidence}, **ACROSS)


def across(found: PromotionStatus, **reports: Any) -> tuple[str, str]:
    """What it answers across systems, with these ConfigMaps there."""
    names = found.reports
    live = {ReadConfigMap("data", name): reports.get(name) for name in names}
    way = route(found, GATE, across=True, live=live)
    object.__setattr__(way.seen.promotion, "status", found)  # nothing has ended in this pass
    return told(Diff().next(found, way))


OURS, THEIRS = {"targetReport": "t"}, {"sourceReport": "s"}
T, S = counted("prod", "p-old"), counted("staging", "p-new")


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        pytest.param({}, ("Done Skipped", "gates.dataDiff is not set"), id="none"),
        pytest.param(
            {"dataDiff": {"mode": "Skip"}},
            ("Done Skipped", "gates.dataDiff.mode: Skip"),
            id="skipped",
        ),
    ],
)
def test_without_a_gate_it_is_skipped(gates: dict[str, Any], says: tuple[str, str]) -> None:
    assert ask(Diff(), spec={"gates": gates}) == says


def test_within_one_system_one_job_compares_on_the_target() -> None:
    assert ask(Diff(), spec=GATE)[0] == "Order diff on data/warehouse"
    task = extras(Diff(), status(), GATE).task
    assert (
        task.environment == "prod" and task.diff is not None and task.diff.environment == "staging"
    )


@pytest.mark.parametrize(
    ("evidence", "reports", "says"),
    [
        pytest.param({}, {}, "Order diff on data/warehouse", id="first the target"),
        pytest.param(OURS, {"t": T}, "Order diff on data/lab", id="then the source"),
        pytest.param(OURS, {}, "Order diff on data/warehouse", id="a report that is gone is counted again"),
        pytest.param({**OURS, **THEIRS}, {"t": T, "s": S}, "Done Succeeded", id="both: judged"),
        pytest.param(
            {**OURS, **THEIRS}, {"t": T, "s": counted("staging", "p-new", 99)}, "Done Failed", id="too many rows"
        ),
        pytest.param(
            {**OURS, **THEIRS}, {"t": T, "s": counted("staging", "p-new", end=EARLY)}, "Order diff on data/warehouse",
            id="the target is ahead: counted once more",
        ),
        pytest.param(
            {**OURS, **THEIRS, "countedAgain": "true"}, {"t": T, "s": counted("staging", "p-new", end=EARLY)},
            "Done Inconclusive", id="but only once",
        ),
        pytest.param(
            {**OURS, **THEIRS}, {"t": T, "s": counted("staging", "p-newer")}, "Done Failed", id="of another plan"
        ),
    ],
)  # fmt: skip
def test_across_systems_one_side_follows_the_other(evidence: Any, reports: Any, says: str) -> None:
    assert across(left(**evidence), **reports)[0] == says


def test_the_source_is_counted_as_far_as_the_target_was() -> None:
    found = left(**OURS)
    task = extras(Diff(), found, {**GATE}, across=True, live={ReadConfigMap("data", "t"): T}).task
    assert (
        task.environment == "staging"
        and task.diff is not None
        and dict(task.diff.ends) == {"s.a": LATE}
    )


def test_a_report_is_kept_and_read_in_the_next_pass() -> None:
    task = TaskStatus(kind="diff", job="j", inputs="i", since=NOW, gateway="data/warehouse")
    running = status({"name": "Diff", "state": "Running", "task": task.to_json()}, **ACROSS)
    way = route(running, GATE, across=True)
    object.__setattr__(way.seen.promotion, "status", running)
    end = ended("diff", packed=b"gz", report_sha256="5" * 64)
    after = Diff().judge(running, way, end)
    assert after.status.reports == ["to-prod-diff-" + "5" * 12]
    assert [c.manifest["metadata"]["name"] for c in after.kept] == after.status.reports
    assert type(Diff().next(after.status, way)).__name__ == "Wait"
    assert Diff().leftovers(after.status, promotion().metadata) == {
        DeleteConfigMap("data", after.status.reports[0])
    }


@pytest.mark.parametrize(
    ("equal", "mode", "says"),
    [
        (10, "Required", ("Succeeded", None)),
        (5, "Required", ("Failed", "Failed")),
        (5, "Optional", ("Skipped", None)),
    ],
)
def test_within_one_system_the_report_is_judged_at_once(
    equal: int, mode: str, says: tuple[str, str | None]
) -> None:
    model = ModelDiff("s.a", before=10, after=10, joined=10, equal=equal)
    report = DiffReport(False, "prod", "p-old", "staging", "p-new", models=(model,))
    end = ended(
        "diff", packed=gzip.compress(json.dumps(encode(report)).encode()), report_sha256="5" * 64
    )
    found = judged(Diff(), end, spec={"gates": {"dataDiff": {"mode": mode}}})
    assert results(found, Diff()) == says
