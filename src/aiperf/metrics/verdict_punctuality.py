"""Rules about when requests went out: against their due time, against each other, against the other hosts' clocks.

Owns: dispatch lag, timer error under a cap, start skew, uncertainty of clocks. Does not own: how many went out
(`verdict_load`). The thresholds and the experiments behind them: docs/truth.md.
"""

from collections.abc import Iterator, Mapping

from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.rates import RunView
from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.verdict_reasons import (
    Direction,
    Effect,
    Reason,
    Severity,
    effect,
    in_proportion,
    in_words,
    shift,
    weight,
)
from aiperf.metrics.verdict_sharpness import NEGLIGIBLE_MS
from aiperf.units import NS_PER_MS

LAG_DEGRADED_FRACTION = 0.1
"""Arrivals this late, measured against the median of what is timed, blur the arrival pattern that was asked for. An
idle core stays below 0.5 ms; a burnt one is at some ms (experiments `calm rate`, `burnt rate`)."""
LAG_INVALID_FRACTION = 1.0
"""As late as the thing measured is long: the pattern is the client's own."""
SKEW_DEGRADED_FRACTION = 0.05
"""For so much of the run some workers were missing: throughput is too low by that share at most."""
SKEW_INVALID_FRACTION = 0.25

_FROM_DUE = ("effective_time_to_first_token", "effective_latency")


