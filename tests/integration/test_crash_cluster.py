"""What is below the operator fails or is older: CRDs absent or of another release, the API server away, etcd put back."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import crash_kit as kit
from tests.integration.conftest import ROOT, missing
from tests.integration.crash_kit import OwnStage
from tests.integration.harness import System, Thing
from tools.localcluster import components
from tools.stand.stand import Operator

REMOVED = ("intervalsBehind", "observedPlanId")  # status fields of an environment that an older CRD did not have


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStage]:
    """A cluster without our CRDs and without an operator."""
    if why := missing():
        pytest.skip(why)
    stage = kit.own_stage(tmp_path_factory.mktemp("outages"), "outages", crds=False)
    yield stage
    stage.end()


@pytest.fixture(scope="module")
def waiting(bare: OwnStage) -> Operator:
    """An operator that found no CRDs."""
    operator = bare.spawn(VULCAN_RESYNC_INTERVAL="5")
    bare.wait_for(lambda: kit.said(operator, "install the CRDs"), "the operator says what it waits for", 30)
    return operator


@pytest.fixture(scope="module")
def served(bare: OwnStage, waiting: Operator) -> System:
    """With CRDs of an older release, and an environment that is Ready."""
    assert "waiting for the API server and the CRDs" in _not_ready(waiting)
    for file in sorted((ROOT / "crds").glob("vulcan.dev_*.yaml")):
        bare.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_older(file)))
    bare.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    waiting.wait_ready(60)
    system = kit.prepare(bare.system("older"))
    kit.settle(system.environment(project=kit.days(), **kit.MANUAL))
    return system


def _not_ready(operator: Operator) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port()}/readyz", timeout=5) as answer:
            return f"ready: {answer.status}"
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def _older(file: Path) -> Any:
    crd = yaml.safe_load(file.read_text())
    for version in crd["spec"]["versions"]:
        status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        for name in REMOVED:
            status.pop(name, None)
        columns = version.get("additionalPrinterColumns", [])
        version["additionalPrinterColumns"] = [c for c in columns if not c["jsonPath"].endswith(REMOVED)]
    return crd


def environment(system: System) -> Thing:
    """Its environment."""
    return Thing(system, "vulcanenvironments", "prod")


def test_without_crds_it_waits_and_then_works(waiting: Operator, served: System) -> None:
    assert waiting.alive()
    assert kit.said(waiting, "does not serve vulcan.dev/v1alpha1: install the CRDs") == 1
    assert kit.batches(served) == kit.each_once(1)


def test_fields_that_an_older_crd_does_not_know_are_left_out_and_reported_once(
    bare: OwnStage, waiting: Operator, served: System
) -> None:
    thing = environment(served)
    thing.answered("run")  # one more status of each kind
    assert not set(REMOVED) & set(thing.status())
    for field in REMOVED:
        assert kit.said(waiting, f"does not know VulcanEnvironment.status.{field}") == 1
    assert kit.said(waiting, "bug; again") == 0


def test_with_the_crds_of_the_release_they_come(bare: OwnStage, served: System) -> None:
    bare.stand.install()
    thing = environment(served)

    def known() -> bool:
        thing.answered("run")
        return set(REMOVED) <= set(thing.status())

    bare.wait_for(known, "the new fields", 60)


def test_the_api_server_is_killed_while_jobs_run(bare: OwnStage, waiting: Operator, served: System) -> None:
    runs = environment(served)
    served.config_map("project-prod", kit.days(2, pause=1.5))
    kit.in_hand(runs, "apply")
    kit.wait_batches(runs, 4 + 1)
    bare.cluster.kill(components.API_SERVER)
    bare.wait_for(lambda: kit.said(waiting, "not leading any more"), "it steps down", 30)
    bare.cluster.restart(components.API_SERVER)
    status = kit.settle(runs)
    assert waiting.alive()
    assert kit.leads(bare, waiting)
    assert bare.ledger.twice() == []
    assert {kit.label(job, "attempt") for job in bare.ledger.of(served)} == {"1"}
    assert kit.batches(served) == kit.each_once(1, 2)
    assert kit.finalised(served) == {"prod": (status["applied"]["planId"], True)}


def test_etcd_from_a_backup_does_not_undo_or_repeat_what_was_done_since(
    bare: OwnStage, waiting: Operator, served: System, tmp_path: Path
) -> None:
    """asked: pending in the backup, approved and applied since. later: its revision came after the backup.
    flying: its apply runs when etcd goes back to before it began."""
    asked, later, flying = (
        kit.prepare(bare.system(name)).environment(project=kit.days(), approval=mode, **kit.MANUAL)
        for name, mode in (("asked", "Always"), ("later", "Never"), ("flying", "Always"))
    )
    digest, other = asked.wait_plan(120), flying.wait_plan(120)
    kit.settle(later)
    flying.system.config_map("project-prod", kit.days(3, pause=1.5))
    bare.wait_for(lambda: flying.status()["plan"]["digest"] != other and flying.reason() == "AwaitingApproval", "B", 60)
    other = flying.wait_plan()
    bare.cluster.etcd_snapshot(tmp_path / "backup")

    assert asked.approve("alice", digest) is None
    kit.settle(asked)
    later.system.config_map("project-prod", kit.days(2))
    later.answered("plan")
    kit.settle(later)
    planned = later.status()["applied"]["planId"]
    assert flying.approve("alice", other) is None
    kit.in_hand(flying, "apply")
    kit.wait_batches(flying, 1)
    bare.cluster.etcd_restore(tmp_path / "backup")

    bare.wait_for(lambda: not waiting.alive(), "the operator ends: what it knows is from the future", 60)
    assert kit.said(waiting, "etcd was put back") >= 1
    bare.start_operator()  # as its Deployment does
    bare.wait_for(lambda: asked.reason() == "AwaitingApproval", "the past", 30)
    assert asked.approve("alice", digest) is None
    assert flying.approve("alice", other) is None
    later.system.config_map("project-prod", kit.days(2))
    later.request("plan")
    for thing in (asked, flying, later):
        kit.settle(thing, 240)
    bare.wait_for(lambda: later.status()["applied"]["planId"] == planned, lambda: f"no changes; {later.tell()}", 60)
    assert later.status()["plan"]["state"] == "NoChanges"
    assert "AlreadyApplied" in asked.job_logs("apply")
    assert kit.batches(asked.system) == kit.each_once(1)
    assert kit.batches(later.system) == kit.each_once(1, 2)
    assert kit.batches(flying.system) == kit.each_once(3)
    assert kit.records(flying.system) == [("prod", other, "done")]
