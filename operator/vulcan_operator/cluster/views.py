"""Parses JSON of the API server into the values that planners and cache work with.

Called by `cluster.wake` once per version of an object. Pure.
"""

import datetime as dt
import json
import sys
from dataclasses import dataclass
from typing import Any, get_args

import pydantic

from vulcan_operator.api import GROUP, names
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.kube.resources import Raw
from vulcan_operator.plan.core.actions import Custom, Kind
from vulcan_operator.plan.core.seen import JobSeen, JobState, PodSeen

JOB_NAME = "batch.kubernetes.io/job-name"
MOST_CHARACTERS = 256 * 1024
"""Of one object: the schemas allow a quarter, but for what the CRD cannot bound."""
_SHORT = 100
_LONGEST_IMAGE = 512
_LONGEST_NOTE = 16 * 1024  # more than a thousand holds that were lifted
_GIVEN: dict[frozenset[str], set[str]] = {}
_WAITS_FOR_OTHERS = ("", "PodInitializing", "ContainerCreating")


@dataclass(frozen=True)
class Unparsable:
    """Stands for an object that does not fit our models, as of another CRD; its status is kept."""

    metadata: ObjectMeta
    error: str
    status: dict[str, Any]


MODELS: dict[Kind, type[Custom]] = {Kind(model.__name__): model for model in get_args(Custom)}


def custom(kind: Kind, raw: Raw) -> Custom | Unparsable:
    """Parse one of our objects."""
    metadata = _ours(raw["metadata"])
    size = len(json.dumps([metadata, raw.get("spec")], ensure_ascii=False))
    if size > MOST_CHARACTERS:
        # Its finalizers are not known: whoever wrote so many of them has to shorten the list.
        meta = ObjectMeta.model_validate({**metadata, "finalizers": []})
        kept = f"metadata and spec have {size} characters, and more than {MOST_CHARACTERS} are"
        return Unparsable(meta, f"{kept} not kept: make them shorter", raw.get("status") or {})
    try:
        found = MODELS[kind].model_validate({**raw, "metadata": metadata})
        _share_names(found)
        return found
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        problem = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        meta = ObjectMeta.model_validate(metadata)
        return Unparsable(meta, problem, raw.get("status") or {})


def _ours(metadata: Raw) -> Raw:
    """Return what the operator reads of metadata: anybody can write as much as they like there."""
    kept = {k: v for k, v in metadata.items() if k not in ("managedFields", "ownerReferences")}
    for name in ("annotations", "labels"):
        if name in kept:
            ours = (pair for pair in kept[name].items() if pair[0].startswith(f"{GROUP}/"))
            kept[name] = {key: value[:_LONGEST_NOTE] for key, value in ours}
    return kept


def _share_names(model: pydantic.BaseModel) -> None:
    """Let models share their sets of given fields, and short strings such as digests and reasons.

    The sets take nearly half the memory of an environment and are mostly equal. Models are frozen,
    so sharing is safe; copies copy the set.
    """
    given = model.__pydantic_fields_set__
    object.__setattr__(model, "__pydantic_fields_set__", _GIVEN.setdefault(frozenset(given), given))
    for name, value in model.__dict__.items():
        if type(value) is str and len(value) < _SHORT:
            model.__dict__[name] = sys.intern(value)
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, pydantic.BaseModel):
                _share_names(part)


