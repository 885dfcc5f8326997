"""What somebody else can make the operator keep or fetch at a time is bounded."""

import json
from typing import Any

import pytest

from tests.builders import environment
from tests.unit.kube.test_transport import served
from vulcan_operator import handlers
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.cluster import views
from vulcan_operator.cluster.views import Unparsable
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.resources import ENVIRONMENTS
from vulcan_operator.kube.transport import Request, Transport
from vulcan_operator.plan.core.actions import Kind


async def test_lists_are_read_in_pages_of_50(monkeypatch: pytest.MonkeyPatch) -> None:
    server, transport = await served(200, json.dumps({"items": [], "metadata": {"resourceVersion": "1"}}).encode())
    asked: list[Any] = []
    send = Transport.send

    async def spy(self: Transport, request: Request) -> Any:
        asked.append(dict(request.params or {}))
        return await send(self, request)

    monkeypatch.setattr(Transport, "send", spy)
    try:
        assert [page.version async for page in HttpKube(transport).pages(ENVIRONMENTS)] == ["1"]
    finally:
        await transport.close()
        await server.close()
    assert asked == [{"limit": "50"}]
    assert handlers.settings().watching.chunk_size == 50


def seen(spec: dict[str, Any] | None = None, **metadata: Any) -> VulcanEnvironment | Unparsable:
    raw = environment("prod", **(spec or {}))
    found = views.custom(Kind.ENVIRONMENT, {**raw, "metadata": {**raw["metadata"], "uid": "u", **metadata}})
    assert isinstance(found, VulcanEnvironment | Unparsable)
    return found


def test_only_annotations_and_labels_of_ours_are_kept() -> None:
    given = {"x/y": "z" * 200_000, "vulcan.dev/created-by": "alice", "vulcan.dev/checked": "j" * 50_000}
    found = seen(annotations=given, labels={"team": "a", "vulcan.dev/x": "b"})
    assert isinstance(found, VulcanEnvironment)
    assert found.metadata.annotations == {"vulcan.dev/created-by": "alice", "vulcan.dev/checked": "j" * 16384}
    assert found.metadata.labels == {"vulcan.dev/x": "b"}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"finalizers": [f"a/{number}" for number in range(40_000)]}, id="finalizers"),
        pytest.param({"spec": {"somethingElse": "x" * 300_000}}, id="a field of another release"),
    ],
)
def test_an_object_that_is_far_too_large_is_not_kept_and_says_so(given: dict[str, Any]) -> None:
    found = seen(**given)
    assert isinstance(found, Unparsable)
    assert "more than 262144 are not kept: make them shorter" in found.error
    assert len(repr(found)) < 2000