def rules(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """The reasons found."""
    yield from _dispatch_lag(view, metrics)
    yield from _timer_error(view, metrics)
    yield from _start_skew(view, metrics)
    yield from _clock_uncertainty(view, metrics)
    yield from _clock_steps(view.run)


def is_capped(run: RunFacts) -> bool:
    """A rate with a concurrency cap: late dispatch may be the cap's doing."""
    load = run.section("load")
    return bool(load.get("request_rate")) and bool(load.get("concurrency"))


def _timed(metrics: Mapping[str, MetricResult]) -> tuple[str, float]:
    """What lateness is measured against: its name, and its median in ms. 0 if there is nothing."""
    for tag, name in (("time_to_first_token", "time to first token"), ("request_latency", "request latency")):
        if tag in metrics:
            return name, metrics[tag].statistics["p50"]
    return "", 0.0


def _late(metrics: Mapping[str, MetricResult], amounts: Mapping[str, float]) -> list[Effect]:
    found = (effect(metrics, tag, Direction.TOO_HIGH, amounts) for tag in _FROM_DUE)
    return [each for each in found if each is not None]


def _dispatch_lag(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """Late to take a request up, or to begin a connection for it. What the service then takes is not the client's."""
    lag, (what, median) = metrics.get("dispatch_lag"), _timed(metrics)
    if lag is None or not median or is_capped(view.run):
        return
    dispatched_ms = lag.statistics["p99"]
    blocked_ms = metrics["http_req_blocked"].statistics["p99"] if "http_req_blocked" in metrics else 0.0
    late_ms = max(dispatched_ms, blocked_ms)
    share = late_ms / median
    if late_ms <= NEGLIGIBLE_MS or share <= LAG_DEGRADED_FRACTION:
        return
    found = (
        shift(metrics, tag, bound, Direction.TOO_HIGH, negligible=0.0)
        for tag, bound in zip(_FROM_DUE, ("earliest_time_to_first_token", "earliest_request_latency"), strict=True)
    )
    effects = [each for each in found if each is not None]
    waited = f" and let them wait {blocked_ms:,.1f} ms for a connection" if blocked_ms > NEGLIGIBLE_MS else ""
    text = (
        f"The client was late: at p99 it took requests up {dispatched_ms:,.1f} ms after they were due{waited}, which "
        f"is {share:.0%} of the median {what}. Arrivals were less regular than asked for."
    )
    severity = weight(share, LAG_DEGRADED_FRACTION, LAG_INVALID_FRACTION)
    yield Reason("dispatch_lag", severity, text + in_words(effects), effects)


def _timer_error(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """Under a cap a late dispatch may have waited for a slot: what is left to go by is how late the timer was."""
    what, median = _timed(metrics)
    if not is_capped(view.run) or not median:
        return
    seen = [worker.observations for worker in view.run.workers]
    amounts = {p: max((each.get(f"timer_error_{p}_ms", 0.0) for each in seen), default=0.0) for p in ("p50", "p99")}
    share = amounts["p99"] / median
    if amounts["p99"] <= NEGLIGIBLE_MS or share <= LAG_DEGRADED_FRACTION:
        return
    effects = _late(metrics, amounts)
    text = (
        f"The client woke late for arrivals that a slot was free for: by {amounts['p50']:.1f} ms at p50 and "
        f"{amounts['p99']:.1f} ms at p99, which is {share:.0%} of the median {what}."
    )
    severity = weight(share, LAG_DEGRADED_FRACTION, LAG_INVALID_FRACTION)
    yield Reason("timer_error", severity, text + in_words(effects), effects)


def _start_skew(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    skew = metrics.get("start_skew")
    duration_ms = view.totals.duration_ns / NS_PER_MS
    if skew is None or not duration_ms or view.totals.due_count:
        return  # At a rate it is in the dispatch lag.
    share = skew.statistics["avg"] / duration_ms
    if share <= SKEW_DEGRADED_FRACTION or skew.statistics["avg"] <= NEGLIGIBLE_MS:
        return
    effects = in_proportion(metrics, ("request_throughput", "output_token_throughput"), Direction.TOO_LOW, share)
    text = (
        f"Workers began up to {skew.statistics['avg']:.1f} ms apart, which is {share:.1%} of the run: "
        f"for so long not all of the load was on."
    )
    severity = weight(share, SKEW_DEGRADED_FRACTION, SKEW_INVALID_FRACTION)
    yield Reason("start_skew", severity, text + in_words(effects), effects)


def _clock_uncertainty(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """Due times come from the controller's clock; all times of one request are on its own host's."""
    uncertain_ms = {
        worker.service_id: (
            abs(worker.observations.get("clock_drift_ns", 0.0))
            + max(
                worker.observations.get("clock_uncertainty_ns", 0.0),
                worker.observations.get("clock_drift_uncertainty_ns", 0.0),
            )
        )
        / NS_PER_MS
        for worker in view.run.workers
    }
    _, median = _timed(metrics)
    worst = max(uncertain_ms, key=lambda name: uncertain_ms[name], default="")
    if not worst or not median or not view.totals.due_count or uncertain_ms[worst] <= NEGLIGIBLE_MS:
        return
    amount = uncertain_ms[worst]
    found = (
        effect(metrics, tag, Direction.EITHER, {"p50": amount, "p99": amount}) for tag in ("dispatch_lag", *_FROM_DUE)
    )
    effects = [each for each in found if each is not None]
    text = (
        f"The clock of {worst} is known only to within {amount:.1f} ms of the controller's, by which due times go. "
        f"Times within a request are not affected."
    )
    share = amount / median
    severity = min(weight(share, LAG_DEGRADED_FRACTION, LAG_INVALID_FRACTION), Severity.DEGRADED, key=_order)
    yield Reason("clock_uncertainty", severity, text + in_words(effects), effects)


def _order(severity: Severity) -> int:
    return list(Severity).index(severity)


def _clock_steps(run: RunFacts) -> Iterator[Reason]:
    steps = sum(int(worker.observations.get("clock_step_count", 0)) for worker in run.workers)
    replaced = sum(int(worker.observations.get("replaced_stamp_count", 0)) for worker in run.workers)
    if steps:
        text = (
            f"The wall clock was set {steps:,} times during the run. {replaced:,} kernel stamps that could not be were "
            f"replaced by the clock of the process, which no step moves; all others count as converted anew."
        )
        yield Reason("clock_steps", Severity.NOTE, text)
