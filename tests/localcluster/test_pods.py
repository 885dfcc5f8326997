"""What a pod on the local node can rely on; each test is one promise of a kubelet."""

from __future__ import annotations

import base64
import json
import signal
import sys
import time
from typing import Any

import pytest
from kubernetes import client

from tests.localcluster.pods import IMAGE, Pods
from tests.localcluster.waiting import wait_for


def secret(pods: Pods, name: str, **data: str) -> None:
    pods.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})


def config_map(pods: Pods, name: str, **data: str) -> None:
    pods.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def terminated(pod: client.V1Pod) -> Any:
    return pod.status.container_statuses[0].state.terminated


def test_init_containers_run_in_order_and_share_volumes(pods: Pods) -> None:
    mount = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    out = {"env": [{"name": "OUT", "value": "/work/out"}], **mount}
    inits = [{"name": f"init-{n}", "image": IMAGE, "command": ["sh", "-c", f"echo {n} >> $OUT"], **out} for n in (1, 2)]
    name = pods.create(
        initContainers=inits,
        volumes=[{"name": "work", "emptyDir": {}}],
        container={"command": ["cat", "/work/out"], **mount},
    )
    pod = pods.until_over(name)
    assert pod.status.phase == "Succeeded"
    assert pods.logs(name) == "1\n2\n"
    assert [item.ready for item in pod.status.init_container_statuses] == [True, True]
    conditions = {item.type: (item.status, item.reason) for item in pod.status.conditions}
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert conditions["Initialized"][0] == conditions["PodScheduled"][0] == "True"


def test_failed_init_container_fails_the_pod_and_starts_nothing_else(pods: Pods) -> None:
    name = pods.create(initContainers=[{"name": "init", "image": IMAGE, "command": ["false"]}])
    pod = pods.until_over(name)
    assert pod.status.phase == "Failed"
    assert pod.status.init_container_statuses[0].state.terminated.exit_code == 1
    assert pod.status.container_statuses[0].state.waiting.reason == "PodInitializing"


def test_python_of_the_image_runs_with_a_minimal_environment(pods: Pods) -> None:
    program = "import json, os, sys; print(json.dumps([sys.prefix, dict(os.environ), os.getcwd()]))"
    name = pods.create(container={"command": ["python", "-c", program]})
    pods.until_over(name)
    prefix, env, cwd = json.loads(pods.logs(name))
    assert prefix == sys.prefix
    assert set(env) == {
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "HOSTNAME",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "VULCAN_LOCALCLUSTER",
    }
    assert env["HOME"] == cwd and cwd.startswith(str(pods.cluster.state))


def test_variables_come_from_everywhere_and_expand(pods: Pods) -> None:
    secret(pods, "env-secret", password="s3cret")
    config_map(pods, "env-config", region="eu")
    env: list[dict[str, Any]] = [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "password"}}},
        {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "env-config", "key": "region"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "URL", "value": "$(REGION)/$(POD)/$(NONE)/$$(POD)"},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "no-such", "key": "x", "optional": True}}},
    ]
    script = 'echo "$PASSWORD $REGION $LABEL $P_region ${GONE-unset} $URL" "$0"'
    name = pods.create(
        container={
            "command": ["sh", "-c", script, "$(REGION)"],
            "env": env,
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "env-config"}}],
        }
    )
    pods.until_over(name)
    assert pods.logs(name) == f"s3cret eu test eu unset eu/{name}/$(NONE)/$(POD) eu\n"


