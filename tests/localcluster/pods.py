"""Short names for what tests do with pods: create, await, read. Used by the tests and fixtures of this folder."""

from __future__ import annotations

import itertools
import sys
from typing import Any

from kubernetes import client, config

from tests.localcluster.waiting import wait_for
from tools.localcluster.cluster import Cluster

IMAGE = "runner:test"
_numbers = itertools.count(1)


class Pods:
    """Creates pods in the namespace `default` and looks at them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))

    def create(self, script: str = "true", containers: list[dict[str, Any]] | None = None, **spec: Any) -> str:
        """A pod whose main container runs a shell script; its name."""
        container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}
        name = f"pod-{next(_numbers)}"
        extra = spec.pop("container", {})
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "test"}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 5,
                "containers": containers or [{**container, **extra}],
                **spec,
            },
        }
        self.api.create_namespaced_pod("default", body)
        return name

    def get(self, name: str) -> client.V1Pod:
        """The pod as it is now."""
        return self.api.read_namespaced_pod(name, "default")

    def until_phase(self, name: str, *phases: str) -> client.V1Pod:
        """The pod as soon as it is in one of these phases."""

        def reached() -> client.V1Pod | None:
            pod = self.get(name)
            return pod if pod.status.phase in phases else None

        return wait_for(reached, f"{name} in phase {' or '.join(phases)}", explain=lambda: str(self.get(name).status))

    def until_over(self, name: str) -> client.V1Pod:
        """The pod as soon as it has succeeded or failed."""
        return self.until_phase(name, "Succeeded", "Failed")

    def until_waiting(self, name: str, reason: str) -> str:
        """The message of the main container as soon as it waits for this reason."""

        def message() -> tuple[str] | None:
            statuses = self.get(name).status.container_statuses or []
            waiting = statuses[0].state.waiting if statuses else None
            return (waiting.message or "",) if waiting is not None and waiting.reason == reason else None

        return wait_for(message, f"{name} waiting with {reason}")[0]

    def until_gone(self, name: str) -> None:
        """Returns when the API server no longer has the pod."""
        wait_for(
            lambda: not self.api.list_namespaced_pod("default", field_selector=f"metadata.name={name}").items,
            f"{name} gone",
        )

    def logs(self, name: str, **options: Any) -> str:
        """The main container's output."""
        return str(self.api.read_namespaced_pod_log(name, "default", container="main", **options))

    def until_logged(self, name: str, text: str) -> None:
        """Returns when the main container has said this."""

        def said() -> bool:
            status = self.get(name).status.container_statuses
            return bool(status and not status[0].state.waiting and text in self.logs(name))

        wait_for(said, f"{text!r} in the log of {name}")

    def events(self, name: str, reason: str) -> list[str]:
        """Messages of the pod's Events with this reason."""
        found = self.api.list_namespaced_event("default", field_selector=f"involvedObject.name={name},reason={reason}")
        return [item.message for item in found.items]


def declared_images() -> dict[str, str]:
    """The image the tests use: the Python environment they run in."""
    return {IMAGE: sys.prefix}
