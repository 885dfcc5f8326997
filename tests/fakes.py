"""FakeKube: an API server in memory behind the `Kube` protocol; FakeClock: time that moves when told to.

Faithful where decisions depend on it: resourceVersions and conflicts, uids, generations, the status subresource,
finalizers, preconditions, schemas of the CRDs, label syntax. It refuses what a real server refuses.
"""

import datetime as dt
import functools
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vulcan_operator.api import API_VERSION
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Page
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import CUSTOM, EVENTS, NAMESPACES, PODS, Raw, Resource

CRDS = Path(__file__).parent.parent / "crds"
FORBIDDEN = errors.Forbidden('jobs.batch is forbidden: User "op" cannot create resource "jobs"', status=403)
NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.timezone.utc)
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float),
}  # fmt: skip
Watcher = Callable[[Resource, Raw, bool], None]


class Crashed(BaseException):
    """The operator died at this write (BaseException: nothing may handle it)."""


class FakeClock(Clock):
    """Stands still."""

    def __init__(self, now: dt.datetime = NOW) -> None:
        self.time, self._started = now, now

    def now(self) -> dt.datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - self._started).total_seconds()

    def advance(self, by: dt.timedelta) -> None:
        """Let time pass."""
        self.time += by


class FakeKube:
    """Objects by resource, namespace and name. `writes` has every write that was tried."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.objects: dict[tuple[str, str, str], Raw] = {}
        self.logs: dict[tuple[str, str], str] = {}
        self.writes: list[str] = []
        self.watchers: list[Watcher] = []
        self.fence: Callable[[], bool] = lambda: True
        self._version = 100
        self._crash: list[Any] = []
        self._faults: list[tuple[str, errors.KubeError, int]] = []

    # --- for tests

    def crash_at(self, write: str, when: str = "after", count: int = 1) -> None:
        """Die before or after the count-th write of this name (`create-jobs`, `apply-vulcanenvironments/status`)."""
        self._crash = [write, when, count]

    def fail(self, write: str, error: errors.KubeError, times: int = 1) -> None:
        """Answer the next writes (or `get-…`) of this name with an error; times=-1: all of them, until `heal`."""
        self._faults.append((write, error, times))

    def heal(self) -> None:
        """No more errors."""
        self._faults.clear()

    def load(self, objects: dict[tuple[str, str, str], Raw], version: int) -> None:
        """Exactly these objects, as another server left them. Nobody is told."""
        self.objects, self._version = _copy(objects), version

    def put(self, resource: Resource, raw: Raw) -> Raw:
        """Create or replace as an administrator would: spec, labels and annotations; status stays."""
        meta = raw["metadata"]
        key = self._key(resource, meta.get("namespace", ""), meta["name"])
        before = self.objects.get(key)
        if before is None:
            return self._create(resource, meta.get("namespace", ""), raw)
        changed = {
            **_copy(before),
            **{k: v for k, v in _copy(raw).items() if k not in ("metadata", "status")},
        }
        for part in ("labels", "annotations"):
            changed["metadata"][part] = dict(meta.get(part, {}))
        return self._store(resource, key, changed)

    def set_status(self, resource: Resource, namespace: str, name: str, status: Raw) -> Raw:
        """What other controllers write."""
        key = self._key(resource, namespace, name)
        return self._store(resource, key, {**_copy(self.objects[key]), "status": status})

    def ask_to_end(self, resource: Resource, namespace: str, name: str, until: str) -> None:
        """Deleted, with a grace period until a time that somebody else must keep."""
        key = self._key(resource, namespace, name)
        raw = _copy(self.objects[key])
        self._store(resource, key, {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": until}})

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Gone, whatever finalizers it has."""
        raw = self.objects.pop(self._key(resource, namespace, name))
        raw["metadata"]["resourceVersion"] = self._next_version()
        self._notify(resource, raw, True)

    def all(self, resource: Resource) -> list[Raw]:
        """All objects of a kind, in order of creation."""
        return [_copy(raw) for (plural, _, _), raw in self.objects.items() if plural == resource.plural]

    # --- Kube

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        self._fault(f"get-{resource.plural}")
        raw = self.objects.get(self._key(resource, namespace, name))
        if raw is None:
            raise errors.NotFound(f'{resource.plural} "{name}" not found', status=404)
        return _copy(raw)

    async def pages(self, resource: Resource, namespace: str | None = None, labels: str = "") -> AsyncIterator[Page]:
        self._fault(f"list-{resource.plural}")
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        items = [
            raw
            for raw in self.all(resource)
            if namespace in (None, raw["metadata"].get("namespace"))
            and wanted.items() <= raw["metadata"].get("labels", {}).items()
        ]
        yield Page(items, str(self._version))

    async def read(self, path: str) -> Any:
        if path == f"/openapi/v3/apis/{API_VERSION}":
            return {"components": {"schemas": {kind: _openapi(kind) for kind in _schemas()}}}
        raise errors.NotFound(path, status=404)

    async def log(self, namespace: str, pod: str, container: str, mark: str, most: int) -> list[str]:
        if (namespace, pod) not in self.logs:
            raise errors.NotFound(f'pods "{pod}" not found', status=404)
        return [line for line in self.logs[namespace, pod].splitlines() if mark in line]

    async def create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        name = f"create-{resource.plural}"
        self._begin(name)
        return self._end(name, self._create(resource, namespace, body))

    async def replace(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        write = f"replace-{resource.plural}"
        self._begin(write)
        key, before = self._existing(resource, namespace, name)
        if body["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise errors.Conflict("the object has been modified", status=409, reason="Conflict")
        return self._end(write, self._store(resource, key, _copy(body)))

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Raw,
        manager: str,
        sub: str = "",
        dry_run: bool = False,
    ) -> Raw:
        write = f"{'dryrun' if dry_run else 'apply'}-{resource.plural}" + (f"/{sub}" if sub else "")
        self._begin(write)
        key, before = self._existing(resource, namespace, name)
        version = body["metadata"].get("resourceVersion")
        if version is not None and version != before["metadata"]["resourceVersion"]:
            raise errors.Conflict("the object has been modified", status=409, reason="Conflict")
        changed = _copy(before)
        if sub == "status":
            changed["status"] = _copy(body["status"])
        else:
            changed = _merged(changed, {k: v for k, v in body.items() if k != "metadata"})
        if dry_run:
            return changed
        return self._end(write, self._store(resource, key, changed))

    async def merge_patch(self, resource: Resource, namespace: str, name: str, body: Raw) -> Raw:
        write = f"merge-{resource.plural}"
        self._begin(write)
        key, before = self._existing(resource, namespace, name)
        return self._end(write, self._store(resource, key, _merged(_copy(before), body)))

    async def json_patch(self, resource: Resource, namespace: str, name: str, operations: Sequence[Raw]) -> Raw:
        write = f"patch-{resource.plural}"
        self._begin(write)
        key, before = self._existing(resource, namespace, name)
        changed = _copy(before)
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            target = functools.reduce(lambda at, part: at[part], parents, changed)
            if operation["op"] == "test" and target.get(last) != operation["value"]:
                raise errors.Invalid("the server rejected our request due to an error in our request", status=422)
            if operation["op"] in ("add", "replace"):
                target[last] = _copy(operation["value"])
        return self._end(write, self._store(resource, key, changed))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "") -> None:
        write = f"delete-{resource.plural}"
        self._begin(write)
        key, before = self._existing(resource, namespace, name)
        if uid and uid != before["metadata"]["uid"]:
            raise errors.Conflict("the UID in the precondition does not match", status=409, reason="Conflict")
        self.delete_now(resource, key)
        self._end(write, {})

    def delete_now(self, resource: Resource, key: tuple[str, str, str]) -> None:
        """As a deletion request does: with finalizers only marked."""
        before = self.objects[key]
        if before["metadata"].get("finalizers"):
            marked = _copy(before)
            marked["metadata"].setdefault("deletionTimestamp", _stamp(self.clock.now()))
            self._store(resource, key, marked)
            return
        self.remove(resource, key[1], key[2])

    # --- inside

    def _begin(self, write: str) -> None:
        if not self.fence():
            raise errors.NotLeader(write)
        self.writes.append(write)
        if self._crash and self._crash[:2] == [write, "before"]:
            self._count_down()
        self._fault(write)

    def _end(self, write: str, answer: Raw) -> Raw:
        if self._crash and self._crash[:2] == [write, "after"]:
            self._count_down()
        return _copy(answer)

    def _count_down(self) -> None:
        self._crash[2] -= 1
        if self._crash[2] == 0:
            self._crash = []
            raise Crashed

    def _fault(self, name: str) -> None:
        for i, (write, error, times) in enumerate(self._faults):
            if write == name:
                self._faults[i] = (write, error, times - 1)
                if times == 1:
                    del self._faults[i]
                raise error

    def _key(self, resource: Resource, namespace: str, name: str) -> tuple[str, str, str]:
        resource.path(namespace, name)  # as HttpKube does, which refuses what is no name
        return (resource.plural, namespace if resource.namespaced else "", name)

    def _existing(self, resource: Resource, namespace: str, name: str) -> tuple[tuple[str, str, str], Raw]:
        key = self._key(resource, namespace, name)
        if key not in self.objects:
            raise errors.NotFound(f'{resource.plural} "{name}" not found', status=404)
        return key, self.objects[key]

    def _create(self, resource: Resource, namespace: str, body: Raw) -> Raw:
        raw = _copy(body)
        key = self._key(resource, namespace, raw["metadata"]["name"])
        if resource.namespaced and (NAMESPACES.plural, "", namespace) not in self.objects and resource is not EVENTS:
            raise errors.NotFound(f'namespaces "{namespace}" not found', status=404)
        if key in self.objects:
            raise errors.AlreadyExists(
                f'{resource.plural} "{key[2]}" already exists', status=409, reason="AlreadyExists"
            )
        number = self._next_version()
        meta = raw["metadata"]
        meta.update(uid=f"uid-{number}", creationTimestamp=_stamp(self.clock.now()), generation=0)
        if resource.namespaced:
            meta["namespace"] = namespace
        if resource in CUSTOM.values():
            raw.setdefault("status", {"observedGeneration": -1})
        return self._store(resource, key, raw)

    def _store(self, resource: Resource, key: tuple[str, str, str], raw: Raw) -> Raw:
        before = self.objects.get(key)
        _check(resource, raw, before)
        if raw == before:
            return raw
        meta = raw["metadata"]
        meta["resourceVersion"] = self._next_version()
        if before is None or before.get("spec") != raw.get("spec"):
            meta["generation"] = meta.get("generation", 0) + 1
        if (
            resource is not PODS and "deletionTimestamp" in meta and not meta.get("finalizers")
        ):  # a pod: its node ends it
            self.objects[key] = raw
            self.remove(resource, key[1], key[2])
            return raw
        self.objects[key] = raw
        self._notify(resource, raw, False)
        return raw

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _notify(self, resource: Resource, raw: Raw, deleted: bool) -> None:
        for watcher in self.watchers:
            watcher(resource, _copy(raw), deleted)


