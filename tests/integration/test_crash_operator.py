"""The operator is killed: at each of its writes, with work in flight, and beside another one."""

import signal
from collections.abc import Iterator

import pytest

from tests.integration import crash_kit as kit
from tests.integration.conftest import missing
from tests.integration.crash_kit import OwnStage
from tests.integration.harness import System, Thing

# Every kind of write, and what makes the operator write it.
WRITES = {
    "create-leases": "nothing",  # of the writer slot, for the gateway's first probe
    "apply-vulcangateways/status": "a probe",
    "create-configmaps": "a revision",  # the copy of the source, the report
    "apply-vulcanenvironments/status": "a run",
    "create-jobs": "a run",
    "replace-leases": "a run",  # taking and freeing the slot
    "create-events": "a run",
    "merge-jobs": "a run",
    "delete-jobs": "a run",  # only the last few are kept
    "delete-configmaps": "a revision",  # the report of the plan before
    "patch-vulcanenvironments": "an end",  # the finalizer
    "elector-replace-leases": "nothing",
}
POINTS = [f"{write}:{when}:1" for write in WRITES for when in ("before", "after")]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStage]:
    """A cluster without an operator."""
    if why := missing():
        pytest.skip(why)
    stage = kit.own_stage(tmp_path_factory.mktemp("operators"), "operators")
    yield stage
    stage.end()


@pytest.fixture(autouse=True)
def nobody(own: OwnStage) -> Iterator[None]:
    """Each test begins and ends without an operator."""
    yield
    for operator in own.operators:
        operator.kill()


def system(own: OwnStage, name: str) -> System:
    """A namespace with a gateway."""
    return kit.prepare(own.system(name))


class Life:
    """One system with two environments, and what makes an operator write something about them."""

    def __init__(self, own: OwnStage) -> None:
        self.own, self.system, self.revision, self.previews = own, system(own, "life"), 1, 0
        self.prod = self.system.environment(project=kit.days(), **kit.MANUAL)

    def cause(self, what: str) -> None:
        """Make work; it may join what is in flight."""
        match what:
            case "a probe":
                self.system.gateway.request("probe")
            case "a run":
                self.prod.request("run")
            case "a revision":
                self.revision += 1
                self.system.config_map("project-prod", kit.days(self.revision))
                self.prod.request("plan")
            case "an end":
                self.previews += 1
                ending = {"deletionPolicy": "Invalidate"}
                name = f"dev-{self.previews}"
                self.system.environment(name, {"configMap": {"name": "project-prod"}}, **(kit.MANUAL | ending))


def test_a_crash_before_and_after_each_write_does_nothing_twice(own: OwnStage) -> None:
    life, survived = Life(own), []
    for point in POINTS:
        write = point.partition(":")[0]
        operator = own.spawn(VULCAN_CRASH_AT=point, VULCAN_IDENTITY="one")
        for _ in range(6):
            life.cause(WRITES[write])
            if kit.wait_dead(own, operator, 15):
                break
        else:
            survived.append(point)
            operator.kill()
    own.start_operator(VULCAN_IDENTITY="one")
    kit.settle(life.prod, 240)
    previews = [Thing(life.system, "vulcanenvironments", f"dev-{n}") for n in range(1, life.previews + 1)]
    for preview in previews:
        kit.settle(preview, 240)
        preview.delete()
    for preview in previews:
        preview.wait_gone(120)
    assert survived == [], "these writes were never made"
    assert own.ledger.twice() == []
    own.wait_for(lambda: {kit.ended(job) for job in own.ledger.of(life.system)} == {"Complete"}, "all Jobs are counted")
    assert {kit.label(job, "attempt") for job in own.ledger.of(life.system)} == {"1"}
    kept = "ttlSecondsAfterFinished"
    own.wait_for(lambda: all(kept in job["spec"] for job in life.prod.jobs()), "each of its Jobs is kept for a while")
    computed = kit.batches(life.system)
    assert set(computed.values()) == {1}, computed
    assert [row[0] for row in kit.records(life.system)] == ["prod"]
    assert {name: done for name, (_, done) in kit.finalised(life.system).items()} == {"prod": True}
    slot = own.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{life.system.namespace}/leases/vulcan-writer-system")
    assert slot is not None
    assert not slot["spec"].get("holderIdentity")