def test_volumes_of_all_kinds(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> None:
    disk = tmp_path_factory.mktemp("disk")
    (disk / "seed").write_text("from the disk\n")
    secret(pods, "vol-secret", a="alpha", b="beta")
    config_map(pods, "vol-config", c="gamma")
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual"}
    pods.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "disk"},
            "spec": {**volume, "hostPath": {"path": str(disk)}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim"},
            "spec": {
                "storageClassName": "manual",
                "accessModes": ["ReadWriteOnce"],
                "volumeName": "disk",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    field = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    both = [{"secret": {"name": "vol-secret"}}, {"configMap": {"name": "vol-config"}}]
    volumes: dict[str, dict[str, Any]] = {
        "/secret": {
            "secret": {"secretName": "vol-secret", "defaultMode": 0o400, "items": [{"key": "a", "path": "deep/a"}]}
        },
        "/config": {"configMap": {"name": "vol-config"}},
        "/down": {"downwardAPI": {"items": [field]}},
        "/both": {"projected": {"sources": both}},
        "/disk": {"persistentVolumeClaim": {"claimName": "claim"}},
        "/empty": {"secret": {"secretName": "no-such", "optional": True}},
    }
    paths = ["/secret/deep/a", "/config/c", "/down/name", "/both/b", "/disk/seed"]
    script = 'for f in "$@"; do cat "$f"; echo; done; stat -Lc %a "$1"; ls "$E" | wc -l; echo w > "$OUT"'
    name = pods.create(
        volumes=[{"name": path[1:], **source} for path, source in volumes.items()],
        container={
            "command": ["sh", "-c", script, "sh", *paths],
            "env": [{"name": "E", "value": "/empty"}, {"name": "OUT", "value": "/disk/out"}],
            "volumeMounts": [{"name": path[1:], "mountPath": path} for path in volumes],
        },
    )
    assert pods.until_over(name).status.phase == "Succeeded"
    assert pods.logs(name).split() == ["alpha", "gamma", name, "beta", "from", "the", "disk", "400", "0"]
    assert (disk / "out").read_text() == "w\n"


def test_the_default_service_account_token_is_mounted_only_when_asked(pods: Pods) -> None:
    where = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    name = pods.create(automountServiceAccountToken=True, container={"command": ["cat", where]})
    pods.until_over(name)
    payload = pods.logs(name).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["sub"] == "system:serviceaccount:default:default"
    bare = pods.create(container={"command": ["cat", where]})
    assert pods.until_over(bare).status.phase == "Failed"


def test_termination_message_is_read_from_its_file_and_capped(pods: Pods) -> None:
    script = "head -c 5000 /dev/zero | tr '\\0' x > $MESSAGE; printf end >> $MESSAGE; exit 3"
    name = pods.create(
        script,
        container={
            "command": ["sh", "-c", script],
            "terminationMessagePath": "/run/result",
            "env": [{"name": "MESSAGE", "value": "/run/result"}],
        },
    )
    ended = terminated(pods.until_over(name))
    assert (ended.exit_code, ended.reason) == (3, "Error")
    assert len(ended.message) == 4096 and ended.message.endswith("xend")


def test_termination_message_falls_back_to_the_log(pods: Pods) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    name = pods.create(container={"command": ["sh", "-c", "echo boom; exit 1"], **policy})
    assert terminated(pods.until_over(name)).message == "boom\n"


def test_missing_secret_behind_a_variable(pods: Pods) -> None:
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "key"}}}]
    name = pods.create(container={"command": ["sh", "-c", "echo $X"], "env": env})
    assert pods.until_waiting(name, "CreateContainerConfigError") == 'secret "late" not found'
    secret(pods, "late", other="x")
    wait_for(
        lambda: (
            pods.until_waiting(name, "CreateContainerConfigError") == "couldn't find key key in Secret default/late"
        ),
        "the missing key's message",
    )
    assert pods.get(name).status.phase == "Pending"
    secret(pods, "late", key="here")
    assert pods.until_over(name).status.phase == "Succeeded"
    assert pods.logs(name) == "here\n"


def test_missing_secret_behind_a_volume(pods: Pods) -> None:
    name = pods.create(
        volumes=[{"name": "creds", "secret": {"secretName": "absent"}}],
        container={"volumeMounts": [{"name": "creds", "mountPath": "/creds"}]},
    )
    wait_for(lambda: pods.events(name, "FailedMount"), "a FailedMount event")
    message = 'MountVolume.SetUp failed for volume "creds" : secret "absent" not found'
    assert pods.events(name, "FailedMount") == [message]
    assert pods.until_waiting(name, "ContainerCreating") == ""
    secret(pods, "absent", key="value")
    assert pods.until_over(name).status.phase == "Succeeded"


def test_unknown_image(pods: Pods) -> None:
    name = pods.create(container={"image": "registry.example/none:1"})
    pods.until_waiting(name, "ErrImagePull")
    assert pods.until_waiting(name, "ImagePullBackOff").startswith('Back-off pulling image "registry.example/none:1"')
    with pytest.raises(client.ApiException) as refused:
        pods.logs(name)
    assert refused.value.status == 400
    assert "is waiting to start: trying and failing to pull image" in refused.value.body
    pods.api.delete_namespaced_pod(name, "default")
    pods.until_gone(name)


