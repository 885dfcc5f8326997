"""What an apply keeps in the state so that later tasks need no project: its naming and catalogs,
and the code of its custom materialisations. Nothing secret: connections, notification targets and
variables are left out.

Called by `applying` (which keeps it), `tasks` (which plan and run with it), `session` (which leaves
out code that a task does not need) and `engine` (which lays it out in the pod).
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlmesh.core import constants as c
from sqlmesh.core.config import Config

from vulcan_contract import REFERENCE, digest
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Task
from vulcan_runner import project
from vulcan_runner.problem import Problem
from vulcan_runner.state import State

_FIELDS = (
    "snapshot_ttl", "time_column_format", "physical_schema_mapping", "environment_suffix_target",
    "physical_table_naming_convention", "virtual_environment_mode", "gateway_managed_virtual_layer",
    "infer_python_dependencies", "environment_catalog_mapping",
)  # fmt: skip
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class KeptProject:
    """The settings as JSON under SQLMesh's names; Python files if materialisations are custom."""

    settings: Mapping[str, Any]
    files: Mapping[str, bytes]
    # Custom materialisations whose code is not among the files: known by name only.
    names: frozenset[str] = frozenset()

    @cached_property
    def digest(self) -> str:
        """Digest of settings and files."""
        return digest.of_json([self.settings, digest.of_files(self.files) if self.files else ""])

    def pack(self) -> str:
        """The text that a state database keeps."""
        files = {path: base64.b64encode(content).decode() for path, content in self.files.items()}
        text = json.dumps({"settings": self.settings, "files": files}, sort_keys=True)
        return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()

    def lay_out(self, folder: Path) -> Path:
        """Writes the files into a folder of the pod."""
        for path, content in self.files.items():
            file = project.within(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return folder


def unpack(packed: str) -> KeptProject:
    """Inverse of `KeptProject.pack`."""
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    files = {path: base64.b64decode(content) for path, content in data["files"].items()}
    return KeptProject(data["settings"], files)


def of(config: Config, folder: Path) -> KeptProject:
    """What the state keeps: all modules, since a custom materialisation may import any."""
    settings = {name: _plain(getattr(config, name)) for name in _FIELDS}
    settings["dialect"] = config.dialect
    own = any((folder / c.MATERIALIZATIONS).rglob("*.py"))
    files = {p: f.read_bytes() for p, f in project.files(folder) if _is_code(p)} if own else {}
    if sum(map(len, files.values())) > _MOST_BYTES:
        raise Problem(
            Reason.PROJECT_LOAD_FAILED,
            f"The project has custom materialisations and more than {_MOST_BYTES >> 20} MiB of"
            " Python files, which the state would have to keep for scheduled runs.",
        )
    return KeptProject(settings, files)


def of_environment(state: State, environment: str) -> KeptProject | None:
    """What the last apply of an environment kept; None: there was none."""
    record = state.apply_record(environment)
    packed = state.project(record.project) if record is not None and record.project else None
    return unpack(packed) if packed is not None else None


def of_record(state: State, digest_: str) -> KeptProject:
    """What an earlier apply kept; raises ConfigurationUnknown when it is gone."""
    packed = state.project(digest_)
    if packed is None:
        message = "The state no longer has what was kept of the project."
        raise Problem(Reason.CONFIGURATION_UNKNOWN, message)
    return unpack(packed)


def needed(
    kept: KeptProject, task: Task, state: State, revision: Mapping[str, str] | None
) -> KeptProject:
    """What of it a task loads. Code that was kept is run only where a model of the revision is
    computed with it: a task that audits, compares or plans would be judged by what it judges.
    `revision`: name -> identifier of its snapshots; None: those that the environment has."""
    if not kept.files:
        return kept
    there = _snapshots(state, task.environment)
    used = state.materializations((there if revision is None else revision).items())
    if task.kind.traits.computes and used:
        return kept
    # It also reads the snapshots of what it compares with, or plans from.
    others = [there, _snapshots(state, REFERENCE)]
    known = frozenset(name for each in others for name in state.materializations(each.items()))
    return replace(kept, files={}, names=used | known)


def _snapshots(state: State, environment: str) -> dict[str, str]:
    found = state.environment(environment)
    return {s.name: s.identifier for s in found.snapshots} if found is not None else {}


def is_news(wanted: KeptProject, state: State, environment: str) -> bool:
    """Whether the environment has something else of its project, so that an apply is due although
    no model changed. One that we never applied has nothing, and needs materialisations only."""
    record = state.apply_record(environment)
    if record is not None and record.project:
        return wanted.digest != record.project
    return bool(wanted.files)


def _is_code(path: str) -> bool:
    """config.py is excluded: nothing in it is needed, and people write passwords into it."""
    return path.endswith(".py") and path not in project.CONFIG_FILES


def _plain(value: Any) -> Any:
    """Mappings become pairs, because the first pattern that matches wins."""
    if isinstance(value, Mapping):
        names = [k.pattern if isinstance(k, re.Pattern) else str(k) for k in value]
        return [[name, _plain(v)] for name, v in zip(names, value.values(), strict=True)]
    return getattr(value, "value", value)


def settings_of(kept: KeptProject) -> dict[str, Any]:
    """The settings as SQLMesh reads them."""
    return {k: dict(map(tuple, v)) if isinstance(v, list) else v for k, v in kept.settings.items()}
