"""Any text may come as a termination message: project code can write the file, too."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulcan_contract.reasons import Reason
from vulcan_contract.result import PlanSummary, Probe, Result, Work
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen
from vulcan_operator.plan.rules import plan_text
from vulcan_operator.plan.tasks import jobs

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GOOD = {"task": "plan", "reason": "Succeeded", "summary": {"target": "t", "base": "b"}}


def plan(**summary: Any) -> str:
    return json.dumps(GOOD | {"summary": {"target": "t", "base": "b", **summary}})


def said(text: str, kind: str = "plan") -> Result:
    """What the operator makes of a Job that ended with 0 and this text."""
    task = TaskStatus(kind=kind, job="j", inputs="i", since=NOW)
    job = JobSeen("data", "j", "u", "VulcanEnvironment", "data", "prod", "u1", kind, "i", 1, "g", "test",
                  JobState.COMPLETE)  # fmt: skip
    pod = PodSeen("data", "p", "y", "j", "u1", "Succeeded", started=True, termination=text, exit_code=0)
    result = jobs.classify(task, (job,), (pod,), jobs.JobPolicy(), NOW).result
    assert result is not None
    return result


BAD = [
    pytest.param(json.dumps(GOOD | {"seconds": [1]}), id="a list for an object"),
    pytest.param(json.dumps(GOOD | {"failures": {"a": 1}}), id="an object for a list"),
    pytest.param(json.dumps(GOOD | {"failures": "abc"}), id="text for a list"),
    pytest.param(json.dumps(GOOD | {"failures": 3}), id="a number for a list"),
    pytest.param("[" * 4000, id="nesting"),
    pytest.param('{"task":"plan","seconds":' + '{"a":' * 600, id="nested objects"),
    pytest.param("1" * 4096, id="a number of 4096 digits"),
    pytest.param(json.dumps(GOOD | {"seconds": {"a": 10**400}}), id="an integer above all floats"),
    pytest.param('{"task":"plan","reason":"Succeeded","seconds":{"a":1e999}}', id="infinity"),
    pytest.param(plan(removed_percent=float("nan")), id="not a number"),
    pytest.param(plan(target="t" * 65), id="a long target"),
    pytest.param(plan(base_plan_id="t" * 129), id="a long plan id"),
    pytest.param(plan(destructive=[""]), id="a model without a name"),
    pytest.param(plan(models=[{"name": "", "change": "Added"}]), id="a change without a name"),
    pytest.param(plan(models=[{"name": "a", "change": "A" * 33}]), id="a long change"),
    pytest.param(plan(added=2**63), id="above int64"),
    pytest.param(plan(added=-1), id="below zero"),
    pytest.param(plan(added=True), id="a truth for a number"),
    pytest.param('{"task":"plan","reason":"Succeeded","summary":{"target":"\\ud800","base":"b"}}', id="half a pair"),
]


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_is_a_crash(text: str) -> None:
    assert said(text).reason is Reason.RUNNER_CRASHED


@pytest.mark.parametrize(
    "time", ["garbage", "2026-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "9500-01-01T00:00:00Z", ""]
)
@pytest.mark.parametrize("field", ["next_run", "complete_until"])
def test_times_have_a_zone_and_a_year_to_compute_with(field: str, time: str) -> None:
    text = json.dumps({"task": "run", "reason": "Succeeded", "work": {field: time}})
    assert said(text, "run").reason is Reason.RUNNER_CRASHED


@pytest.mark.parametrize("option", [{"plan_id": "p", "expires": "soon"}, {"plan_id": "p" * 129}, {"replaced": None}])
def test_a_way_back_is_an_id_with_times(option: dict[str, object]) -> None:
    text = json.dumps({"task": "run", "reason": "Succeeded", "work": {"rollback": [option]}})
    assert said(text, "run").reason is Reason.RUNNER_CRASHED


def test_good_results_pass() -> None:
    assert said(plan(added=100_000, total_models=100_000)).reason is Reason.SUCCEEDED
    run = Result("run", Reason.SUCCEEDED, work=Work(next_run="2026-01-01T00:00:00Z"), seconds={"run": 1})
    assert said(run.to_message(), "run") == run
    probe = Result("probe", Reason.SUCCEEDED, probe=Probe(versions={str(i): "v" * 128 for i in range(16)}))
    assert said(probe.to_message(), "probe") == probe


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_FIELDS = st.sampled_from([*Result.__dataclass_fields__, *PlanSummary.__dataclass_fields__])


@given(st.text())
def test_no_text_raises(text: str) -> None:
    said(text)


@given(st.dictionaries(_FIELDS, _ANY), st.dictionaries(_FIELDS, _ANY))
def test_no_json_raises_and_what_passes_fits_into_status(outer: dict[str, Any], summary: dict[str, Any]) -> None:
    text = json.dumps(GOOD | outer | {"task": "plan", "summary": {"target": "t", "base": "b"} | summary})
    result = said(text)
    if result.summary is not None:
        json.dumps(plan_text.summary_status(result.summary).to_json(), allow_nan=False).encode()
