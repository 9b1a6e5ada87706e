"""The run clock: one time scale for the whole run on which every stamp of a request lies.

Owns: reading the monotonic clock as wall-clock-looking integer nanoseconds, carrying kernel receive stamps (which are
on the real-time clock) over to the same scale, and moving that scale to another host's. Does not own: timers, measuring
the offset between hosts (`aiperf.service.clock_alignment`).

The run clock is `CLOCK_MONOTONIC` plus an anchor fixed before the run and shared by all processes of a host. So it
reads like Unix time, yet a stepped wall clock moves no stamp and no duration. NTP slews both kernel clocks alike, hence
only steps matter for kernel stamps: `sync()` measures the real-time clock's offset anew and is called whenever a step
may have happened.

For tests a process can be given a wrong wall clock (`wall_error`): the environment variable `AIPERF_TEST_CLOCK`, for
example `skew=3600s,step=-2s@5s`. `skew`: how far ahead of the truth this process's wall clock is from the start;
`step=SIZE@AFTER`: by how much it is set, so long after the process began; both may be negative, be repeated, and have
the units s, ms or us. It hits what a wrong wall clock would hit: the reads here, the kernel's stamps
(`endpoint.stamps`) and the watch for steps (`endpoint.wall_clock`). It is read once, when this module is imported.
"""

import os
import time
from dataclasses import dataclass
from typing import Protocol

from aiperf.units import NS_PER_MS, NS_PER_S

TEST_CLOCK = "AIPERF_TEST_CLOCK"
_UNITS_NS = {"ms": NS_PER_MS, "us": 1_000, "s": NS_PER_S}


class Clock(Protocol):
    """What the services need of time. Tests give a virtual one."""

    def now_ns(self) -> int:
        """Now on the run clock. Units: ns since the Unix epoch as seen when the run was anchored."""
        ...


@dataclass(frozen=True, slots=True)
class WallError:
    """By how much a wall clock is wrong, and from which true instant on. Units: ns."""

    skew_ns: int
    steps: tuple[tuple[int, int], ...]
    """(true instant, size) of each time it is set. Order: of instants."""

    def at_ns(self, true_ns: int) -> int:
        """The error at a true instant."""
        return self.skew_ns + sum(size_ns for instant_ns, size_ns in self.steps if true_ns >= instant_ns)

    def next_step_ns(self, true_ns: int) -> int:
        """The true instant of the next step; -1: none follows."""
        return next((instant_ns for instant_ns, _ in self.steps if instant_ns > true_ns), -1)


def read_wall_error(text: str, began_ns: int) -> WallError:
    """The error that `AIPERF_TEST_CLOCK` asks for. `began_ns`: when the process began. Raises: ValueError."""
    skew_ns, steps = 0, []
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name == "skew":
            skew_ns += _duration_ns(value)
        elif name == "step":
            size, _, after = value.partition("@")
            steps.append((began_ns + _duration_ns(after), _duration_ns(size)))
        else:
            raise ValueError(f"{TEST_CLOCK}: {part!r} is neither skew=SIZE nor step=SIZE@AFTER")
    return WallError(skew_ns, tuple(sorted(steps)))


def _duration_ns(text: str) -> int:
    for unit, unit_ns in _UNITS_NS.items():
        if text.endswith(unit):
            return round(float(text.removesuffix(unit)) * unit_ns)
    raise ValueError(f"{TEST_CLOCK}: {text!r} is no duration: a number and s, ms or us")


_asked = os.environ.get(TEST_CLOCK)
wall_error = read_wall_error(_asked, time.time_ns()) if _asked else None
"""None outside of tests."""


def _wrong_wall_ns() -> int:
    assert wall_error is not None
    true_ns = time.time_ns()
    return true_ns + wall_error.at_ns(true_ns)


_wall_ns = time.time_ns if wall_error is None else _wrong_wall_ns


def measure_anchor_ns() -> int:
    """Real-time minus monotonic clock, now. Units: ns. The narrowest of several bracketing reads is taken."""
    best_width, best_offset = 1 << 62, 0
    for _ in range(5):
        before = time.monotonic_ns()
        real = _wall_ns()
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
        """What to add to a `CLOCK_REALTIME` stamp to place it on the run clock; 0 while the two agree."""
        self.sync()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self.anchor_ns

    def adopt(self, offset_ns: int) -> None:
        """Moves the whole scale: what was `t` is `t + offset_ns` from now on.

        Only before anything was stamped or armed: two stamps of one request must lie on one scale.
        """
        self.anchor_ns += offset_ns
        self.real_to_run_ns = self.anchor_ns - measure_anchor_ns()

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
