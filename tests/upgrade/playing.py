"""What an operator does with objects that another one left, for `record` and `test_upgrade`."""

import datetime as dt
from typing import Any

from tests.stories.sqlmesh import SqlMesh
from tests.upgrade.recording import Raw
from tests.world import World
from vulcan_operator.kube.resources import CONFIG_MAPS, CUSTOM, JOBS, PODS, Resource

_OURS = (JOBS, PODS, CONFIG_MAPS)
_RESTS = [dt.timedelta(hours=hours) for hours in (0.25, 3, 23)]


def play(sqlmesh: SqlMesh) -> Raw:
    """Let the operator look at everything, then live for a day in which people answer it."""
    world, heard = sqlmesh.world, _Heard(sqlmesh.world)
    world.kube.watchers.append(heard)
    world.kube.writes.clear()
    earlier = len(sqlmesh.done)
    before = _all_conditions(world)
    world.settle()
    then: Raw = {
        "writes": sorted(write for write in world.kube.writes if not write.endswith("-events")),
        "created": sorted(heard.created),
        "deleted": sorted(heard.deleted),
        "tasks": {_name(raw): _jobs(raw.get("status", {})) for raw in _objects(world)},
        "changed": _changed(before, _all_conditions(world)),
    }
    for rest in _RESTS:
        sqlmesh.live(rest)
        _answer(world)
    sqlmesh.work()
    return then | {
        "jobs": heard.jobs,
        "done": sqlmesh.done[earlier:],
        "end": {_name(raw): _conditions(raw) for raw in _objects(world)},
    }


class _Heard:
    """Creations and deletions of Jobs, pods and ConfigMaps, each once, in order."""

    def __init__(self, world: World) -> None:
        self.created: list[str] = []
        self.deleted: list[str] = []
        self.jobs: list[str] = []
        self._known = {raw["metadata"]["uid"] for raw in world.kube.objects.values()}

    def __call__(self, resource: Resource, raw: Raw, deleted: bool) -> None:
        meta = raw["metadata"]
        name = f"{resource.plural}/{meta['namespace']}/{meta['name']}" if resource in _OURS else ""
        if name and (deleted or "deletionTimestamp" in meta):
            self.deleted.append(name)
        elif name and meta["uid"] not in self._known:
            self._known.add(meta["uid"])
            self.created.append(name)
            self.jobs += [meta["name"]] if resource is JOBS else []


def _objects(world: World) -> list[Raw]:
    return [raw for resource in CUSTOM.values() for raw in world.kube.all(resource)]


def _name(raw: Raw) -> str:
    return f"{raw['kind']} {raw['metadata']['namespace']}/{raw['metadata']['name']}"


def _jobs(status: Any) -> list[str]:
    """Jobs that a status names, wherever."""
    if isinstance(status, list):
        return sorted({job for part in status for job in _jobs(part)})
    if not isinstance(status, dict):
        return []
    own = {status["job"]} if isinstance(status.get("job"), str) else set[str]()
    return sorted(own | {job for part in status.values() for job in _jobs(part)})


def _all_conditions(world: World) -> Raw:
    return {_name(raw): _conditions(raw, since=True) for raw in _objects(world)}


def _conditions(raw: Raw, *, since: bool = False) -> dict[str, str]:
    listed = raw.get("status", {}).get("conditions", [])
    return {
        c["type"]: f"{c['status']}/{c['reason']}" + (f" since {c['lastTransitionTime']}" if since else "")
        for c in sorted(listed, key=lambda c: str(c["type"]))
    }


def _changed(before: Raw, after: Raw) -> Raw:
    """Conditions that are others than before, by object."""
    found = {
        name: dict(sorted(after.get(name, {}).items() - before.get(name, {}).items()))
        for name in sorted({**before, **after})
    }
    return {name: said for name, said in found.items() if said}


def _answer(world: World) -> None:
    """Approve what waits, lift what stands in the way, ask again for what is stalled."""
    for raw in _objects(world):
        key, says = world.key(raw), _conditions(raw)
        if raw["spec"].get("suspend"):
            world.change(key, suspend=False)
        if raw["spec"].get("freeze"):
            world.change(key, freeze=None)
        if says.get("AwaitingApproval", "").startswith("True/"):
            world.approve(key, by="zoe")
        if raw["kind"] == "VulcanEnvironment" and says.get("Stalled", "").startswith("True/"):
            world.annotate(key, plan_requested_at="after the upgrade")
    world.settle()
