"""What the process says: scrubbed whatever pieces it is written in, within time and memory, and never an error."""

import io
import time

import pydantic
import pytest
from sqlmesh.utils.errors import ConfigError

from vulcan_runner import failures, secrets
from vulcan_runner.lines import Clean
from vulcan_runner.secrets import Scrubber

SECRET = "correct-horse-battery"


class Options(pydantic.BaseModel):
    port: int


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def armed() -> object:
    secrets.arm(Scrubber([SECRET]))
    yield
    secrets.arm(Scrubber())


def test_a_line_without_end_takes_neither_time_nor_memory() -> None:
    under = io.StringIO()
    clean, began = Clean(under, Scrubber([SECRET])), time.monotonic()
    for _ in range(20_000):
        clean.write("x" * 50)
    assert len(under.getvalue()) > 900_000
    assert time.monotonic() - began < 10
    clean.finish()
    assert under.getvalue() == "x" * 1_000_000 + "\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_piece_of_an_endless_line_tells_a_secret(size: int) -> None:
    under, text = io.StringIO(), (SECRET + " and ") * 12_000
    clean = Clean(under, Scrubber([SECRET]))
    for at in range(0, len(text), size):
        clean.write(text[at : at + size])
    clean.finish()
    assert under.getvalue() == "*** and " * 12_000 + "\n"


def test_a_progress_bar_is_shown_while_it_moves() -> None:
    under = io.StringIO()
    Clean(under, Scrubber()).write("10%\r20")
    assert under.getvalue() == "10%\r"


def test_saying_something_is_never_an_error() -> None:
    under = io.StringIO()
    Clean(under, Scrubber()).write("half \ud83d a smiley\n")
    assert under.getvalue() == "half \\ud83d a smiley\n"
    assert Clean(Closed(), Scrubber()).write("x\n") == 2


@pytest.mark.usefixtures("armed")
def test_what_is_cut_is_scrubbed_before() -> None:
    assert secrets.cut("x" * 10 + SECRET, 20) == "x" * 10 + "***"
    assert secrets.without_data(f"no '{SECRET[:3]}' {SECRET}") == "no '…' ***"
    told = failures.problem(ValueError("x" * 470 + SECRET), "load").message
    assert SECRET[:5] not in told


@pytest.mark.usefixtures("armed")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_refused_value_is_not_told_in_halves(wrapped: bool) -> None:
    value = SECRET + "x" * 100 + SECRET
    with pytest.raises((pydantic.ValidationError, ConfigError)) as found:
        try:
            Options(port=value)  # type: ignore[arg-type]
        except pydantic.ValidationError as error:
            if wrapped:
                raise ConfigError(f"Bad options: {error}") from error
            raise
    message = failures.problem(found.value, "config").message
    assert "port: Input should be a valid integer" in message
    assert "input_value" not in message
