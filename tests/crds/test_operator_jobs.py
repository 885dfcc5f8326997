"""What Jobs the operator's account may write: those of every task as the operator makes them, and no others."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crds.conftest import ROOT, until
from tests.crds.server import MERGE, User

Raw = dict[str, Any]
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*.yaml"))
HOME = "jobs-home"
PATH = f"/apis/batch/v1/namespaces/{HOME}/jobs"
DRY = f"{PATH}?dryRun=All"
SHAPE, IMAGES = "vulcan-operator-jobs", "vulcan-operator-images"


def manifest(name: str = "plan-git-everything-set") -> Raw:
    """A Job of the operator: one with everything that a gateway can set."""
    job: Raw = yaml.safe_load((ROOT / "tests" / "golden" / f"{name}.yaml").read_text())
    job["metadata"]["namespace"] = HOME
    return job


@pytest.fixture(scope="module")
def home(server: Any, operator: User) -> str:
    """A namespace that hosts a gateway, with the labels of the install steps; the policy works."""
    server.kubectl("create", "namespace", HOME)
    server.kubectl("label", "namespace", HOME, "pod-security.kubernetes.io/enforce=restricted")
    server.kubectl("create", "rolebinding", "vulcan-gateway", "-n", HOME, "--clusterrole=vulcan-gateway",
                   "--serviceaccount=vulcan-system:vulcan-operator")  # fmt: skip
    bad = manifest()
    del bad["metadata"]["labels"]["vulcan.dev/managed"]
    until(lambda: SHAPE in operator.call("POST", DRY, bad).message, f"{SHAPE} is active")
    return HOME


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_the_jobs_of_every_task_are_taken(operator: User, file: Path) -> None:
    answer = operator.call("POST", DRY, manifest(file.stem))
    assert answer.ok, answer.message


def _pod(job: Raw) -> Raw:
    pod: Raw = job["spec"]["template"]["spec"]
    return pod


def _main(job: Raw) -> Raw:
    main: Raw = _pod(job)["containers"][0]
    return main


def _set(where: Callable[[Raw], Raw], **fields: Any) -> Callable[[Raw], object]:
    return lambda job: where(job).update(copy.deepcopy(fields))


def _secure(where: Callable[[Raw], Raw], **fields: Any) -> Callable[[Raw], object]:
    return lambda job: where(job)["securityContext"].update(copy.deepcopy(fields))


def _volume(**source: Any) -> Callable[[Raw], object]:
    return lambda job: _pod(job)["volumes"].append({"name": "more", **copy.deepcopy(source)})


def _no_labels(job: Raw) -> None:
    job["metadata"].pop("labels")  # else the server takes those of the template
    job["spec"]["template"].pop("metadata")


def _device(job: Raw) -> None:
    _pod(job)["volumes"].append({"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}})
    _main(job)["volumeDevices"] = [{"name": "disk", "devicePath": "/dev/x"}]


def _another(job: Raw) -> None:
    _pod(job)["containers"].append({**copy.deepcopy(_main(job)), "name": "second"})


EXEC = {"exec": {"command": ["sh"]}}
TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
MUTATIONS: dict[str, Callable[[Raw], object]] = {
    "no label of ours": lambda job: job["metadata"]["labels"].pop("vulcan.dev/managed"),
    "no label on the pod": lambda job: job["spec"]["template"]["metadata"]["labels"].pop("vulcan.dev/task"),
    "no labels at all": _no_labels,
    "API token": _set(_pod, automountServiceAccountToken=True),
    "API token by default": lambda job: _pod(job).pop("automountServiceAccountToken"),
    "projected token": _volume(projected=TOKEN),
    "hostPath": _volume(hostPath={"path": "/"}),
    "downward API": _volume(downwardAPI={"items": []}),
    "csi": _volume(csi={"driver": "x"}),
    "host network": _set(_pod, hostNetwork=True),
    "host processes": _set(_pod, hostPID=True),
    "host IPC": _set(_pod, hostIPC=True),
    "second container": _another,
    "another name": _set(_main, name="other"),
    "another program": _set(_main, command=["sh", "-c", "id"]),
    "no command": lambda job: _main(job).pop("command"),
    "arguments": _set(_main, args=["-c"]),
    "another program to fetch": lambda job: _pod(job)["initContainers"][0].update(command=["sh"]),
    "another image to fetch": lambda job: _pod(job)["initContainers"][0].update(image="evil"),
    "another init container": lambda job: _pod(job)["initContainers"][0].update(name="other"),
    "second init container": lambda job: _pod(job)["initContainers"].append(
        {**_pod(job)["initContainers"][0], "name": "again"}
    ),
    "all of a Secret": _set(_main, envFrom=[{"secretRef": {"name": "x"}}]),
    "hook": _set(_main, lifecycle={"postStart": EXEC}),
    "probe": _set(_main, livenessProbe=EXEC),
    "startup probe": _set(_main, startupProbe=EXEC),
    "readiness probe": _set(_main, readinessProbe=EXEC),
    "port": _set(_main, ports=[{"containerPort": 80, "hostPort": 80}]),
    "device": _device,
    "pod as root": _secure(_pod, runAsUser=0),
    "pod perhaps as root": lambda job: _pod(job)["securityContext"].pop("runAsNonRoot"),
    "pod unconfined": _secure(_pod, seccompProfile={"type": "Unconfined"}),
    "no context": lambda job: _pod(job).pop("securityContext"),
    "privileged": _secure(_main, privileged=True, allowPrivilegeEscalation=True),
    "escalation": lambda job: _main(job)["securityContext"].pop("allowPrivilegeEscalation"),
    "writable root": _secure(_main, readOnlyRootFilesystem=False),
    "container as root": _secure(_main, runAsUser=0, runAsNonRoot=False),
    "container unconfined": _secure(_main, seccompProfile={"type": "Unconfined"}),
    "capabilities": _secure(_main, capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    "capabilities kept": _secure(_main, capabilities={}),
    "fetch writable": lambda job: _pod(job)["initContainers"][0]["securityContext"].update(
        readOnlyRootFilesystem=False
    ),
}  # fmt: skip


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_other_jobs_are_not(operator: User, admin: User, change: Callable[[Raw], object]) -> None:
    job = manifest()
    change(job)
    answer = operator.call("POST", DRY, job)
    by_flag = "disallowed by cluster policy" in answer.message  # this server runs without --allow-privileged
    assert answer.code in (403, 422) and (by_flag or f"'{SHAPE}'" in answer.message), answer.message
    assert admin.call("POST", DRY, job).code in (201, 422), "others are not asked"


@pytest.fixture
def there(home: str, admin: User) -> Iterator[str]:
    """The path of a suspended Job of ours, and of somebody else's after it."""
    ours, other = manifest("probe"), manifest("probe")
    ours["spec"]["suspend"] = other["spec"]["suspend"] = True
    ours["metadata"]["name"], other["metadata"] = "ours", {"name": "other"}
    del other["spec"]["template"]["metadata"]
    for job in (ours, other):
        assert admin.call("POST", PATH, job).ok
    yield PATH
    for name in ("ours", "other"):
        admin.call("DELETE", f"{PATH}/{name}", {"propagationPolicy": "Background"})


