"""Leader election, the gate, the collector and the health server over FakeKube."""

import asyncio
import datetime as dt

import aiohttp
import pytest

from tests.builders import config_map, environment, gateway, promotion
from tests.fakes import FakeClock, FakeKube
from tests.integration.shell import stub
from tests.stories.lives import fresh
from tests.stories.promotions import two
from tests.virtual_time import in_virtual_time
from tests.world import World
from vulcan_operator import cli
from vulcan_operator.api.fields import ObjectMeta
from vulcan_operator.config import Config
from vulcan_operator.health import HealthServer
from vulcan_operator.kube import errors
from vulcan_operator.kube.access import Access
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.resources import CONFIG_MAPS, ENVIRONMENTS, LEASES, NAMESPACES, PROMOTIONS, Resource
from vulcan_operator.kube.transport import Transport
from vulcan_operator.leader import Elector, LeaseSettings
from vulcan_operator.loop import Operator
from vulcan_operator.plan.core.actions import Key, Kind
from vulcan_operator.plan.core.seen import JobState
from vulcan_operator.plan.tasks import checks
from vulcan_operator.reconcile.reconcile import Planners
from vulcan_operator.term import Term


@pytest.fixture
def kube() -> FakeKube:
    made = FakeKube(FakeClock())
    for name in ("vulcan-system", "kube-system"):
        made.put(NAMESPACES, {"metadata": {"name": name}})
    return made


def elector(kube: FakeKube, name: str) -> Elector:
    return Elector(kube, kube.clock, LeaseSettings("vulcan-system", "op", name))


def spec(kube: FakeKube) -> dict[str, object]:
    return dict(kube.all(LEASES)[0]["spec"])


async def test_one_holds_until_it_has_been_silent_for_the_whole_term(kube: FakeKube) -> None:
    one, two = elector(kube, "one"), elector(kube, "two")
    await one._attempt()
    await two._attempt()
    assert one.holds()
    assert not two.holds()
    for _ in range(10):
        kube.clock.advance(dt.timedelta(seconds=2))
        await one._attempt()
        await two._attempt()
    assert one.holds()
    assert not two.holds()
    kube.clock.advance(dt.timedelta(seconds=10))
    await two._attempt()
    assert not one.holds()
    assert not two.holds()  # nobody writes in between
    kube.clock.advance(dt.timedelta(seconds=6))
    await two._attempt()
    assert two.holds()
    assert (spec(kube)["holderIdentity"], spec(kube)["leaseTransitions"]) == ("two", 1)
    await one._attempt()
    await one._attempt()
    assert not one.holds()
    assert not one.leading.is_set()


async def test_the_fence_falls_without_any_request(kube: FakeKube) -> None:
    one = elector(kube, "one")
    await one._attempt()
    kube.clock.advance(dt.timedelta(seconds=9.9))
    assert one.holds()
    kube.clock.advance(dt.timedelta(seconds=0.1))
    assert not one.holds()


async def test_released_the_lease_is_free_at_once(kube: FakeKube) -> None:
    one, two = elector(kube, "one"), elector(kube, "two")
    await one._attempt()
    await one.release()
    await two._attempt()
    assert not one.holds()
    assert two.holds()


async def test_a_renewal_that_fails_is_no_loss_before_its_time(kube: FakeKube) -> None:
    one = elector(kube, "one")
    await one._attempt()
    kube.fail("replace-leases", errors.Conflict("stale", status=409))
    kube.clock.advance(dt.timedelta(seconds=2))
    await one._attempt()
    assert one.holds()
    await one._attempt()
    kube.clock.advance(dt.timedelta(seconds=9))
    assert one.holds()


