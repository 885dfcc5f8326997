"""Events and passes come in any order, and watch events late: nobody may have to wait for the resync."""

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests import builders
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_operator.plan.core.seen import JobState

SEEDS = range(24)
GRANTS: list[dict[str, Any]] = [
    {"environments": ["prod"], "protected": True, "minimum": {"approval": {"mode": "Never"}}},
    {"environments": ["staging"]},
    {"environments": ["dev_*"], "maxEnvironments": 2},
]
Step = Callable[[World, random.Random, int], Any]


def started(seed: int) -> tuple[SqlMesh, random.Random]:
    """A gateway that was probed, a project, prod and staging applied; from then on anything goes."""
    order = random.Random(seed)
    world = World(order=order)
    world.apply(builders.gateway(grants=GRANTS), builders.config_map()).settle()
    sqlmesh = SqlMesh(world).work("probe")
    world.apply(builders.environment(), builders.environment("staging")).settle()
    return sqlmesh.work(), order


def rests(world: World) -> None:
    """A complete list and a look at every object change nothing."""
    world.advance(dt.timedelta(seconds=2))  # what met a conflict is tried again
    with world.no_writes():
        world.resync().settle()


def dev(number: int, **spec: Any) -> dict[str, Any]:
    return builders.environment(f"dev-{number}", environment=f"dev_{number}", **spec)


def toggle(world: World, ref: str, name: str, value: Any) -> None:
    if world.exists(ref):
        there = world.raw(ref)["spec"].get(name)
        world.change(ref, **{name: None if there == value else value})


STEPS: dict[str, Step] = {
    "grants": lambda w, r, n: w.change("vgw/warehouse", grants=r.choice([GRANTS, [], GRANTS[:2], GRANTS[1:]])),
    "deadline": lambda w, r, n: w.change("vgw/warehouse", runner={"deadline": r.choice(["1h", "2h", "3h"])}),
    "connection": lambda w, r, n: w.change("vgw/warehouse", connection={"options": {"host": f"db-{n}"}}),
    "freeze": lambda w, r, n: toggle(w, "vgw/warehouse", "freeze", {"reason": "month end"}),
    "gateway suspended": lambda w, r, n: toggle(w, "vgw/warehouse", "suspend", True),
    "suspended": lambda w, r, n: toggle(w, r.choice(["venv/prod", "venv/staging"]), "suspend", True),
    "new": lambda w, r, n: w.apply(dev(n % 4)),
    "twin": lambda w, r, n: w.apply(builders.environment(f"twin-{n % 3}", environment="staging")),
    "managed": lambda w, r, n: w.apply(builders.environment(revisionFrom="Promotion", project=None)),
    "promote": lambda w, r, n: w.apply(builders.promotion(f"to-prod-{n}", queue=r.choice(["Wait", "Supersede"]))),
    "planned": lambda w, r, n: w.change("venv/staging", plan={"forwardOnly": n % 2 == 0}),
    "asked": lambda w, r, n: w.annotate(r.choice(["venv/prod", "venv/staging"]), run_requested_at=str(n)),
}


def delete_one(world: World, order: random.Random) -> None:
    names = [f"venv/{name}" for name in ("dev-0", "dev-1", "twin-0", "twin-1")]
    there = [ref for ref in names if world.exists(ref)]
    if there:
        world.delete(order.choice(there))


def job_ends(sqlmesh: SqlMesh, order: random.Random) -> None:
    going = sqlmesh.world.jobs(state=JobState.UNFINISHED)
    if going:
        sqlmesh.do(order.choice(going))


@pytest.mark.parametrize("edit", [{"retry": {"limit": 7}}, {"schedule": {"mode": "Manual"}}], ids=["retry", "schedule"])
def test_an_expired_preview_whose_edited_spec_starts_nothing_is_expired_at_once(edit: dict[str, Any]) -> None:
    world = World(order=random.Random(0))
    world.apply(builders.gateway(), builders.config_map(), dev(1, ttl="2h")).settle()
    sqlmesh = SqlMesh(world).live(dt.timedelta(hours=3))
    done = list(sqlmesh.done)
    world.change("venv/dev-1", **edit).settle()
    assert world.says("venv/dev-1")["Ready"] == "True/Expired"
    assert sqlmesh.live(dt.timedelta(days=2)).done == done == ["apply warehouse/dev_1", "run warehouse/dev_1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_waits_for_the_resync(seed: int) -> None:
    sqlmesh, order = started(seed)
    for number in range(14):
        what = order.choice([*STEPS, "job", "job", "job", "deleted"])
        if what == "job":
            job_ends(sqlmesh, order)
        elif what == "deleted":
            delete_one(sqlmesh.world, order)
        else:
            STEPS[what](sqlmesh.world, order, number)
        if order.random() < 0.7:
            sqlmesh.world.settle()
    sqlmesh.world.settle()
    sqlmesh.work()
    rests(sqlmesh.world)


@pytest.mark.parametrize("seed", range(12))
def test_an_edit_of_grants_never_leaves_an_environment_waiting_for_its_gateway(seed: int) -> None:
    """The environment may look before the gateway's status says that it has seen the edit."""
    sqlmesh, _ = started(seed)
    more = [*GRANTS, {"environments": ["new_*"]}]
    sqlmesh.world.change("vgw/warehouse", grants=more).settle()
    sqlmesh.work()
    sqlmesh.world.advance(dt.timedelta(seconds=2))
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}
    assert sqlmesh.world.says("venv/staging", "Ready") == {"Ready": "True/Ready"}
    rests(sqlmesh.world)
