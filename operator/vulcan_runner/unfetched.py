"""What a project names and does not contain: the files behind Git LFS pointers, and submodules.

SQLMesh would take a pointer for a seed's rows and miss a submodule's models without a word. Asked
by `fetch` (which submodules are there) and `resolving` (of the project as it is in the pod, from
whatever source). Must not import SQLMesh.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from vulcan_contract.reasons import Reason
from vulcan_runner import project
from vulcan_runner.problem import Problem

_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024  # bytes, by the specification
# Where SQLMesh looks for a project's files, and what it reads of files that a project names.
FOLDERS = frozenset({
    "audits", "linter", "macros", "materializations", "metrics", "models", "seeds", "signals",
    "tests",
})  # fmt: skip
_READ = frozenset({".sql", ".py", ".yaml", ".yml", ".csv", ".tsv", ".txt"})
_MOST_NAMED = 5


def require_outside(folder: Path, submodules: Iterable[Path]) -> None:
    """Raises SourceIncomplete when a project's folder is in a submodule of its repository."""
    inside = project.real(folder)
    for submodule in submodules:
        if inside.is_relative_to(project.real(submodule)):
            name = project.printable(submodule.name)
            raise _incomplete([f"the project's folder is in the submodule {name}"])


def submodules_among(entries: Iterable[tuple[str, Path]], submodules: Iterable[Path]) -> list[str]:
    """The paths of entries that are submodules, also by a link."""
    real = {project.real(path) for path in submodules}
    return [project.printable(path) for path, entry in entries if project.real(entry) in real]


def require_complete(folder: Path, submodules: Iterable[str]) -> list[str]:
    """Raises SourceIncomplete if SQLMesh would read what is not there; else says what is not."""
    pointers = [path for path, file in project.files(folder) if _is_pointer(file)]
    missed = [f"{project.printable(p)} is a Git LFS pointer" for p in pointers if _is_read(p)]
    left = [f"{project.printable(p)} is a Git LFS pointer" for p in pointers if not _is_read(p)]
    for path in submodules:
        is_searched = PurePosixPath(path).parts[0] in FOLDERS
        (missed if is_searched else left).append(f"{path} is a submodule")
    if missed:
        raise _incomplete(missed)
    return [f"{what}; its content is not fetched." for what in _first(left)]


def _is_pointer(file: Path) -> bool:
    if file.stat().st_size > _LARGEST_POINTER:
        return False
    with file.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _is_read(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _READ


def _first(found: list[str]) -> Iterator[str]:
    yield from found[:_MOST_NAMED]
    if len(found) > _MOST_NAMED:
        yield f"{len(found) - _MOST_NAMED} more are Git LFS pointers or submodules"


def _incomplete(what: list[str]) -> Problem:
    message = f"{', '.join(_first(what))}. Neither is fetched: commit the files themselves."
    return Problem(Reason.SOURCE_INCOMPLETE, message)
