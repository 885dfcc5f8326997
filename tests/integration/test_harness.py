"""The harness itself: the canary is found in every disguise, and a whole life leaves no trace of it."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tests.integration.harness import System
from tests.integration.projects import TINY
from tests.integration.recorder import leak, secret_value

SECRET = secret_value("some", "role")


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps({"a": SECRET}),
        quote(SECRET),
        quote_plus(f"postgresql://u:{SECRET}@host/db"),
        SECRET.replace("'", "''"),
        SECRET.upper(),
        SECRET.encode().hex(),
        *(base64.b64encode(before + SECRET.encode()).decode() for before in (b"", b"u:", b"me:", b"you:")),
    ],
)
def test_the_canary_is_found_in_every_disguise(text: str) -> None:
    assert leak(f"before {text} after") is not None


def test_what_is_not_the_canary_is_not_found() -> None:
    assert leak("password=*** cAnArY 7x1Zq") is None


def test_a_life_is_recorded_with_its_logs(system: System) -> None:
    prod = system.environment("prod", TINY)
    status = prod.wait_ran()
    assert system.rows("select x from t.one") == [(1,)]
    assert status["lastRun"]["succeeded"] and status["applied"]["planId"]
    assert {j["metadata"]["labels"]["vulcan.dev/task"] for j in prod.jobs()} == {"plan", "apply", "run"}
    assert "t.one" in prod.job_logs("plan", "apply")
    assert {"Succeeded", "Ready"} <= {e["reason"] for e in prod.events()}
    assert system.stage.recorder.scanned > 20 and not system.stage.recorder.leaks
