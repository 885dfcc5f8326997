"""Tiny SQLMesh projects, as files: a Job on one takes half of what it takes on examples/shop. PostgreSQL and DuckDB."""

import shutil
import subprocess
from pathlib import Path

Files = dict[str, str]

CONFIG = "model_defaults: {dialect: postgres, start: 2 days ago}\n"
ONE = "MODEL (name t.one, kind FULL);\nSELECT 1 AS x;\n"
DAYS = """
MODEL (name t.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day), grain day, cron '@daily');
SELECT CAST(d.day AS DATE) AS day, 1 AS n
FROM GENERATE_SERIES(CAST(@start_ds AS TIMESTAMP), CAST(@end_ds AS TIMESTAMP), INTERVAL '1 DAY') AS d(day);
"""

TINY: Files = {"config.yaml": CONFIG, "models/one.sql": ONE}
INCREMENTAL: Files = {**TINY, "models/days.sql": DAYS}


def one(select: str, **more: str) -> Files:
    """A project with the one model `t.one`; `more`: further files, with __ for / and _ for the dot."""
    extra = {name.replace("__", "/").replace("_sql", ".sql").replace("_yaml", ".yaml"): t for name, t in more.items()}
    return {"config.yaml": CONFIG, "models/one.sql": f"MODEL (name t.one, kind FULL);\n{select}\n", **extra}


class Repository:
    """A git repository on this machine with the branch `main`; commits go to any branch."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")
        self._git("config", "user.name", "tests")
        self._git("config", "user.email", "tests@example.com")
        self.commit(files)

    @property
    def url(self) -> str:
        """For `project.git.url`."""
        return f"file://{self.folder}"

    def source(self, ref: str = "main", path: str = ".") -> dict[str, dict[str, str]]:
        """`spec.project` of an environment that follows a ref."""
        return {"git": {"url": self.url, "ref": ref, "path": path}}

    def commit(self, files: Files, branch: str = "main", message: str = "change") -> str:
        """Make a branch hold exactly these files; the commit. A branch that does not exist starts where main is."""
        known = self._git("branch", "--list", branch).strip()
        fresh = branch == "main" and not (self.folder / ".git" / "refs" / "heads" / "main").exists()
        if not fresh:
            self._git("checkout", "-q", branch) if known else self._git("checkout", "-q", "-b", branch, "main")
        for old in self.folder.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", self.folder, *arguments], capture_output=True, text=True, check=True)
        return done.stdout
