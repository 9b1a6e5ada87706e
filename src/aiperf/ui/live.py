"""The live view: which one, and what all of them can do.

Owns: the protocol and the choice. Does not own: the views themselves (`dashboard`, `lines`).
"""

import os
from collections.abc import Mapping
from typing import Literal, Protocol, TextIO

from aiperf.ui.lines import LinesView
from aiperf.wire.messages import Progress

Kind = Literal["dashboard", "simple", "none"]


class View(Protocol):
    """Shows a run while it lasts. A view never fails: one that cannot be shown any more falls silent."""

    def show(self, progress: Progress) -> None:
        """The state of the run has become this."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should read now, and find again afterwards."""
        ...

    def close(self) -> None:
        """Gives the terminal back as it was. Idempotent."""
        ...


class SilentView:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing is shown."""

    def notice(self, text: str) -> None:
        """Nothing is said."""

    def close(self) -> None:
        """There is nothing to give back."""


def open_view(kind: Kind | None, stream: TextIO, environ: Mapping[str, str] = os.environ) -> View:
    """The view of this kind on this stream; None: the dashboard on a terminal, else simple lines.

    A dashboard needs a terminal that can move its cursor and knows UTF-8; without one there are simple lines.
    """
    if kind == "none":
        return SilentView()
    can_draw = stream.isatty() and environ.get("TERM") != "dumb" and (stream.encoding or "utf-8").lower() == "utf-8"
    if kind == "simple" or not can_draw:
        return LinesView(stream)
    from aiperf.ui.dashboard import DashboardView  # loads rich, some 50 ms that the other views need not wait for

    return DashboardView(stream)
