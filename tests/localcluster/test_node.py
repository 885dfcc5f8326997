"""The node may die and come back at any time: pods run on, and what is reported afterwards is true."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.localcluster.pods import Pods
from tests.localcluster.waiting import wait_for
from tools.localcluster.cluster import Cluster


@pytest.fixture
def nodeless(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster whose node may be killed; afterwards it has one again."""
    yield cluster
    cluster.restart("node")


def test_pods_survive_the_node(nodeless: Cluster, pods: Pods) -> None:
    flag = {"env": [{"name": "GO", "value": "/flags/go"}], "volumeMounts": [{"name": "flags", "mountPath": "/flags"}]}
    volumes = [{"name": "flags", "emptyDir": {}}]
    script = "echo ready; while ! test -e $GO; do sleep 0.05; done; echo done; exit 7"
    ends_meanwhile, ends_later = (
        pods.create(volumes=volumes, container={"command": ["sh", "-c", script], **flag}) for _ in range(2)
    )
    uids = {name: pods.get(name).metadata.uid for name in (ends_meanwhile, ends_later)}
    for name in uids:
        pods.until_logged(name, "ready")
    process = {name: nodeless.pod_process(uid, "main") for name, uid in uids.items()}

    def release(name: str) -> None:
        (nodeless.state / "node" / "pods" / uids[name] / "volumes" / "flags" / "go").touch()

    nodeless.kill("node")
    release(ends_meanwhile)
    wait_for(lambda: not process[ends_meanwhile].alive(), "the end of the first program")  # type: ignore[union-attr]
    nodeless.restart("node")
    pod = pods.until_over(ends_meanwhile)
    assert pod.status.container_statuses[0].state.terminated.exit_code == 7
    assert process[ends_later] == nodeless.pod_process(uids[ends_later], "main")
    release(ends_later)
    pod = pods.until_over(ends_later)
    assert pod.status.container_statuses[0].state.terminated.exit_code == 7
    assert pod.status.container_statuses[0].restart_count == 0
    assert pods.logs(ends_later) == "ready\ndone\n"


def test_pod_deleted_while_the_node_was_away_ends_when_it_is_back(nodeless: Cluster, pods: Pods) -> None:
    asked, forced = (pods.create("echo ready; exec sleep 62") for _ in range(2))
    uids = {name: pods.get(name).metadata.uid for name in (asked, forced)}
    for name in uids:
        pods.until_logged(name, "ready")
    left = [nodeless.pod_process(uid, "main") for uid in uids.values()]
    nodeless.kill("node")
    pods.api.delete_namespaced_pod(asked, "default")
    pods.api.delete_namespaced_pod(forced, "default", grace_period_seconds=0)
    nodeless.restart("node")
    pods.until_gone(asked)
    pods.until_gone(forced)
    wait_for(lambda: not any(process is not None and process.alive() for process in left), "no process left")


def test_program_lost_with_its_holder_is_not_called_a_success(nodeless: Cluster, pods: Pods) -> None:
    name = pods.create("echo ready; exec sleep 63")
    pods.until_logged(name, "ready")
    uid = pods.get(name).metadata.uid
    program = nodeless.pod_process(uid, "main")
    assert program is not None
    nodeless.kill("node")
    for process in nodeless.marked_processes():
        if uid in process.command():
            process.signal(signal.SIGKILL)
    nodeless.restart("node")
    wait_for(lambda: not program.alive(), "the program's end")
    ended = pods.until_over(name).status.container_statuses[0].state.terminated
    assert (ended.exit_code, ended.reason) == (137, "ContainerStatusUnknown")


def test_pods_survive_the_api_server(cluster: Cluster, pods: Pods) -> None:
    name = pods.create("echo ready; sleep 0.5; exit 5")
    pods.until_logged(name, "ready")
    cluster.kill("kube-apiserver")
    uid_folders = list((cluster.state / "node" / "pods").glob("*/containers/main/0/exit.json"))
    wait_for(
        lambda: len(list((cluster.state / "node" / "pods").glob("*/containers/main/0/exit.json"))) > len(uid_folders),
        "the end of the program",
    )
    cluster.restart("kube-apiserver")
    assert pods.until_over(name).status.container_statuses[0].state.terminated.exit_code == 5