def job(raw: Raw) -> JobSeen:
    """Parse one of our Jobs."""
    meta, labels, status = raw["metadata"], raw["metadata"].get("labels", {}), raw.get("status", {})
    state, condition = _job_state(status)
    finished = status.get("completionTime") or condition.get("lastTransitionTime")
    return JobSeen(
        namespace=sys.intern(meta["namespace"]), name=meta["name"], uid=meta["uid"],
        owner_kind=sys.intern(labels.get(names.OWNER_KIND, "")),
        owner_namespace=sys.intern(labels.get(names.OWNER_NAMESPACE, "")),
        owner_name=sys.intern(labels.get(names.OWNER_NAME, "")),
        owner_uid=sys.intern(labels.get(names.OWNER_UID, "")),
        task=sys.intern(labels.get(names.TASK, "")), inputs=labels.get(names.INPUTS, ""),
        attempt=_attempt(labels.get(names.ATTEMPT, "")),
        gateway=sys.intern(labels.get(names.GATEWAY, "")),
        install=sys.intern(labels.get(names.INSTALL, "")), state=state,
        reason=condition.get("reason", "") if state is JobState.FAILED else "",
        message=condition.get("message", "") if state is JobState.FAILED else "",
        created=_time(meta.get("creationTimestamp")),
        finished=None if state is JobState.UNFINISHED else _time(finished),
        ttl=raw.get("spec", {}).get("ttlSecondsAfterFinished"),
        runner=meta.get("annotations", {}).get(names.RUNNER, ""),
    )  # fmt: skip


def _attempt(label: str) -> int:
    """Return the number of an attempt. Anyone can set labels; a malformed one counts as 0."""
    return int(label) if label.isascii() and label.isdecimal() and len(label) < 10 else 0


def _job_state(status: Raw) -> tuple[JobState, Raw]:
    """Return state and condition of a Job. It ends with its last pod, not with FailureTarget."""
    ends = {"Complete": JobState.COMPLETE, "Failed": JobState.FAILED}
    for condition in status.get("conditions", []) if not status.get("terminating") else ():
        if condition["type"] in ends and condition["status"] == "True":
            return ends[condition["type"]], condition
    return JobState.UNFINISHED, {}


def pod(raw: Raw) -> PodSeen:
    """Parse a pod of one of our Jobs."""
    meta, labels, status = raw["metadata"], raw["metadata"].get("labels", {}), raw.get("status", {})
    main = _main_container(raw)
    inits = status.get("initContainerStatuses", [])
    ended = _terminated(next((c for c in inits if _terminated(c).get("exitCode")), main))
    waiting = _waiting(status, [*inits, main])
    return PodSeen(
        namespace=sys.intern(meta["namespace"]), name=meta["name"], uid=meta["uid"],
        job=labels.get(JOB_NAME, ""), owner_uid=sys.intern(labels.get(names.OWNER_UID, "")),
        phase=sys.intern(status.get("phase", "Pending")),
        created=_time(meta.get("creationTimestamp")),
        started=any(_has_run(c) for c in (*inits, main)),
        waiting=waiting[0], waiting_message=waiting[1], termination=ended.get("message", ""),
        exit_code=ended.get("exitCode"),
        exit_reason=status.get("reason") or ended.get("reason", ""),
        deleted=_time(meta.get("deletionTimestamp")),
        nonce=meta.get("annotations", {}).get(names.NONCE, ""),
        image_id=sys.intern(main.get("imageID", "")[:_LONGEST_IMAGE]),
    )  # fmt: skip


def _has_run(container: Raw) -> bool:
    """Return whether a container runs or ran. Fetching a large repository counts as running."""
    running = "running" in container.get("state", {})
    return running or bool(_terminated(container).get("startedAt"))


def _terminated(container: Raw) -> Raw:
    return dict(container.get("state", {}).get("terminated", {}))


def main_container(raw: Raw) -> str:
    """Return the name of the container that runs the task: the first; injected ones follow it."""
    containers = raw.get("spec", {}).get("containers") or [{"name": "main"}]
    return str(containers[0]["name"])


def _main_container(raw: Raw) -> Raw:
    statuses = raw.get("status", {}).get("containerStatuses", [])
    return next((dict(c) for c in statuses if c["name"] == main_container(raw)), {})


def _waiting(status: Raw, containers: list[Raw]) -> tuple[str, str]:
    for container in containers:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason", "") not in _WAITS_FOR_OTHERS:
            return waiting["reason"], waiting.get("message", "")
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", ""), condition.get("message", "")
    for container in containers:
        if waiting := container.get("state", {}).get("waiting"):
            return waiting.get("reason", ""), waiting.get("message", "")
    return "", ""


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
