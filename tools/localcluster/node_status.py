"""What a kubelet would report about a pod, computed from what is known of its containers.

Called by the pod's worker. Pure: no clock, no files, no API.
"""

from __future__ import annotations

import dataclasses
from typing import Any

Object = dict[str, Any]

_LOST = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}


@dataclasses.dataclass
class ContainerState:
    """One container as the node knows it; `state` and `last` are in the API's form."""

    spec: Object
    state: Object
    image_id: str = ""
    container_id: str = ""
    last: Object = dataclasses.field(default_factory=dict)
    restarts: int = 0

    @property
    def terminated(self) -> Object | None:
        """How it ended, if it did."""
        ended: Object | None = self.state.get("terminated")
        return ended

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.terminated is not None and self.terminated["exitCode"] == 0


def waiting(reason: str, message: str = "") -> Object:
    """The state of a container that has not started."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def lost(moment: str) -> Object:
    """The state of a container of which nothing is left to ask."""
    return {"terminated": {**_LOST, "startedAt": moment, "finishedAt": moment}}


def phase(pod: Object, inits: list[ContainerState], mains: list[ContainerState], ended: bool) -> str:
    """The pod's phase; `ended` means that nothing will run any more, whatever the restart policy says."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if ended:
        return "Succeeded" if all(item.succeeded for item in [*inits, *mains]) else "Failed"
    for item in inits:
        if not item.succeeded:
            return "Failed" if item.terminated and policy == "Never" else "Pending"
    if any("waiting" in item.state and not item.last for item in mains):
        return "Pending"
    if policy == "Always" or not all(item.terminated for item in mains):
        return "Running"
    if all(item.succeeded for item in mains):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def pod_status(
    pod: Object,
    inits: list[ContainerState],
    mains: list[ContainerState],
    ended: bool,
    start: str,
    now: str,
) -> Object:
    """The status to send; conditions keep their transition time while their status stays."""
    current = phase(pod, inits, mains, ended)
    status: Object = {
        "phase": current,
        "startTime": start,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": _conditions(pod, current, inits, mains, now),
        "containerStatuses": [_container_status(item, "running" in item.state) for item in mains],
        "qosClass": pod["status"].get("qosClass", "BestEffort"),
    }
    if inits:
        status["initContainerStatuses"] = [_container_status(item, item.succeeded) for item in inits]
    if "generation" in pod["metadata"]:
        status["observedGeneration"] = pod["metadata"]["generation"]
    return status


def _container_status(item: ContainerState, ready: bool) -> Object:
    return {
        "name": item.spec["name"],
        "image": item.spec["image"],
        "imageID": item.image_id,
        "containerID": item.container_id,
        "restartCount": item.restarts,
        "started": "running" in item.state,
        "ready": ready,
        "state": item.state,
        "lastState": item.last,
    }


def _conditions(
    pod: Object, current: str, inits: list[ContainerState], mains: list[ContainerState], now: str
) -> list[Object]:
    initialized = all(item.succeeded for item in inits)
    unready = [item.spec["name"] for item in mains if "running" not in item.state]
    if current == "Succeeded":
        ready: Object = {"status": "False", "reason": "PodCompleted"}
    elif current == "Failed":
        ready = {"status": "False", "reason": "PodFailed"}
    elif unready:
        names = " ".join(unready)
        ready = {
            "status": "False",
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{names}]",
        }
    else:
        ready = {"status": "True"}
    if initialized:
        init: Object = {"status": "True", **({"reason": "PodCompleted"} if current == "Succeeded" else {})}
    else:
        names = " ".join(item.spec["name"] for item in inits if not item.succeeded)
        init = {
            "status": "False",
            "reason": "ContainersNotInitialized",
            "message": f"containers with incomplete status: [{names}]",
        }
    wanted = {
        "PodReadyToStartContainers": {"status": "True"},
        "Initialized": init,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }
    before = {item["type"]: item for item in pod["status"].get("conditions", [])}
    conditions = []
    for kind, fields in wanted.items():
        old = before.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == fields["status"] else None
        blank = {"reason": None, "message": None}  # a merge keeps what is not named
        conditions.append({"type": kind, **blank, **fields, "lastTransitionTime": since or now})
    return conditions
