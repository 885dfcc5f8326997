"""Worlds to begin a story with."""

import datetime as dt
from typing import Any

from tests import builders
from tests.stories.sqlmesh import SqlMesh
from tests.world import World

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
ALWAYS = {"approval": {"mode": "Always"}}


def fresh(*objects: dict[str, Any], guarded: bool | None = True) -> SqlMesh:
    """A gateway that was probed, a project, and these objects; nothing of them is done yet."""
    world = World(guarded=guarded)
    world.apply(builders.gateway(), builders.config_map())
    sqlmesh = SqlMesh(world).work("probe")
    world.apply(*objects).settle()
    return sqlmesh


def alive(guarded: bool | None = True, **spec: Any) -> SqlMesh:
    """One environment `prod` that was planned, applied and run."""
    sqlmesh = fresh(builders.environment(**spec), guarded=guarded)
    sqlmesh.work()
    if spec.get("plan", {}).get("approval", {}).get("mode") == "Always":
        sqlmesh.world.approve("venv/prod")
        sqlmesh.work()
    assert sqlmesh.world.says("venv/prod", "Ready") == {"Ready": "True/Ready"}, sqlmesh.world.says("venv/prod")
    return sqlmesh


def managed(guarded: bool | None = True, **spec: Any) -> SqlMesh:
    """prod, which was applied once and takes its revision from promotions since, and staging with another revision."""
    sqlmesh = alive(guarded, **spec)
    prod = builders.environment(revisionFrom="Promotion", project=None, **spec)
    sqlmesh.world.apply(prod).settle()
    edit(sqlmesh.world, "two")
    sqlmesh.world.apply(builders.environment("staging")).settle()
    sqlmesh.work()
    return sqlmesh


def edit(world: World, text: str, name: str = "project") -> None:
    """Another revision of the project in the ConfigMap; the environments look at it at the next resync."""
    world.apply(builders.config_map(name, **{"config.yaml": "x", "models__a.sql": text})).resync().settle()
