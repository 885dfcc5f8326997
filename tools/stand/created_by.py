"""Installs deploy/created-by where the API server has mutating policies, and waits until it works.

Used by the stand and by the tests of what the API server accepts. The server looks for the schemas of new kinds every few
seconds, and until then refuses to create objects that a mutating policy is about; whoever comes next shall not meet that.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from tools.localcluster.cluster import ClusterError

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "created-by"
ANNOTATION = "vulcan.dev/created-by"
_TRIAL = {
    "apiVersion": "vulcan.dev/v1alpha1",
    "kind": "VulcanEnvironment",
    "metadata": {"name": "created-by", "namespace": "vulcan-system"},
    "spec": {"gatewayRef": {"name": "none"}, "project": {"configMap": {"name": "none"}}},
}


def install(kubectl: Callable[..., str], seconds: float = 60) -> bool:
    """Whether the server can; then it works."""
    served = json.loads(kubectl("get", "--raw", "/apis/admissionregistration.k8s.io/v1"))["resources"]
    if not any(resource["name"] == "mutatingadmissionpolicies" for resource in served):
        return False
    kubectl("apply", "--server-side", "-k", str(FOLDER))
    end = time.monotonic() + seconds
    while trouble := _trouble(kubectl):
        if time.monotonic() > end:
            raise ClusterError(f"deploy/created-by does not work after {seconds:g} s: {trouble}")
        time.sleep(0.2)
    return True


def _trouble(kubectl: Callable[..., str]) -> str:
    """What is wrong with an object that would be created; empty when nothing is."""
    try:
        made = kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(_TRIAL))
    except ClusterError as error:
        return str(error)
    is_there = ANNOTATION in json.loads(made)["metadata"].get("annotations", {})
    return "" if is_there else "the annotation is not written"
