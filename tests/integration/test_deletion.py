"""How environments end: what stays, what expires, what is removed, and that the object always goes."""

import pytest

from tests.integration.conftest import Systems
from tests.integration.harness import System
from tests.integration.projects import TINY, one
from tools.localcluster.cluster import ClusterError

POLICIES = {"prod": None, "retained": "Retain", "expiring": "Expire", "invalidated": "Invalidate"}


@pytest.fixture(scope="module")
def company(module_systems: Systems) -> System:
    """One environment for each policy, all applied; all but prod have a model version of their own."""
    system = module_systems("deletion").up()
    for i, (name, policy) in enumerate(POLICIES.items()):
        more = {} if policy is None else {"deletionPolicy": policy}
        system.environment(name, TINY if name == "prod" else one(f"SELECT {i} AS x;"), **more)
    for name in POLICIES:
        system.existing(name).wait_ran(240)
    return system


def views(system: System, name: str) -> int:
    """How many views the environment has."""
    schema = "t" if name == "prod" else f"t__{name}"
    found = system.rows(f"select count(*) from information_schema.views where table_schema = '{schema}'")
    return int(found[0][0])


def record(system: System, name: str) -> list[tuple[object, ...]]:
    """SQLMesh's own record: when it expires."""
    return system.rows(f"select expiration_ts is not null from sqlmesh._environments where name = '{name}'", "state")


def finalizers(system: System, name: str) -> list[str]:
    """Of the object."""
    return list((system.existing(name).get() or {})["metadata"].get("finalizers", ()))


def test_only_invalidate_needs_a_finalizer(company: System) -> None:
    assert finalizers(company, "invalidated") == ["vulcan.dev/invalidate"]
    assert [finalizers(company, name) for name in ("prod", "retained", "expiring")] == [[], [], []]
    with pytest.raises(ClusterError, match="Invalidate is not for environment prod"):
        company.existing("prod").patch(deletionPolicy="Invalidate")


def test_metrics_vanish_with_the_object(company: System) -> None:
    text = company.stage.metrics()
    assert len([line for line in text.splitlines() if company.namespace in line and '"retained"' in line]) > 5
    company.existing("retained").delete()
    company.existing("retained").wait_gone(10)
    company.stage.wait_for(
        lambda: not [s for s in company.stage.metrics().splitlines() if company.namespace in s and '"retained"' in s],
        "no series of a deleted object", 20,
    )  # fmt: skip
    assert any(company.namespace in s and '"prod"' in s for s in company.stage.metrics().splitlines())


def test_retain_keeps_everything(company: System) -> None:
    company.existing("retained").delete(wait=True)
    assert views(company, "retained") == 1 and record(company, "retained") == [(False,)]


def test_expire_leaves_it_to_sqlmesh(company: System) -> None:
    assert record(company, "expiring") == [(True,)]
    company.existing("expiring").delete()
    company.existing("expiring").wait_gone(10)
    assert views(company, "expiring") == 1 and record(company, "expiring") == [(True,)]


def test_invalidate_removes_views_and_record(company: System) -> None:
    environment = company.existing("invalidated")
    tables = "select count(*) from information_schema.tables where table_schema = 'sqlmesh__t'"
    before = company.rows(tables)
    environment.delete()
    environment.wait_gone(120)
    assert views(company, "invalidated") == 0
    assert record(company, "invalidated") in ([], [(True,)])
    assert company.rows(tables) == before, "physical tables are the janitor's"
    assert company.rows("select x from t.one") == [(1,)]


def test_a_gateway_that_is_gone_does_not_hold_anything(company: System, systems: Systems) -> None:
    system = systems("orphan").up()
    system.environment("prod", TINY, schedule={"mode": "Manual"}).wait_ready(120)
    dev = system.environment("dev", one("SELECT 2 AS x;"), deletionPolicy="Invalidate")
    dev.wait_ready(120)
    system.stage.kubectl("delete", "vgw", "system", "-n", system.namespace)
    dev.delete()
    dev.wait_gone(30)


def test_the_same_name_again_is_adopted_without_work(company: System) -> None:
    former = len(company.existing("retained").jobs("apply"))
    again = company.environment("retained", one("SELECT 1 AS x;"), deletionPolicy="Retain")
    again.wait_ready(120)
    assert len(again.jobs("apply")) == former
    prod = company.existing("prod")
    prod.delete(wait=True)
    assert views(company, "prod") == 1 and record(company, "prod") == [(False,)]
