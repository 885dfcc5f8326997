"""YAML as Kubernetes reads it: everything that YAML 1.1 could take for a number, a date or a boolean is quoted.

Used by `tools.generate`. Writes only; must not change what it is given.
"""

import re
from typing import Any

import yaml

# `y`, `n`, `on` and `off` are booleans for some readers, though PyYAML writes them bare.
_BARE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./ ()-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"}


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)  # list items are indented, as everywhere in Kubernetes

    def ignore_aliases(self, data: Any) -> bool:
        return True  # no anchors: readers expect each schema to be complete


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    bare = _BARE.fullmatch(text) and text.lower() not in _WORDS and not text.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if bare else '"')


_Dumper.add_representer(str, _string)


def dump(document: Any) -> str:
    """One document, keys in the given order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    return text
