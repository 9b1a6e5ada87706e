"""The plain view: a line every few seconds, for logs and pipes.

Owns: when a line is due. Does not own: what it says (`picture`).
"""

import time
from collections.abc import Callable
from typing import TextIO

from aiperf.ui.picture import line
from aiperf.wire.messages import Progress

INTERVAL_S = 5.0


class LinesView:
    """Writes a line every INTERVAL_S, whenever the state changes, for every notice, and one at the end."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream: TextIO | None = stream
        self._now_s = now_s
        self._next_s = 0.0
        self._moment: tuple[int, str] | None = None
        """Phase and state of the last line."""
        self._unseen: Progress | None = None
        self._told: set[str] = set()

    def show(self, progress: Progress) -> None:
        for text in progress.notices:
            self.notice(text)
        moment = (progress.phase, progress.state)
        if moment == self._moment and self._now_s() < self._next_s:
            self._unseen = progress
            return
        self._moment, self._unseen = moment, None
        self._next_s = self._now_s() + INTERVAL_S
        self._write(line(progress))

    def notice(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._write(text)

    def close(self) -> None:
        if self._unseen is not None:
            self._write(line(self._unseen))
            self._unseen = None
        self._stream = None

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody listens any more (ValueError: a closed file); the run goes on
            self._stream = None
