"""The parts that need no cluster: finding Go, building once, taking ports, and how values reach a container."""

from __future__ import annotations

import concurrent.futures
import os
import socket
import stat
from pathlib import Path

import pytest

from tools.localcluster import build, components, images, node_env, processes, toolchain

FAKE_GO = """#!/bin/sh
if test "$1" = env; then echo go1.99.0; exit; fi
echo "$*" >> "$FAKE_GO_CALLS"
if test -n "$FAKE_GO_FAILS"; then echo "x.go:1: undefined: y" >&2; exit 1; fi
echo some/package >&2
for last in "$@"; do if test "$before" = -o; then out=$last; fi; before=$last; done
sleep 0.1
case $last in */server/v3) touch "$out/server";; *) touch "$out/$(basename "$last")";; esac
"""


@pytest.fixture
def go_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that builds nothing, and a cache of its own; the file with its calls."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_GO_CALLS", str(calls))
    return calls


def test_two_builds_at_once_compile_once(go_calls: Path) -> None:
    said: list[str] = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        folders = {future.result() for future in [pool.submit(build.ensure, said.append) for _ in range(2)]}
    (folder,) = folders
    assert sorted(path.name for path in folder.iterdir()) == sorted([*components.ALL[:4], "kubectl"])
    assert len(go_calls.read_text().splitlines()) == 5
    assert any("waiting for it" in line for line in said)
    assert build.ensure(said.append) == folder


def test_failed_build_says_why_and_leaves_nothing(go_calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(build.BuildError, match="undefined: y"):
        build.ensure(lambda text: None)
    assert [path.suffix for path in build.cache_folder().iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("version", "numbers"), [("go1.26.8", (1, 26, 8)), ("1.26.0", (1, 26, 0)), ("go1.27", (1, 27, 0))]
)
def test_go_versions_compare(version: str, numbers: tuple[int, ...]) -> None:
    assert toolchain.numeric(version) == numbers


def test_ports_are_free_and_differ() -> None:
    ports = components.free_ports()
    assert len(set(ports.values())) == len(components.PORTS)
    for port in ports.values():
        with socket.socket() as attempt:
            attempt.bind(("127.0.0.1", port))


def test_a_recycled_process_id_is_not_the_same_process() -> None:
    me = processes.this_process()
    assert me.alive()
    assert not processes.Process(me.pid, "another start").alive()
    assert not processes.Process(me.pid, "another start").signal(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("a$", "a$"),
        ("$$$$", "$$"),
        ("x $(A) y", "x 1 y"),
    ],
)
def test_references_expand_like_a_kubelet_does_it(text: str, expected: str) -> None:
    assert node_env.expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/host/data"),
        ("/data/x", "/host/data/x"),
        ("/database", "/database"),
        ("/data/in/x", "/host/in/x"),
        ("see /data", "see /data"),
        ("/pod/data", "/pod/data"),
        ("--x=/data", "--x=/data"),
    ],
)
def test_mount_paths_are_replaced_at_the_start_only(text: str, expected: str) -> None:
    folders = {"/data": "/host/data", "/data/in": "/host/in", "/pod/data": "/wrong"}
    assert node_env.rewriter(folders, "/pod")(text) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ["entry", "default"]),
        ({"args": ["a"]}, ["entry", "a"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["$(A)"]}, ["c", "1"]),
    ],
)
def test_commands_replace_what_the_image_says(container: dict[str, list[str]], expected: list[str]) -> None:
    assert node_env.command_line(container, ["entry"], ["default"], {"A": "1"}) == expected


def test_images_are_found_by_name_then_by_pattern(tmp_path: Path) -> None:
    any_project = images.Image("/pattern", paths={"/project": "/p"}, variables={"A": "b"})
    declared: images.Images = {"runner:1": "/exact", "registry/*@sha256:*": any_project}
    images.write(tmp_path / images.FILE, declared)
    exact, pattern = (images.find(tmp_path / images.FILE, name) for name in ("runner:1", "registry/a@sha256:00"))
    assert exact is not None and exact.env == "/exact"
    assert pattern is not None and (pattern.paths, pattern.variables) == ({"/project": "/p"}, {"A": "b"})
    assert images.find(tmp_path / images.FILE, "runner:2") is None
    assert images.find(tmp_path / "none", "runner:1") is None


def test_quantities() -> None:
    assert [node_env.quantity(text) for text in ("500m", "2", "1Ki", "3M")] == [0.5, 2, 1024, 3e6]
