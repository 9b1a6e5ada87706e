"""The view on a terminal: one picture, drawn over again.

Owns: layout and colour. Does not own: what is said (`picture`). It draws when it is told something, from the caller's
thread, so that no thread of its own is in the way of processes to be forked.
"""

import atexit
import io
from typing import TextIO

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aiperf.ui.picture import Picture, picture
from aiperf.ui.redraw import HIDE_CURSOR, SHOW_CURSOR, Block
from aiperf.wire.messages import Progress

LABEL_WIDTH = 10
WIDTH_MAX = 100
"""A wider picture is not easier to read."""


class DashboardView:
    """A live picture; notices stand above it and stay when it goes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Of the console only the rendering is used: it never writes to the stream itself.
        self._console = Console(file=io.StringIO(), force_terminal=True, highlight=False, markup=False, emoji=False)
        self._block = Block()
        self._lines = ["starting"]
        self._told: set[str] = set()
        self._open = True
        atexit.register(self.close)  # whatever ends the process: the cursor comes back
        self._write(HIDE_CURSOR)
        self._redraw()

    def show(self, progress: Progress) -> None:
        for text in progress.notices:
            self.notice(text)
        width = min(self._console.width, WIDTH_MAX)
        self._lines = self._rendered(draw(picture(progress), width), width)
        self._redraw()

    def notice(self, text: str) -> None:
        if text in self._told:
            return
        self._told.add(text)
        notice = self._rendered(Text(text, style="yellow"), self._console.width)
        self._write(self._block.erase(self._console.width) + "".join(f"{line.rstrip()}\r\n" for line in notice))
        self._redraw()

    def close(self) -> None:
        if self._open:
            self._write(self._block.erase(self._console.width) + SHOW_CURSOR)
            self._open = False
            atexit.unregister(self.close)

    def _rendered(self, what: Group | Text, width: int) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(what, width=width)
        return captured.get().rstrip("\n").split("\n")

    def _redraw(self) -> None:
        width, height = self._console.size
        self._write(self._block.replace(self._lines, width, height))

    def _write(self, text: str) -> None:
        if not self._open:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone (ValueError: a closed stream); the run goes on without one
            self._open = False


def draw(said: Picture, width: int) -> Group:
    """The picture for a terminal of this width."""
    parts: list[Table | Text] = [_heading(said, width), _facts(said, width)]
    if said.latencies:
        parts += [Text(), _latencies(said, width)]
    if said.errors:
        parts += [Text(), _errors(said, width)]
    return Group(*parts)


def _heading(said: Picture, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.width = width
    words = [Text(said.state, style="bold"), Text(said.elapsed)]
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    if said.fraction is not None:
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=1.0, completed=said.fraction)
        return _row(grid, *words, bar, Text(f"{said.fraction:.0%}"))
    return _row(grid, *words)


def _row(grid: Table, *cells: Text | ProgressBar) -> Table:
    grid.add_row(*cells)
    return grid


def _facts(said: Picture, width: int) -> Table:
    grid = _labelled(width)
    extent = [said.extent] if said.extent else []
    if said.left:
        extent.append(f"about {said.left} left")
    if extent:
        grid.add_row("Progress", Text(", ".join(extent)))
    grid.add_row("Requests", _pairs(said.requests))
    grid.add_row("Rates", _pairs(said.rates))
    return grid


def _labelled(width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.width = width
    grid.add_column(width=LABEL_WIDTH, style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    return grid


def _pairs(pairs: list[tuple[str, str]]) -> Text:
    """`4,512 done   3 failed   100 in flight`; a number and its word stay on one line."""
    text = Text()
    for position, (word, number) in enumerate(pairs):
        text.append("   " if position else "")
        is_bad = word == "failed" and number != "0"
        text.append(number, style="bold red" if is_bad else "bold").append(f"\u00a0{word.replace(' ', chr(0xA0))}")
    return text


def _latencies(said: Picture, width: int) -> Table:
    table = Table(box=None, padding=(0, 0), pad_edge=False, header_style="dim", width=min(width, 64))
    table.add_column("Latency (ms)", ratio=1, no_wrap=True)
    for name in ("avg", "p50", "p99"):
        table.add_column(name, justify="right", width=11, no_wrap=True)
    for row in said.latencies:
        table.add_row(*row)
    return table


def _errors(said: Picture, width: int) -> Table:
    grid = _labelled(width)
    grid.add_row(Text("Errors", style="red"), _pairs([(kind, number) for kind, number in said.errors]))
    return grid
