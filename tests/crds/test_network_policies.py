"""The example NetworkPolicies: the server takes them, and they say of each task's Job what they promise."""

import ipaddress
from typing import Any

import pytest
import yaml

from tests.crds.conftest import ROOT
from vulcan_contract.tasks import TaskKind

Raw = dict[str, Any]
FILE = ROOT / "examples" / "network-policies" / "jobs.yaml"
POLICIES: dict[str, Raw] = {p["metadata"]["name"]: p["spec"] for p in yaml.safe_load_all(FILE.read_text())}
JOBS = {f.stem: yaml.safe_load(f.read_text()) for f in sorted((ROOT / "tests" / "golden").glob("*.yaml"))}


def selects(policy: str, labels: Raw) -> bool:
    """Whether a policy is about pods with these labels."""
    selector = POLICIES[policy]["podSelector"]
    said = {"In": lambda v, of: v in of, "NotIn": lambda v, of: v not in of}
    return all(labels.get(k) == v for k, v in selector["matchLabels"].items()) and all(
        said[e["operator"]](labels.get(e["key"]), e["values"]) for e in selector.get("matchExpressions", ())
    )


def test_the_server_takes_them(server: Any) -> None:
    server.kubectl("create", "namespace", "network")
    server.kubectl("apply", "--server-side", "--validate=strict", "-n", "network", "-f", str(FILE))


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())
def test_each_task_reaches_what_it_needs(job: Raw) -> None:
    template = job["spec"]["template"]
    labels = template["metadata"]["labels"]
    task = TaskKind(labels["vulcan.dev/task"])
    assert selects("vulcan-jobs", labels)
    assert selects("vulcan-jobs-databases", labels) == task.traits.connects
    assert selects("vulcan-jobs-git", labels) == task.traits.needs_source
    assert "initContainers" not in template["spec"] or selects("vulcan-jobs-git", labels)


@pytest.mark.parametrize("address", ["169.254.169.254", "10.96.0.1", "172.20.0.1", "192.168.1.1", "127.0.0.1"])
def test_no_metadata_service_and_nothing_private_is_reached_on_the_way_to_git(address: str) -> None:
    for rule in POLICIES["vulcan-jobs-git"]["egress"]:
        for block in (to["ipBlock"] for to in rule["to"]):
            assert any(ipaddress.ip_address(address) in ipaddress.ip_network(n) for n in block["except"])


def test_nobody_connects_to_a_job() -> None:
    assert "Ingress" in POLICIES["vulcan-jobs"]["policyTypes"]
    assert not any("ingress" in spec for spec in POLICIES.values())
