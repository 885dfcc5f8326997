"""A real API server for the shell's tests, and operators as processes with the planners of `stub`."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.localcluster import build, cluster

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-operator" / "bin" / "python"


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """A cluster of its own with the namespaces `vulcan-system` and `data`, and our CRDs."""
    made = cluster.Cluster(tmp_path_factory.mktemp("cluster"), "shell")
    try:
        made.up()
    except build.BuildError as error:
        pytest.skip(f"no local control plane: {error}")
    try:
        for name in ("vulcan-system", "data"):
            made.kubectl("create", "namespace", name)
        install_crds(made)
        yield made
    finally:
        made.down()


def install_crds(api: cluster.Cluster) -> None:
    """Apply them and wait until they are served."""
    api.kubectl("apply", "-k", str(ROOT / "crds"))
    api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def until(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Wait for something; returns what it was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what or condition}")


@dataclasses.dataclass
class Process:
    """One operator."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    @property
    def port(self) -> int:
        """Of its health server."""
        return int(until(lambda: next((line["port"] for line in self.lines if "port" in line), 0), what="the port"))

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of /healthz, /readyz or /metrics."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self.get("/readyz")[0] == 200

    def leads(self) -> bool:
        """Whether this one is leader."""
        return "vulcan_leader 1.0" in self.get("/metrics")[1]

    def requests(self, *verbs: str) -> dict[str, float]:
        """Requests so far by verb and resource."""
        found: dict[str, float] = {}
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith("vulcan_api_requests_total"):
                labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split(","))
                verb, resource = labels["verb"].strip('"'), labels["resource"].strip('"')
                if verb in verbs:
                    found[f"{verb}-{resource}"] = found.get(f"{verb}-{resource}", 0) + float(line.split()[-1])
        return found

    def total(self, counter: str, **labels: str) -> float:
        """A counter so far, over all series that have these labels."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(f"{counter}_total")]
        return sum(float(line.split()[-1]) for line in lines if all(part in line for part in wanted))

    def goes_on(self, counter: str, by: float, **labels: str) -> None:
        """Wait until a counter has risen: so often it has done this again."""
        began = self.total(counter, **labels)
        until(lambda: self.total(counter, **labels) >= began + by, what=f"{counter} risen by {by:g}")

    def end(self, number: int = signal.SIGTERM, timeout: float = 15) -> int:
        """Signal it; its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(timeout)


Start = Callable[..., Process]


@pytest.fixture
def start(api: cluster.Cluster, tmp_path: Path) -> Iterator[Start]:
    """Starts operators; whatever still runs at the end is killed."""
    running: list[Process] = []

    def one(name: str, **variables: str) -> Process:
        log = tmp_path / f"{name}-{len(running)}.log"
        env = {
            **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}", "VULCAN_KUBECONFIG": str(api.kubeconfig),
            "VULCAN_IDENTITY": name, "VULCAN_HEALTH_HOST": "127.0.0.1", "VULCAN_HEALTH_PORT": "0",
            "VULCAN_LEASE_DURATION": "6", "VULCAN_RENEW_DEADLINE": "4", "VULCAN_RETRY_PERIOD": "0.5", **variables,
        }  # fmt: skip
        python = str(PYTHON if PYTHON.exists() else sys.executable)
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [python, "-m", "tests.integration.shell.stub"], cwd=ROOT, env=env, stdout=out, stderr=out
            )
        running.append(Process(name, popen, log))
        return running[-1]

    yield one
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait()


@pytest.fixture
def clean(api: cluster.Cluster) -> Iterator[None]:
    """Start and end without objects and without a leader."""
    api.kubectl("delete", "venv,vgw,jobs", "--all", "-n", "data", "--wait=true")
    api.kubectl("delete", "leases", "--all", "-n", "vulcan-system")
    yield
    api.kubectl("delete", "venv,vgw,jobs", "--all", "-n", "data", "--wait=true")


def environment(name: str) -> dict[str, Any]:
    """The least that the CRD accepts."""
    return {
        "apiVersion": "vulcan.dev/v1alpha1",
        "kind": "VulcanEnvironment",
        "metadata": {"name": name, "namespace": "data"},
        "spec": {"gatewayRef": {"name": "g"}, "project": {"configMap": {"name": "p"}}},
    }


def is_ready(api: cluster.Cluster, name: str) -> bool:
    """Whether the stub planner is done with it."""
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    return api.kubectl("get", "venv", name, "-n", "data", "-o", f"jsonpath={path}") == "True"


def job_names(api: cluster.Cluster) -> list[str]:
    """All Jobs in `data`."""
    return api.kubectl("get", "jobs", "-n", "data", "-o", "jsonpath={.items[*].metadata.name}").split()
