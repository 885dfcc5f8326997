"""Where the SQLMesh project is in the pod, and the digest of it.

Called by `fetch` and `resolving` before SQLMesh is imported, so it must not import it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from vulcan_contract import digest
from vulcan_contract.paths import IGNORED, unescape
from vulcan_contract.reasons import Reason
from vulcan_contract.task import Source, SourceKind
from vulcan_runner.problem import Problem

_BLOCK = 1 << 20
CONFIG_FILES = ("config.py", "config.yml", "config.yaml", "sqlmesh.yml", "sqlmesh.yaml")


def locate(folder: Path, source: Source, work: Path) -> Path:
    """The project's folder. A git source's path is applied by `fetch`; ConfigMaps are laid out."""
    if source.kind is SourceKind.CONFIG_MAP:
        folder = lay_out(folder, work / "project")
    path = folder if source.kind is SourceKind.GIT else within(folder, source.path)
    if not path.is_dir():
        raise Problem(Reason.SOURCE_PATH_MISSING, f"The source has no folder {source.path}.")
    return path


def lay_out(mounted: Path, target: Path) -> Path:
    """Writes the files of a ConfigMap, whose keys are escaped paths (`vulcan_contract.paths`), to
    their places, with constant times."""
    for key, file in files(mounted, mount=True):
        place = within(target, unescape(key))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
        os.utime(place, (0, 0))
    return target


def within(folder: Path, path: str) -> Path:
    """A path below a folder; raises SourcePathMissing when it, or a link in it, leads out."""
    target = Path(os.path.normpath(folder / path.lstrip("/")))
    if not target.is_relative_to(folder) or not real(target).is_relative_to(real(folder)):
        raise Problem(Reason.SOURCE_PATH_MISSING, f"The path {path} leads out of the source.")
    return target


def require_project(folder: Path, path: str) -> None:
    """Raises unless the folder holds a native SQLMesh project."""
    if (folder / "dbt_project.yml").exists():
        message = "The source is a dbt project; only native SQLMesh projects are supported."
        raise Problem(Reason.DBT_UNSUPPORTED, message)
    if not any((folder / name).is_file() for name in CONFIG_FILES):
        names = ", ".join(CONFIG_FILES)
        message = f"No SQLMesh project in {path}: there is none of {names}."
        raise Problem(Reason.SOURCE_PATH_MISSING, message)


def source_digest(folder: Path) -> str:
    """sha256 of relative paths and contents, without caches. Links count as their targets."""
    blocks = {path: (file.stat().st_size, _blocks(file)) for path, file in files(folder)}
    return digest.of_blocks(blocks)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def files(folder: Path, *, mount: bool = False) -> Iterator[tuple[str, Path]]:
    """Relative POSIX paths and files. In a ConfigMap's mount, names with `..` are the volume's."""
    return ((path, entry) for path, entry in entries(folder, mount=mount) if entry.is_file())


def entries(folder: Path, *, mount: bool = False) -> Iterator[tuple[str, Path]]:
    """The same with folders, each before what is in it. Links are followed, so that few links can
    stand for any number of entries: whoever does not trust the source counts them."""
    root = real(folder)
    yield from _walk(folder, "", root, (root,), mount)


def _walk(
    folder: Path, prefix: str, root: Path, above: tuple[Path, ...], mount: bool
) -> Iterator[tuple[str, Path]]:
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if entry.name in IGNORED or (mount and entry.name.startswith("..")):
            continue
        target, relative = real(entry), f"{prefix}{entry.name}"
        if not target.is_relative_to(root):
            message = f"The link {printable(relative)} leads out of the source."
            raise Problem(Reason.PROJECT_LOAD_FAILED, message)
        if target.is_dir() and target not in above:
            yield relative, entry
            yield from _walk(entry, f"{relative}/", root, (*above, target), mount)
        elif target.is_file():
            yield relative, entry


def printable(path: str) -> str:
    """A path in a message: names need not be UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def real(path: Path) -> Path:
    """Where links lead. Other than for `Path.resolve`, a link to itself is no error."""
    return Path(os.path.realpath(path))