def test_it_looks_after_its_own_jobs_and_no_others(operator: User, there: str) -> None:
    later = {"spec": {"ttlSecondsAfterFinished": 60}}
    label = {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}  # may be changed while a Job is suspended
    assert operator.call("PATCH", f"{there}/ours", later, MERGE).ok
    assert "may not change the pod" in operator.call("PATCH", f"{there}/ours", label, MERGE).message
    assert "only Jobs with the operator's labels" in operator.call("PATCH", f"{there}/other", later, MERGE).message
    assert "only Jobs with the operator's labels" in operator.call("DELETE", f"{there}/other").message
    assert operator.call("DELETE", f"{there}/ours", {"propagationPolicy": "Background"}).ok


def test_images_are_restricted_where_the_cluster_says_which(operator: User, home: str, server: Any) -> None:
    assert operator.call("POST", DRY, manifest()).ok
    server.kubectl("create", "configmap", "vulcan-runner-images", "-n", "vulcan-system",
                   "--from-literal=prefixes=registry.acme.com/runner: other/")  # fmt: skip
    evil = manifest()
    for container in (*_pod(evil)["containers"], *_pod(evil)["initContainers"]):
        container["image"] = "evil/registry.acme.com/runner:1"
    try:
        until(lambda: IMAGES in operator.call("POST", DRY, evil).message, f"{IMAGES} is active")
        assert "evil/registry.acme.com/runner:1" in operator.call("POST", DRY, evil).message
        assert operator.call("POST", DRY, manifest()).ok
    finally:
        server.kubectl("delete", "configmap", "vulcan-runner-images", "-n", "vulcan-system")
    until(lambda: operator.call("POST", DRY, evil).ok, "without it gateways decide")
