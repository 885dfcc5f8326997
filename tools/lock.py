"""Resolves pyproject.toml's extras into locks/*.txt. Called by `make lock`; must not install anything.

Requirements with hashes and no index address (docs/decisions/0001): the same file works behind any mirror.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {
    "build": ["build"], "operator": ["operator"], "runner": ["runner"], "soda": ["soda"],
    "dev": ["operator", "runner", "cli", "dev"],
}  # fmt: skip


def main() -> int:
    """Writes the lock files; the exit code is uv's."""
    for name, extras in EXTRAS.items():
        chosen = [arg for extra in extras for arg in ("--extra", extra)]
        command = [
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-emit-index-url", "--no-header", *chosen,
            "-o", f"locks/{name}.txt", "pyproject.toml",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
