"""The verdict: how far the numbers of a run can be trusted.

Owns: the rules and their thresholds. Does not own: the numbers (`summary`), exit codes (`aiperf.cli`).

A rule looks at what happened to the records, never at raw symptoms such as a slow event loop: a late wake-up that no
stamp felt did no harm. Each says which metric may be off and by how much. How many requests the service failed is a
result and no matter of trust.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from aiperf.endpoint.exchange import ErrorKind
from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.failures import Failures
from aiperf.metrics.rates import RunView
from aiperf.metrics.run_facts import RunFacts
from aiperf.record.facts import NONE
from aiperf.units import NS_PER_MS, NS_PER_S

WIDTH_DEGRADED_FRACTION = 0.05
"""A percentile that may be 5 % off cannot carry the comparisons of a few percent that benchmarks are made for."""
WIDTH_INVALID_FRACTION = 0.25
"""A quarter off: not even the size is known."""
NEGLIGIBLE_MS = 1.0
"""Below this no user notices, and no network repeats it."""
LAG_DEGRADED_FRACTION = 0.1
"""Arrivals this late, measured against the median of what is timed, blur the arrival pattern that was asked for."""
LAG_INVALID_FRACTION = 1.0
"""As late as the thing measured is long: the pattern is the client's own."""
LOAD_DEGRADED_FRACTION = 0.01
"""A load of 99 % is within what repeated runs differ by."""
LOAD_INVALID_FRACTION = 0.05
"""A load less than 95 % of what was asked for is another experiment."""
LOSS_INVALID_FRACTION = 0.05
"""With more than one request in 20 unseen, p95 and above may lie wholly among them."""
THROTTLED_NOTE_FRACTION = 0.001
"""Less than a millisecond of each second is no more than what any scheduler takes."""
THROTTLED_DEGRADED_FRACTION = 0.01
"""A worker that was held off its CPUs for 1 % of the time sends a percent of its requests late: p99 is of these."""
SHARED_NOTE_FRACTION = 0.05
"""From this share on, inter-chunk latency describes visibly fewer gaps than there were chunks."""


class Severity(StrEnum):
    """How much a reason weighs; the verdict's status is that of the heaviest."""

    NOTE = "note"
    DEGRADED = "degraded"
    INVALID = "invalid"


class Reason(msgspec.Struct, frozen=True):
    """One thing found."""

    rule: str
    severity: Severity
    text: str
    """What happened, which metric it touches, and how far."""


class Verdict(msgspec.Struct, frozen=True):
    status: str
    """`valid`, `degraded` or `invalid`."""
    reasons: list[Reason]
    """The heaviest first."""


def judge(view: RunView, metrics: Mapping[str, MetricResult], failures: Failures) -> Verdict:
    """The verdict on a run. `metrics`: all results by tag, those for the verdict alone included."""
    rules = (
        _outcome(view.run),
        _successes(view),
        _ledgers(view),
        _losses(view),
        _client_failures(view, failures),
        _widths(view, metrics),
        _dispatch_lag(view, metrics),
        _rearm_delay(view),
        _throttling(view.run),
        _unplaced_slots(view),
        _rate(view, metrics),
        _notes(view, metrics),
    )
    reasons = [reason for rule in rules for reason in rule]
    weights = list(Severity)
    reasons.sort(key=lambda reason: -weights.index(reason.severity))
    heaviest = reasons[0].severity if reasons else Severity.NOTE
    return Verdict("valid" if heaviest is Severity.NOTE else heaviest.value, reasons)


def is_capped(run: RunFacts) -> bool:
    """A rate with a concurrency cap: late dispatch may be the cap's doing."""
    load = run.section("load")
    return bool(load.get("request_rate")) and bool(load.get("concurrency"))


def _by_share(share: float) -> Severity:
    return Severity.INVALID if share > LOSS_INVALID_FRACTION else Severity.DEGRADED


def _outcome(run: RunFacts) -> Iterator[Reason]:
    because = f": {run.reason}" if run.reason else ""
    if run.outcome == "interrupted":
        yield Reason("interrupted", Severity.NOTE, f"The run was interrupted{because}. The numbers are of what ran.")
    elif run.outcome != "completed":
        yield Reason("aborted", Severity.DEGRADED, f"The run was aborted{because}. The numbers are of what ran.")


def _successes(view: RunView) -> Iterator[Reason]:
    if not view.totals.completed_count:
        yield Reason("no_success", Severity.INVALID, "No request succeeded: there is nothing to measure.")


