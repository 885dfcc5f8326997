"""Images that do not exist or are not allowed: readable in status within a minute."""

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import TINY

NOWHERE = "registry.example.com/team/vulcan-runner:nowhere"


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """A gateway that allows the images of one team."""
    return module_systems("images").up(runner={"allowedImages": ["registry.example.com/team/*"]})


def test_an_unknown_image_of_a_gateway(systems: Systems) -> None:
    gateway = systems("no-image").apply_gateway(runner={"image": NOWHERE})
    message = gateway.wait_reason("PodWaiting", "ImagePullFailed", seconds=60)
    assert NOWHERE in message or "ImagePull" in message
    gateway.patch(runner={"image": None})
    gateway.wait_ready(90)


def test_an_unknown_image_of_an_environment(company: System) -> None:
    environment = company.environment("prod", TINY, runner={"image": NOWHERE})
    message = environment.wait_reason("PodWaiting", "ImagePullFailed", seconds=60)
    assert "ImagePull" in message or NOWHERE in message
    assert environment.conditions()["Reconciling"]["status"] == "True"


def test_an_image_that_is_not_allowed(company: System) -> None:
    environment = company.environment("dev", TINY, runner={"image": "elsewhere.example.com/runner:1"})
    assert "allowedImages" in environment.wait_reason("ImageNotAllowed")
    assert environment.conditions()["Stalled"]["status"] == "True"
    assert environment.jobs() == []