@in_virtual_time
async def test_the_gate_opens_when_the_crds_are_served(kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = ["vulcangateways"]

    async def read(path: str) -> object:
        if not served:
            raise errors.NotFound(path, status=404)
        return {"resources": [{"name": name} for name in served]}

    monkeypatch.setattr(kube, "read", read)
    gate = asyncio.create_task(cli.pass_gate(kube))
    await asyncio.sleep(3600)
    assert not gate.done()
    served.extend(("vulcanenvironments", "vulcanpromotions"))
    assert (await asyncio.wait_for(gate, 60)).startswith("uid-")


def world() -> World:
    return World(Planners(stub.plan_gateway, stub.plan_environment)).apply(gateway(), environment())


async def test_an_orphaned_reader_goes_after_two_looks_a_minute_apart() -> None:
    w = world().settle()
    collector = w.parts.collector
    await collector.sweep()
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    await collector.sweep()
    w.clock.advance(dt.timedelta(seconds=59))
    await collector.sweep()
    assert len(w.jobs()) == 1
    w.clock.advance(dt.timedelta(seconds=2))
    await collector.sweep()
    assert w.jobs() == []


async def test_an_orphaned_writer_runs_to_its_end() -> None:
    w = world().settle()
    (name,) = [j.name for j in w.jobs()]
    raw = w.kube.objects["jobs", "data", name]
    raw["metadata"]["labels"]["vulcan.dev/task"] = "apply"
    w.restart()
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    collector = w.parts.collector
    await collector.sweep()
    w.clock.advance(dt.timedelta(minutes=2))
    await collector.sweep()
    assert len(w.jobs()) == 1
    w.finish_job(name, None, exit_code=0)
    await collector.sweep()
    assert w.jobs() == []


async def test_jobs_that_are_not_ours_cost_two_reads_and_no_delete_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = world().settle()
    labels = {"vulcan.dev/managed": "true", "vulcan.dev/install": "test", "vulcan.dev/owner-kind": "VulcanEnvironment",
              "vulcan.dev/owner-namespace": "pay", "vulcan.dev/owner-uid": "u"}  # fmt: skip
    template = {"metadata": {}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    for number in range(20):
        task = "plan" if number % 2 else f"evil-{number}"
        own = {**labels, "vulcan.dev/owner-name": f"no-{number}", "vulcan.dev/task": task}
        meta = {"name": f"forged-{number}", "namespace": "pay", "labels": own}
        w.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}})
    w.kube.fail("delete-jobs", errors.Forbidden("no right to delete jobs", status=403), times=-1)
    asked, get = list[str](), w.kube.get

    async def counted(resource: Resource, namespace: str, name: str) -> object:
        asked.append(name)
        return await get(resource, namespace, name)

    monkeypatch.setattr(w.kube, "get", counted)
    for _ in range(100):
        await w.parts.collector.sweep()
        w.clock.advance(dt.timedelta(seconds=20))
    assert w.kube.writes.count("delete-jobs") == 1
    assert 10 <= len(asked) <= 12 and not {"no-0", "no-2"} & set(asked)
    w.clock.advance(dt.timedelta(hours=1))
    await w.parts.collector.sweep()
    assert w.kube.writes.count("delete-jobs") == 2, "rights may have come"


async def test_copies_in_the_gateways_namespace_go_with_an_environment_of_another() -> None:
    reference = {"name": "warehouse", "namespace": "data"}
    everybody = [{"namespaces": {"from": "All"}, "environments": ["*"]}]
    sqlmesh = fresh()
    w = sqlmesh.world.apply(gateway(grants=everybody), config_map(namespace="team"))
    w.apply(environment("prod", "team", gatewayRef=reference, deletionPolicy="Retain")).settle()
    collector = w.parts.collector
    copies = [c["metadata"]["name"] for c in w.kube.all(CONFIG_MAPS) if "-source-" in c["metadata"]["name"]]
    assert len(copies) == 1
    w.kube.remove(ENVIRONMENTS, "team", "prod")
    await collector.sweep()
    assert ("configmaps", "data", copies[0]) in w.kube.objects  # its plan Job may still mount it
    w.finish_job("plan", None)
    await collector.sweep()
    assert ("configmaps", "data", copies[0]) not in w.kube.objects


async def test_copies_of_soda_files_go_with_a_promotion_that_is_deleted_while_they_are_checked() -> None:
    sqlmesh = two()
    w = sqlmesh.world.apply(config_map("quality", "team", **{"a.yml": "checks for a:\n  - row_count > 0\n"}))
    sides = {
        "from": {"environmentRef": {"name": "staging", "namespace": "data"}},
        "to": {"environmentRef": {"name": "prod", "namespace": "live"}},
    }
    w.change(
        "vgw/warehouse", grants=[{"namespaces": {"from": "All"}, "environments": ["*"], "promotions": True}]
    ).settle()
    sqlmesh.work()
    w.apply(promotion("checked", "team", gates={"checks": {"soda": {"configMapRef": {"name": "quality"}}}}, **sides))
    w.settle()
    copies = [place for place in w.kube.objects if place[0] == "configmaps" and "-checks-" in place[2]]
    assert [namespace for _, namespace, _ in copies] == ["data"]
    collector = w.parts.collector
    w.kube.remove(PROMOTIONS, "team", "checked")
    for job in w.jobs(state=JobState.UNFINISHED):
        w.finish_job(job.name, None)
    await collector.sweep()
    assert copies[0] not in w.kube.objects