def _ledgers(view: RunView) -> Iterator[Reason]:
    phase = view.run.measured()
    if phase is None:
        yield Reason("ledger", Severity.INVALID, "The measured phase never began.")
        return
    ledger = phase.ledger
    ended = ledger.completed + ledger.failed
    accounted = ended + ledger.cancelled + ledger.censored + ledger.lost
    if ledger.issued != accounted:
        share = abs(ledger.issued - accounted) / max(ledger.issued, accounted)
        text = f"The ledgers do not reconcile: {ledger.issued:,} credits were issued and {accounted:,} accounted for."
        yield Reason("ledger", _by_share(share), text)
    seen = view.totals.completed_count + view.totals.failed_count
    if ended != seen + view.run.records_lost_count:
        share = abs(ended - seen - view.run.records_lost_count) / max(ended, seen)
        text = (
            f"The ledgers do not reconcile: {ended:,} requests ended, {seen:,} records came in "
            f"and {view.run.records_lost_count:,} are known to be lost."
        )
        yield Reason("ledger", _by_share(share), text)


def _losses(view: RunView) -> Iterator[Reason]:
    run, phase = view.run, view.run.measured()
    issued = phase.ledger.issued if phase else 0
    lost_credits = phase.ledger.lost if phase else 0
    lost_workers = [worker for worker in run.workers if worker.lost_reason]
    if lost_workers:
        names = ", ".join(f"{worker.service_id} ({worker.lost_reason})" for worker in lost_workers[:3])
        more = f" and {len(lost_workers) - 3} more" if len(lost_workers) > 3 else ""
        text = (
            f"Lost workers: {names}{more}. {lost_credits:,} of {issued:,} requests have an unknown outcome "
            f"and are in no metric; the load was lower until others took over."
        )
        yield Reason("lost_workers", _by_share(lost_credits / issued if issued else 0), text)
    elif lost_credits:
        text = f"{lost_credits:,} of {issued:,} requests have an unknown outcome and are in no metric."
        yield Reason("lost_credits", _by_share(lost_credits / issued), text)
    for service in run.lost_services:
        yield Reason("lost_services", Severity.DEGRADED, f"Lost: {service}.")
    if run.records_lost_count or run.slices_lost_count:
        seen = view.totals.completed_count + view.totals.failed_count
        share = run.records_lost_count / max(1, seen + run.records_lost_count)
        text = (
            f"{run.records_lost_count:,} records ({share:.2%}) were lost on the way and are in no metric: "
            f"counts and throughput are too low by that share."
        )
        yield Reason("lost_records", _by_share(share), text)


def _client_failures(view: RunView, failures: Failures) -> Iterator[Reason]:
    kind = ErrorKind.CLIENT_RESOURCE
    count = sum(failure.count for failure in failures.by_key.values() if failure.kind == kind)
    if count:
        share = count / max(1, view.totals.completed_count + view.totals.failed_count)
        text = (
            f"{count:,} requests ({share:.2%}) failed on this side for want of files, ports or memory: "
            f"not the service's fault."
        )
        yield Reason("client_resource", _by_share(share), text)


