"""Events: complete, counted instead of repeated, limited per object, dropped rather than waited for."""

import datetime as dt

import pytest

from tests.fakes import FakeClock, FakeKube
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.kube import errors
from vulcan_operator.kube.events import Recorder
from vulcan_operator.kube.resources import EVENTS
from vulcan_operator.plan.core.actions import Kind

ABOUT = ObjectMeta(name="prod", namespace="data", uid="u1")


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube(FakeClock())


@pytest.fixture
def recorder(kube: FakeKube) -> Recorder:
    return Recorder(kube, kube.clock, "me")


def emit(recorder: Recorder, note: str = "n", about: ObjectMeta = ABOUT) -> None:
    recorder.emit(Kind.ENVIRONMENT, about, "Planned", note)


async def test_an_event_has_what_the_server_demands(kube: FakeKube, recorder: Recorder) -> None:
    emit(recorder, "x" * 5000)
    await recorder.drain()
    (event,) = kube.all(EVENTS)
    assert event["eventTime"] == "2026-11-22T12:00:00.000000Z"
    assert (event["action"], event["type"], len(event["note"])) == ("Reconcile", "Normal", 1024)
    assert event["regarding"]["uid"] == "u1"


async def test_the_same_words_again_are_counted(kube: FakeKube, recorder: Recorder) -> None:
    for _ in range(3):
        emit(recorder)
    emit(recorder, "other")
    await recorder.drain()
    assert [e.get("series", {}).get("count", 1) for e in kube.all(EVENTS)] == [3, 1]
    kube.clock.advance(dt.timedelta(hours=1))
    emit(recorder)
    await recorder.drain()
    assert len(kube.all(EVENTS)) == 3


async def test_one_object_cannot_flood(kube: FakeKube, recorder: Recorder) -> None:
    for i in range(100):
        emit(recorder, str(i))
    emit(recorder, "quiet", ABOUT.but(uid="u2"))
    await recorder.drain()
    assert len(kube.all(EVENTS)) == 26


async def test_an_event_that_cannot_be_posted_is_dropped(kube: FakeKube, recorder: Recorder) -> None:
    kube.fail("create-events", errors.Unavailable("down"))
    emit(recorder)
    emit(recorder, "next")
    await recorder.drain()
    assert [e["note"] for e in kube.all(EVENTS)] == ["next"]
