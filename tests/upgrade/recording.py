"""Objects that an operator left behind, in files: written by `record`, loaded by `test_upgrade`.

A recording holds every object of the API server at one moment of a life, the time, and what SQLMesh
remembers. A file stores only what differs from another moment (`after`), as a merge patch for each
object, one a line. Jobs and pods come without what only the kubelet reads, Events not at all. `then`
is what became of the objects when the operator that had left them was started on them again.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.builders import merged
from tests.stories.sqlmesh import SqlMesh
from tests.world import World
from vulcan_contract.codec import decode, encode
from vulcan_contract.diff_report import ModelDiff, ModelStatistics
from vulcan_contract.result import Result

FOLDER = Path(__file__).parent / "objects"
Raw = dict[str, Any]
_PLAIN = ("refs", "summary", "targets", "plan_ids", "had", "done", "behind")
_DIFFS: tuple[type[ModelDiff] | type[ModelStatistics], ...] = (ModelDiff, ModelStatistics)


def snapshot(sqlmesh: SqlMesh) -> Raw:
    """What a file has to hold, whole."""
    kube, clock = sqlmesh.world.kube, sqlmesh.world.clock
    return {
        "now": clock.time.isoformat(),
        "version": kube._version,
        "guarded": sqlmesh.world.guarded,
        "sqlmesh": _remembered(sqlmesh),
        "logs": {f"{namespace}/{pod}": log for (namespace, pod), log in kube.logs.items() if log},
        "objects": {"/".join(key): _plain(raw) for key, raw in kube.objects.items() if key[0] != "events"},
    }


def write(name: str, whole: Raw, then: Raw, known: dict[str, Raw]) -> None:
    """Store a moment; `known`: those that were stored before, whole."""
    others = {"": {"objects": {}, "sqlmesh": {}}, **known}
    found = [_from(before, other, whole) for before, other in others.items()]
    possible = [parts for parts in found if parts is not None]
    smallest = min(possible, key=lambda parts: len(_compact(parts)))
    rest = {part: whole[part] for part in ("now", "version", "guarded", "logs")}
    parts = {**smallest, **rest, "then": then}
    lines = [f"{json.dumps(part)}: {_lines(value)}" for part, value in parts.items()]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _from(before: str, known: Raw, whole: Raw) -> Raw | None:
    """The difference of two moments; None: it would lose the order of creation."""
    old, new = known["objects"], whole["objects"]
    stay = [key for key in old if key in new]
    if stay != [key for key in new if key in old] or stay != list(new)[: len(stay)]:
        return None
    patches = {key: _difference(old.get(key, {}), raw) for key, raw in new.items() if raw != old.get(key)}
    return {
        "after": before,
        "sqlmesh": _difference(known["sqlmesh"], whole["sqlmesh"]),
        "gone": [key for key in old if key not in new],
        "objects": patches,
    }


def names() -> list[str]:
    """All moments that were recorded."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Raw:
    """A moment with all its objects, in the order in which they were created."""
    found: Raw = json.loads((FOLDER / f"{name}.json").read_text())
    if found["after"]:
        before = read(found["after"])
        found["sqlmesh"] = merged(before["sqlmesh"], found["sqlmesh"])
        objects = {key: raw for key, raw in before["objects"].items() if key not in found["gone"]}
        changed = {key: merged(objects.get(key, {}), patch) for key, patch in found["objects"].items()}
        found["objects"] = {**objects, **changed}
    return found


def start(whole: Raw, *, floor: bool = False) -> SqlMesh:
    """The operator under test, started on the objects of a moment; it has not looked yet. Protected grants ask for an
    approval of every plan since, which these lives did not know: only with `floor`."""
    objects = dict(_keyed(whole["objects"]))
    for raw in objects.values() if not floor else ():
        for grant in raw.get("spec", {}).get("grants", ()) if raw["kind"] == "VulcanGateway" else ():
            grant["minimum"] = {"approval": {"mode": "Never"}}
    world = World.load(objects, dt.datetime.fromisoformat(whole["now"]), whole["version"])
    world.guarded = whole["guarded"]
    world.kube.logs = {(key.split("/")[0], key.split("/")[1]): log for key, log in whole["logs"].items()}
    said = whole["sqlmesh"]
    sqlmesh = SqlMesh(world, **{name: json.loads(json.dumps(said[name])) for name in _PLAIN})
    sqlmesh.past = {
        name: [(plan_id, dt.datetime.fromisoformat(since)) for plan_id, since in had]
        for name, had in said["past"].items()
    }
    sqlmesh.fails = {task: [Result.from_message(text) for text in texts] for task, texts in said["fails"].items()}
    by_name = {kind.__name__: kind for kind in _DIFFS}
    sqlmesh.models = {name: decode(by_name[kind], data) for name, (kind, data) in said["models"].items()}
    return sqlmesh


def _keyed(objects: Raw) -> Iterator[tuple[tuple[str, str, str], Raw]]:
    for key, raw in objects.items():
        plural, namespace, name = key.split("/")
        yield (plural, namespace, name), raw


def _remembered(sqlmesh: SqlMesh) -> Raw:
    return {
        **{name: json.loads(json.dumps(getattr(sqlmesh, name))) for name in _PLAIN},
        "past": {name: [(plan_id, at.isoformat()) for plan_id, at in had] for name, had in sqlmesh.past.items()},
        "fails": {task: [r.to_message() for r in results] for task, results in sqlmesh.fails.items() if results},
        "models": {name: (type(found).__name__, encode(found)) for name, found in sqlmesh.models.items()},
    }


def _difference(old: Raw, new: Raw) -> Raw:
    """The merge patch from one to the other."""
    patch: Raw = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch |= {key: _difference(old[key], value)} if value != old[key] else {}
        elif key not in old or value != old[key]:
            patch[key] = value
    assert merged(old, patch) == new, "null is no value here"
    return patch


def _plain(raw: Raw) -> Raw:
    copy: Raw = json.loads(json.dumps(raw))
    if copy["kind"] in ("Job", "Pod"):
        holder = copy["spec"]["template"] if copy["kind"] == "Job" else copy
        goes_on = copy["kind"] == "Job" and "conditions" not in copy.get("status", {})
        kept = ("name", "image", "env") if goes_on else ("name", "image")
        containers = [{key: c[key] for key in kept} for c in holder["spec"]["containers"]]
        holder["spec"] = {"containers": containers}
    return copy


def _lines(value: Any) -> str:
    """A line for each entry."""
    if not isinstance(value, dict) or not value:
        return _compact(value)
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_compact(entry)}" for key, entry in value.items()) + "\n}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
