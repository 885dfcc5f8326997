"""Somebody who uses plain SQLMesh on a gateway's databases, past the operator."""

import json
import subprocess
from pathlib import Path

from tests.integration.harness import System
from tests.integration.projects import Files

ROOT = Path(__file__).resolve().parents[2]


def plan(system: System, environment: str, files: Files) -> None:
    """`sqlmesh plan --auto-apply`."""
    folder = system.folder / f"outsider-{environment}"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    connections = {}
    for key, role in (("connection", "warehouse"), ("state_connection", "state")):
        options = {k: v for k, v in system.connection(role)["options"].items() if k != "connect_timeout"}
        connections[key] = {"type": system.engine, **options, "password": system.password(role)}
    settings = {"gateways": {"system": connections}, "default_gateway": "system", "model_defaults": {
        "dialect": "postgres", "start": "2 days ago"}}  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(settings))
    done = subprocess.run(
        [ROOT / ".venv-runner" / "bin" / "sqlmesh", "--paths", folder, "plan", environment, "--auto-apply",
         "--no-prompts", "--include-unmodified"],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "HOME": str(folder),
        "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
