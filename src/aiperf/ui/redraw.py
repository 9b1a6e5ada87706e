"""Draws a block of lines over the one drawn before, at the place where the cursor stands.

Owns: the control sequences, and where the old block begins after the terminal was resized. Does not own: the lines
(`dashboard`). Pure: lines in, text for the terminal out.

Of rich's `Live` this keeps the idea and leaves the threads and the redirection; it knows what Live does not: a line
that was written when the terminal was wider now takes several rows.
"""

import re
from collections.abc import Sequence

from rich.cells import cell_len

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ERASE_BELOW = "\x1b[J"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Block:
    """The lines at the bottom of the terminal. Each call returns what is to be written."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        """Of each line that stands there now, in cells."""

    def replace(self, lines: Sequence[str], width: int, height: int) -> str:
        """Puts these lines in the place of the old ones; those that the terminal has no room for are left out."""
        shown = [line.rstrip() for line in lines[: max(1, height - 1)]]
        erase = self.erase(width)
        self._widths = [cell_len(_STYLE.sub("", line)) for line in shown]
        return erase + "".join(f"{line}\r\n" for line in shown)

    def erase(self, width: int) -> str:
        """Takes the lines away; the cursor stands where the first one began."""
        rows = sum(max(1, -(-line_width // width)) for line_width in self._widths)
        self._widths = []
        return (f"\r\x1b[{rows}A" if rows else "\r") + _ERASE_BELOW
