"""Waiting for the writer slot costs nothing: only the first in line asks the API server who holds it."""

from tests import builders
from tests.world import World
from vulcan_operator.kube.resources import Raw, Resource

CROWD = [f"dev-{i}" for i in range(4)]


def _planned_crowd() -> World:
    """Environments whose plans have ended; one applies, the others wait."""
    world = World()
    world.apply(builders.gateway(), builders.config_map(), *(builders.environment(name) for name in CROWD)).settle()
    world.finish_job("probe", builders.probed()).settle()
    for job in world.jobs("plan"):
        world.finish_job(job.name, builders.planned()).settle()
    return world


def _tasks(world: World) -> dict[str, str]:
    return {name: world.raw(f"venv/{name}")["status"].get("task", {}).get("state", "") for name in CROWD}


def test_only_the_first_in_line_reads_the_slot() -> None:
    world = _planned_crowd()
    assert sorted(_tasks(world).values())[1:] == ["Waiting"] * 3
    reads, get = [], world.kube.get

    async def counted(resource: Resource, namespace: str, name: str) -> Raw:
        reads.append(resource.plural)
        return await get(resource, namespace, name)

    world.kube.get = counted  # type: ignore[method-assign]
    world.checks_rest = False  # which reads, too
    with world.no_writes():
        world.resync().settle()
    assert reads.count("leases") <= 1


def test_all_of_a_crowd_get_their_turn() -> None:
    world = _planned_crowd()
    for _ in CROWD:
        (job,) = [j for j in world.jobs("apply") if j.state == "Unfinished"]
        world.finish_job(job.name, builders.applied()).settle()
        for run in [j for j in world.jobs("run") if j.state == "Unfinished"]:
            world.finish_job(run.name, builders.ran()).settle()
    assert {world.says(f"venv/{name}", "Applied")["Applied"].partition("/")[0] for name in CROWD} == {"True"}
