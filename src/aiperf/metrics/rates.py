"""Counts and rates of the whole run. One function per metric.

Owns: run-level numbers made of totals and ledgers. Does not own: the totals (`totals`), the steady window's overlap
(`steady`), per-request numbers.
RunView → one float, NaN where undefined.
"""

from dataclasses import dataclass

from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.steady import SteadyWindow
from aiperf.metrics.totals import Totals
from aiperf.record.facts import NONE
from aiperf.units import NS_PER_MS, NS_PER_S

UNDEFINED = float("nan")


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything a run-level metric may look at."""

    totals: Totals
    run: RunFacts
    steady: SteadyWindow | None = None
    has_objectives: bool = False
    start_lags_ns: tuple[int, ...] = ()
    """How long after its agreed instant each worker began; of those that were there at the start."""


def _per_second(amount: float, duration_ns: int) -> float:
    return amount * NS_PER_S / duration_ns if duration_ns > 0 else UNDEFINED


def request_count(v: RunView) -> float:
    """Requests that succeeded."""
    return v.totals.completed_count


def error_request_count(v: RunView) -> float:
    """Requests that failed."""
    return v.totals.failed_count


def completed_request_count(v: RunView) -> float:
    """Requests that came to an end of their own: succeeded or failed."""
    return v.totals.completed_count + v.totals.failed_count


def request_error_rate(v: RunView) -> float:
    """Failures over completed requests. Units: %."""
    ended = v.totals.completed_count + v.totals.failed_count
    return 100 * v.totals.failed_count / ended if ended else UNDEFINED


def cancelled_request_count(v: RunView) -> float:
    """Requests cut on purpose by the plan."""
    return v.totals.cancelled_count


def censored_count(v: RunView) -> float:
    """Requests cut at the end of the grace period, or when the user stopped the run."""
    return v.totals.censored_count


def retried_request_count(v: RunView) -> float:
    """Requests sent again because an idle connection had died."""
    return v.totals.retried_count


def benchmark_duration(v: RunView) -> float:
    """Last end - first sent, of the profiling phase; a cut is an end. Units: s."""
    return v.totals.duration_ns / NS_PER_S if v.totals.sent_count else UNDEFINED


def request_throughput(v: RunView) -> float:
    """Successes over the benchmark duration."""
    return _per_second(v.totals.completed_count, v.totals.duration_ns)


def output_token_throughput(v: RunView) -> float:
    """Σ OSL over the benchmark duration. Undefined when no output tokens were counted."""
    return _per_second(total_osl(v), v.totals.duration_ns)


def input_token_throughput(v: RunView) -> float:
    """Σ ISL over the benchmark duration."""
    return _per_second(total_isl(v), v.totals.duration_ns)


def total_token_throughput(v: RunView) -> float:
    """Σ (ISL + OSL) over the benchmark duration."""
    return _per_second(total_isl(v) + total_osl(v), v.totals.duration_ns)


def total_isl(v: RunView) -> float:
    """Σ ISL of the successes. Undefined when nobody counted."""
    return v.totals.isl_tokens or UNDEFINED


def total_osl(v: RunView) -> float:
    """Σ OSL of the successes. Undefined when nobody counted."""
    return v.totals.osl_tokens or UNDEFINED


def total_output_tokens(v: RunView) -> float:
    """Σ output tokens without reasoning. Undefined when nobody counted."""
    return v.totals.output_tokens if v.totals.osl_tokens else UNDEFINED


def steady_window_duration(v: RunView) -> float:
    """From the first end of a success to the last sending. Undefined when they do not stand in that order. Units: s."""
    return v.steady.duration_ns / NS_PER_S if v.steady else UNDEFINED


def steady_request_throughput(v: RunView) -> float:
    """Successes of the steady window (closed loop: by the share of their time in it) over its length."""
    return _per_second(v.steady.requests, v.steady.duration_ns) if v.steady else UNDEFINED


def steady_output_token_throughput(v: RunView) -> float:
    """Output tokens of the steady window over its length; a request's tokens count as spread over its content."""
    tokens = v.steady.output_tokens if v.steady else 0
    return _per_second(tokens, v.steady.duration_ns) if v.steady and tokens else UNDEFINED


def shared_chunk_fraction(v: RunView) -> float:
    """Content chunks that shared a read with an earlier one, of all. Undefined when not streamed."""
    chunks = v.totals.content_chunk_count
    return v.totals.shared_chunk_count / chunks if chunks and v.totals.streamed_count else UNDEFINED


def good_request_count(v: RunView) -> float:
    """Requests that met every objective. Undefined without `--goodput`."""
    return v.totals.good_count if v.has_objectives else UNDEFINED


def good_request_fraction(v: RunView) -> float:
    """Good requests over completed ones, failures included."""
    ended = v.totals.completed_count + v.totals.failed_count
    return v.totals.good_count / ended if v.has_objectives and ended else UNDEFINED


def goodput(v: RunView) -> float:
    """Good requests over the benchmark duration."""
    return _per_second(v.totals.good_count, v.totals.duration_ns) if v.has_objectives else UNDEFINED


def offered_rate(v: RunView) -> float:
    """Requests per second the schedule asked for. Undefined in pure closed loop.

    Over the phase when a duration bounds it, else over the span of the intended instants, which n of them cut into
    n - 1 gaps.
    """
    phase, t = v.run.measured(), v.totals
    if phase is None or t.due_count == 0:
        return UNDEFINED
    if phase.stop_ns != NONE:
        return _per_second(max(phase.ledger.offered, t.due_count), phase.stop_ns - phase.start_ns)
    return _per_second(t.due_count - 1, t.last_due_ns - t.first_due_ns)


def achieved_rate(v: RunView) -> float:
    """Requests per second that were sent: over the span of the offered rate, or until the last one left if that is
    later."""
    phase, t = v.run.measured(), v.totals
    if phase is None or t.sent_count == 0:
        return UNDEFINED
    if phase.stop_ns != NONE:
        return _per_second(t.sent_count, max(phase.stop_ns, t.last_sent_ns) - phase.start_ns)
    return _per_second(t.sent_count - 1, t.last_sent_ns - t.first_sent_ns)


def unsent_count(v: RunView) -> float:
    """Requests the schedule asked for and that were never sent."""
    phase = v.run.measured()
    return phase.ledger.unsent if phase else UNDEFINED


def start_skew(v: RunView) -> float:
    """Spread of the workers' true start instants, each against the agreed one. Undefined with fewer than two known.

    At a rate a worker's agreed instant is when the first of its own arrivals was due. Units: ms.
    """
    return (max(v.start_lags_ns) - min(v.start_lags_ns)) / NS_PER_MS if len(v.start_lags_ns) > 1 else UNDEFINED
