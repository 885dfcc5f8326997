"""The documentation's objects are taken by the server, which knows every field of them, and its commands work there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crds import objects
from tests.crds.conftest import ROOT
from tests.crds.objects import NAMESPACE
from tools.localcluster.cluster import Cluster

HERE = "analytics-prod"
PAGES = [
    page
    for part in ("how-to", "explanation", "reference/reasons.d")
    for page in sorted((ROOT / "docs" / part).glob("*.md"))
]


def blocks(language: str) -> list[tuple[Path, str]]:
    """Everything between fences of a language."""
    return [(p, text) for p in PAGES for text in re.findall(f"```{language}\n(.*?)```", p.read_text(), re.DOTALL)]


FOREIGN = ("monitoring.coreos.com/",)  # kinds that the server does not have
EXAMPLES = [
    pytest.param(document, id=f"{p.stem} {n}")
    for n, (p, b) in enumerate(blocks("yaml"))
    for document in yaml.safe_load_all(b)
    if not document["apiVersion"].startswith(FOREIGN)
]
COMMANDS = [pytest.param(p, b, id=f"{p.stem} {n}") for n, (p, b) in enumerate(blocks("bash"))]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_taken(server: Cluster, example: dict[str, Any]) -> None:
    if "namespace" in example["metadata"]:
        example = {**example, "metadata": {**example["metadata"], "namespace": NAMESPACE}}
    server.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(example))


@pytest.fixture(scope="module")
def shop(server: Cluster) -> dict[str, str]:
    """What the commands are about, and the variables they run with."""
    server.kubectl("create", "namespace", HERE)
    revision = {"revisionFrom": "Promotion", "project": objects.GONE}
    server.apply(
        objects.gateway(name="production", namespace=HERE),
        objects.environment(name="staging", namespace=HERE),
        objects.environment(revision, name="prod", namespace=HERE),
    )
    path = f"{server.kubectl_path.parent}:{os.environ['PATH']}"
    return {**os.environ, "KUBECONFIG": str(server.kubeconfig), "PATH": path}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_work(server: Cluster, shop: dict[str, str], page: Path, command: str) -> None:
    server.apply(objects.promotion(name="to-prod", namespace=HERE))
    bound = (
        'set -euo pipefail; kubectl() { command kubectl --context admin "$@"; }; '
        f'python() {{ "{sys.executable}" "$@"; }}\n{command}'
    )
    done = subprocess.run(["bash", "-c", bound], env=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{page.name}: {done.stderr}"
    kind = next((kind for kind in ("vulcanenvironment", "vulcanpromotion", "vulcangateway") if kind in command), None)
    for path in re.findall(r"\.(?:spec|status)(?:\.\w+)+", " ".join(re.findall(r"jsonpath=\S+", command))):
        if kind is not None:  # jsonpath finds nothing in a field that does not exist, and is content
            server.kubectl("explain", kind + path)
