"""Durations, selectors, shortened revisions: what the shared field types promise."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulcan_operator.api import texts
from vulcan_operator.api.fields import LabelSelector, parse_duration, short_revision


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("15m", 900),
        ("2h30m", 9000),
        ("400d", 34_560_000),
        ("1500ms", 1.5),
        ("1d2h3m4s5ms", 93_784.005),
        ("30m2h", 9000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "1 h", "h", "-1h", "1.5h", "1w", "1H", "h1", "1h ", "1h\n", "123456s", "1s" * 6, "١s"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


_PARTS = st.lists(
    st.tuples(st.integers(0, 99_999), st.sampled_from(["ms", "s", "m", "h", "d"])), min_size=1, max_size=5
)


@given(_PARTS)
def test_every_duration_can_be_added_to_a_time(parts: list[tuple[int, str]]) -> None:
    """The bound on digits is there so that no spec can overflow a clock."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + parse_duration(text)
    assert len(text) <= 5 * 7


@given(st.text(alphabet="0123456789msdh. -", max_size=12))
def test_the_server_and_we_agree_on_durations(text: str) -> None:
    """The CEL rule in the CRD and the parser take the same texts."""
    pattern = re.search(r"matches\('(.*)'\)", texts._DURATION_RULE["rule"])
    assert pattern is not None
    accepted = re.search(pattern.group(1), text) is not None or text == "0"
    try:
        parse_duration(text)
    except ValueError:
        assert not accepted
    else:
        assert accepted


def _selector(*expressions: tuple[str, str, list[str]], **labels: str) -> LabelSelector:
    requirements = [{"key": k, "operator": o, "values": v} for k, o, v in expressions]
    return LabelSelector.model_validate({"matchLabels": labels, "matchExpressions": requirements})


@pytest.mark.parametrize(
    ("selector", "labels", "chosen"),
    [
        (_selector(), {}, True),
        (_selector(team="a"), {"team": "a", "x": "y"}, True),
        (_selector(team="a"), {"team": "b"}, False),
        (_selector(team="a"), {}, False),
        (_selector(("team", "In", ["a", "b"])), {"team": "b"}, True),
        (_selector(("team", "In", ["a", "b"])), {}, False),
        (_selector(("team", "NotIn", ["a"])), {"team": "b"}, True),
        (_selector(("team", "NotIn", ["a"])), {}, True),
        (_selector(("team", "NotIn", ["a"])), {"team": "a"}, False),
        (_selector(("team", "Exists", [])), {"team": ""}, True),
        (_selector(("team", "Exists", [])), {}, False),
        (_selector(("team", "DoesNotExist", [])), {}, True),
        (_selector(("team", "DoesNotExist", [])), {"team": ""}, False),
        (_selector(("team", "Exists", []), tier="gold"), {"team": "a"}, False),
    ],
)
def test_selectors_choose_as_kubernetes_does(selector: LabelSelector, labels: dict[str, str], chosen: bool) -> None:
    assert selector.matches(labels) is chosen


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("0123456789abcdef0123456789abcdef01234567", "0123456789ab"),
        ("0123456789abcdef" * 4, "0123456789ab"),
        (f"registry/team/project@sha256:{'ab' * 32}", "project@abababababab"),
        (f"{'p' * 100}@sha256:{'ab' * 32}", f"{'p' * 27}@abababababab"),
        ("my-project", "my-project"),
        ("c" * 253, "c" * 40),
        ("", ""),
    ],
)
def test_short_revisions(revision: str, short: str) -> None:
    assert short_revision(revision) == short
    assert len(short) <= 40
