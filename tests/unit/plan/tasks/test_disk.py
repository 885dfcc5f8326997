"""What a Job's pod may use of a node's disk, from what the gateway says of it."""

from typing import Any

import pytest

from tests.golden.test_jobs import CASES
from vulcan_operator.api.gateway_runner import RunnerSpec
from vulcan_operator.plan.tasks import disk

DEFAULTS = {"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "10Gi"}}
OWN_LIMIT = {"limits": {"ephemeral-storage": "50Gi", "memory": "1Gi"}}
OWN_REQUEST = {"requests": {"ephemeral-storage": "20Gi"}}


@pytest.mark.parametrize(
    ("given", "resources", "folder"),
    [
        (None, DEFAULTS, "10Gi"),
        ({}, DEFAULTS, "10Gi"),
        (
            {"limits": {"memory": "2Gi"}, "claims": []},
            {
                "limits": {"memory": "2Gi", "ephemeral-storage": "10Gi"},
                "claims": [],
                "requests": DEFAULTS["requests"],
            },
            "10Gi",
        ),
        (OWN_LIMIT, OWN_LIMIT, "50Gi"),
        (OWN_REQUEST, OWN_REQUEST, "10Gi"),
    ],
)
def test_the_gateway_decides_and_else_there_is_a_default(
    given: dict[str, Any] | None, resources: dict[str, Any], folder: str
) -> None:
    runner = RunnerSpec(resources=given)
    assert disk.resources(runner) == resources
    assert disk.bounded({"name": "x", "emptyDir": {}}, runner) == {
        "name": "x",
        "emptyDir": {"sizeLimit": folder},
    }


@pytest.mark.parametrize(
    "volume", [{"emptyDir": {"sizeLimit": "1Mi"}}, {"secret": {"secretName": "s"}}]
)
def test_other_volumes_stay_as_they_are(volume: dict[str, Any]) -> None:
    assert disk.bounded(volume, RunnerSpec()) == volume


@pytest.mark.parametrize("name", list(CASES))
def test_no_job_can_fill_a_node(name: str) -> None:
    pod = CASES[name]["spec"]["template"]["spec"]
    folders = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
    assert folders and all("sizeLimit" in folder for folder in folders)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert all(
            "ephemeral-storage" in container["resources"][part] for part in ("requests", "limits")
        )
