"""What we send can be read as JSON and as YAML, whatever characters are in it."""

import json

import pytest
import yaml

from vulcan_operator.kube.transport import encode


@pytest.mark.parametrize(
    "text",
    ['it\'s "quoted"\nin two\tlines \\', "💥 näme", "a\x7fb\x85c\x9f", "\u2028\u2029\ufeff", "- x: {} # %s & *", ""],
)
def test_every_text_comes_back_as_json_and_as_yaml(text: str) -> None:
    body = {"status": {"message": text, text: [1, None, True]}}
    assert json.loads(encode(body)) == body
    assert yaml.safe_load(encode(body)) == body


def test_half_a_character_is_replaced() -> None:
    assert json.loads(encode({"message": "a\ud83d b"})) == {"message": "a\ufffd b"}
