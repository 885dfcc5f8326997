"""What is built and installed is what the locks pin, and the bills of materials say so."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import sbom

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
DOCKERFILE, MAKEFILE = ((ROOT / name).read_text() for name in ("Dockerfile", "Makefile"))
COMMAND = re.compile(r"\bpip (?:install|sync|wheel)\b[^;&|\n]*")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_entry_of_a_lock_has_a_version_and_hashes(lock: Path) -> None:
    entries = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
    assert len(entries) > 1
    for entry in filter(str.strip, entries):
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.parametrize("text", [DOCKERFILE, MAKEFILE], ids=["Dockerfile", "Makefile"])
def test_nothing_is_installed_without_a_hash_or_built_with_what_is_not_locked(text: str) -> None:
    commands = COMMAND.findall(text.replace("\\\n", " "))
    assert len(commands) >= 6
    for command in commands:
        is_ours = "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)
        assert "--require-hashes" in command or is_ours, command


def test_what_builds_is_locked_as_the_build_system_asks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (wanted,) = map(Requirement, project["build-system"]["requires"])
    (locked,) = sbom.packages((ROOT / "locks" / "build.txt").read_text())
    assert locked.name == wanted.name and wanted.specifier.contains(locked.version)
    assert project["project"]["optional-dependencies"]["build"] == [str(wanted)]


def test_the_base_image_can_be_given_by_digest() -> None:
    assert re.search(r"^ARG BASE=\S+$", DOCKERFILE, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    stages = [stage for _, stage in bases]
    assert bases[0] == ("${BASE}", "base") and all(base in stages for base, _ in bases[1:])


def test_data_of_packages_is_shipped() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = ROOT / "operator" / "vulcan_operator"
    others = {
        p.name
        for p in package.rglob("*")
        if p.is_file() and p.suffix not in (".py", ".pyc") and ".ruff_cache" not in p.parts
    }
    assert others == set(data["vulcan_operator"])


@pytest.mark.parametrize("image", sbom.IMAGES)
def test_a_bill_has_every_package_of_the_image_and_no_other(image: str) -> None:
    bill = sbom.bills()[image]
    texts = [(ROOT / "locks" / f"{name}.txt").read_text() for name in sbom.IMAGES[image]]
    pins = {
        pin for text in texts for pin in re.findall(r"^([a-z0-9._-]+)(?:\[.*?\])?==(\S+) \\\\$", text, re.MULTILINE)
    }
    listed = {(c["name"], c["version"]) for c in bill["components"]}
    assert pins <= listed, "what has no marker is always installed"
    assert not {"colorama"} & {name for name, _ in listed}, "only on Windows"
    assert all(c["externalReferences"][0]["hashes"] for c in bill["components"])
    references = [c["bom-ref"] for c in bill["components"]]
    assert len(references) == len(set(references)) > 20
    root, *rest = bill["dependencies"]
    assert root["dependsOn"] and {d["ref"] for d in rest} == set(references)
    assert {ref for d in bill["dependencies"] for ref in d["dependsOn"]} == set(references)


def test_a_bill_is_the_same_each_time() -> None:
    assert sbom.bills() == sbom.bills()
