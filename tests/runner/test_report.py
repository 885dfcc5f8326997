"""The report's cap: what goes first, and that what is missing is counted."""

import hashlib

from vulcan_runner.summary import fitted


def _model(number: int) -> dict[str, object]:
    noise = "".join(hashlib.sha256(f"{number} {i}".encode()).hexdigest() for i in range(10))
    return {"name": f"t.m{number}", "diff": noise, "detail": noise[:100]}


def test_a_small_report_is_whole() -> None:
    whole = {"models": [_model(1)]}
    assert fitted(whole, 10_000) == (whole, 0)


def test_diffs_go_before_models() -> None:
    cut, omitted = fitted({"models": [_model(i) for i in range(20)]}, 3_000)
    assert omitted == 0
    assert [m["name"] for m in cut["models"]] == [f"t.m{i}" for i in range(20)]
    assert all("diff" not in m for m in cut["models"])


def test_models_that_do_not_fit_are_counted() -> None:
    cut, omitted = fitted({"models": [_model(i) for i in range(200)]}, 3_000)
    assert omitted == cut["omitted"] == 200 - len(cut["models"]) > 0
    assert cut["models"][0]["name"] == "t.m0"
