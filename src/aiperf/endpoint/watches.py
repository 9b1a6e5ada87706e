"""What the client's selector watches beside connections: the bell of other threads, and the setting of the wall clock.

Owns: both descriptors and what is done when one is readable. Does not own: the selector.
"""

from collections.abc import Callable

from aiperf.clock import RunClock
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.selector import Selector
from aiperf.endpoint.wakeup import Wakeup
from aiperf.endpoint.wall_clock import watch_wall_clock


class Watches:
    """The watches of one client. `kernel_stamps`: stamps are on the wall clock, so it matters when that is set."""

    __slots__ = ("_clock", "_counters", "_wakeup", "_wall_clock", "by_descriptor", "wake")

    def __init__(self, selector: Selector, clock: RunClock, counters: ClientCounters, *, kernel_stamps: bool) -> None:
        self._clock = clock
        self._counters = counters
        self._wakeup = Wakeup()
        self.wake = self._wakeup.ring
        """Makes the selector readable; may be called from any thread."""
        self.by_descriptor: dict[int, Callable[[], None]] = {self._wakeup.fileno(): self._wakeup.hush}
        """What to call when the descriptor is readable."""
        self._wall_clock = watch_wall_clock() if kernel_stamps else None
        if self._wall_clock is not None:
            self.by_descriptor[self._wall_clock.fileno()] = self._on_clock_set
        for descriptor in self.by_descriptor:
            selector.add(descriptor, writable=False)

    def close(self) -> None:
        self._wakeup.close()
        if self._wall_clock is not None:
            self._wall_clock.close()

    def _on_clock_set(self) -> None:
        if self._wall_clock is not None and self._wall_clock.was_set() and self._clock.sync():
            self._counters.clock_step_count += 1
