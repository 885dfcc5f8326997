"""Which images exist on the node, and what on this machine stands for each.

Written by the cluster, read by the node whenever a container starts, so images can be added to a running cluster.
The file maps a name (or a pattern such as `registry/*:1.0`) to
`{"env": FOLDER, "entrypoint": [...], "cmd": [...], "paths": {"/project": FOLDER}, "variables": {NAME: TEXT}}`; all but
`env` are optional.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

FILE = "images.json"


@dataclasses.dataclass(frozen=True)
class Image:
    """What a container of this image gets: programs, defaults for its command, and folders of its file system."""

    env: str
    """A Python environment, or a folder of programs; first on PATH."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    paths: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Absolute paths inside the image, and the folders on this machine they stand for."""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Its own environment variables; a container's win over them."""

    @property
    def bin(self) -> Path:
        """The folder for PATH."""
        inside = Path(self.env) / "bin"
        return inside if inside.is_dir() else Path(self.env)


Images = Mapping[str, "Image | str"]


def write(path: Path, images: Images) -> None:
    """Declare images; a plain text stands for an Image with that environment."""
    full = {name: Image(env=image) if isinstance(image, str) else image for name, image in images.items()}
    text = json.dumps({name: dataclasses.asdict(image) for name, image in full.items()}, indent=1)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.rename(path)


def find(path: Path, name: str) -> Image | None:
    """The image of that name, exact names before patterns; None if no such image was declared."""
    try:
        declared = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    pattern = next((item for item in declared if name in (item, image_id(item))), None)  # by tag, or by its digest
    pattern = pattern or next((item for item in declared if fnmatch.fnmatchcase(name, item)), None)
    if pattern is None:
        return None
    data = declared[pattern]
    return Image(
        env=data["env"],
        entrypoint=tuple(data.get("entrypoint", ())),
        cmd=tuple(data.get("cmd", ())),
        paths=data.get("paths", {}),
        variables=data.get("variables", {}),
    )


def image_id(name: str) -> str:
    """What the node reports as imageID: the digest asked for, else one made from the name."""
    if "@sha256:" in name:
        return name
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@sha256:{hashlib.sha256(name.encode()).hexdigest()}"
