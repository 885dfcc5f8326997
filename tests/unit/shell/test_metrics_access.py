"""Who may read /metrics: whoever comes from within the pod, and accounts that the API server lets."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from vulcan_operator import health, metrics_access
from vulcan_operator.health import HealthServer
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import Raw, Resource
from vulcan_operator.metrics_access import MetricsAccess

MAY = {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}


class Reviews:
    """Answers reviews: `good` is the token of prometheus, `other` of somebody without the right."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: errors.KubeError | None = None

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        self.asked.append(resource.plural)
        if self.error is not None:
            raise self.error
        spec = body["spec"]
        if resource.kind == "TokenReview":
            known = {"good": "prometheus", "other": "bob"}
            user = {"username": known.get(spec["token"]), "groups": ["g"], "uid": "u", "extra": {"k": ["v"]}}
            return {"status": {"authenticated": spec["token"] in known, "user": user}}
        assert spec == {"user": spec["user"], "groups": ["g"], "uid": "u", "extra": {"k": ["v"]}, **MAY}
        return {"status": {"allowed": spec["user"] == "prometheus"}}


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def access(reviews: Reviews) -> MetricsAccess:
    return MetricsAccess(reviews, Time())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer good", None), ("bearer good", None), ("Bearer other", 403), ("Bearer wrong", 401),
        ("", 401), ("Bearer ", 401), ("Basic good", 401), ("good", 401),
    ],
)  # fmt: skip
async def test_the_token_counts(access: MetricsAccess, header: str, status: int | None) -> None:
    refusal = await access.refusal(header)
    assert (refusal.status if refusal is not None else None) == status


async def test_who_lacks_the_right_is_told_which(access: MetricsAccess) -> None:
    refusal = await access.refusal("Bearer other")
    assert refusal is not None and '"bob"' in refusal.text and "vulcan-metrics-reader" in refusal.text


async def test_an_answer_is_believed_for_a_minute(access: MetricsAccess, reviews: Reviews) -> None:
    for _ in range(3):
        assert await access.refusal("Bearer good") is None
    assert reviews.asked == ["tokenreviews", "subjectaccessreviews"]
    access._clock.now = 61  # type: ignore[attr-defined]
    await access.refusal("Bearer good")
    assert len(reviews.asked) == 4


async def test_wrong_tokens_fill_no_memory(access: MetricsAccess) -> None:
    for number in range(500):
        await access.refusal(f"Bearer wrong-{number}")
    assert len(access._known) <= metrics_access._MOST_REMEMBERED
    assert not any(b"wrong" in key for key in access._known)


async def test_many_wrong_tokens_at_once_are_not_all_reviewed(access: MetricsAccess, reviews: Reviews) -> None:
    access._asking = metrics_access._MOST_AT_ONCE
    refusal = await access.refusal("Bearer wrong")
    assert refusal is not None and refusal.status == 429 and not reviews.asked


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (errors.Forbidden("no"), 500, "deploy/rbac.yaml"),
        (errors.Unavailable("away"), 503, "try again"),
    ],
)
async def test_trouble_lets_nobody_in_and_is_not_remembered(
    access: MetricsAccess, reviews: Reviews, error: errors.KubeError, status: int, says: str
) -> None:
    reviews.error = error
    refusal = await access.refusal("Bearer good")
    assert refusal is not None and refusal.status == status and says in refusal.text
    reviews.error = None
    assert await access.refusal("Bearer good") is None


@pytest.fixture
async def outside(monkeypatch: pytest.MonkeyPatch, reviews: Reviews) -> AsyncIterator[Any]:
    """A server whose clients count as outside; gives status and headers of a path."""
    monkeypatch.setattr(health, "_WITHIN", ())
    server = HealthServer("127.0.0.1", 0)
    address = f"http://127.0.0.1:{await server.start()}"

    async def get(path: str, token: str = "") -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession() as session, session.get(f"{address}{path}", headers=headers) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate")

    get.server = server  # type: ignore[attr-defined]
    yield get
    await server.stop()


async def test_from_outside_metrics_are_closed_and_health_is_open(outside: Any, reviews: Reviews) -> None:
    assert await outside("/metrics", "good") == (503, None)
    outside.server.review = MetricsAccess(reviews).refusal  # type: ignore[arg-type]
    assert await outside("/metrics") == (401, "Bearer")
    assert await outside("/metrics", "other") == (403, None)
    assert await outside("/metrics", "good") == (200, None)
    assert (await outside("/healthz"))[0] == (await outside("/readyz"))[0] == 200


async def test_anyone_may_where_that_is_configured(outside: Any) -> None:
    outside.server.review = health.anyone
    assert await outside("/metrics") == (200, None)
