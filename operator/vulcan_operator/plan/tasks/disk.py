"""How much of a node's disk a Job's pod may use: what a project writes must not fill it for others.

Used by `manifest`. `runner.resources` decides where it says anything about `ephemeral-storage`;
these are the defaults. Must not depend on the task: a Job's name does not change with it.
"""

from typing import Any

from vulcan_operator.api.gateway_runner import RunnerSpec

# Of the pod, and so of each volume: fetched history, files and their copy need at most 8 GiB
# (`vulcan_runner.source_size`).
LIMIT = "10Gi"
REQUEST = "1Gi"
_STORAGE = "ephemeral-storage"


def resources(runner: RunnerSpec) -> dict[str, Any]:
    """Resources of a container: the gateway's, with a bound on what it may write."""
    given = runner.resources or {}
    if _said(given, "limits") is not None or _said(given, "requests") is not None:
        return given  # one of the two alone is meant: a default could contradict it
    defaults = {"requests": REQUEST, "limits": LIMIT}
    return {**given, **{k: {**_part(given, k), _STORAGE: size} for k, size in defaults.items()}}


def bounded(volume: dict[str, Any], runner: RunnerSpec) -> dict[str, Any]:
    """A volume; an emptyDir without a limit gets that of the whole pod."""
    folder = volume.get("emptyDir")
    if not isinstance(folder, dict) or "sizeLimit" in folder:
        return volume
    limit = _said(runner.resources or {}, "limits") or LIMIT
    return {**volume, "emptyDir": {**folder, "sizeLimit": limit}}


def _said(given: dict[str, Any], part: str) -> Any:
    return _part(given, part).get(_STORAGE)


def _part(given: dict[str, Any], part: str) -> dict[str, Any]:
    """Free text of users: what is no object is the API server's to refuse."""
    found = given.get(part)
    return found if isinstance(found, dict) else {}
