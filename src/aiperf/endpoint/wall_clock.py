"""Notices when the host's wall clock is set, because kernel stamps are on it.

Owns: a descriptor that becomes readable then. Does not own: what follows (`RunClock.sync`).
"""

import time

from aiperf.clock import WallError, wall_error
from aiperf.endpoint.timerfd import ABSOLUTE, CANCEL_ON_SET, CLOCK_REALTIME, TimerDescriptor

_NEVER_NS = 1 << 62
"""In the year 2116: the timer is there to be cancelled, not to fire."""


class WallClockWatch:
    """Readable once the wall clock was set. Raises: OSError on making it where the platform has no timerfd."""

    __slots__ = ("_error", "_timer")

    def __init__(self, error: WallError | None = wall_error) -> None:
        """`error`: a test's; its steps are noticed as real ones are."""
        self._error = error
        self._timer = TimerDescriptor(CLOCK_REALTIME)
        self._arm()

    def fileno(self) -> int:
        return self._timer.fileno()

    def was_set(self) -> bool:
        """Whether the clock was set since the last call."""
        try:
            was_set = self._timer.has_fired()
        except OSError:  # ECANCELED, the only error there is for an open timer
            was_set = True
        if was_set:
            self._arm()
        return was_set

    def _arm(self) -> None:
        step_ns = self._error.next_step_ns(time.time_ns()) if self._error else -1
        self._timer.set(step_ns if step_ns > 0 else _NEVER_NS, ABSOLUTE | CANCEL_ON_SET)

    def close(self) -> None:
        self._timer.close()


def watch_wall_clock() -> WallClockWatch | None:
    """The watch, or None where the platform cannot tell."""
    try:
        return WallClockWatch()
    except OSError:
        return None
