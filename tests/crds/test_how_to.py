"""The examples of the how-to pages are objects that the server takes, and knows every field of."""

import re
from typing import Any

import pytest
import yaml

from tests.crds.conftest import ROOT
from tests.crds.objects import NAMESPACE
from tests.crds.server import User

EXAMPLES = [
    pytest.param(yaml.safe_load(block), id=f"{page.stem} {number}")
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    for number, block in enumerate(re.findall("```yaml\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_taken(admin: User, example: dict[str, Any]) -> None:
    example = {**example, "metadata": {**example["metadata"], "namespace": NAMESPACE}}
    answer = admin.create(example, dry_run=True)
    assert answer.ok, answer.message
