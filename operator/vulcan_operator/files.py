"""Objects from YAML files, as `kubectl get -o yaml` prints them, in the place of an API server.

Used by `explain` only. Answers reads and remembers what it was asked for in vain; knows nothing of
what the objects mean.
"""

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TextIO

import yaml

from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Page
from vulcan_operator.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, WATCHED, Raw, Resource

_KNOWN = {(r.api_version, r.kind): r for r in (*WATCHED, CONFIG_MAPS, NAMESPACES, LEASES)}


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class FileError(Exception):
    """A file cannot be used; the message names it and the document, and says what to do."""


@dataclass
class Files:
    """The objects of the files, as answers to the reads of planners (`kube.client.Reads`)."""

    objects: dict[tuple[Resource, str, str], Raw] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what was asked for and is in no file

    @classmethod
    def read(cls, paths: Sequence[str], stdin: TextIO) -> "Files":
        """Read the files; `-` is standard input. Raises FileError."""
        files = cls()
        for path in paths:
            try:
                text = stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise FileError(f"{path} cannot be read: {error}; name a YAML file") from error
            files.load("standard input" if path == "-" else path, text)
        return files

    def load(self, name: str, text: str) -> None:
        """Take the objects of one file. Raises FileError."""
        number = 0
        try:
            for number, document in enumerate(yaml.load_all(text, _Loader), start=1):
                for raw in _items(document):
                    self._take(f"{name}, document {number}", raw)
        except yaml.YAMLError as error:
            place, said = f"{name}, document {number + 1}", " ".join(str(error).split())
            raise FileError(f"{place} is not YAML: {said}; correct it") from error

    def _take(self, place: str, raw: Any) -> None:
        if not isinstance(raw, dict):
            _reject(place, "is not a Kubernetes object")
        version, kind, meta = raw.get("apiVersion"), raw.get("kind"), raw.get("metadata")
        if not (version and kind and isinstance(meta, dict) and meta.get("name")):
            _reject(place, "lacks apiVersion, kind or metadata.name")
        resource = _KNOWN.get((version, kind))
        if resource is None:
            what = f"{kind} {meta['name']} ({place})"
            self.ignored.append(f"{what}: no planner reads this kind of {version}")
            return
        namespace = str(meta.get("namespace") or "default") if resource.namespaced else ""
        key = (resource, namespace, str(meta["name"]))
        if key in self.objects:
            _reject(place, f"repeats {_named(resource, namespace, key[2])}; leave one of them")
        # A manifest that was never applied has none of these.
        try:
            uid = str(uuid.uuid5(uuid.NAMESPACE_URL, resource.path(namespace, key[2])))
        except errors.NoSuchName as error:
            _reject(place, f"cannot be: {error.message}")
        defaults = {"namespace": namespace, "uid": uid, "resourceVersion": "1", "generation": 1}
        self.objects[key] = {**raw, "metadata": {**defaults, **meta}}

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        key = (resource, namespace, name)
        if key not in self.objects:
            self.missing.append(_named(*key))
            raise errors.NotFound(f"{_named(*key)} is in no file", status=404)
        return self.objects[key]

    async def pages(
        self, resource: Resource, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[Page]:
        label, _, value = labels.partition("=")
        found = [
            raw
            for (kind, place, _), raw in self.objects.items()
            if kind == resource and namespace in (None, place)
        ]
        if labels:
            found = [r for r in found if r["metadata"].get("labels", {}).get(label) == value]
        yield Page(found, "1")

    async def log(
        self, namespace: str, pod: str, container: str, mark: str, most: int
    ) -> list[str]:
        self.missing.append(f"the log of pod {namespace}/{pod}")
        raise errors.NotFound("files have no logs", status=404)


def _items(document: Any) -> Iterator[Any]:
    """The objects of a document: itself, those of a List, or none if it is empty."""
    kind = str(document.get("kind", "")) if isinstance(document, dict) else ""
    if kind.endswith("List") and "items" in document:
        yield from document["items"] or ()
    elif document is not None:
        yield document


def _reject(place: str, problem: str) -> NoReturn:
    raise FileError(f"{place} {problem}; pass objects as `kubectl get -o yaml` prints them")


def _named(resource: Resource, namespace: str, name: str) -> str:
    return f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}"
