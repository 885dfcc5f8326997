"""The operator as processes on a real API server: leadership, crashes, outages, CRDs that come late."""

import signal
import time

import pytest

from tests.integration.shell.conftest import Process, Start, environment, install_crds, is_ready, job_names, until
from tools.localcluster import cluster, components

pytestmark = pytest.mark.usefixtures("clean")


def test_waits_for_the_crds_and_goes_on(api: cluster.Cluster, start: Start) -> None:
    api.kubectl("delete", "-k", "crds", "--wait=true")
    try:
        one = start("one")
        until(lambda: any("install the CRDs" in str(line.get("message")) for line in one.lines), what="the hint")
        assert one.get("/readyz") == (500, "waiting for the API server and the CRDs")
        assert one.get("/healthz")[0] == 200
    finally:
        install_crds(api)
    until(one.ready, what="ready")
    api.apply(environment("late"))
    until(lambda: is_ready(api, "late"), what="served")
    assert one.end() == 0


def test_one_of_two_leads_and_sigterm_hands_over(api: cluster.Cluster, start: Start) -> None:
    one = start("one")
    until(one.leads, what="one leads")
    two = start("two")
    until(two.ready, what="two is warm")
    api.apply(environment("a"))
    until(lambda: is_ready(api, "a"), what="a is served")
    assert not two.leads()
    assert two.requests("apply", "create", "merge", "patch", "delete") == {}

    began = time.monotonic()
    assert one.end(signal.SIGTERM) == 0
    exited = time.monotonic() - began
    until(two.leads, 10, what="two leads")
    took_over = time.monotonic() - began
    api.apply(environment("b"))
    until(lambda: is_ready(api, "b"), what="b is served")
    assert sorted(job_names(api)) == ["a-plan-1", "b-plan-1"]
    assert exited < 4
    assert took_over < 5
    assert two.end() == 0


def test_a_killed_leader_is_replaced(api: cluster.Cluster, start: Start) -> None:
    one = start("one")
    until(one.leads, what="one leads")
    two = start("two")
    until(two.ready, what="two is warm")
    one.end(signal.SIGKILL)
    api.apply(environment("a"))
    until(lambda: is_ready(api, "a"), 20, what="two serves a")
    assert two.leads()
    assert job_names(api) == ["a-plan-1"]


def test_a_leader_that_slept_writes_nothing_any_more(api: cluster.Cluster, start: Start) -> None:
    one = start("one")
    until(one.leads, what="one leads")
    two = start("two")
    until(two.ready, what="two is warm")
    one.popen.send_signal(signal.SIGSTOP)
    until(two.leads, 20, what="two leads")
    api.apply(environment("a"))
    until(lambda: is_ready(api, "a"), what="two serves a")
    one.popen.send_signal(signal.SIGCONT)
    until(lambda: not one.leads(), what="one knows that it slept")
    assert two.leads()
    api.apply(environment("b"))
    until(lambda: is_ready(api, "b"), what="two serves b")
    one.goes_on("vulcan_api_requests", 4, verb="get", resource="leases")  # it runs for office again
    assert not [
        write for write in one.requests("apply", "create") if "leases" not in write and "selfsubject" not in write
    ]
    assert one.end() == 0


@pytest.mark.parametrize(
    "point",
    [
        "apply-vulcanenvironments/status:before:1",
        "apply-vulcanenvironments/status:after:1",
        "create-jobs:before:1",
        "create-jobs:after:1",
        "apply-vulcanenvironments/status:before:2",
        "apply-vulcanenvironments/status:after:2",
    ],
)
def test_a_crash_at_any_write_leaves_one_job(api: cluster.Cluster, start: Start, point: str) -> None:
    one = start("one", VULCAN_CRASH_AT=point)
    until(one.leads, what="one leads")
    api.apply(environment("a"))
    assert one.popen.wait(15) == 137
    again = start("one")  # the same identity takes the Lease back at once
    until(again.ready, what="ready again")
    until(lambda: is_ready(api, "a"), what="served after the crash")
    assert job_names(api) == ["a-plan-1"]
    assert again.end() == 0


def test_an_api_server_that_restarts_is_survived(api: cluster.Cluster, start: Start) -> None:
    one = start("one", VULCAN_RESYNC_INTERVAL="5")
    until(one.leads, what="one leads")
    api.apply(environment("a"))
    until(lambda: is_ready(api, "a"), what="a is served")
    api.kill(components.API_SERVER)
    until(lambda: not one.leads(), what="the Lease ran out")
    one.goes_on("vulcan_api_requests", 2, resource="leases")  # and it does not end for that
    assert one.popen.poll() is None
    api.restart(components.API_SERVER)
    api.apply(environment("b"))
    until(lambda: is_ready(api, "b"), what="b is served after the outage")
    assert one.leads()
    assert sorted(job_names(api)) == ["a-plan-1", "b-plan-1"]
    assert one.get("/healthz")[0] == 200


def test_rest_means_no_writes_but_the_lease(api: cluster.Cluster, start: Start) -> None:
    one = start("one", VULCAN_RESYNC_INTERVAL="2")
    until(one.leads, what="one leads")
    api.apply(*(environment(f"e{i}") for i in range(5)))
    until(lambda: all(is_ready(api, f"e{i}") for i in range(5)), what="served")
    resyncs_and_looks(one, 1)
    verbs = ("apply", "create", "merge", "patch", "delete")
    before = one.requests(*verbs)
    resyncs_and_looks(one, 2)
    assert one.requests(*verbs) == before


def resyncs_and_looks(one: Process, times: int) -> None:
    """It lists everything again, and looks at each of the five objects after that."""
    for _ in range(times):
        one.goes_on("vulcan_resyncs", 1, result="ok")
        one.goes_on("vulcan_reconciles", 5)
