"""How long a client goes on trying.

Owns: pauses between attempts, and when to give up. Does not own: clocks, what is attempted. Pure.
"""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class Patience:
    """Counts from the last progress: a transfer that is cut often, but goes on, is never given up."""

    def __init__(self, limit_s: float, now_s: float) -> None:
        self._limit_s = limit_s
        self._progress_s = now_s
        self._pause_s = FIRST_PAUSE_S

    def progressed(self, now_s: float) -> None:
        self._progress_s = now_s
        self._pause_s = FIRST_PAUSE_S

    def next_pause_s(self, now_s: float) -> float | None:
        """How long to wait before the next attempt; None if there should be none."""
        left_s = self._progress_s + self._limit_s - now_s
        if left_s <= 0:
            return None
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return min(pause_s, left_s)