def test_sigkill_with_a_plan_an_apply_and_a_run_in_flight(own: OwnStage) -> None:
    first = own.start_operator()
    runs = system(own, "runs").environment(project=kit.days(pause=1), **kit.MANUAL)
    kit.settle(runs)
    kit.forget_intervals(runs.system)
    applies = system(own, "applies").environment(project=kit.days(pause=1.5), **kit.MANUAL)
    lost = system(own, "lost").environment(project=kit.days(pause=1.5), **kit.MANUAL)
    in_apply, vanished = kit.in_hand(applies, "apply"), kit.in_hand(lost, "apply")
    plans = system(own, "plans")
    asked = runs.request("run")
    planned = plans.environment(project=kit.days(), **kit.MANUAL)
    in_run = kit.in_hand(runs, "run")
    in_plan = kit.in_hand(planned, "plan")
    first.kill()
    for thing, job in ((runs, in_run), (applies, in_apply), (lost, vanished), (planned, in_plan)):
        own.wait_for(lambda t=thing, j=job: _end_of(t, j), f"the end of {job} without an operator", 90)
    kit.delete_job(lost, vanished)  # it ended, and nobody has recorded how
    own.start_operator()
    for thing in (runs, applies, planned, lost):
        kit.settle(thing)
    assert runs.status()["lastHandledRunRequestedAt"] == asked
    assert runs.status()["lastRun"]["job"] == in_run
    assert own.ledger.twice() == []
    for thing, tasks in ((runs, ("plan", "apply", "run")), (applies, ("plan", "apply")), (planned, ("plan", "apply"))):
        for task in tasks:
            assert set(kit.outcomes(thing, task).values()) == {"Complete"}
            assert set(kit.outcomes(thing, task)) == {1}
    assert kit.outcomes(lost, "apply") == {2: "Complete"}
    assert lost.status()["history"][0]["planDigest"] == kit.records(lost.system)[0][1]
    assert kit.batches(runs.system) == kit.each_once(1, times=2)
    for thing in (applies, planned, lost):
        assert kit.batches(thing.system) == kit.each_once(1)


def _end_of(thing: Thing, job: str) -> str:
    return next((kit.ended(j) for j in thing.jobs() if j["metadata"]["name"] == job), "")


def test_of_two_started_at_once_one_leads_and_the_other_takes_over(own: OwnStage) -> None:
    pair = [own.spawn(), own.spawn()]
    for operator in pair:
        operator.wait_ready()
    own.wait_for(lambda: any(kit.leads(own, o) for o in pair), "a leader", 30)
    thing = system(own, "pair").environment(project=kit.days(pause=1.5), **kit.MANUAL)
    job = kit.in_hand(thing, "apply")
    leader = next(o for o in pair if kit.leads(own, o))
    (standby,) = (o for o in pair if o is not leader)
    assert not kit.leads(own, standby)
    assert kit.said(standby, "vulcan.audit") == 0
    leader.process.signal(signal.SIGKILL)
    own.wait_for(lambda: kit.leads(own, standby), "the other leads", 30)
    assert _end_of(thing, job) == "", "it took over after the apply, so this showed nothing"
    kit.settle(thing)
    assert own.ledger.twice() == []
    assert {kit.label(j, "attempt") for j in own.ledger.of(thing.system)} == {"1"}
    assert kit.outcomes(thing, "apply") == {1: "Complete"}
    assert kit.batches(thing.system) == kit.each_once(1)
