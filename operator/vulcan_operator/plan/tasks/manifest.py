"""The Job of a task as a manifest. Pure: the same task gives the same bytes (see the golden files).

One pod, once: backoffLimit 0, restartPolicy Never, podReplacementPolicy Failed. The deadline sits
in the pod template, because a Job's own deadline deletes the pod and with it the result; a longer
one on the Job is the backstop for pods that never start. Pod Security `restricted`, no API token.
No ownerReferences: a foreground delete of the owner would kill a running apply, and across
namespaces the garbage collector deletes the Job.
"""

from dataclasses import dataclass
from typing import Any

from vulcan_contract import PodEnv
from vulcan_contract.digest import of_json
from vulcan_contract.task import Connection, SourceKind, Task
from vulcan_operator.api import GROUP, names
from vulcan_operator.api.fields import parse_duration
from vulcan_operator.api.gateway_runner import RunnerSpec
from vulcan_operator.plan.core.actions import CreateJob, Key
from vulcan_operator.plan.core.facts import GatewayFacts
from vulcan_operator.plan.tasks import disk

_ROOT = "/vulcan"
_RESULT = "/dev/termination-log"
_UID = 10001
_NO_MATTER_OF_STARTING = (
    "image", "allowedImages", "podLabels", "podAnnotations", "proxy", "deadline", "gracePeriod",
    "startDeadline",
)  # fmt: skip
_VOLUME_FIELDS = {"name", "emptyDir", "configMap", "persistentVolumeClaim", "secret"}


@dataclass(frozen=True)
class JobParts:
    """What a manifest is built from besides the task."""

    owner: Key
    owner_uid: str
    install: str
    inputs: str
    attempt: int
    why: str
    image: str
    gateway: GatewayFacts
    source_config_map: str | None = None
    git_secret: str | None = None
    checks_config_map: str | None = None
    pinned_image: str | None = None  # `image` by digest, which is the same for `runner_digest`


def build_job(task: Task, parts: JobParts) -> CreateJob:
    """Manifest of the Job of a task, ready to be created."""
    runner = parts.gateway.spec.runner
    deadline = int(parse_duration(runner.deadline).total_seconds())
    start = int(parse_duration(runner.start_deadline).total_seconds())
    labels = _labels(task, parts)
    metadata = {
        "name": task.job,
        "namespace": parts.gateway.metadata.namespace,
        "labels": labels,
        "annotations": {names.WHY: parts.why, names.RUNNER: runner_digest(parts.image, runner)},
    }
    pod_metadata = {
        "labels": {**_foreign(runner.pod_labels), **labels},
        "annotations": {**_foreign(runner.pod_annotations), names.NONCE: task.nonce},
    }
    spec = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": deadline + start + 600,
        "template": {"metadata": pod_metadata, "spec": _pod(task, parts, runner, deadline)},
    }
    return CreateJob({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})


def runner_digest(image: str, runner: RunnerSpec) -> str:
    """Digest of the settings that decide whether a pod can start; deadlines are excluded."""
    said = {k: v for k, v in runner.to_json().items() if k not in _NO_MATTER_OF_STARTING}
    return of_json([image, said])[:16]


def _labels(task: Task, parts: JobParts) -> dict[str, str]:
    return {
        names.MANAGED: "true",
        names.INSTALL: parts.install,
        names.OWNER_KIND: parts.owner.kind.value,
        names.OWNER_NAMESPACE: parts.owner.namespace,
        names.OWNER_NAME: parts.owner.name,
        names.OWNER_UID: parts.owner_uid,
        names.TASK: task.kind.value,
        names.INPUTS: parts.inputs,
        names.ATTEMPT: str(parts.attempt),
        names.GATEWAY: parts.gateway.metadata.name,
    }


def _foreign(entries: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in entries.items() if not k.startswith(f"{GROUP}/")}


def _pod(task: Task, parts: JobParts, runner: RunnerSpec, deadline: int) -> dict[str, Any]:
    user = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), _UID)
    command = ["python", "-m", "vulcan_runner"]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline,
        "terminationGracePeriodSeconds": int(parse_duration(runner.grace_period).total_seconds()),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            **user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container("main", command, task, parts)],
        "volumes": _volumes(task, parts),
    }
    if task.source is not None and task.source.kind is SourceKind.GIT:
        pod["initContainers"] = [_container("fetch", [*command, "fetch"], task, parts)]
    optional = {
        "serviceAccountName": runner.service_account_name,
        "imagePullSecrets": [{"name": s.name} for s in runner.image_pull_secrets],
        "nodeSelector": runner.node_selector,
        "tolerations": runner.tolerations,
        "affinity": runner.affinity,
    }
    return {**pod, **{k: v for k, v in optional.items() if v}}


def _container(name: str, command: list[str], task: Task, parts: JobParts) -> dict[str, Any]:
    fetch, runner = name == "fetch", parts.gateway.spec.runner
    own = _proxies(runner) if fetch else runner.env
    return {
        "name": name,
        "image": parts.pinned_image or parts.image,
        "command": command,
        "env": [*_environment(task, parts, fetch=fetch), *own],
        "volumeMounts": _mounts(task, parts, fetch=fetch),
        "terminationMessagePath": _RESULT,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Of both containers: a ResourceQuota refuses a pod with a container that has none.
        "resources": disk.resources(runner),
    }


