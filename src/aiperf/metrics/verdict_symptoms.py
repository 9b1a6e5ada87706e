"""What held workers up: symptoms, which explain reasons and are none themselves.

Owns: from what a worker observed of itself to words on it, one rule per symptom. Does not own: what the records felt
(the other rules): a late wake-up that no stamp felt did no harm, so nothing here changes the verdict's status.

A symptom is told when it took a share of the measured time that could be felt, or held the worker up once for so long.
Thresholds and experiments: docs/truth.md.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.verdict_reasons import Cause, Reason, Severity
from aiperf.units import NS_PER_S

SHARE_MIN_FRACTION = 0.01
"""Of the measured time. For what does not happen at all to an undisturbed worker: throttling, long collections."""
WAIT_MIN_FRACTION = 0.1
"""Of the measured time, in the run queue or by the pressure that the kernel tells. A worker that shares two cores with
the rest of aiperf and the service waits for 3 to 6 % undisturbed (experiment `calm`)."""
PAUSE_MIN_MS = 5.0
"""A pause that is longer spans a gap between tokens of a fast model, and a slice of the scheduler, which is what p99 of
the loop's lag and of the timer's error are undisturbed: 1 to 4 ms (experiments `calm`, `calm rate`)."""
STANDSTILL_MIN_MS = 100.0
"""Twice the time after which the loop wakes by itself, so more than one wake-up was missed (experiment `stopped`).
Undisturbed 79 ms were seen once."""


class Symptom(NamedTuple):
    """One thing that a worker observes of itself."""

    name: str
    observation: str
    is_told: Callable[[float, float], bool]
    """Whether this amount, in a window of so many seconds, is worth telling."""
    words: Callable[[str, float, float], str]
    """For a worker's name, the amount, and the window in seconds."""


def _is_share(least: float) -> Callable[[float, float], bool]:
    return lambda amount_ms, window_s: amount_ms > least * window_s * 1e3


def _is_over(least: float) -> Callable[[float, float], bool]:
    return lambda amount, _: amount > least


def _share(amount_ms: float, window_s: float) -> str:
    return f"{amount_ms / 1e3:,.2f} s ({amount_ms / (window_s * 1e3):.1%} of the measured time)"


SYMPTOMS = (
    Symptom(
        "throttling",
        "throttled_ms",
        _is_share(SHARE_MIN_FRACTION),
        lambda worker, ms, s: (
            f"The CPU limit held {worker} back for {_share(ms, s)}. Give workers more CPU, or no limit."
        ),
    ),
    Symptom(
        "standstill",
        "loop_lag_max_ms",
        _is_over(STANDSTILL_MIN_MS),
        lambda worker, ms, _: f"{worker} stood still for {ms:,.0f} ms at once.",
    ),
    Symptom(
        "gc_pauses",
        "gc_pause_max_ms",
        _is_over(PAUSE_MIN_MS),
        lambda worker, ms, _: f"The garbage collector held {worker} up for {ms:,.1f} ms at once.",
    ),
    Symptom(
        "starvation",
        "starved_slot_s",
        lambda slot_s, window_s: slot_s > SHARE_MIN_FRACTION * window_s,
        lambda worker, slot_s, _: f"Slots of {worker} waited {slot_s:,.2f} s in all for credits.",
    ),
    Symptom(
        "run_queue_delay",
        "run_queue_delay_ms",
        _is_share(WAIT_MIN_FRACTION),
        lambda worker, ms, s: (
            f"{worker} waited {_share(ms, s)} for a CPU that others had. Fewer processes beside it, or more CPUs, help."
        ),
    ),
    Symptom(
        "drain",
        "drain_max_ms",
        _is_over(PAUSE_MIN_MS),
        lambda worker, ms, _: f"{worker} needed up to {ms:,.1f} ms to read one batch of ready sockets.",
    ),
    Symptom(
        "loop_lag",
        "loop_lag_p99_ms",
        _is_over(PAUSE_MIN_MS),
        lambda worker, ms, _: f"The event loop of {worker} was late by {ms:,.1f} ms at p99.",
    ),
    Symptom(
        "timer_error",
        "timer_error_p99_ms",
        _is_over(PAUSE_MIN_MS),
        lambda worker, ms, _: f"The timer for due times woke {worker} late by {ms:,.1f} ms at p99.",
    ),
    Symptom(
        "gc_time",
        "gc_pause_total_ms",
        _is_share(SHARE_MIN_FRACTION),
        lambda worker, ms, s: f"The garbage collector of {worker} took {_share(ms, s)}.",
    ),
    Symptom(
        "short_sends",
        "short_send_count",
        _is_over(0),
        lambda worker, count, _: f"The sockets of {worker} did not take {count:,.0f} requests at once.",
    ),
    Symptom(
        "clock_steps",
        "clock_step_count",
        _is_over(0),
        lambda worker, count, _: f"The wall clock of {worker} was set {count:,.0f} times.",
    ),
    Symptom(
        "cgroup_cpu_pressure",
        "cgroup_cpu_pressure_ms",
        _is_share(WAIT_MIN_FRACTION),
        lambda worker, ms, s: f"Processes of the cgroup of {worker} waited for a CPU for {_share(ms, s)}.",
    ),
    Symptom(
        "machine_cpu_pressure",
        "machine_cpu_pressure_ms",
        _is_share(WAIT_MIN_FRACTION),
        lambda worker, ms, s: f"On the machine of {worker} somebody waited for a CPU for {_share(ms, s)}.",
    ),
)
"""The most telling first."""


def causes(run: RunFacts) -> list[Cause]:
    """Every symptom that is worth telling, of the worker that it befell most."""
    return [cause for symptom in SYMPTOMS for cause in _worst(symptom, run)]


def _worst(symptom: Symptom, run: RunFacts) -> Iterator[Cause]:
    amounts = {worker.service_id: worker.observations.get(symptom.observation, 0.0) for worker in run.workers}
    windows = {worker.service_id: _window_s(run, worker.observations) for worker in run.workers}
    worst = max(amounts, key=lambda name: amounts[name], default="")
    if not worst or not symptom.is_told(amounts[worst], windows[worst]):
        return
    text = symptom.words(worst, amounts[worst], windows[worst])
    others = sum(symptom.is_told(amounts[name], windows[name]) for name in amounts if name != worst)
    more = f" ({others} more {'worker' if others == 1 else 'workers'} told of the same, less.)" if others else ""
    yield Cause(symptom.name, worst, amounts[worst], symptom.observation, text + more)


def _window_s(run: RunFacts, observations: Mapping[str, float]) -> float:
    phase = run.measured()
    lasted_s = (phase.end_ns - phase.start_ns) / NS_PER_S if phase else 0.0
    return observations.get("observed_s", lasted_s) or 1.0


def rules(found: list[Cause]) -> Iterator[Reason]:
    """What is told even if no record felt it: a CPU limit is the user's to lift."""
    for cause in found:
        if cause.symptom == "throttling":
            yield Reason("throttling", Severity.NOTE, cause.text)
