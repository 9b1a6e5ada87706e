"""Notices when the host's wall clock is set, because kernel stamps are on it.

Owns: a descriptor that becomes readable then. Does not own: what follows (`RunClock.sync`).
"""

from aiperf.endpoint.timerfd import ABSOLUTE, CANCEL_ON_SET, CLOCK_REALTIME, TimerDescriptor

_NEVER_NS = 1 << 62
"""In the year 2116: the timer is there to be cancelled, not to fire."""


class WallClockWatch:
    """Readable once the wall clock was set. Raises: OSError on making it where the platform has no timerfd."""

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer = TimerDescriptor(CLOCK_REALTIME)
        self._timer.set(_NEVER_NS, ABSOLUTE | CANCEL_ON_SET)

    def fileno(self) -> int:
        return self._timer.fileno()

    def was_set(self) -> bool:
        """Whether the clock was set since the last call."""
        try:
            self._timer.has_fired()
        except OSError:  # ECANCELED, the only error there is for an open timer
            self._timer.set(_NEVER_NS, ABSOLUTE | CANCEL_ON_SET)
            return True
        return False

    def close(self) -> None:
        self._timer.close()


def watch_wall_clock() -> WallClockWatch | None:
    """The watch, or None where the platform cannot tell."""
    try:
        return WallClockWatch()
    except OSError:
        return None
