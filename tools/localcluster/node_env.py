"""A container's environment and command line, made the way a kubelet makes them, and then fitted to this machine.

Called when a container starts. Pure except for `resolve`, which reads Secrets and ConfigMaps. Must not log values.

A kubelet mounts volumes at paths; here the volume is a folder somewhere else. So every mount path at the start of an
argument or of a variable's value is replaced by that folder.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tools.localcluster import node_api

Object = dict[str, Any]


class ConfigError(Exception):
    """The container cannot be created; the message is the kubelet's."""


async def resolve(api: node_api.NodeApi, pod: Object, container: Object, service: Mapping[str, str]) -> dict[str, str]:
    """The declared variables with their references followed and `$(NAME)` expanded."""
    fetched: dict[tuple[str, str], Object | None] = {}

    async def data(resource: str, name: str) -> Object | None:
        if (resource, name) not in fetched:
            fetched[resource, name] = await api.get(pod["metadata"]["namespace"], resource, name)
        return fetched[resource, name]

    result: dict[str, str] = {}
    for source in container.get("envFrom", []):
        resource, reference = _source(source, "Ref")
        found = await data(resource, reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(_not_found(resource, reference["name"]))
        prefix = source.get("prefix", "")
        result.update({prefix + key: value for key, value in contents(resource, found).items()})
    for variable in container.get("env", []):
        name, origin = variable["name"], variable.get("valueFrom")
        if variable.get("value"):
            result[name] = expand(variable["value"], {**service, **result})
        elif origin is None:
            result[name] = ""
        elif "fieldRef" in origin:
            result[name] = field(pod, origin["fieldRef"]["fieldPath"])
        elif "resourceFieldRef" in origin:
            result[name] = resource_field(pod, container, origin["resourceFieldRef"])
        else:
            resource, reference = _source(origin, "KeyRef")
            found = await data(resource, reference["name"])
            if found is None and not reference.get("optional"):
                raise ConfigError(_not_found(resource, reference["name"]))
            value = contents(resource, found).get(reference["key"])
            if value is not None:
                result[name] = value
            elif not reference.get("optional"):
                kind = "Secret" if resource == "secrets" else "ConfigMap"
                where = f"{pod['metadata']['namespace']}/{reference['name']}"
                raise ConfigError(f"couldn't find key {reference['key']} in {kind} {where}")
    return result


def contents(resource: str, found: Object | None) -> dict[str, str]:
    """A Secret's or ConfigMap's text entries."""
    entries: dict[str, str] = (found or {}).get("data") or {}
    if resource == "secrets":
        return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in entries.items()}
    return dict(entries)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the variable's value, or stays if there is none; `$$` is a dollar sign."""
    result, rest = "", text
    while rest:
        before, dollar, after = rest.partition("$")
        result += before
        if not dollar:
            return result
        if after.startswith("$"):
            result, rest = result + "$", after[1:]
        elif after.startswith("(") and ")" in after:
            name, _, rest = after[1:].partition(")")
            result += variables.get(name, f"$({name})")
        else:
            result, rest = result + "$", after
    return result


def field(pod: Object, path: str) -> str:
    """A field of the pod, as the downward API names it."""
    meta, spec = pod["metadata"], pod["spec"]
    for kind in ("annotations", "labels"):
        if path == f"metadata.{kind}":
            return "\n".join(f'{key}="{value}"' for key, value in sorted(meta.get(kind, {}).items()))
        if path.startswith(f"metadata.{kind}['"):
            return str(meta.get(kind, {}).get(path.split("'")[1], ""))
    simple = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
        "status.podIP": "127.0.0.1",
        "status.podIPs": "127.0.0.1",
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def resource_field(pod: Object, container: Object, reference: Object) -> str:
    """A limit or request of a container, in units of the divisor, rounded up."""
    name = reference.get("containerName")
    owner = next((item for item in pod["spec"]["containers"] if item["name"] == name), container)
    group, _, resource = reference["resource"].partition(".")
    amount = owner.get("resources", {}).get(group, {}).get(resource, "64" if resource == "cpu" else "256Gi")
    divisor = reference.get("divisor", "1")
    return str(-int(-quantity(str(amount)) // quantity("1" if divisor == "0" else str(divisor))))


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number."""
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    for unit in sorted(units, key=len, reverse=True):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * units[unit]
    return float(text)


def parents(mounts: Mapping[str, str], root: Path) -> dict[str, str]:
    """Folders above mount paths (`/vulcan/secrets` of `/vulcan/secrets/a`): real ones, with links to what is below."""
    above: dict[str, str] = {}
    for path, folder in mounts.items():
        link = root / path.strip("/")
        for parent in PurePosixPath(path).parents:
            if str(parent) != "/":
                above[str(parent)] = str(root / str(parent).strip("/"))
        if str(PurePosixPath(path).parent) != "/" and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
    return above


def rewriter(folders: Mapping[str, str], private: str) -> Callable[[str], str]:
    """Replaces the longest mount path a text starts with; texts that already lie in the pod's own folder stay."""
    ordered = sorted(folders.items(), key=lambda item: len(item[0]), reverse=True)

    def rewrite(text: str) -> str:
        if not text.startswith("/") or text.startswith(private):
            return text
        for path, folder in ordered:
            if text == path or text.startswith(path.rstrip("/") + "/"):
                return folder + text[len(path.rstrip("/")) :]
        return text

    return rewrite


def command_line(container: Object, entrypoint: Sequence[str], cmd: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The command: the container's own wins over the image's, and replaces the image's arguments, too."""
    command = [expand(part, env) for part in container.get("command", [])]
    arguments = [expand(part, env) for part in container.get("args", [])]
    if command:
        return command + arguments
    return [*entrypoint, *(arguments or cmd)]


def _source(origin: Object, suffix: str) -> tuple[str, Object]:
    if f"secret{suffix}" in origin:
        return "secrets", origin[f"secret{suffix}"]
    if f"configMap{suffix}" in origin:
        return "configmaps", origin[f"configMap{suffix}"]
    raise ConfigError(f"this node does not support the variable source {', '.join(origin)}")


def _not_found(resource: str, name: str) -> str:
    return f'{resource.removesuffix("s")} "{name}" not found'