def _copy(value: Any) -> Any:
    """JSON only, which is much faster than copy.deepcopy; stories copy all day."""
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list | tuple) else value


def _stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return _copy(new)
    out = dict(old)
    for key, value in new.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merged(out.get(key, {}), value)
    return out


def _check(resource: Resource, raw: Raw, before: Raw | None) -> None:
    """Refuse what a real API server refuses; what was wrong before and did not change is let through."""
    meta = raw["metadata"]
    limit = 63 if resource.plural == "jobs" else 253
    if not _NAME.fullmatch(meta["name"]) or len(meta["name"]) > limit:
        raise errors.Invalid(f"metadata.name: Invalid value: {meta['name']!r}", status=422)
    of_pods = raw["spec"]["template"]["metadata"].get("labels", {}) if resource.plural == "jobs" else {}
    for name, value in (*meta.get("labels", {}).items(), *of_pods.items()):
        if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
            raise errors.Invalid(f"metadata.labels: Invalid value: {name}={value!r}", status=422)
    if any(not isinstance(value, str) for value in meta.get("annotations", {}).values()):
        raise errors.Invalid("metadata.annotations: values must be strings", status=422)
    if resource.plural == "configmaps" and sum(len(v) for v in (raw.get("binaryData") or {}).values()) > 1048576:
        raise errors.Invalid("ConfigMap: must have at most 1048576 bytes", status=422)
    if resource.plural == "jobs" and not raw["spec"]["template"]["spec"]["containers"]:
        raise errors.Invalid("spec.template.spec.containers: Required value", status=422)
    schema = _schemas().get(resource.kind)
    if schema is not None:
        for part in [p for p in ("spec", "status") if before is None or raw.get(p) != before.get(p)]:
            _validate(raw.get(part, {}), schema["properties"][part], part)


