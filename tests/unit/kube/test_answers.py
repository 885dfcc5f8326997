"""API answers -> errors, and doubts about a 403 of an API server that has just started."""

import pytest

from vulcan_operator.kube import errors
from vulcan_operator.kube.transport import Doubts, Request

RBAC = 'vulcanenvironments is forbidden: User "op" cannot list resource "vulcanenvironments" in API group "vulcan.dev"'
QUOTA = 'jobs "a" is forbidden: exceeded quota: q, requested: pods=1'


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (404, "NotFound", "", errors.NotFound),
        (409, "AlreadyExists", "", errors.AlreadyExists),
        (409, "Conflict", "", errors.Conflict),
        (410, "Expired", "", errors.Expired),
        (403, "Forbidden", "", errors.Forbidden),
        (422, "Invalid", "", errors.Invalid),
        (400, "BadRequest", "", errors.Invalid),
        (413, "", "request is too large", errors.Invalid),
        (401, "Unauthorized", "", errors.Unavailable),
        (429, "TooManyRequests", "storage is (re)initializing", errors.Unavailable),
        (500, "InternalError", "", errors.Unavailable),
        (503, "", "", errors.Unavailable),
        (500, "", "failed to create typed patch object: .status.foo: field not declared in schema", errors.Invalid),
    ],
)
def test_each_answer_has_its_class(status: int, reason: str, message: str, kind: type[errors.KubeError]) -> None:
    error = errors.from_answer(status, reason, message)
    assert type(error) is kind
    assert str(error)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


REQUEST = Request("GET", "/", verb="list", resource="jobs", namespace="a")
OTHER = Request("GET", "/", verb="create", resource="jobs", namespace="a")


def judged(doubts: Doubts, message: str = RBAC, request: Request = REQUEST) -> type[errors.KubeError]:
    return type(doubts.judge(request, errors.from_answer(403, "Forbidden", message)))


def test_a_refusal_out_of_the_blue_is_believed(time: Time) -> None:
    assert judged(Doubts(time)) is errors.Forbidden


def test_a_refusal_of_what_just_worked_is_doubted_for_half_a_minute(time: Time) -> None:
    doubts = Doubts(time)
    doubts.worked(REQUEST)
    assert judged(doubts) is errors.Unavailable
    assert judged(doubts, request=OTHER) is errors.Forbidden
    time.now += 31
    assert judged(doubts) is errors.Forbidden


def test_after_trouble_with_the_server_every_refusal_by_rbac_is_doubted(time: Time) -> None:
    doubts = Doubts(time)
    doubts.trouble()
    assert judged(doubts) is errors.Unavailable
    time.now += 31
    assert judged(doubts) is errors.Forbidden


def test_a_quota_is_no_reason_for_doubt(time: Time) -> None:
    doubts = Doubts(time)
    doubts.trouble()
    assert judged(doubts, QUOTA) is errors.Forbidden
