"""Writes a bill of materials of each image, from its locks, in CycloneDX JSON. Called by `make sbom`; installs nothing.

It lists the Python packages with versions and hashes: what apt and the base image bring is for a scanner of the
built image. The same locks give the same bytes.
"""

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
IMAGES = {"operator": ("operator",), "runner": ("runner", "soda")}
_TARGET = {
    "python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux", "os_name": "posix",
    "platform_system": "Linux", "implementation_name": "cpython", "platform_python_implementation": "CPython",
}  # fmt: skip


@dataclass
class Package:
    """One entry of a lock."""

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)
    wanted_by: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        """Its package URL, which is also its reference in the bill."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(lock: str) -> Iterator[Package]:
    """The packages of a lock that are installed on Linux with the images' Python."""
    current: Package | None = None
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            wanted = Requirement(line.removesuffix("\\").strip())
            (pin,) = wanted.specifier
            current = Package(wanted.name, pin.version)
            if wanted.marker is None or wanted.marker.evaluate(_TARGET):
                yield current
        elif current is not None and (found := re.search(r"--hash=sha256:(\w{64})", line)):
            current.hashes.append(found[1])
        elif current is not None and (by := line.strip().removeprefix("#").strip().removeprefix("via").strip()):
            current.wanted_by.append(by.partition(" ")[0])


def bill(image: str, version: str, locks: list[str]) -> dict[str, Any]:
    """The bill of materials of an image."""
    found: dict[str, Package] = {}
    edges: dict[str, set[str]] = {}
    root = f"pkg:oci/vulcan-{image}@{version}"
    for lock in locks:
        listed = list(packages(lock))
        names = {package.name: package.purl for package in listed}
        for package in listed:
            found.setdefault(package.purl, package)
            for by in package.wanted_by:
                edges.setdefault(names.get(by, root), set()).add(package.purl)
    components = [_component(found[purl]) for purl in sorted(found)]
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([root, components]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": root, "name": f"vulcan-{image}", "version": version}
        },
        "components": components,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(edges.get(ref, ()))} for ref in (root, *(c["bom-ref"] for c in components))
        ],
    }


def _component(package: Package) -> dict[str, Any]:
    files = {
        "type": "distribution",
        "url": f"https://pypi.org/project/{package.name}/{package.version}/",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
    }
    return {
        "type": "library", "bom-ref": package.purl, "name": package.name, "version": package.version,
        "purl": package.purl, "externalReferences": [files],
    }  # fmt: skip


def bills() -> dict[str, dict[str, Any]]:
    """The bill of each image."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    texts = {image: [(ROOT / "locks" / f"{n}.txt").read_text() for n in names] for image, names in IMAGES.items()}
    return {image: bill(image, version, locks) for image, locks in texts.items()}


def main(folder: str) -> int:
    """Write one file for each image."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for image, content in bills().items():
        path = Path(folder) / f"{image}.cdx.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path}: {len(content['components'])} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
