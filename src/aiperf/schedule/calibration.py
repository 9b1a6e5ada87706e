"""A calibration's course: which load is tried next, and when it is known how much these workers can carry truthfully.

Owns: what a calibration asks for (`CalibrationShape`), the phase of each step, the search. Does not own: whether a step
was truthful (`metrics.own_error`), running it. Pure: outcomes in, phases out.

The first step is the plan's own load. From there the load is doubled, or halved, until one step is truthful and
another is not; then the gap between both is closed by bisection (of the logarithm). It ends when the gap is small
enough, when no load lies between, or after `STEPS_MAX` steps: so the time it may take is known beforehand.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from aiperf.plan.durations import duration_ns
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import Mode, PhaseKind, PhasePlan
from aiperf.units import NS_PER_S, ns_from_s

STEPS_MAX = 10
"""Own load, six doublings, and what closes the gap: up to 64 times the load is found out in a minute."""
GAP = 1.2
"""The largest truthful load is known this closely: the next one is at most so many times as large. Two bisections after
a doubling; runs of the same load differ by a tenth."""
TOKENS_MAX = 10_000
TOKENS_DEFAULT = 50
"""Of an answer whose request sets no limit."""
DRAIN_NS = NS_PER_S
"""Beyond the time of an answer: so late may it be, and is waited for."""
RAMP_FRACTION = 0.25
"""Of a step: its concurrency is reached by then, however long the plan's own ramp is."""


@dataclass(frozen=True, slots=True)
class CalibrationShape:
    """What the built-in server does, and for how long a step goes on."""

    ttft_ns: int
    itl_ns: int
    duration_ns: int

    @property
    def tokens_max(self) -> int:
        """Of an answer: it lasts no longer than half a step, so that a step sees whole answers."""
        if not self.itl_ns:
            return TOKENS_MAX
        return max(1, min(TOKENS_MAX, 1 + (self.duration_ns // 2 - self.ttft_ns) // self.itl_ns))

    @property
    def answer_ns_max(self) -> int:
        return self.ttft_ns + self.itl_ns * (self.tokens_max - 1)

    @property
    def step_ns_max(self) -> int:
        """A step with its drain."""
        return self.duration_ns + self.answer_ns_max + DRAIN_NS

    @property
    def total_s_max(self) -> int:
        """All steps."""
        return math.ceil(STEPS_MAX * self.step_ns_max / NS_PER_S)


def calibration_of(plan: Plan) -> CalibrationShape | None:
    """What the plan asks for; None if it asks for no calibration."""
    asked = plan.calibration
    if not (asked.calibrate or asked.calibrate_only):
        return None
    return CalibrationShape(
        duration_ns(asked.calibrate_ttft), duration_ns(asked.calibrate_itl), ns_from_s(asked.calibrate_duration_s)
    )


class StepOutcome(StrEnum):
    """Of a step."""

    TRUTHFUL = "truthful"
    UNTRUTHFUL = "untruthful"
    UNKNOWN = "unknown"
    """It was not this side that was the limit: what it would have done is not known."""
    UNANSWERED = "unanswered"
    """There was no answer at all: neither would another load have one."""


class CalibrationCourse:
    """One calibration. `next_step` gives the phase to run; `book` says what it showed."""

    def __init__(self, own_load: PhasePlan, shape: CalibrationShape) -> None:
        self._own = own_load
        self._shape = shape
        self._tried: dict[float, StepOutcome] = {}
        """By load, in the order of the steps."""
        self._size = float(own_load.rate_rps if own_load.rate_rps is not None else own_load.concurrency or 1)
        """Of the own load: requests per second, or in flight."""

    @property
    def largest(self) -> float | None:
        """The largest truthful load below every other outcome; None if there is none."""
        least_other = self._least_other
        below = [load for load, seen in self._tried.items() if seen is StepOutcome.TRUTHFUL and load < least_other]
        return max(below, default=None)

    @property
    def limit(self) -> float | None:
        """The smallest load that was not truthful; None if all were."""
        least = self._least_other
        return least if math.isfinite(least) else None

    @property
    def ran_out_of_steps(self) -> bool:
        return len(self._tried) >= STEPS_MAX

    @property
    def _least_other(self) -> float:
        return min((load for load, seen in self._tried.items() if seen is not StepOutcome.TRUTHFUL), default=math.inf)

    def book(self, outcome: StepOutcome) -> None:
        """What the step that `next_step` gave has shown."""
        load = self._next_load()
        assert load is not None
        self._tried[load] = outcome

    def next_step(self) -> PhasePlan | None:
        """The phase to run now; None when the course is at its end."""
        load = self._next_load()
        return None if load is None else self._phase(load)

    def _next_load(self) -> float | None:
        tried, largest, limit = self._tried, self.largest, self.limit
        if not tried:
            return self._size
        if self.ran_out_of_steps or StepOutcome.UNANSWERED in tried.values():
            return None
        if limit is None:
            load = max(tried) * 2
        elif largest is None:
            load = limit / 2
        elif limit / largest <= GAP:
            return None
        else:
            load = math.sqrt(largest * limit)
        load = self._whole(load)
        return None if load in tried or load <= 0 else load

    def _whole(self, load: float) -> float:
        return load if self._own.rate_rps is not None else float(math.floor(load))

    def _phase(self, load: float) -> PhasePlan:
        own, shape = self._own, self._shape
        factor = load / self._size
        concurrency = own.concurrency
        if own.mode is Mode.CLOSED:
            concurrency = int(load)
        elif concurrency is not None:
            concurrency = max(1, round(concurrency * factor))
        step = len(self._tried)
        return replace(
            own,
            kind=PhaseKind.CALIBRATION,
            step=step,
            concurrency=concurrency,
            ramp_ns=min(own.ramp_ns, round(shape.duration_ns * RAMP_FRACTION)),
            rate_rps=None if own.rate_rps is None else load,
            request_count=None,
            duration_ns=shape.duration_ns,
            grace_ns=shape.answer_ns_max + DRAIN_NS,
            seed=own.seed + step,
        )


def load_in_words(phase: PhasePlan) -> str:
    """`concurrency 40`, `20 requests/s`, `20 requests/s, at most 8 in flight`."""
    if phase.rate_rps is None:
        return f"concurrency {phase.concurrency:,}"
    cap = "" if phase.concurrency is None else f", at most {phase.concurrency:,} in flight"
    rate = f"{phase.rate_rps:,.4g}" if phase.rate_rps < 1e4 else f"{phase.rate_rps:,.0f}"
    return f"{rate} requests/s{cap}"
