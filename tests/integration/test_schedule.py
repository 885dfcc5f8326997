"""When runs start: by an own cron, by the models' crons, on request, and not while suspended."""

import datetime as dt

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import CONFIG, TINY, Files

FIVE = """
MODEL (name t.five, kind INCREMENTAL_BY_TIME_RANGE (time_column at), cron '*/5 * * * *', start '1 hour ago');
SELECT CAST(s.at AS TIMESTAMP) AS at FROM
GENERATE_SERIES(CAST(@start_ts AS TIMESTAMP), CAST(@end_ts AS TIMESTAMP), INTERVAL '5 MINUTES') AS s(at);
"""
PROJECT: Files = {"config.yaml": CONFIG, "models/five.sql": FIVE}
MORE: Files = {**PROJECT, **TINY}


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """prod by its models, `minutely` by an own cron, `manual` on request."""
    system = module_systems("schedule").up()
    system.environment("prod", PROJECT)
    system.environment("minutely", MORE, schedule={"mode": "Cron", "cron": {"cron": "* * * * *"}})
    system.environment("manual", MORE, schedule={"mode": "Manual"})
    return system


def test_by_the_models_own_crons(company: System) -> None:
    prod = company.existing("prod")
    status = prod.wait_ran(180)
    due = dt.datetime.fromisoformat(status["nextRunTime"])
    now = dt.datetime.now(dt.timezone.utc)
    assert due.minute % 5 == 0 and due <= now + dt.timedelta(minutes=5)
    assert status["lastRun"]["succeeded"]
    assert company.rows("select count(*) >= 10 from t.five") == [(True,)]


def test_on_request_only(company: System) -> None:
    manual = company.existing("manual")
    status = manual.wait_ran(180)
    assert "nextRunTime" not in status
    runs = len(manual.jobs("run"))
    manual.answered("run")
    assert len(manual.jobs("run")) == runs + 1


def test_by_an_own_cron(company: System) -> None:
    minutely = company.existing("minutely")
    first = minutely.wait_ran(180)["lastRun"]
    status = minutely.wait(
        lambda s: s.get("lastRun", {}).get("time", "") > first["time"] and "task" not in s, "a run at the minute", 130
    )
    due = dt.datetime.fromisoformat(status["lastRun"]["due"])
    assert due.second == 0 and status["lastRun"]["succeeded"]
    job = minutely.jobs("run")[-1]
    assert "by its own schedule" in job["metadata"]["annotations"]["vulcan.dev/why"]
    created = dt.datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    assert dt.timedelta() <= created - due <= dt.timedelta(seconds=30)


def test_not_while_suspended(company: System) -> None:
    minutely = company.existing("minutely")
    minutely.patch(suspend=True, suspendReason="month end")
    assert "month end" in minutely.wait_reason("Suspended")
    minutely.wait(lambda s: "task" not in s, "what ran has ended")
    count = len(minutely.jobs())
    asked = minutely.request("run")
    minutely.stage.throughout(lambda: len(minutely.jobs()) == count, "no Job", 3)
    minutely.patch(suspend=False)
    minutely.wait(lambda s: s.get("lastHandledRunRequestedAt") == asked, "what was asked for meanwhile is done", 90)


def test_a_suspended_gateway_stops_all_of_its_environments(company: System) -> None:
    gateway, manual = company.gateway, company.existing("manual")
    gateway.patch(suspend=True, suspendReason="moving house")
    gateway.wait_reason("Suspended")
    count = len(manual.jobs())
    asked = manual.request("run")
    assert "moving house" in manual.wait_reason("GatewayNotReady")
    assert len(manual.jobs()) == count
    gateway.patch(suspend=False)
    manual.wait(lambda s: s.get("lastHandledRunRequestedAt") == asked, "it goes on", 90)
