"""Jobs and pods as planners see them."""

from typing import Any

import pytest

from vulcan_operator.cluster import views
from vulcan_operator.plan.core.seen import JobState

COMPLETE = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-22T12:00:00Z"}
FAILED = {**COMPLETE, "type": "Failed", "reason": "BackoffLimitExceeded", "message": "m"}


def job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j", "namespace": "a", "uid": "u"}, "status": status}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, JobState.UNFINISHED),
        ({"conditions": [COMPLETE]}, JobState.COMPLETE),
        ({"conditions": [FAILED]}, JobState.FAILED),
        ({"conditions": [{**FAILED, "type": "FailureTarget"}]}, JobState.UNFINISHED),
        ({"conditions": [FAILED], "terminating": 1}, JobState.UNFINISHED),
        ({"conditions": [{**FAILED, "status": "False"}]}, JobState.UNFINISHED),
    ],
)
def test_a_job_is_over_when_its_last_pod_is(status: dict[str, Any], state: JobState) -> None:
    assert views.job(job(**status)).state is state


def pod(*main: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    containers = [{"name": "istio", "state": {"running": {}}}, *({"name": "main", "state": state} for state in main)]
    listed = [{"name": "fetch", "state": state} for state in inits]
    return {
        "metadata": {"name": "p", "namespace": "a", "uid": "u"},
        "spec": {"containers": [{"name": "main"}, {"name": "istio"}]},
        "status": {"containerStatuses": containers, "initContainerStatuses": listed, **status},
    }


def test_the_main_container_speaks_for_the_pod() -> None:
    state = {"terminated": {"exitCode": 2, "reason": "Error", "message": "{}", "startedAt": "2026-11-22T12:00:00Z"}}
    seen = views.pod(pod(state, phase="Failed"))
    assert (seen.started, seen.exit_code, seen.exit_reason, seen.termination, seen.ended) == (
        True,
        2,
        "Error",
        "{}",
        True,
    )


def test_the_image_is_the_one_the_node_reports_for_the_runner() -> None:
    raw = pod({"running": {}})
    for number, container in enumerate(raw["status"]["containerStatuses"]):
        container["imageID"] = f"registry.example/image@sha256:{number}"
    assert views.pod(raw).image_id == "registry.example/image@sha256:1"
    assert views.pod(pod({"running": {}})).image_id == ""


def test_a_failed_fetch_speaks_instead() -> None:
    broken = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such ref"}}
    seen = views.pod(pod({"waiting": {"reason": "PodInitializing"}}, inits=(broken,), phase="Failed"))
    assert (seen.started, seen.exit_code, seen.termination) == (False, 1, "no such ref")


def test_what_a_container_waits_for_is_told() -> None:
    seen = views.pod(pod({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}))
    assert (seen.waiting, seen.waiting_message) == ("ImagePullBackOff", "not found")
    pulls = {"waiting": {"reason": "ErrImagePull", "message": "no"}}
    assert views.pod(pod({"waiting": {"reason": "PodInitializing"}}, inits=(pulls,))).waiting == "ErrImagePull"


def test_a_pod_without_a_node_says_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    seen = views.pod(pod(phase="Pending", conditions=[condition]))
    assert (seen.waiting, seen.waiting_message) == ("Unschedulable", "0/3 nodes")


def test_the_pods_own_reason_goes_first() -> None:
    state = {"terminated": {"exitCode": 137, "reason": "Error"}}
    assert views.pod(pod(state, phase="Failed", reason="DeadlineExceeded")).exit_reason == "DeadlineExceeded"
