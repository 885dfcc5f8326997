"""Paths of project files in ConfigMaps."""

import pytest

from vulcan_contract import paths


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("config.yaml", "config.yaml"),
        ("models__a_b.sql", "models/a_b.sql"),
        ("models__deep__c.sql", "models/deep/c.sql"),
        ("macros____init__.py", "macros/__init__.py"),
        ("__init__.py", "__init__.py"),
    ],
)
def test_double_underscores_are_slashes_but_for_pythons_own_file(key: str, path: str) -> None:
    assert paths.of_key(key) == path


def test_caches_and_git_are_no_part_of_a_source() -> None:
    assert paths.counts("models/cache.sql")
    assert not paths.counts("models/__pycache__/a.pyc")
    assert not paths.counts(".git/config")
