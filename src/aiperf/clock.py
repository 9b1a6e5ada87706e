"""The run clock: one time scale per host on which every stamp of a request lies.

Owns: reading the monotonic clock as wall-clock-looking integer nanoseconds, and carrying kernel receive stamps (which
are on the real-time clock) over to the same scale. Does not own: timers, offsets between hosts.

The run clock is `CLOCK_MONOTONIC` plus an anchor fixed when the run starts and shared by all processes of a host. So it
reads like Unix time, yet a stepped wall clock moves no stamp and no duration. NTP slews both kernel clocks alike, hence
only steps matter for kernel stamps: `sync()` measures the real-time clock's offset anew and is called whenever a step
may have happened.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What the services need of time. Tests give a virtual one."""

    def now_ns(self) -> int:
        """Now on the run clock. Units: ns since the Unix epoch as seen when the run was anchored."""
        ...


def measure_anchor_ns() -> int:
    """Real-time minus monotonic clock, now. Units: ns. The narrowest of several bracketing reads is taken."""
    best_width, best_offset = 1 << 62, 0
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width, best_offset = after - before, real - (before + after) // 2
    return best_offset


class RunClock:
    """The run clock of this process: `now_ns()` and the conversion of kernel stamps."""

    __slots__ = ("anchor_ns", "real_to_run_ns")

    def __init__(self, anchor_ns: int | None = None) -> None:
        self.anchor_ns = measure_anchor_ns() if anchor_ns is None else anchor_ns
        self.real_to_run_ns = 0
        """What to add to a `CLOCK_REALTIME` stamp to place it on the run clock; 0 unless the wall clock stepped."""
        self.sync()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self.anchor_ns

    def sync(self) -> int:
        """Measures the real-time clock against the run clock anew; returns by how much it had stepped. Units: ns.

        Differences below 50 µs are the noise of the measurement and are not taken for a step.
        """
        offset = self.anchor_ns - measure_anchor_ns()
        step = self.real_to_run_ns - offset
        if abs(step) < 50_000:
            return 0
        self.real_to_run_ns = offset
        return step
