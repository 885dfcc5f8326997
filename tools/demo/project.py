"""The demo's SQLMesh project: examples/shop in a git repository, or a ConfigMap where pods cannot reach our disk."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.stand.stand import ROOT, Stand

SHOP = ROOT / "examples" / "shop"
Edit = Callable[[str], str]


class GitProject:
    """A local repository with the branches `main` and `dev`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns(".cache", "__pycache__"))
        self._git("init", "-q", "-b", "main")
        self._commit("the shop")
        self._git("branch", "dev")

    def source(self, namespace: str, branch: str) -> dict[str, Any]:
        """`spec.project` of an environment that follows a branch."""
        return {"git": {"url": f"file://{self._folder}", "ref": branch}}

    def change(self, branch: str, path: str, edit: Edit, message: str) -> str:
        """Commit an edit of one file; the commit."""
        self._git("checkout", "-q", branch)
        file = self._folder / path
        file.write_text(edit(file.read_text()))
        self._commit(message)
        return self._git("rev-parse", "--short", "HEAD").strip()

    def _commit(self, message: str) -> None:
        self._git("add", "-A")
        self._git("-c", "user.name=demo", "-c", "user.email=demo@example.com", "commit", "-qm", message)

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", self._folder, *arguments], capture_output=True, text=True, check=True)
        return done.stdout


class ConfigMapProject:
    """The same files in one ConfigMap per namespace and branch."""

    def __init__(self, stand: Stand, namespaces: list[str]) -> None:
        self._stand, self._namespaces = stand, namespaces
        files = {str(p.relative_to(SHOP)): p.read_text() for p in sorted(SHOP.rglob("*")) if p.is_file()}
        kept = {k: v for k, v in files.items() if "__pycache__" not in k and not k.startswith(".")}
        self._branches = {"main": dict(kept), "dev": dict(kept)}
        for branch in self._branches:
            self._write(branch)

    def source(self, namespace: str, branch: str) -> dict[str, Any]:
        """`spec.project` of an environment that follows a branch."""
        items = [{"key": f"f{i}", "path": path} for i, path in enumerate(sorted(self._branches[branch]))]
        return {"configMap": {"name": f"shop-{branch}", "items": items}}

    def change(self, branch: str, path: str, edit: Edit, message: str) -> str:
        """Edit one file; what it is called."""
        self._branches[branch][path] = edit(self._branches[branch][path])
        self._write(branch)
        return message

    def _write(self, branch: str) -> None:
        data = {f"f{i}": text for i, (_, text) in enumerate(sorted(self._branches[branch].items()))}
        for namespace in self._namespaces:
            meta = {"name": f"shop-{branch}", "namespace": namespace}
            self._stand.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