def _widths(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    t = view.totals
    for tag, name, wide_count, of_count in (
        ("time_to_first_token", "time to first token", t.wide_first_count, t.streamed_count),
        ("request_latency", "request latency", t.wide_last_count, t.completed_count),
    ):
        latest, earliest = metrics.get(tag), metrics.get(f"earliest_{tag}")
        if latest is None or earliest is None:
            continue
        off_ms = {p: latest.statistics[p] - earliest.statistics[p] for p in ("p50", "p99")}
        off = {p: off_ms[p] / latest.statistics[p] if latest.statistics[p] > 0 else 0.0 for p in off_ms}
        worst = max((share for p, share in off.items() if off_ms[p] > NEGLIGIBLE_MS), default=0.0)
        if worst <= WIDTH_DEGRADED_FRACTION:
            continue
        text = (
            f"Arrivals were not seen sharply, since the client was busy or chunks came in bunches: "
            f"{wide_count / max(1, of_count):.1%} are known only to within more than 1 ms. "
            f"True {name} may be lower by up to {off_ms['p50']:.1f} ms "
            f"({off['p50']:.0%}) at p50 and {off_ms['p99']:.1f} ms ({off['p99']:.0%}) at p99."
        )
        yield Reason("widths", Severity.INVALID if worst > WIDTH_INVALID_FRACTION else Severity.DEGRADED, text)


def _dispatch_lag(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    lag = metrics.get("dispatch_lag")
    timed = metrics.get("time_to_first_token") or metrics.get("request_latency")
    if lag is None or timed is None or is_capped(view.run):
        return
    p50, p99, median = lag.statistics["p50"], lag.statistics["p99"], timed.statistics["p50"]
    share = p99 / median if median > 0 else 0.0
    if p99 <= NEGLIGIBLE_MS or share <= LAG_DEGRADED_FRACTION:
        return
    what = "time to first token" if "time_to_first_token" in metrics else "request latency"
    text = (
        f"The client dispatched late: by {p50:.1f} ms at p50 and {p99:.1f} ms at p99, which is {share:.0%} of the "
        f"median {what}. Arrivals were less regular than asked for, and effective latencies are too high by as much."
    )
    yield Reason("dispatch_lag", Severity.INVALID if share > LAG_INVALID_FRACTION else Severity.DEGRADED, text)


def _rearm_delay(view: RunView) -> Iterator[Reason]:
    t = view.totals
    if t.due_count or not t.rearmed_count or not t.busy_ns:
        return  # Without a request that was ever in flight there is no share of time to speak of.
    share = t.rearm_delay_ns / max(1, t.rearm_delay_ns + t.busy_ns)
    if share <= LOAD_DEGRADED_FRACTION:
        return
    asked = view.run.section("load").get("concurrency")
    achieved = f": {asked * (1 - share):.1f} of {asked} were in use on average" if asked else ""
    text = (
        f"Slots stood empty {share:.1%} of the time between two requests{achieved}. "
        f"Throughput at full concurrency would be up to {share / (1 - share):.1%} higher, and latencies too."
    )
    yield Reason("rearm_delay", Severity.INVALID if share > LOAD_INVALID_FRACTION else Severity.DEGRADED, text)


def _throttling(run: RunFacts) -> Iterator[Reason]:
    phase = run.measured()
    if phase is None or phase.end_ns <= phase.start_ns:
        return
    lasted_ms = (phase.end_ns - phase.start_ns) / NS_PER_MS
    shares = {
        worker.service_id: share
        for worker in run.workers
        if (share := worker.observations.get("throttled_ms", 0.0) / lasted_ms) > THROTTLED_NOTE_FRACTION
    }
    if not shares:
        return
    worst = max(shares, key=lambda name: shares[name])
    text = (
        f"The CPU limit of {len(shares)} of {len(run.workers)} workers held them back, {worst} for {shares[worst]:.1%} "
        f"of the measured time: requests went out late by so much. Give workers more CPU, or no limit."
    )
    is_much = shares[worst] > THROTTLED_DEGRADED_FRACTION
    yield Reason("throttling", Severity.DEGRADED if is_much else Severity.NOTE, text)


def _unplaced_slots(view: RunView) -> Iterator[Reason]:
    phase, asked = view.run.measured(), view.run.section("load").get("concurrency")
    if phase is None or not asked or not phase.unplaced_slot_s:
        return
    ends_ns = phase.stop_ns if phase.stop_ns != NONE else phase.end_ns
    average = phase.unplaced_slot_s * NS_PER_S / max(1, ends_ns - phase.start_ns)
    share = average / asked
    text = (
        f"For want of workers {average:,.1f} of {asked:,} slots ({share:.1%}) were not offered on average: "
        f"those that there were hold no more connections. Every metric is of that lower load."
    )
    if share > LOAD_DEGRADED_FRACTION:
        yield Reason("slots", Severity.INVALID if share > LOAD_INVALID_FRACTION else Severity.DEGRADED, text)
    else:
        yield Reason("slots", Severity.NOTE, text)


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
    elif is_capped(view.run):
        text += " The concurrency cap held them back: the service was too slow for this rate within it."
        yield Reason("rate", Severity.DEGRADED, text)
    else:
        text += " Every metric is of that lower load."
        yield Reason("rate", Severity.INVALID if short > LOAD_INVALID_FRACTION else Severity.DEGRADED, text)


def _notes(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    run, t = view.run, view.totals
    if run.timestamp_source in ("user", "mixed"):
        which = "All" if run.timestamp_source == "user" else "Some"
        text = f"{which} arrivals were stamped in user space: what a busy client adds lies within their widths."
        yield Reason("timestamps", Severity.NOTE, text)
    if t.censored_count:
        when = "at the end of the grace period" if run.outcome == "completed" else "when the run was stopped"
        text = (
            f"{t.censored_count:,} requests were cut {when} and count at their elapsed time: "
            f"what they could raise is marked ≥."
        )
        yield Reason("censored", Severity.NOTE, text)
    shared = metrics.get("shared_chunk_fraction")
    if shared is not None and shared.statistics["avg"] > SHARED_NOTE_FRACTION:
        text = (
            f"{shared.statistics['avg']:.0%} of content chunks arrived together with an earlier one: "
            f"inter-chunk latency is of the gaps that could be seen. Inter-token latency is not affected."
        )
        yield Reason("shared_chunks", Severity.NOTE, text)
    if t.server_counted_count and t.tokenizer_counted_count:
        text = (
            f"Output tokens were counted by the server in {t.server_counted_count:,} requests "
            f"and by the tokenizer in {t.tokenizer_counted_count:,}."
        )
        yield Reason("token_source", Severity.NOTE, text)
    if run.deferred_bytes:
        text = f"{run.deferred_bytes / 1e6:,.1f} MB of responses had to wait on disk for their record processor."
        yield Reason("deferred", Severity.NOTE, text)
