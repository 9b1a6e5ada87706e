"""Rules about how sharply arrivals and sendings were seen: what makes a latency another than the service's.

Owns: interval widths, stamps of user space, sends that took long, chunks that shared a read. Does not own: when
requests went out (`verdict_punctuality`). The thresholds and the experiments behind them: docs/truth.md.
"""

from collections.abc import Iterator, Mapping

from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.rates import RunView
from aiperf.metrics.verdict_reasons import Direction, Effect, Reason, Severity, effect, in_words, shift, weight

WIDTH_DEGRADED_FRACTION = 0.05
"""A percentile that may be 5 % off cannot carry the comparisons of a few percent that benchmarks are made for. An
undisturbed worker is at 0, and so is one that shares its core with two burners as long as no gap between tokens passes
unread; one under a CPU limit or a forced collector is at 18 to 29 % (experiments `calm`, `burnt`, `quota rate`,
`collected`)."""
WIDTH_INVALID_FRACTION = 0.25
"""A quarter off: not even the size is known. Reached when a worker stands still for longer than the latency
(experiment `stopped rate`)."""
NEGLIGIBLE_MS = 1.0
"""Of a latency. Below this no user notices, and no network repeats it."""
NEGLIGIBLE_ITL_MS = 0.1
"""Of the mean gap between tokens, which is measured over many gaps: a tenth of a millisecond can be repeated."""
SHARED_NOTE_FRACTION = 0.05
"""From this share on, inter-chunk latency describes visibly fewer gaps than there were chunks."""

_STREAMED = ("time_to_first_token", "request_latency")
_LATENCIES = (*_STREAMED, "effective_time_to_first_token", "effective_latency")


def rules(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """The reasons found."""
    yield from _widths(view, metrics)
    yield from _user_stamps(view, metrics)
    yield from _sending(view, metrics)
    yield from _shared_chunks(metrics)


def _widths(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    high, low, ms, itl_ms = Direction.TOO_HIGH, Direction.TOO_LOW, NEGLIGIBLE_MS, NEGLIGIBLE_ITL_MS
    itl = "inter_token_latency"
    found = (
        shift(metrics, "time_to_first_token", "earliest_time_to_first_token", high, negligible=ms),
        shift(metrics, itl, "least_inter_token_latency", high, negligible=itl_ms),
        shift(metrics, itl, "greatest_inter_token_latency", low, negligible=itl_ms),
        shift(metrics, "request_latency", "earliest_request_latency", high, negligible=ms),
    )
    effects = [each for each in found if each is not None and each.worst_fraction > WIDTH_DEGRADED_FRACTION]
    if not effects:
        return
    worst = max(each.worst_fraction for each in effects)
    per_user = metrics.get("output_token_throughput_per_user")
    if per_user is not None and any(each.metric == itl for each in effects):
        effects.append(Effect("output_token_throughput_per_user", Direction.EITHER, per_user.unit))  # 1 / ITL
    t = view.totals
    text = (
        f"Arrivals were not seen sharply, since the client was busy or chunks came in bunches: "
        f"{t.wide_first_count / max(1, t.streamed_count):.1%} of first tokens and "
        f"{t.wide_last_count / max(1, t.completed_count):.1%} of last ones are known only to within more than 1 ms."
    )
    severity = weight(worst, WIDTH_DEGRADED_FRACTION, WIDTH_INVALID_FRACTION)
    yield Reason("widths", severity, text + in_words(effects), effects)


def _user_stamps(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """Without stamps of the kernel an arrival is as late as the client is, and its width does not tell: both add up."""
    run = view.run
    if run.timestamp_source not in ("user", "mixed"):
        return
    seen = [worker.observations for worker in run.workers]
    late = {p: [each.get(f"loop_lag_{p}_ms", 0.0) for each in seen] for p in ("p50", "p99")}
    late["p99"] += [each.get("drain_max_ms", 0.0) for each in seen]
    amounts = {p: max(values, default=0.0) for p, values in late.items()}
    found = (
        effect(metrics, tag, Direction.TOO_HIGH, _added(amounts, metrics, tag), negligible=NEGLIGIBLE_MS)
        for tag in _STREAMED
    )
    is_late = max(amounts.values()) > NEGLIGIBLE_MS
    effects = [each for each in found if each is not None and is_late]
    which = "All" if run.timestamp_source == "user" else "Some"
    text = f"{which} arrivals were stamped in user space, where a busy client makes them late."
    worst = max((each.worst_fraction for each in effects), default=0.0)
    severity = weight(worst, WIDTH_DEGRADED_FRACTION, WIDTH_INVALID_FRACTION)
    if run.timestamp_source == "mixed":
        severity = min(severity, Severity.DEGRADED, key=list(Severity).index)
    yield Reason("timestamps", severity, text + in_words(effects), effects)


def _added(late: Mapping[str, float], metrics: Mapping[str, MetricResult], tag: str) -> dict[str, float]:
    """Lateness, and what the widths say."""
    sharp = shift(metrics, tag, f"earliest_{tag}", Direction.TOO_HIGH, negligible=0.0)
    return {p: amount + (sharp.sizes[p].amount if sharp else 0.0) for p, amount in late.items()}


def _sending(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    """The time from just before the send until the last byte was taken: the request left in it, and when is not known.

    Where the socket did not take all at once the network or the service was slow, and latencies contain that by
    definition; else the client was held up within the call.
    """
    sending = metrics.get("http_req_sending")
    if sending is None:
        return
    amounts = {p: sending.statistics[p] for p in ("p50", "p99")}
    found: list[Effect | None] = [
        effect(metrics, tag, Direction.TOO_HIGH, amounts, negligible=NEGLIGIBLE_MS) for tag in _LATENCIES
    ]
    effects = [each for each in found if each is not None and each.worst_fraction > WIDTH_DEGRADED_FRACTION]
    if not effects:
        return
    short = sum(int(worker.observations.get("short_send_count", 0)) for worker in view.run.workers)
    if short:
        text = (
            f"{short:,} requests were larger than the socket took at once. Latencies begin with the first byte, and so "
            f"contain the sending: {amounts['p50']:.1f} ms at p50, {amounts['p99']:.1f} ms at p99."
        )
        yield Reason("sending", Severity.NOTE, text + in_words(effects), effects)
        return
    text = "The client was held up while it handed requests to the socket."
    worst = max(each.worst_fraction for each in effects)
    severity = weight(worst, WIDTH_DEGRADED_FRACTION, WIDTH_INVALID_FRACTION)
    yield Reason("sending", severity, text + in_words(effects), effects)


def _shared_chunks(metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    shared = metrics.get("shared_chunk_fraction")
    if shared is None or shared.statistics["avg"] <= SHARED_NOTE_FRACTION:
        return
    text = (
        f"{shared.statistics['avg']:.0%} of content chunks arrived together with an earlier one: "
        f"inter-chunk latency is of the gaps that could be seen. Inter-token latency is not affected."
    )
    yield Reason("shared_chunks", Severity.NOTE, text)
