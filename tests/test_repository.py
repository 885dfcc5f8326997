"""What holds for the repository as a whole: style, types, import rules, generated files, lock files, the README."""

import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUFF = (sys.executable, "-m", "ruff")
SOURCES = ("operator", "tools", "tests", "benchmarks")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*RUFF, "check", *SOURCES], id="ruff"),
        pytest.param([*RUFF, "format", "--check", *SOURCES], id="format"),
        pytest.param([sys.executable, "-m", "mypy"], id="mypy-strict"),
        pytest.param([str(Path(sys.executable).parent / "lint-imports")], id="import-rules"),
        pytest.param([sys.executable, "-m", "tools.generate", "--check"], id="generated-files"),
    ],
)
def test_static_checks_pass(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert Path(operator.__file__ or "").parent != ROOT / "operator"


def test_images_do_not_contain_what_they_must_not() -> None:
    locked = {name: (ROOT / "locks" / f"{name}.txt").read_text() for name in ("operator", "runner", "soda")}
    assert not re.search(r"^(sqlmesh|sqlglot|duckdb|psycopg2)", locked["operator"], re.MULTILINE)
    assert not re.search(r"^(kopf|kubernetes|aiohttp)==", locked["runner"], re.MULTILINE)
    assert not re.search(r"^(sqlmesh|kopf|kubernetes)==", locked["soda"], re.MULTILINE)
    assert re.search(r"^sqlmesh==", locked["runner"], re.MULTILINE), "the check above would pass on an empty file"


def test_lock_files_pin_every_line_and_name_no_address() -> None:
    for lock in (ROOT / "locks").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock
        pins = re.findall(r"^([a-z0-9][^\s=]*)==\S+.*\\\n\s+--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > (0 if lock.stem == "build" else 20), (
            lock
        )


def test_readme_has_the_three_commands_and_ci_runs_the_second() -> None:
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^make \w+", readme, re.MULTILINE)
    assert commands == ["make demo", "make test", "make unit"]
    assert script.rstrip().endswith("exec make test")


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md"))
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_no_module_grew_past_the_limit() -> None:
    sources = (p for folder in SOURCES for p in (ROOT / folder).rglob("*.py"))
    limits = ((p, 600 if p.is_relative_to(ROOT / "tests") else 400) for p in sources)
    assert [str(p.relative_to(ROOT)) for p, limit in limits if len(p.read_text().splitlines()) > limit] == []
