"""The image that an apply runs: that of its plan's pod, by digest, if the node says which one that was."""

import pytest

from vulcan_operator.plan.tasks.values import pinned

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "reported", "runs"),
    [
        ("ghcr.io/a/runner:1.0", f"ghcr.io/a/runner@{D}", f"ghcr.io/a/runner@{D}"),
        ("ghcr.io/a/runner", f"ghcr.io/a/runner@{D}", f"ghcr.io/a/runner@{D}"),
        ("localhost:5000/runner:1", f"localhost:5000/runner@{D}", f"localhost:5000/runner@{D}"),
        ("runner:1", f"docker.io/library/runner@{D}", f"runner@{D}"),
        ("acme/runner:1", f"docker-pullable://acme/runner@{D}", f"acme/runner@{D}"),
        (f"ghcr.io/a/runner@{D}", f"ghcr.io/a/runner@{D}", f"ghcr.io/a/runner@{D}"),
        ("runner:1", f"docker.io/library/import-2026-11-22@{D}", "runner:1"),
        ("runner:1", D, "runner:1"),
        ("runner:1", "", "runner:1"),
        ("ghcr.io/a/runner:1", f"mirror.acme.com/a/runner@{D}", "ghcr.io/a/runner:1"),
    ],
)
def test_an_image_is_pinned_to_what_the_node_reports_of_the_same_repository(
    image: str, reported: str, runs: str
) -> None:
    assert pinned(image, reported) == runs