@functools.cache
def _schemas() -> dict[str, Any]:
    found = {}
    for path in CRDS.glob("vulcan.dev_*.yaml"):
        crd = yaml.safe_load(path.read_text())
        found[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _openapi(kind: str) -> Raw:
    return {**_schemas()[kind], "x-kubernetes-group-version-kind": [{"kind": kind}]}


def _validate(value: Any, schema: Raw, path: str) -> None:
    """Types, enums, bounds and unknown fields; CEL rules are for the real server."""
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        raise errors.Invalid(f'{path}: Invalid value: must be of type {kind}: "{value}"', status=422)
    if "enum" in schema and value not in schema["enum"]:
        raise errors.Invalid(f'{path}: Unsupported value: "{value}"', status=422)
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        raise errors.Invalid(f"{path}: Too long: may not be more than {schema['maxLength']} bytes", status=422)
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            raise errors.Invalid(f"{path}: Too many: must have at most {schema['maxItems']} items", status=422)
        for i, item in enumerate(value):
            _validate(item, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        _validate_object(value, schema, path)


def _validate_object(value: Raw, schema: Raw, path: str) -> None:
    if missing := [name for name in schema.get("required", []) if name not in value]:
        raise errors.Invalid(f"{path}.{missing[0]}: Required value", status=422)
    known, others = schema.get("properties"), schema.get("additionalProperties")
    for name, item in value.items():
        if known is not None and name in known:
            _validate(item, known[name], f"{path}.{name}")
        elif isinstance(others, dict):
            _validate(item, others, f"{path}.{name}")
        elif known is not None and not schema.get("x-kubernetes-preserve-unknown-fields"):
            raise errors.Invalid(f"{path}.{name}: field not declared in schema (typed patch object)", status=500)
