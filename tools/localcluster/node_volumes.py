"""Turns a pod's volumes into folders.

Called once per pod, again until it works. Messages are those of a kubelet's FailedMount events. Must not log contents.
"""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

from tools.localcluster import node_api, node_env

Object = dict[str, Any]


class MountError(Exception):
    """A volume cannot be set up now; the message is the kubelet's."""


async def mount(api: node_api.NodeApi, pod: Object, folder: Path) -> dict[str, Path]:
    """The folder of each volume. Volumes that exist already are kept: containers may be using them."""
    mounted: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", []):
        target = folder / volume["name"]
        mounted[volume["name"]] = target if target.exists() else await _one(api, pod, volume, target)
    return mounted


async def _one(api: node_api.NodeApi, pod: Object, volume: Object, target: Path) -> Path:
    if "hostPath" in volume:
        return _host_path(volume["hostPath"])
    if "persistentVolumeClaim" in volume:
        return await _claim(api, pod, volume["persistentVolumeClaim"]["claimName"])
    try:
        files = await _files(api, pod, volume)
    except node_env.ConfigError as error:
        raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
    _materialise(files, target)
    return target


async def _files(api: node_api.NodeApi, pod: Object, volume: Object) -> dict[str, tuple[bytes, int]]:
    """Path inside the volume -> contents and mode."""
    if "emptyDir" in volume:
        return {}
    if "secret" in volume:
        source = volume["secret"]
        return await _entries(api, pod, "secrets", {**source, "name": source["secretName"]}, 0o644)
    if "configMap" in volume:
        return await _entries(api, pod, "configmaps", volume["configMap"], 0o644)
    if "downwardAPI" in volume:
        return _downward(pod, volume["downwardAPI"], 0o644)
    if "projected" in volume:
        return await _projected(api, pod, volume["projected"])
    raise node_env.ConfigError(f"this node does not support the volume type {', '.join(set(volume) - {'name'})}")


async def _entries(
    api: node_api.NodeApi, pod: Object, resource: str, source: Object, mode: int
) -> dict[str, tuple[bytes, int]]:
    mode = source.get("defaultMode", mode)
    optional = source.get("optional", False)
    found = await api.get(pod["metadata"]["namespace"], resource, source["name"])
    kind = resource.removesuffix("s")
    if found is None:
        if optional:
            return {}
        raise node_env.ConfigError(f'{kind} "{source["name"]}" not found')
    binary = (found.get("data") or {}) if resource == "secrets" else (found.get("binaryData") or {})
    data = {key: base64.b64decode(value) for key, value in binary.items()}
    if resource == "configmaps":
        data.update({key: value.encode() for key, value in (found.get("data") or {}).items()})
    if not source.get("items"):
        return {key: (value, mode) for key, value in data.items()}
    chosen = {}
    for item in source["items"]:
        if item["key"] in data:
            chosen[item["path"]] = (data[item["key"]], item.get("mode", mode))
        elif not optional:
            config = "secret" if resource == "secrets" else "config"
            raise node_env.ConfigError(
                f"{'configmap ' if config == 'config' else ''}references non-existent {config} key: {item['key']}"
            )
    return chosen


def _downward(pod: Object, source: Object, mode: int) -> dict[str, tuple[bytes, int]]:
    mode = source.get("defaultMode", mode)
    files = {}
    for item in source.get("items", []):
        if "fieldRef" in item:
            text = node_env.field(pod, item["fieldRef"]["fieldPath"])
        else:
            text = node_env.resource_field(pod, {}, item["resourceFieldRef"])
        files[item["path"]] = (text.encode(), item.get("mode", mode))
    return files


async def _projected(api: node_api.NodeApi, pod: Object, volume: Object) -> dict[str, tuple[bytes, int]]:
    mode = volume.get("defaultMode", 0o644)
    files: dict[str, tuple[bytes, int]] = {}
    for source in volume.get("sources", []):
        if "secret" in source:
            files.update(await _entries(api, pod, "secrets", source["secret"], mode))
        elif "configMap" in source:
            files.update(await _entries(api, pod, "configmaps", source["configMap"], mode))
        elif "downwardAPI" in source:
            files.update(_downward(pod, source["downwardAPI"], mode))
        elif "serviceAccountToken" in source:
            token = await api.service_account_token(pod, source["serviceAccountToken"])
            files[source["serviceAccountToken"]["path"]] = (token.encode(), 0o600)
        else:
            raise node_env.ConfigError(f"this node does not support the projection {', '.join(source)}")
    return files


def _materialise(files: dict[str, tuple[bytes, int]], target: Path) -> None:
    """All files or none: a half-made volume would be taken for a whole one after a restart of the node."""
    incomplete = target.with_name(f".{target.name}")
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir(parents=True)
    for path, (data, mode) in files.items():
        file = incomplete / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)
    incomplete.rename(target)


def _host_path(source: Object) -> Path:
    path = Path(source["path"])
    if source.get("type") == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if source.get("type") and not path.exists():
        raise MountError(f"hostPath type check failed: {path} is not a {source['type'].lower()}")
    return path


async def _claim(api: node_api.NodeApi, pod: Object, name: str) -> Path:
    claim = await api.get(pod["metadata"]["namespace"], "persistentvolumeclaims", name)
    volume = None if claim is None else await api.volume(claim["spec"].get("volumeName", ""))
    if volume is None:
        raise MountError(f'persistentvolumeclaim "{name}" is not bound')
    source = volume["spec"].get("hostPath") or volume["spec"].get("local")
    if source is None:
        raise MountError(f"this node supports hostPath and local volumes only, not {volume['metadata']['name']}")
    return _host_path({"type": "DirectoryOrCreate", **source} if "hostPath" in volume["spec"] else source)
