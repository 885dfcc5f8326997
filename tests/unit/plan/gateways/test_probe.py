"""The probe of a gateway: when one is due, what its Job gets, what its end means."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests import builders
from tests.builders import NOW
from tests.unit.plan.seen_objects import SETTINGS, failure, gw
from vulcan_contract import task as contract
from vulcan_contract.reasons import ABOUT, Reason, Retry, Side
from vulcan_contract.result import Result
from vulcan_contract.tasks import TaskKind
from vulcan_operator.api import names
from vulcan_operator.api.fields import TaskStatus
from vulcan_operator.api.gateway import GatewayStatus, ProbeStatus, VulcanGateway
from vulcan_operator.plan.core.actions import AuditEntry
from vulcan_operator.plan.core.decision import Draft
from vulcan_operator.plan.core.facts import Contact, GatewayFacts
from vulcan_operator.plan.core.moves import Done, Move, Order, Site
from vulcan_operator.plan.core.world import GatewaySeen
from vulcan_operator.plan.gateways import probe
from vulcan_operator.plan.tasks import life, values


def seen(gateway: VulcanGateway | None = None, *contacts: Contact, asked: str = "") -> GatewaySeen:
    """A gateway, and what the Jobs of its environments have found."""
    found = gateway or gw(probe={"interval": "5m"})
    annotations = {names.PROBE_REQUESTED: asked} if asked else {}
    return GatewaySeen(
        found.but(metadata=found.metadata.but(annotations=annotations)), SETTINGS, contacts=contacts
    )


def site(what: GatewaySeen) -> Site:
    return Site(GatewayFacts.of(what.gateway), "runner:1")


def later(**time: float) -> dt.datetime:
    return NOW + dt.timedelta(**time)


INPUTS = probe.inputs_of(seen(), site(seen()))


def status(failed: Any = None, inputs: str = INPUTS, **fields: Any) -> GatewayStatus:
    """Probed at NOW."""
    return GatewayStatus(probe=ProbeStatus(inputs=inputs, time=NOW), failure=failed, **fields)


FAILED = failure(Reason.WAREHOUSE_UNREACHABLE, Retry.WAIT, task="probe").but(inputs=INPUTS)
GIVEN_UP = FAILED.but(retry=Retry.NEVER)
OLD = FAILED.but(inputs="old")
VOID: dict[str, Any] = {"failure": None}
PLAIN, ASKED, NEVER = seen(), seen(asked="1"), seen(gw(probe={"interval": "0"}))
GREEDY = seen(gw(probe={"interval": "5m"}, takeover="c/data/another"))
GREEDY_INPUTS = probe.inputs_of(GREEDY, site(GREEDY))
OFTEN = seen(gw(probe={"interval": "1s"}))


def doubt(
    reason: Reason = Reason.STATE_UNREACHABLE, minutes: float = 1, reached: float | None = None
) -> GatewaySeen:
    """A Job has failed so many minutes after the probe; another has reached both databases."""
    at = later(minutes=reached) if reached is not None else None
    return seen(None, Contact(reached=at), Contact(None, reason, later(minutes=minutes)))


def taken(minutes: float) -> GatewaySeen:
    """A gateway whose takeover names this one was probed so many minutes after it."""
    return replace(PLAIN, taken_over=later(minutes=minutes))


def order(why: str, request: str | None = None, what: GatewaySeen = PLAIN, **settles: Any) -> Order:
    return Order(TaskKind.PROBE, INPUTS, why, site(what), request, settles=settles)


@pytest.mark.parametrize(
    ("state", "what", "after", "expected"),
    [
        pytest.param(GatewayStatus(), PLAIN, 0, order("never probed"), id="it was never probed"),
        pytest.param(
            status(), PLAIN, 0, Done(until=later(minutes=5)),
            id="it is probed again after the interval",
        ),
        pytest.param(status(), PLAIN, 5, order("probe.interval"), id="the interval is over"),
        pytest.param(status(), NEVER, 9999, Done(), id="there is no interval"),
        pytest.param(
            status(), OFTEN, 0, Done(until=later(seconds=30)), id="every thirty seconds at most"
        ),
        pytest.param(
            status(), seen(None, Contact(later(minutes=3)), Contact()), 5,
            Done(until=later(minutes=8)),
            id="a Job has reached both databases since",
        ),
        pytest.param(
            status(), seen(None, Contact(later(minutes=-3))), 5, order("probe.interval"),
            id="a Job of before the probe",
        ),
        pytest.param(
            status(inputs="old"), PLAIN, 0, order("the connections changed"), id="other connections"
        ),
        pytest.param(
            status(), taken(minutes=1), 2, order("another gateway has taken over its state"),
            id="it lost its state",
        ),
        pytest.param(
            status(), taken(minutes=-1), 2, Done(until=later(minutes=5)),
            id="its probe has answered since",
        ),
        pytest.param(
            status(inputs=GREEDY_INPUTS), replace(GREEDY, taken_over=later(minutes=1)), 2,
            Done(until=later(minutes=5)),
            id="two that name each other do not take turns",
        ),
        pytest.param(
            status(GIVEN_UP), taken(minutes=1), 2, Done(), id="it knows that it lost its state"
        ),
        pytest.param(status(), ASKED, 0, order("requested", "1", ASKED), id="somebody asks"),
        pytest.param(
            status(last_handled_probe_requested_at="1"), ASKED, 0, Done(until=later(minutes=5)),
            id="it was answered",
        ),
        pytest.param(
            status(), seen(asked="x" * 99), 0, order("requested", "x" * 64, seen(asked="x" * 99)),
            id="a long request",
        ),
        pytest.param(
            status(FAILED), PLAIN, 0, Done(until=later(seconds=10)),
            id="it failed: tried again soon",
        ),
        pytest.param(
            status(FAILED), PLAIN, 0.17, order("the last probe failed"), id="its time has come"
        ),
        pytest.param(
            status(GIVEN_UP), PLAIN, 9999, Done(), id="it fails for good, until something changes"
        ),
        pytest.param(
            status(FAILED), ASKED, 0, order("requested", "1", ASKED),
            id="somebody asks after a failure",
        ),
        pytest.param(
            status(OLD), PLAIN, 0, Done(until=later(minutes=5), settles=VOID),
            id="other connections had failed",
        ),
        pytest.param(
            status(OLD, inputs="old"), PLAIN, 0, order("the connections changed", **VOID),
            id="they were corrected",
        ),
        pytest.param(
            status(OLD), ASKED, 0, order("requested", "1", ASKED, **VOID),
            id="they were corrected, and somebody asks",
        ),
        pytest.param(
            status(OLD), NEVER, 0, Done(settles=VOID),
            id="they were corrected, there is no interval",
        ),
        pytest.param(
            status(), doubt(), 1, order("a Job found it unusable"),
            id="a Job has not reached them since",
        ),
        pytest.param(
            status(), doubt(minutes=0), 1, Done(until=later(minutes=5)),
            id="the probe came after that",
        ),
        pytest.param(
            status(), doubt(reached=2), 2, Done(until=later(minutes=7)),
            id="another Job has reached them after that",
        ),
        pytest.param(
            status(), doubt(Reason.MODEL_FAILED), 1, Done(until=later(minutes=5)),
            id="a failed model is no doubt",
        ),
    ],
)  # fmt: skip
def test_when_it_is_probed(
    state: GatewayStatus, what: GatewaySeen, after: float, expected: Move
) -> None:
    found = probe.next(state, site(what), what, later(minutes=after))
    if isinstance(found, Order) and isinstance(expected, Order):
        assert found.site.gateway.metadata.name == "warehouse"
        found, expected = (Order(**{**vars(m), "site": site(PLAIN)}) for m in (found, expected))
    assert found == expected


@pytest.mark.parametrize(
    "reason", [r for r in Reason if ABOUT[r].side in (Side.DATABASE, Side.STATE)]
)
def test_every_doubt_of_a_job_is_settled_by_a_probe(reason: Reason) -> None:
    what = doubt(reason)
    assert isinstance(probe.next(status(), site(what), what, later(minutes=1)), Order)


@pytest.mark.parametrize(
    ("spec", "image", "same"),
    [
        ({"connection": {"options": {"host": "other"}}}, "runner:1", False),
        ({"stateConnection": {"options": {"host": "other"}}}, "runner:1", False),
        ({"planning": {"connection": {"type": "duckdb"}}}, "runner:1", False),
        ({"additionalConnections": [{"sqlmeshName": "x", "type": "duckdb"}]}, "runner:1", False),
        ({"takeover": "empty"}, "runner:1", False),
        ({"sqlmeshName": "other"}, "runner:1", False),
        ({}, "runner:2", False),
        ({"variables": {"v": 1}}, "runner:1", True),
        ({"probe": {"interval": "1m"}}, "runner:1", True),
        ({"grants": [{"namespaces": {"from": "All"}, "environments": ["*"]}]}, "runner:1", True),
        ({"suspend": True}, "runner:1", True),
    ],
)
def test_what_a_probe_tests(spec: dict[str, Any], image: str, same: bool) -> None:
    what = seen(gw(**spec))
    assert (probe.inputs_of(what, Site(GatewayFacts.of(what.gateway), image)) == INPUTS) == same


TASK = TaskStatus(kind="probe", job="j", inputs="i", since=NOW, why="requested")


def test_its_job_gets_nothing_but_the_gateway() -> None:
    base = contract.Task(
        TaskKind.PROBE, "j", "n", values.gateway_of(site(PLAIN), SETTINGS, planning=False)
    )
    assert probe.task(base, TASK) == life.Extras(base)


def judged(result: Result, state: GatewayStatus, **task: Any) -> Draft[GatewayStatus]:
    return probe.judge(Draft(state), life.Ended(TASK.but(**task), result), PLAIN, later(minutes=1))


def audit(outcome: str, reason: str) -> AuditEntry:
    """The line in the audit log."""
    return AuditEntry("probe", outcome, reason, gateway="warehouse", job="j", why="requested")


def test_a_success_is_the_state_of_the_gateway() -> None:
    draft = judged(builders.probed(), status(FAILED, task=TASK))
    assert draft.status == GatewayStatus(
        probe=ProbeStatus(inputs="i", time=later(minutes=1)), versions={"sqlmesh": "0.236.4"},
        state_identity="pg:1/s/sqlmesh", last_contact_time=later(minutes=1),
    )  # fmt: skip
    (note,) = draft.notes
    assert (note.reason, note.message, note.warning) == (
        "Succeeded",
        "probe: both connections answer",
        False,
    )
    assert note.audit == audit("Succeeded", "Succeeded")


def test_a_failure_is_counted_and_keeps_what_the_last_success_has_found() -> None:
    result = builders.failed("probe", Reason.AUTH_FAILED, "no password")
    before = status(
        FAILED.but(inputs="i", attempts=2), task=TASK, state_identity="s", versions={"sqlmesh": "1"}
    )
    draft = judged(result, before)
    failed = draft.status.failure
    assert failed is not None and (failed.reason, failed.attempts, failed.task) == (
        "AuthFailed",
        3,
        "probe",
    )
    assert draft.status == before.but(task=None, failure=failed)
    (note,) = draft.notes
    assert note.warning and note.message.startswith("probe: no password. ")
    assert note.audit == audit("Errored", "AuthFailed")


@pytest.mark.parametrize("result", [builders.probed(), builders.failed("probe", Reason.LOST)])
def test_its_end_answers_a_request_however_it_ended(result: Result) -> None:
    assert judged(result, status(), request="1").status.last_handled_probe_requested_at == "1"
    asked = status(last_handled_probe_requested_at="0")
    assert judged(result, asked).status.last_handled_probe_requested_at == "0"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"retry": Retry.BACKOFF, "attempts": 1}, 10),
        ({"retry": Retry.BACKOFF, "attempts": 99, "counted": 999}, 120),
        ({"retry": Retry.NEVER}, None),
    ],
)
def test_everything_waits_for_a_probe_so_it_is_tried_again_without_limit(
    fields: dict[str, Any], seconds: int | None
) -> None:
    at = probe.retry_at(FAILED.but(**fields))
    assert at == (later(seconds=seconds) if seconds is not None else None)
