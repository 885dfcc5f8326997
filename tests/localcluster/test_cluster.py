"""The cluster as a whole: who may do what, killing and restarting parts, going back in time, leaving nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client, config

from tests.localcluster.pods import Pods, declared_images
from tests.localcluster.waiting import wait_for
from tools.localcluster import components
from tools.localcluster.cluster import Cluster, ClusterError

REPOSITORY = Path(__file__).resolve().parents[2]


def command_line(*arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.localcluster", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_users_have_no_power_until_it_is_granted(cluster: Cluster) -> None:
    assert cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", user="alice") == "alice"
    with pytest.raises(ClusterError, match="cannot list resource"):
        cluster.kubectl("get", "pods", user="alice")
    cluster.kubectl("create", "rolebinding", "alice", "--clusterrole=view", "--user=alice")
    cluster.kubectl("get", "pods", user="alice")
    with pytest.raises(ClusterError, match="cannot list resource"):
        cluster.kubectl("get", "pods", user="bob")


def test_kubeconfig_of_a_service_account(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("create", "serviceaccount", "robot")
    path = cluster.service_account_kubeconfig("default", "robot", tmp_path / "robot")
    api = client.AuthenticationV1Api(config.new_client_from_config(str(path)))
    review = api.create_self_subject_review({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    assert review.status.user_info.username == "system:serviceaccount:default:robot"


def test_up_changes_nothing_when_everything_runs(cluster: Cluster) -> None:
    before = cluster.status()
    Cluster(cluster.root, cluster.name).up()
    assert cluster.status() == before


@pytest.mark.parametrize("component", ["etcd", "kube-controller-manager", "kube-scheduler"])
def test_killed_component_comes_back_with_its_data(cluster: Cluster, pods: Pods, component: str) -> None:
    cluster.kubectl("create", "configmap", f"before-{component}")
    port = {line.name: line.port for line in cluster.status()}[component]
    cluster.kill(component)
    with pytest.raises(ClusterError, match="does not run"):
        cluster.kill(component)
    cluster.restart(component)
    assert {line.name: line.port for line in cluster.status()}[component] == port
    wait_for(
        lambda: pods.api.list_namespaced_config_map("default", field_selector=f"metadata.name=before-{component}"),
        "the API",
    )
    assert pods.until_over(pods.create()).status.phase == "Succeeded"


def test_etcd_goes_back_to_a_snapshot(cluster: Cluster, pods: Pods, tmp_path: Path) -> None:
    cluster.kubectl("create", "configmap", "kept")
    cluster.etcd_snapshot(tmp_path / "snapshot")
    cluster.kubectl("create", "configmap", "forgotten")
    name = pods.create("exec sleep 64")
    pods.until_phase(name, "Running")
    process = cluster.pod_process(pods.get(name).metadata.uid, "main")
    cluster.etcd_restore(tmp_path / "snapshot")
    names = cluster.kubectl("get", "configmaps", "-o", "name").split()
    assert "configmap/kept" in names and "configmap/forgotten" not in names
    wait_for(lambda: process is not None and not process.alive(), "the end of a pod that never was")
    assert pods.until_over(pods.create()).status.phase == "Succeeded"


def test_two_clusters_side_by_side_and_down_after_killing_everything(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster(tmp_path, "default", images=declared_images()) as second:
        pods = Pods(second)
        name = pods.create("trap '' TERM; setsid sleep 65 & while :; do sleep 0.1; done")
        pods.until_phase(name, "Running")
        assert (tmp_path / ".local" / "kubeconfig").exists()
        assert second.server != cluster.server
        second.stop()
        assert second.marked_processes() == []
        second.up()
        assert pods.until_over(name).status.container_statuses[0].state.terminated.exit_code == 137
        pods.until_phase(pods.create("setsid sleep 66 & exec sleep 66"), "Running")
        for component in components.ALL:
            second.kill(component)
        assert second.marked_processes() != [], "pods outlive the components"
    assert second.marked_processes() == []
    assert not second.state.exists() and not (tmp_path / ".local" / "kubeconfig").exists()
    assert all(line.process for line in cluster.status())


def test_ports_that_others_took_are_replaced(binaries: Path, tmp_path: Path) -> None:
    subject = Cluster(tmp_path, "unlucky")
    subject.state.mkdir(parents=True)
    taken = components.free_ports()
    (subject.state / "ports.json").write_text(json.dumps(taken))
    with contextlib.ExitStack() as stack:
        for name in ("etcd", "api", "node"):
            stack.enter_context(socket.create_server(("127.0.0.1", taken[name])))
        with subject:
            ports = [line.port for line in subject.status()]
            assert all(line.process for line in subject.status())
            assert not {taken["etcd"], taken["api"], taken["node"]} & set(ports)
            assert subject.kubectl("get", "namespaces", "-o", "name").startswith("namespace/default")


@pytest.mark.parametrize("component", ["etcd", "node"])
def test_down_leaves_nothing_after_the_loss_of(binaries: Path, tmp_path: Path, component: str) -> None:
    subject = Cluster(tmp_path, "victim", images=declared_images())
    subject.up()
    Pods(subject).create("setsid sleep 67 & exec sleep 67")
    wait_for(lambda: len(subject.marked_processes()) > 7, "a running pod")
    subject.kill(component)
    subject.down()
    assert subject.marked_processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_up(binaries: Path, tmp_path: Path, number: int) -> None:
    subject = Cluster(tmp_path, "half")
    starting = command_line("up", "--root", str(tmp_path), "--name", "half")
    wait_for(lambda: len(subject.marked_processes()) >= 2, "the first components")
    starting.send_signal(number)
    starting.communicate()
    if number == signal.SIGKILL:
        subject.down()
    assert subject.marked_processes() == []


def test_status_and_errors_of_the_command_line(cluster: Cluster) -> None:
    status = command_line("status", "--root", str(cluster.root), "--name", cluster.name)
    output = status.communicate()[0]
    assert status.returncode == 0
    assert [line.split()[0] for line in output.splitlines()] == [*components.ALL, "kubeconfig"]
    wrong = command_line("status", "--name", "Not A Name")
    assert "not a cluster name" in wrong.communicate()[0] and wrong.returncode == 1


def test_current_cluster_of_the_kubeconfig(cluster: Cluster) -> None:
    for command in ("up", "status", "down"):
        current = command_line(command, CLUSTER="current", KUBECONFIG=str(cluster.kubeconfig))
        output = current.communicate()[0]
        assert current.returncode == 0 and output.startswith("CLUSTER=current: ")
        assert "context admin" in output
    nowhere = command_line("up", CLUSTER="current", KUBECONFIG="/nowhere")
    assert "cannot be used" in nowhere.communicate()[0] and nowhere.returncode == 1
