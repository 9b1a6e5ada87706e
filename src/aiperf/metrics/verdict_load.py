"""Rules about how much load there was, against what was asked for.

Owns: slots that stood empty (between requests, for want of credits, for want of workers), the rate, arrivals that were
never sent. Does not own: when requests went out (`verdict_punctuality`). Thresholds and experiments: docs/truth.md.
"""

from collections.abc import Iterator, Mapping

from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.rates import RunView
from aiperf.metrics.verdict_punctuality import is_capped
from aiperf.metrics.verdict_reasons import Direction, Effect, Reason, Severity, Size, in_proportion, in_words, weight
from aiperf.record.facts import NONE
from aiperf.units import NS_PER_S

LOAD_DEGRADED_FRACTION = 0.01
"""A load of 99 % is within what repeated runs differ by (experiments `calm`, `calm rate`)."""
LOAD_INVALID_FRACTION = 0.05
"""A load less than 95 % of what was asked for is another experiment (experiments `stopped`, `too fast`)."""

_THROUGHPUTS = ("request_throughput", "output_token_throughput")


def rules(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """The reasons found."""
    yield from _rearm_delay(view, metrics)
    yield from _starvation(view, metrics)
    yield from _unplaced_slots(view, metrics)
    yield from _rate(view, metrics)


def _weight(share: float) -> Severity:
    return weight(share, LOAD_DEGRADED_FRACTION, LOAD_INVALID_FRACTION)


def _too_little(metrics: Mapping[str, MetricResult], share: float) -> list[Effect]:
    """What a load that was short by this share does to throughput."""
    return in_proportion(metrics, _THROUGHPUTS, Direction.TOO_LOW, share / (1 - share)) if share < 1 else []


def _rearm_delay(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """Slots between two requests, by the records; before the first and after the last, by the workers."""
    t = view.totals
    if t.due_count or not t.busy_ns:
        return  # Without a request that was ever in flight there is no share of time to speak of.
    at_the_ends_s = sum(worker.observations.get("empty_slot_s", 0.0) for worker in view.run.workers)
    empty_ns = t.rearm_delay_ns + at_the_ends_s * NS_PER_S
    share = empty_ns / (empty_ns + t.busy_ns)
    if share <= LOAD_DEGRADED_FRACTION:
        return
    effects = _too_little(metrics, share)
    asked = view.run.section("load").get("concurrency")
    achieved = f": {asked * (1 - share):.1f} of {asked} were in use on average" if asked else ""
    before = at_the_ends_s * NS_PER_S / empty_ns
    where = "between two requests" if before < 0.5 else "before their first request, after their last, or without any"
    text = f"Slots stood empty {share:.1%} of the time, mostly {where}{achieved}. Latencies are of a lower load."
    if before >= 0.5:
        text += " A longer run makes this share smaller; the steady throughput is taken without beginning and end."
    yield Reason("rearm_delay", _weight(share), text + in_words(effects), effects)


def _starvation(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """A part of the time that slots stood empty, those that never had a request included."""
    t = view.totals
    if t.due_count or not t.busy_ns:
        return
    starved_ns, at_the_ends_ns = (
        NS_PER_S * sum(worker.observations.get(name, 0.0) for worker in view.run.workers)
        for name in ("starved_slot_s", "empty_slot_s")
    )
    # Of the same whole as the time that slots stood empty, of which it is a part.
    share = starved_ns / (t.busy_ns + max(starved_ns, t.rearm_delay_ns + at_the_ends_ns))
    if share <= LOAD_DEGRADED_FRACTION:
        return
    effects = _too_little(metrics, share)
    text = (
        f"Slots stood empty {share:.1%} of the time for want of credits: the next ones were not handed out in time. "
        f"Latencies are of that lower load."
    )
    yield Reason("starvation", _weight(share), text + in_words(effects), effects)


def _unplaced_slots(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    phase, asked = view.run.measured(), view.run.section("load").get("concurrency")
    if phase is None or not asked or not phase.unplaced_slot_s:
        return
    ends_ns = phase.stop_ns if phase.stop_ns != NONE else phase.end_ns
    average = phase.unplaced_slot_s * NS_PER_S / max(1, ends_ns - phase.start_ns)
    share = average / asked
    effects = _too_little(metrics, share) if share > LOAD_DEGRADED_FRACTION else []
    text = (
        f"For want of workers {average:,.1f} of {asked:,} slots ({share:.1%}) were not offered on average: "
        f"those that there were hold no more connections. Every metric is of that lower load."
    )
    yield Reason("slots", _weight(share), text + in_words(effects), effects)


def _rate(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    phase = view.run.measured()
    offered, achieved = metrics.get("offered_rate"), metrics.get("achieved_rate")
    if phase is None or offered is None or achieved is None or view.run.outcome == "interrupted":
        return
    asked, sent = offered.statistics["avg"], achieved.statistics["avg"]
    unsent = phase.ledger.unsent
    short = max(1 - sent / asked, unsent / max(phase.ledger.offered, unsent, 1))
    left_over = f"; {unsent:,} of them never" if unsent else ""
    text = f"{sent:,.2f} of {asked:,.2f} requests/s were sent ({short:.1%} short){left_over}."
    if short <= LOAD_DEGRADED_FRACTION:
        if unsent:
            yield Reason("rate", Severity.NOTE, text)
        return
    effects = [Effect("achieved_rate", Direction.TOO_LOW, achieved.unit, {"avg": Size(short * asked, short)})]
    if is_capped(view.run):
        text += " The concurrency cap held them back: the service was too slow for this rate within it."
        yield Reason("rate", Severity.DEGRADED, text, effects)
    else:
        text += " Every metric is of that lower load."
        yield Reason("rate", _weight(short), text, effects + _too_little(metrics, short))
