"""What a worker sees of itself while the measured phase lasts: how late its loop and timers were, what held it up.

Owns: the window from the preparation of the measured phase to the hand-over, delays and their percentiles, pauses of
the garbage collector. Does not own: CPU time and memory (`process_cost`), what the kernel counts of its CPUs
(`cpu_pressure`), what the client counts (`endpoint.counters`), what it all means for the numbers
(`aiperf.metrics.verdict_symptoms`).

Before the window and outside of it nothing is counted. On the timing path it costs one addition per wake-up.
"""

import gc
import time
from typing import Any

from aiperf.service.cpu_pressure import CpuPressure, read_cpu_pressure
from aiperf.service.process_cost import cpu_s, process_cost
from aiperf.units import NS_PER_MS, NS_PER_S

_STEPS_PER_DOUBLING = 8
_STEP_BITS = 3


class Delays:
    """Delays in ns, as a histogram with eight steps a doubling: percentiles are at most an eighth too high."""

    __slots__ = ("_counts", "count", "max_ns", "total_ns")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0

    def add(self, delay_ns: int) -> None:
        """A negative delay is none."""
        if delay_ns < 0:
            delay_ns = 0
        self.count += 1
        self.total_ns += delay_ns
        if delay_ns > self.max_ns:
            self.max_ns = delay_ns
        doubling = max(delay_ns.bit_length() - 1, _STEP_BITS)
        step = (doubling << _STEP_BITS) + (delay_ns >> (doubling - _STEP_BITS))
        self._counts[step] = self._counts.get(step, 0) + 1

    def percentile_ns(self, percent: float) -> int:
        """No more than so many percent of the delays are longer. 0 when there were none."""
        rank, seen = percent / 100 * self.count, 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= rank:
                return min(self.max_ns, _upper_end_ns(step))
        return self.max_ns

    def observations(self, name: str) -> dict[str, float]:
        """By name with unit; nothing if there were none."""
        if not self.count:
            return {}
        return {
            f"{name}_p50_ms": self.percentile_ns(50) / NS_PER_MS,
            f"{name}_p99_ms": self.percentile_ns(99) / NS_PER_MS,
            f"{name}_max_ms": self.max_ns / NS_PER_MS,
        }


def _upper_end_ns(step: int) -> int:
    """The longest delay that belongs to the step."""
    # A step is doubling * 8 + the leading four bits (8 to 15) of the delay; below 16 ns the delay itself.
    doubling = max(_STEP_BITS, (step - _STEPS_PER_DOUBLING) >> _STEP_BITS)
    leading = step - (doubling << _STEP_BITS)
    return ((leading + 1) << (doubling - _STEP_BITS)) - 1


class SelfObservation:
    """One worker's. `begin` opens the window anew; `observations` is what was seen in it until now."""

    def __init__(self) -> None:
        self.armed_ns = -1
        """When the due timer should fire."""
        self._is_open = False
        self._gc_began_ns = 0
        self._start_over()

    def _start_over(self) -> None:
        self._began_ns = time.monotonic_ns()
        self._cpu_at_start_s = cpu_s()
        self._pressure_at_start: CpuPressure = read_cpu_pressure()
        self._loop_lag, self._timer_error, self._gc_pauses = Delays(), Delays(), Delays()

    def begin(self) -> None:
        """The measured phase is prepared."""
        self._start_over()
        if not self._is_open:
            self._is_open = True
            gc.callbacks.append(self._on_gc)

    def close(self) -> None:
        """Observes no more. Idempotent."""
        if self._is_open:
            self._is_open = False
            gc.callbacks.remove(self._on_gc)

    def timer_fired(self, now_ns: int) -> None:
        """The due timer woke the worker at this instant."""
        if self._is_open and self.armed_ns >= 0:
            self._timer_error.add(now_ns - self.armed_ns)
            self.armed_ns = -1

    def loop_woke(self, late_ns: int) -> None:
        """The event loop came back from a sleep so much later than asked for."""
        if self._is_open:
            self._loop_lag.add(late_ns)

    def observations(self) -> dict[str, float]:
        """By name with unit."""
        pressure = read_cpu_pressure().since(self._pressure_at_start)
        pauses = self._gc_pauses
        return {
            "observed_s": (time.monotonic_ns() - self._began_ns) / NS_PER_S,
            **process_cost(self._cpu_at_start_s),
            **pressure.observations(),
            **self._loop_lag.observations("loop_lag"),
            **self._timer_error.observations("timer_error"),
            "gc_pause_count": pauses.count,
            "gc_pause_total_ms": pauses.total_ns / NS_PER_MS,
            "gc_pause_max_ms": pauses.max_ns / NS_PER_MS,
        }

    def _on_gc(self, stage: str, _: dict[str, Any]) -> None:
        if stage == "start":
            self._gc_began_ns = time.monotonic_ns()
        elif self._gc_began_ns:
            self._gc_pauses.add(time.monotonic_ns() - self._gc_began_ns)
            self._gc_began_ns = 0