async def test_at_start_copies_of_those_that_are_gone_are_cleared_away_and_no_others() -> None:
    w = fresh(environment(), promotion()).world
    names = {}
    for owner in (
        w.environment("venv/prod").metadata,
        w.raw("vpromo/to-prod")["metadata"],
        {"uid": "gone", "name": "x"},
    ):
        meta = owner if isinstance(owner, dict) else {"uid": owner.uid, "name": owner.name}
        key = Key(Kind.ENVIRONMENT, "data", meta["name"])
        made = ObjectMeta.model_validate({"name": meta["name"], "namespace": "far", "uid": meta["uid"]})
        copy = checks.order(key, made, "test", "data", "0" * 16, {"a.yml": b"x"}).copy.manifest
        w.kube.put(CONFIG_MAPS, dict(copy))
        names[meta["uid"]] = copy["metadata"]["name"]
    collector = w.parts.collector
    await collector._find_copies()
    for job in w.jobs(state=JobState.UNFINISHED):
        w.finish_job(job.name, None)
    await collector.sweep()
    left = {uid for uid, name in names.items() if ("configmaps", "data", name) in w.kube.objects}
    assert "gone" in names and left == set(names) - {"gone"} and len(left) == 2


async def test_health_says_what_is_wrong() -> None:
    server = HealthServer("127.0.0.1", 0)
    port = await server.start()
    server.ready.append(lambda: "not yet")
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/healthz") as answer:
                assert answer.status == 200
            async with session.get("/readyz") as answer:
                assert answer.status == 500
                assert await answer.text() == "not yet"
            server.heart.lag = 9
            async with session.get("/healthz") as answer:
                assert answer.status == 500
                assert await answer.text() == "the event loop was 9.0 s late"
            async with session.get("/metrics") as answer:
                assert "vulcan_leader" in await answer.text()
    finally:
        await server.stop()


@in_virtual_time
async def test_a_lowered_fence_ends_neither_guard_nor_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world().settle()
    guard, collector = w.parts.guard, w.parts.collector
    tried = []

    async def refused() -> bool:
        tried.append(1)
        raise errors.NotLeader("not any more")

    monkeypatch.setattr(guard, "check", refused)
    monkeypatch.setattr(collector, "sweep", refused)
    collector.look()
    tasks = [asyncio.create_task(guard.run()), asyncio.create_task(collector.run())]
    await asyncio.sleep(0.05)
    assert len(tried) == 2
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()


async def test_an_orphaned_probe_runs_to_its_end() -> None:
    w = world().settle()
    (name,) = [j.name for j in w.jobs()]
    w.kube.objects["jobs", "data", name]["metadata"]["labels"]["vulcan.dev/task"] = "probe"
    w.restart()
    w.kube.remove(ENVIRONMENTS, "data", "prod")
    collector = w.parts.collector
    await collector.sweep()
    w.clock.advance(dt.timedelta(minutes=2))
    await collector.sweep()
    assert len(w.jobs()) == 1


def operator() -> Operator:
    planners = Planners(stub.plan_gateway, stub.plan_environment)
    return Operator(Config.from_env({}), HttpKube(Transport(Access(None, None))), planners, "cluster")


@in_virtual_time
async def test_a_term_that_breaks_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    op, terms = operator(), []

    async def term(self: Term) -> None:
        terms.append(1)
        if len(terms) == 1:
            raise RuntimeError("bug")
        await asyncio.Event().wait()

    monkeypatch.setattr(Term, "run", term)
    op.elector.leading.set()
    op.elector.standing_by.clear()
    ruling = asyncio.create_task(op._lead())
    await asyncio.sleep(op._config.retry_period + 1)
    assert len(terms) == 2
    assert not ruling.done()
    ruling.cancel()


async def test_the_lease_is_released_whatever_ended_before(monkeypatch: pytest.MonkeyPatch) -> None:
    op, released = operator(), []

    async def broken() -> None:
        raise RuntimeError("bug")

    async def release() -> None:
        released.append(1)

    monkeypatch.setattr(op.elector, "release", release)
    op._tasks = [asyncio.create_task(broken())]
    await asyncio.sleep(0)
    await op.stop()
    assert released == [1]
    assert op.stopped.is_set()
