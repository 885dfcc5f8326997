"""Generated files are up to date, and readable by every YAML reader."""

import re
from pathlib import Path

import pytest
import yaml

from tools import generate, yamlout

ROOT = Path(__file__).resolve().parents[3]


def test_nothing_is_out_of_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path in generate.stale(generate.outputs())]
    assert stale == [], "run python -m tools.generate"


def test_check_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0
    path = ROOT / "crds" / "kustomization.yaml"
    monkeypatch.setattr(generate, "outputs", lambda: {path: "something else"})
    assert generate.main(["--check"]) == 1
    assert "out of date: crds/kustomization.yaml (run python -m tools.generate)" in capsys.readouterr().err


def test_kustomization_names_every_definition() -> None:
    names = yaml.safe_load((ROOT / "crds" / "kustomization.yaml").read_text())["resources"]
    assert sorted(names) == sorted(path.name for path in (ROOT / "crds").glob("vulcan.dev_*.yaml"))


def test_definitions_fit_into_a_client_side_apply() -> None:
    for path in (ROOT / "crds").glob("vulcan.dev_*.yaml"):
        assert len(path.read_bytes()) < 262144 * 0.8


_WORDS = """y n Yes no on OFF true null ~ 2026-11-22 1e3 0x1f 012 1_000 .5 .inf << = @x %x 12:30
a: b
a #b
- a
 a
a """  # the first line is one word each


@pytest.mark.parametrize("word", [*_WORDS.splitlines()[0].split(" "), *_WORDS.splitlines()[1:], ""])
def test_words_that_yaml_could_misread_are_quoted(word: str) -> None:
    text = yamlout.dump({word: [word]})
    assert yaml.safe_load(text) == {word: [word]}
    assert f"- {word}\n" not in text


def test_texts_survive() -> None:
    value = {
        "message": 'it\'s "so": …\n  two lines # and',
        "rule": "self.matches('^[a-z]+$') || self == '\\\\'",
        "n": 1,
    }
    assert yaml.safe_load(yamlout.dump(value)) == value


def test_every_reason_has_its_line_and_its_page() -> None:
    from vulcan_contract.reasons import Reason
    from vulcan_operator.api.conditions import Type, Why

    text = (ROOT / "docs" / "reference" / "reasons.md").read_text()
    for name in Type:
        assert f"| `{name}` |" in text
    reasons = {*map(str, Why), *map(str, Reason)}
    for name in reasons:
        assert f"| [`{name}`](reasons/{name}.md) |" in text
    pages = {page.stem: page.read_text() for page in (ROOT / "docs" / "reference" / "reasons").iterdir()}
    assert set(pages) == reasons
    assert [name for name, page in pages.items() if f"# {name}\n" not in page] == []


def test_what_is_written_by_hand_of_a_reason_says_what_is_seen_why_and_what_to_do() -> None:
    parts = {part.stem: part.read_text() for part in (ROOT / "docs" / "reference" / "reasons.d").iterdir()}
    headings = {name: re.findall("^## .*", text, re.MULTILINE) for name, text in parts.items()}
    wanted = ["## What you see", "## Why", "## What to do"]
    assert len(parts) > 20
    assert {name: found for name, found in headings.items() if found != wanted} == {}
