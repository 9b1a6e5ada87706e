"""A one-shot timer for due times, better than the event loop's millisecond.

Owns: waking at an instant of the run clock. Does not own: what is due then. Never fires early.

On Linux a timerfd, watched by the loop: late by tens of microseconds on an idle host. Elsewhere the loop's own timer
set a little early, then turn after turn of the loop until it is time.
"""

import asyncio
from collections.abc import Callable

from aiperf.clock import RunClock
from aiperf.endpoint.timerfd import ABSOLUTE, CLOCK_MONOTONIC, TimerDescriptor
from aiperf.units import NS_PER_S

_MARGIN_NS = 2_000_000
"""uvloop rounds delays to whole milliseconds, and may wake one late."""


class DueTimer:
    """Calls `callback` once at the instant armed last. Must be made within the thread of the loop."""

    __slots__ = ("_armed_ns", "_callback", "_clock", "_descriptor", "_handle", "_loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: RunClock,
        callback: Callable[[], None],
        *,
        use_timerfd: bool = True,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._callback = callback
        self._armed_ns = -1
        self._handle: asyncio.Handle | None = None
        self._descriptor: TimerDescriptor | None = None
        if use_timerfd:
            try:
                self._descriptor = TimerDescriptor(CLOCK_MONOTONIC)
            except OSError:
                return
            loop.add_reader(self._descriptor.fileno(), self._on_readable)

    def arm(self, at_ns: int) -> None:
        """Fires at `at_ns` on the run clock, as soon as possible if that is past; replaces what was armed before."""
        self._armed_ns = at_ns
        if self._descriptor is not None:
            self._descriptor.set(max(1, at_ns - self._clock.anchor_ns), ABSOLUTE)
        else:
            self._wait()

    def close(self) -> None:
        """Fires no more. Idempotent."""
        self._armed_ns = -1
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor.fileno())
            self._descriptor.close()
            self._descriptor = None
        elif self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_readable(self) -> None:
        if self._descriptor is not None and self._descriptor.has_fired() and self._armed_ns >= 0:
            self._armed_ns = -1
            self._callback()

    def _wait(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        left_ns = self._armed_ns - self._clock.now_ns()
        if left_ns > _MARGIN_NS:
            self._handle = self._loop.call_later((left_ns - _MARGIN_NS) / NS_PER_S, self._wait)
        elif left_ns > 0:
            self._handle = self._loop.call_soon(self._wait)
        else:
            self._handle = self._loop.call_soon(self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._armed_ns >= 0:
            self._armed_ns = -1
            self._callback()
