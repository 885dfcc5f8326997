"""The source's side of a Job without a pod: the digest in blocks, what the manifest gives `fetch`, the image's user."""

import re
from typing import Any

import pytest

from tests import builders
from tests.runner.system import ROOT
from vulcan_contract import digest
from vulcan_contract.task import Connection, Gateway, Owner, Source, SourceKind, Task, TaskKind
from vulcan_operator.api.gateway import VulcanGateway
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.tasks.manifest import JobParts, build_job

CA = "/vulcan/ca/ca.crt"


def _containers(**runner: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a resolve Job: `fetch` and `main`."""
    raw = builders.merged(builders.gateway(runner=runner), {"metadata": {"uid": "g"}})
    gateway = VulcanGateway.model_validate(raw)
    source = Source(SourceKind.GIT, url="https://example.com/x.git", ref="main")
    task = Task(TaskKind.RESOLVE, "j", "n", Gateway("main", Connection("duckdb"), Owner("c", "n", "g")), source=source)
    owner = Key(Kind.ENVIRONMENT, "data", "prod")
    job = build_job(task, JobParts(owner, "u", "vulcan", "i", 1, "why", "runner:1", gateway)).manifest
    pod = job["spec"]["template"]["spec"]
    return pod["initContainers"][0], pod["containers"][0]


def _env(container: dict[str, Any]) -> dict[str, Any]:
    names = [e["name"] for e in container["env"]]
    assert len(names) == len(set(names))
    return {e["name"]: e.get("value") for e in container["env"]}


def test_fetch_has_the_proxies_of_the_runner() -> None:
    env = [
        {"name": "HTTPS_PROXY", "value": "http://u:p@proxy"}, {"name": "no_proxy", "value": ".local"},
        {"name": "OTHER", "value": "x"}, {"name": "ALL_PROXY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]  # fmt: skip
    fetch = _env(_containers(env=env, proxy="http://plain")[0])
    assert {k: v for k, v in fetch.items() if k.lower().endswith("_proxy")} == {
        "HTTPS_PROXY": "http://u:p@proxy", "HTTP_PROXY": "http://plain", "no_proxy": ".local"
    }  # fmt: skip
    assert "OTHER" not in fetch


def test_libpq_and_git_have_the_ca_bundle() -> None:
    fetch, main = map(_env, _containers(caBundle={"name": "ca"}))
    assert (fetch["GIT_SSL_CAINFO"], main["PGSSLROOTCERT"]) == (CA, CA)
    assert "PGSSLROOTCERT" not in _env(_containers()[1])


def test_both_containers_have_resources() -> None:
    resources = {"limits": {"memory": "1Gi", "ephemeral-storage": "2Gi"}}
    assert [c["resources"] for c in _containers(resources=resources)] == [resources, resources]


def test_a_digest_in_blocks_is_the_same() -> None:
    whole = digest.of_files({"b": b"12345", "a/ä": b"", "a.b": b"x"})
    assert whole == "sha256:6cb6106ae3ba5fabdacb6f9d69165198cdcd9ed1898c7f6c78335522af731680"
    blocks = {"b": (5, iter([b"12", b"345"])), "a/ä": (0, iter([])), "a.b": (1, [b"x"])}
    assert digest.of_blocks(blocks) == whole
    with pytest.raises(ValueError, match="changed"):
        digest.of_blocks({"b": (4, [b"12345"])})


def test_a_name_of_other_bytes_has_a_digest() -> None:
    assert digest.of_files({b"\xe9".decode(errors="surrogateescape"): b""}) != digest.of_files({"é": b""})


def test_the_user_of_the_images_has_a_name() -> None:
    """ssh does not start without."""
    base = (ROOT / "Dockerfile").read_text().partition("AS operator")[0]
    assert re.search(r"groupadd --gid 10001 .*useradd --uid 10001 --gid 10001 ", base)
