"""Plan → the phases of a run, with every default filled in.

Owns: which phases there are, how each is paced and when it ends. Does not own: when it starts, arrivals, slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeVar

from aiperf.plan.plan import Plan
from aiperf.units import ns_from_s

NONE = -1
T = TypeVar("T")


class PhaseKind(IntEnum):
    """What a phase is there for."""

    WARMUP = 0
    """Brings the service into its stride; its requests are in no result."""
    PROFILING = 1
    """Is measured."""
    CALIBRATION = 2
    """Measures this side, against the built-in server; its requests never reach the endpoint."""


_NUMBERS_PER_STEP = 8
"""Room for more kinds, so that recorded numbers keep their meaning."""


def phase_number(kind: PhaseKind, step: int = 0) -> int:
    """By which a phase is known in records and messages. Only `kind_of` and `step_of` may take it apart."""
    return kind + _NUMBERS_PER_STEP * step


def kind_of(number: int) -> PhaseKind:
    """What the phase of this number is there for."""
    return PhaseKind(number % _NUMBERS_PER_STEP)


def step_of(number: int) -> int:
    """Which one of its kind it is: 0, 1, 2, …"""
    return number // _NUMBERS_PER_STEP


class Mode(StrEnum):
    CLOSED = "closed"
    """A number of requests is kept in flight."""
    OPEN = "open"
    """Requests are sent at a rate, whatever the server does."""
    CAPPED = "capped"
    """Requests are sent at a rate, but wait while as many as the cap are in flight."""


class Pattern(StrEnum):
    POISSON = "poisson"
    CONSTANT = "constant"
    GAMMA = "gamma"


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """One phase, whole."""

    kind: PhaseKind
    mode: Mode
    concurrency: int | None
    """None in open loop."""
    ramp_ns: int
    """From the start to the full concurrency."""
    rate_rps: float | None
    """None in closed loop."""
    pattern: Pattern
    smoothness: float
    """Shape of gamma gaps; 1 is Poisson."""
    request_count: int | None
    duration_ns: int | None
    """With a count as well: whichever is reached first."""
    grace_ns: int
    seed: int
    """Of this phase's arrivals and contents; warm-up and profiling differ."""
    step: int = 0
    """Which one of its kind."""

    @property
    def phase(self) -> int:
        """Its number in records and messages."""
        return phase_number(self.kind, self.step)

    def stop_ns(self, start_ns: int) -> int:
        """No dispatch at or after this instant; -1 if a count alone ends the phase."""
        return NONE if self.duration_ns is None else start_ns + self.duration_ns

    def cut_ns(self, start_ns: int) -> int:
        """What is in flight then is cut; -1 if a count alone ends the phase."""
        return NONE if self.duration_ns is None else start_ns + self.duration_ns + self.grace_ns


def phases(plan: Plan, seed: int) -> tuple[PhasePlan, ...]:
    """The phases in order: warm-up if a count or a duration was given for it, then profiling.

    Raises: ValueError if the plan still holds a sweep (see `Plan.variants`).
    """
    load, warmup = plan.load, plan.warmup
    concurrency = _one(load.concurrency)
    rate_rps = _one(load.request_rate)
    profiling = _phase(
        PhaseKind.PROFILING,
        seed,
        concurrency=concurrency,
        ramp_s=load.concurrency_ramp_s,
        rate_rps=rate_rps,
        pattern=load.arrival_pattern,
        smoothness=load.arrival_smoothness,
        request_count=load.request_count,
        duration_s=load.duration_s,
        grace_s=load.grace_period_s,
    )
    if warmup.warmup_request_count is None and warmup.warmup_duration_s is None:
        return (profiling,)
    grace_s = warmup.warmup_grace_period_s
    warming = _phase(
        PhaseKind.WARMUP,
        seed,
        concurrency=warmup.warmup_concurrency or concurrency,
        ramp_s=0,
        rate_rps=warmup.warmup_request_rate or rate_rps,
        pattern=warmup.warmup_arrival_pattern or load.arrival_pattern,
        smoothness=load.arrival_smoothness,
        request_count=warmup.warmup_request_count,
        duration_s=warmup.warmup_duration_s,
        grace_s=load.grace_period_s if grace_s is None else grace_s,
    )
    return (warming, profiling)


def _phase(
    kind: PhaseKind,
    seed: int,
    *,
    concurrency: int | None,
    ramp_s: float,
    rate_rps: float | None,
    pattern: str,
    smoothness: float | None,
    request_count: int | None,
    duration_s: float | None,
    grace_s: float,
) -> PhasePlan:
    if rate_rps is None:
        mode, concurrency = Mode.CLOSED, concurrency or 1
    else:
        mode = Mode.OPEN if concurrency is None else Mode.CAPPED
    if request_count is None and duration_s is None:
        request_count = max(10, 2 * (concurrency or 1))
    return PhasePlan(
        kind=kind,
        mode=mode,
        concurrency=concurrency,
        ramp_ns=ns_from_s(ramp_s),
        rate_rps=rate_rps,
        pattern=Pattern(pattern),
        smoothness=1.0 if smoothness is None else smoothness,
        request_count=request_count,
        duration_ns=None if duration_s is None else ns_from_s(duration_s),
        grace_ns=ns_from_s(grace_s),
        seed=2 * seed + kind,  # differs for every (seed, kind); profiling's is the same with and without a warm-up
    )


def _one(value: T | tuple[T, ...] | None) -> T | None:
    if isinstance(value, tuple):
        raise ValueError("a plan with a sweep has no phases of its own; take them of each of its variants")
    return value


def connections_at_once(phases: Sequence[PhasePlan]) -> int:
    """How many requests are in flight at the same time for certain; 0 where the server's answers decide that."""
    return max(
        (
            min(phase.concurrency, phase.request_count if phase.request_count is not None else phase.concurrency)
            for phase in phases
            if phase.mode is Mode.CLOSED and phase.concurrency is not None
        ),
        default=0,
    )
