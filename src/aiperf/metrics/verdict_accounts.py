"""Rules about what is missing from the numbers: requests, records, workers, and how the run ended.

Owns: ledgers, losses, failures of this side, cut requests, who counted tokens, what was processed late. Does not own:
how many requests the service failed, which is a result and no matter of trust. Thresholds: docs/truth.md.
"""

from collections.abc import Iterator, Mapping

from aiperf.endpoint.exchange import ErrorKind
from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.failures import Failures
from aiperf.metrics.rates import RunView
from aiperf.metrics.run_facts import RunFacts
from aiperf.metrics.verdict_reasons import Direction, Effect, Reason, Severity, in_proportion, in_words

LOSS_INVALID_FRACTION = 0.05
"""With more than one request in 20 unseen, p95 and above may lie wholly among them."""

_COUNTED = ("request_throughput", "output_token_throughput", "request_count")


def rules(view: RunView, metrics: Mapping[str, MetricResult], failures: Failures) -> Iterator[Reason]:
    """The reasons found."""
    yield from _outcome(view.run)
    yield from _successes(view)
    yield from _ledgers(view)
    yield from _losses(view, metrics)
    yield from _client_failures(view, metrics, failures)
    yield from _notes(view)


def _by_share(share: float) -> Severity:
    return Severity.INVALID if share > LOSS_INVALID_FRACTION else Severity.DEGRADED


def _missing(metrics: Mapping[str, MetricResult], share: float) -> list[Effect]:
    """What it does to counts and rates if this share of all is not in them. Latencies may differ either way."""
    return in_proportion(metrics, _COUNTED, Direction.TOO_LOW, share / (1 - share)) if 0 < share < 1 else []


def _unknown(metrics: Mapping[str, MetricResult]) -> list[Effect]:
    """Counts and rates may be too low, nobody knows by how much."""
    return [Effect(tag, Direction.TOO_LOW, metrics[tag].unit) for tag in _COUNTED if tag in metrics]


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


def _losses(view: RunView, metrics: Mapping[str, MetricResult]) -> Iterator[Reason]:
    run, phase = view.run, view.run.measured()
    issued = phase.ledger.issued if phase else 0
    lost_credits = phase.ledger.lost if phase else 0
    lost_workers = [worker for worker in run.workers if worker.lost_reason]
    share = lost_credits / issued if issued else 0.0
    effects = _missing(metrics, share)
    if lost_workers:
        names = ", ".join(f"{worker.service_id} ({worker.lost_reason})" for worker in lost_workers[:3])
        more = f" and {len(lost_workers) - 3} more" if len(lost_workers) > 3 else ""
        text = (
            f"Lost workers: {names}{more}. {lost_credits:,} of {issued:,} requests have an unknown outcome "
            f"and are in no metric; the load was lower until others took over."
        )
        yield Reason("lost_workers", _by_share(share), text + in_words(effects), effects)
    elif lost_credits:
        text = f"{lost_credits:,} of {issued:,} requests have an unknown outcome and are in no metric."
        yield Reason("lost_credits", _by_share(share), text + in_words(effects), effects)
    for service in run.lost_services:
        text = (
            f"Lost: {service}. What was on its way through it may be missing from every metric; how much is not known, "
            f"but for what other reasons tell. Find out what ended it (its log, its memory limit), and repeat the run."
        )
        yield Reason("lost_services", Severity.DEGRADED, text, _unknown(metrics))
    if run.slices_lost_count and not run.records_lost_count:
        text = (
            f"{run.slices_lost_count:,} slices of response bytes did not arrive, and yet every request of the measured "
            f"phase has its record: those of another phase are lost, or some answers lack chunks, and then tokens and "
            f"latencies of these are too low, by how much is not known."
        )
        yield Reason("lost_slices", Severity.DEGRADED, text, _unknown(metrics))
    if run.records_lost_count:
        seen = view.totals.completed_count + view.totals.failed_count
        share = run.records_lost_count / max(1, seen + run.records_lost_count)
        effects = _missing(metrics, share)
        text = f"{run.records_lost_count:,} records ({share:.2%}) were lost on the way and are in no metric."
        yield Reason("lost_records", _by_share(share), text + in_words(effects), effects)


def _client_failures(view: RunView, metrics: Mapping[str, MetricResult], failures: Failures) -> Iterator[Reason]:
    ours = [failure for failure in failures.by_key.values() if failure.kind == ErrorKind.CLIENT_RESOURCE]
    count = sum(failure.count for failure in ours)
    if not count:
        return
    share = count / max(1, view.totals.completed_count + view.totals.failed_count)
    most = max(ours, key=lambda failure: failure.count)
    what = f" ({most.first_text})" if most.first_text else ""
    effects = _missing(metrics, share)
    text = (
        f"{count:,} requests ({share:.2%}) failed on this side for want of files, ports or memory{what}: "
        f"not the service's fault."
    )
    yield Reason("client_resource", _by_share(share), text + in_words(effects), effects)


def _notes(view: RunView) -> Iterator[Reason]:
    run, t = view.run, view.totals
    if t.censored_count:
        when = "at the end of the grace period" if run.outcome == "completed" else "when the run was stopped"
        text = (
            f"{t.censored_count:,} requests were cut {when} and count at their elapsed time: "
            f"what they could raise is marked ≥."
        )
        yield Reason("censored", Severity.NOTE, text)
    if t.server_counted_count and t.tokenizer_counted_count:
        text = (
            f"Output tokens were counted by the server in {t.server_counted_count:,} requests "
            f"and by the tokenizer in {t.tokenizer_counted_count:,}."
        )
        yield Reason("token_source", Severity.NOTE, text)
    if run.deferred_bytes or run.dropped_slice_count:
        text = (
            f"{run.deferred_bytes / 1e6:,.1f} MB of responses had to wait on disk for their record processor, "
            f"up to {run.deferred_after_load_s:,.1f} s after the load, which was not held back."
        )
        if run.dropped_slice_count:
            text += (
                f" {run.dropped_slice_count:,} slices found no room there, or the disk failed: their records are lost."
            )
        yield Reason("deferred", Severity.NOTE, text)
