"""How the demo speaks: acts, commands with their output, and a table that is shown again whenever it changes."""

import io
import re
import time
from collections.abc import Callable
from typing import Any

import rich.console
import rich.live
import rich.panel
import rich.rule
import rich.text


class DemoError(RuntimeError):
    """The story did not go on; the message says what was awaited."""


def _news(text: str) -> str:
    """A table without its ages, which change all the time."""
    return re.sub(r"\b(\d+[dhms])+\b", "", text)


class Narrator:
    """Writes to the terminal; plain lines where there is none."""

    def __init__(self) -> None:
        self.console = rich.console.Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._act = 0
        self._picture: list[rich.text.Text] = []

    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._began

    def act(self, title: str) -> None:
        """A new part of the story."""
        self._act += 1
        self.console.print()
        self.console.print(
            rich.rule.Rule(f"[bold]{self._act}. {title}[/]  [dim]{self.seconds():.0f} s[/]", align="left")
        )

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(text)

    def show(self, text: str, style: str = "dim") -> None:
        """Output of something, as it is."""
        self.console.print(rich.text.Text(text.rstrip(), style=style))

    def keep(self, text: str, style: str = "none") -> None:
        """Lines for the picture in the README."""
        self._picture += [rich.text.Text(line, style=style) for line in text.rstrip().splitlines()]

    def save_picture(self, path: str) -> None:
        """The kept lines as an SVG of a terminal."""
        console = rich.console.Console(record=True, width=138, file=io.StringIO())
        for line in self._picture:
            console.print(line, overflow="ellipsis", no_wrap=True)
        console.save_svg(path, title="make demo")

    def command(self, text: str) -> None:
        """What somebody types."""
        self.console.print(rich.text.Text(f"$ {text}", style="bold cyan"))

    def table(self, header: list[str], rows: list[tuple[Any, ...]]) -> None:
        """Rows of a query, aligned."""
        cells = [header, *[[str(v) for v in row] for row in rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        for row in cells:
            self.show("  " + "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)), "green")

    def watch(self, look: Callable[[], str], until: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Shows `look()` whenever it changes, until something holds. Raises DemoError when it does not in time."""
        deadline, last = time.monotonic() + seconds, ""
        live = rich.live.Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        if live is not None:
            live.start()
        try:
            while True:
                text = look()
                if live is not None or _news(text) != last:
                    last = _news(text)
                    if live is not None:
                        live.update(rich.text.Text(text.rstrip(), overflow="fold", no_wrap=False), refresh=True)
                    else:
                        self.show(text, "none")
                if until():
                    return
                if time.monotonic() > deadline:
                    raise DemoError(f"after {seconds:.0f} s still not: {what}")
                time.sleep(0.4)
        finally:
            if live is not None:
                live.stop()
