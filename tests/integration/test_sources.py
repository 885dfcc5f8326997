"""Sources that are not what they should be, all on one gateway: each says so and none disturbs the others."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System, Thing
from tests.integration.projects import TINY, Repository, one

BROKEN = {**TINY, "models/broken.sql": "MODEL (name t.broken, kind FULL);\nSELECT 'it''s \"näme\" 💥' AS x FROM (\n"}


@dataclass
class Sources:
    """The gateway, the repository and the environments by name."""

    system: System
    repository: Repository
    environments: dict[str, Thing]


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """Port of a server that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def sources(module_systems: Systems, silent: int) -> Sources:
    """A good prod, and one environment for each kind of bad source, applied at once."""
    system = module_systems("sources").up()
    repository = system.repository(TINY)
    repository.commit(TINY, "emptied")
    repository.commit(BROKEN, "broken")
    git = {
        "prod": repository.source(),
        "no_answer": {"git": {"url": f"http://127.0.0.1:{silent}/project.git"}},
        "no_ref": repository.source("not-there-yet"),
        "no_path": repository.source(path="models/nowhere"),
        "no_parse": repository.source("broken"),
        "emptied": repository.source("emptied"),
    }
    return Sources(
        system,
        repository,
        {name: system.environment(name.replace("_", "-"), source, environment=name) for name, source in git.items()},
    )


def test_a_missing_ref_is_waited_for(sources: Sources) -> None:
    environment = sources.environments["no_ref"]
    assert "not-there-yet" in environment.wait_reason("SourceRefMissing", seconds=120)
    assert environment.conditions()["Reconciling"]["status"] == "True"
    commit = sources.repository.commit(TINY, "not-there-yet")
    assert environment.wait_ready(150)["applied"]["revision"] == commit


def test_a_missing_path_stops_until_the_spec_changes(sources: Sources) -> None:
    environment = sources.environments["no_path"]
    assert "models/nowhere" in environment.wait_reason("SourcePathMissing", seconds=120)
    assert environment.conditions()["Stalled"]["status"] == "True"
    count = len(environment.jobs())
    environment.stage.throughout(lambda: len(environment.jobs()) == count, "it is not tried again", 2)
    environment.patch(project={"git": {"path": "."}})
    environment.wait_ready(120)


def test_a_project_that_does_not_parse_names_the_file(sources: Sources) -> None:
    environment = sources.environments["no_parse"]
    message = environment.wait_reason("ProjectLoadFailed", seconds=120)
    assert "broken.sql" in message
    assert environment.conditions()["Stalled"]["status"] == "True"
    sources.repository.commit(TINY, "broken")
    environment.answered("plan", 120)
    environment.wait_ready(120)


def test_a_project_without_models_removes_nothing(sources: Sources) -> None:
    environment = sources.environments["emptied"]
    environment.wait_ran(150)
    plan = environment.status()["applied"]["planId"]
    sources.repository.commit({"config.yaml": TINY["config.yaml"]}, "emptied")
    environment.answered("plan", 120)
    environment.wait_reason("ProjectEmpty")
    assert environment.conditions()["Stalled"]["status"] == "True"
    assert environment.status()["applied"]["planId"] == plan
    assert sources.system.rows("select x from t__emptied.one") == [(1,)]


def test_a_server_that_never_answers_is_given_up_and_tried_again(sources: Sources) -> None:
    environment = sources.environments["no_answer"]
    message = environment.wait_reason("SourceUnreachable", seconds=120)
    assert "did not answer" in message
    assert environment.conditions()["Reconciling"]["status"] == "True"
    environment.patch(project={"git": {"url": sources.repository.url}})
    environment.wait_ready(120)


def test_the_others_were_not_disturbed(sources: Sources) -> None:
    prod = sources.environments["prod"]
    prod.wait_ready()
    assert all(j["status"].get("succeeded") for j in prod.jobs())
    commit = sources.repository.commit(one("SELECT 2 AS x;"))
    prod.answered("plan", 120)
    assert prod.wait_ready()["applied"]["revision"] == commit
    assert sources.system.rows("select x from t.one") == [(2,)]