def _environment(task: Task, parts: JobParts, *, fetch: bool) -> list[dict[str, str]]:
    runner = parts.gateway.spec.runner
    env = {
        # A kubelet expands $(NAME) and $$ in values.
        PodEnv.TASK: task.to_json().replace("$", "$$"),
        PodEnv.WORK: f"{_ROOT}/work",
        PodEnv.RESULT: _RESULT,
        PodEnv.PROJECT: "/project" if _in_image(task) else f"{_ROOT}/project",
        "HOME": f"{_ROOT}/work",
        "TMPDIR": "/tmp",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if fetch:
        env |= {PodEnv.GIT_CREDENTIALS: f"{_ROOT}/git"} if parts.git_secret else {}
        own = {e["name"].lower() for e in _proxies(runner)}
        proxies = [name for name in ("HTTPS_PROXY", "HTTP_PROXY") if name.lower() not in own]
        env |= dict.fromkeys(proxies, runner.proxy) if runner.proxy else {}
    else:
        env |= {
            PodEnv.SECRETS: f"{_ROOT}/secrets",
            **({PodEnv.CHECKS: f"{_ROOT}/checks"} if parts.checks_config_map is not None else {}),
            "MAX_FORK_WORKERS": "1",
            "SQLMESH_HOME": f"{_ROOT}/work/sqlmesh",
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        }
    if runner.ca_bundle is not None:
        trust = ("SSL_CERT_FILE", "GIT_SSL_CAINFO", *(() if fetch else ("PGSSLROOTCERT",)))
        env |= dict.fromkeys(trust, f"{_ROOT}/ca/ca.crt")
    return [{"name": k, "value": v} for k, v in env.items()]


def _proxies(runner: RunnerSpec) -> list[dict[str, Any]]:
    """What runner.env says of proxies in plain values: git needs that, too."""
    proxies = (e for e in runner.env if e["name"].lower().endswith("_proxy"))
    return [e for e in proxies if e.get("value") is not None]


def _in_image(task: Task) -> bool:
    return task.source is not None and task.source.kind is SourceKind.IMAGE


def _mounts(task: Task, parts: JobParts, *, fetch: bool) -> list[dict[str, Any]]:
    runner = parts.gateway.spec.runner
    mounts: list[dict[str, Any]] = [
        {"name": "work", "mountPath": f"{_ROOT}/work"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if task.source is not None and not _in_image(task):
        mounts.append({"name": "project", "mountPath": f"{_ROOT}/project", "readOnly": not fetch})
    if runner.ca_bundle is not None:
        mounts.append({"name": "ca", "mountPath": f"{_ROOT}/ca", "readOnly": True})
    if fetch and parts.git_secret:
        mounts.append({"name": "git", "mountPath": f"{_ROOT}/git", "readOnly": True})
    if fetch:
        return mounts
    if parts.checks_config_map is not None:
        mounts.append({"name": "checks", "mountPath": f"{_ROOT}/checks", "readOnly": True})
    secrets = [
        {"name": f"secret-{i}", "mountPath": f"{_ROOT}/secrets/{name}", "readOnly": True}
        for i, name in enumerate(_secret_names(task))
    ]
    paths = (str(volume["mountPath"]) for volume in _extra(runner))
    own = [{"name": f"extra-{i}", "mountPath": path} for i, path in enumerate(paths)]
    return [*mounts, *secrets, *own]


def _volumes(task: Task, parts: JobParts) -> list[dict[str, Any]]:
    runner = parts.gateway.spec.runner
    volumes: list[dict[str, Any]] = [_folder(name, runner) for name in ("work", "tmp")]
    if parts.source_config_map is not None:
        volumes.append({"name": "project", "configMap": {"name": parts.source_config_map}})
    elif task.source is not None and not _in_image(task):
        volumes.append(_folder("project", runner))
    if parts.checks_config_map is not None:
        volumes.append({"name": "checks", "configMap": {"name": parts.checks_config_map}})
    if runner.ca_bundle is not None:
        volumes.append({"name": "ca", "configMap": {"name": runner.ca_bundle.name}})
    if parts.git_secret is not None:
        volumes.append(_secret("git", parts.git_secret))
    volumes += [_secret(f"secret-{i}", name) for i, name in enumerate(_secret_names(task))]
    extra = (disk.bounded(v["volume"], runner) for v in _extra(runner))
    return [*volumes, *({**volume, "name": f"extra-{i}"} for i, volume in enumerate(extra))]


def _folder(name: str, runner: RunnerSpec) -> dict[str, Any]:
    return disk.bounded({"name": name, "emptyDir": {}}, runner)


def _secret(volume: str, secret: str) -> dict[str, Any]:
    # optional: of a missing Secret behind a volume a kubelet says nothing readable, the runner does
    source = {"secretName": secret, "optional": True, "defaultMode": 0o440}
    return {"name": volume, "secret": source}


def _secret_names(task: Task) -> list[str]:
    gateway = task.gateway
    connections: list[Connection | None] = [gateway.connection, gateway.state_connection]
    connections += [a.connection for a in gateway.additional]
    return sorted({ref.name for c in connections if c is not None for ref in c.secrets.values()})


def _extra(runner: RunnerSpec) -> list[dict[str, Any]]:
    """Volumes of kinds that cannot reach the node; others are left out, as the CRD refuses them."""
    mounted = (
        v for v in runner.volumes if v.get("mountPath") and isinstance(v.get("volume"), dict)
    )
    return [v for v in mounted if set(v["volume"]) <= _VOLUME_FIELDS]