def test_command_that_does_not_exist(pods: Pods) -> None:
    ended = terminated(pods.until_over(pods.create(container={"command": ["no-such-program"]})))
    assert (ended.exit_code, ended.reason) == (128, "StartError")
    assert "executable file not found" in ended.message


def test_deadline_fails_the_pod_and_keeps_it(pods: Pods) -> None:
    name = pods.create("echo begun; sleep 60", activeDeadlineSeconds=1)
    pod = pods.until_over(name)
    assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
    assert terminated(pod).exit_code == 143
    assert pods.logs(name) == "begun\n"


def test_deletion_asks_first(pods: Pods) -> None:
    name = pods.create("trap 'echo asked; sleep 0.3; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    pods.until_logged(name, "ready")
    process = pods.cluster.pod_process(pods.get(name).metadata.uid, "main")
    began = time.monotonic()
    pods.api.delete_namespaced_pod(name, "default")
    pods.until_logged(name, "asked")
    pods.until_gone(name)
    assert process is not None and not process.alive()
    assert time.monotonic() - began < 4


def test_deletion_insists_after_the_grace_period(pods: Pods) -> None:
    name = pods.create("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    pods.until_logged(name, "ready")
    process = pods.cluster.pod_process(pods.get(name).metadata.uid, "main")
    pods.api.delete_namespaced_pod(name, "default", grace_period_seconds=1)
    pods.until_gone(name)
    assert process is not None and not process.alive()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 137), (signal.SIGSEGV, 139)])
def test_process_killed_from_outside(pods: Pods, number: int, code: int) -> None:
    name = pods.create("echo ready; exec sleep 60")
    pods.until_logged(name, "ready")
    process = pods.cluster.pod_process(pods.get(name).metadata.uid, "main")
    assert process is not None and process.signal(number)
    ended = terminated(pods.until_over(name))
    assert (ended.exit_code, ended.reason, ended.signal) == (code, "Error", number)


def test_what_a_container_leaves_running_ends_with_it(pods: Pods) -> None:
    name = pods.create("setsid sleep 61 & echo $!; sleep 0.2")
    pods.until_over(name)
    left = int(pods.logs(name))
    assert not any(process.pid == left for process in pods.cluster.marked_processes())


def test_a_job_of_the_real_controller_completes(pods: Pods) -> None:
    pods.cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "job"},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "main", "image": IMAGE, "command": ["true"]}],
                    }
                },
            },
        }
    )
    pods.cluster.kubectl("wait", "--for=condition=Complete", "job/job", "--timeout=20s")


def test_restart_policy_on_failure(pods: Pods) -> None:
    script = "if test -e $D/x; then exit 0; fi; touch $D/x; exit 1"
    name = pods.create(
        restartPolicy="OnFailure",
        volumes=[{"name": "d", "emptyDir": {}}],
        container={
            "command": ["sh", "-c", script],
            "env": [{"name": "D", "value": "/d"}],
            "volumeMounts": [{"name": "d", "mountPath": "/d"}],
        },
    )
    pod = pods.until_over(name)
    assert pod.status.phase == "Succeeded"
    assert pod.status.container_statuses[0].restart_count == 1
    assert pod.status.container_statuses[0].last_state.terminated.exit_code == 1


def test_logs_with_all_their_options(pods: Pods) -> None:
    name = pods.create("printf 'one\\ntwo\\nthree'")
    pods.until_over(name)
    assert pods.logs(name) == "one\ntwo\nthree"
    assert pods.logs(name, tail_lines=2) == "two\nthree"
    assert pods.logs(name, limit_bytes=5) == "one\nt"
    stamp, _, text = pods.logs(name, timestamps=True).splitlines()[0].partition(" ")
    assert text == "one" and stamp.endswith("Z")
    assert pods.logs(name, since_seconds=100).startswith("one")


def test_logs_can_be_followed(pods: Pods) -> None:
    name = pods.create("for i in 1 2 3; do echo $i; sleep 0.2; done")
    pods.until_phase(name, "Running", "Succeeded")
    assert pods.cluster.kubectl("logs", "-f", name) == "1\n2\n3\n"
