import pytest

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.metrics import partial as partial_module
from aiperf.metrics.goodput import objectives_of
from aiperf.metrics.partial import Partial
from aiperf.metrics.summary import ErrorEntry, Load, RecordLedger, summarise
from aiperf.schedule.ledger import Ledger

MS = 1_000_000


def test_an_ordinary_run_has_its_numbers(make_facts, make_partial, make_run):
    summary = summarise(make_partial(make_facts(4)), make_run(Ledger(issued=4, completed=4, offered=4)))
    statistics = {
        tag: result.statistics["avg"] for tag, result in summary.metrics.items() if "avg" in result.statistics
    }
    assert statistics["time_to_first_token"] == 100
    assert statistics["inter_token_latency"] == 10
    assert statistics["request_count"] == 4
    assert statistics["benchmark_duration"] == 0.61
    assert statistics["output_token_throughput"] == pytest.approx(4 * 51 / 0.61)
    assert statistics["effective_concurrency"] == 4
    assert summary.verdict.status == "valid"
    assert summary.token_source == "server"
    assert (summary.is_complete, summary.was_cancelled) == (True, False)


def test_what_only_the_verdict_looks_at_is_not_exported(make_facts, make_partial, make_run):
    assert "earliest_time_to_first_token" not in summarise(make_partial(make_facts(4)), make_run()).metrics


def test_undefined_metrics_are_left_out(make_facts, make_partial, make_run):
    closed = make_facts(due_ns=-1, first_content_ns=-1, first_output_ns=-1, second_content_ns=-1, content_chunk_count=0)
    metrics = summarise(make_partial(closed), make_run()).metrics
    for tag in ("time_to_first_token", "effective_latency", "dispatch_lag", "offered_rate", "goodput",
                "inter_chunk_latency", "effective_prefill_concurrency", "adj_time_to_first_token"):  # fmt: skip
        assert tag not in metrics
    assert "request_latency" in metrics


def test_without_streaming_a_cut_request_brings_no_token_times(make_facts, make_partial, make_run):
    rows = make_facts(2, first_content_ns=-1, first_output_ns=-1)
    rows["outcome"] = [Outcome.COMPLETED, Outcome.CENSORED]
    metrics = summarise(make_partial(rows), make_run()).metrics
    assert "time_to_first_token" not in metrics
    assert metrics["request_latency"].statistics["count"] == 2
    assert "p99" in metrics["request_latency"].lower_bounds


def test_failures_are_in_the_adjusted_latencies_and_the_error_summary(make_facts, make_partial, make_run):
    rows = make_facts(4)
    rows["outcome"][3], rows["error_kind"][3], rows["http_status"][3] = Outcome.FAILED, ErrorKind.HTTP_STATUS, 503
    summary = summarise(make_partial(rows, texts={3: "overloaded"}), make_run())
    assert summary.error_summary == [ErrorEntry("http_status", 503, "overloaded", 1)]
    assert summary.metrics["adj_request_latency"].statistics["p50"] == 600
    assert summary.metrics["adj_request_latency"].statistics["p99"] == float("inf")
    assert summary.metrics["request_latency"].statistics["count"] == 3
    assert summary.metrics["request_error_rate"].statistics["avg"] == 25


def test_an_interrupted_run_says_so(make_facts, make_partial, make_run):
    summary = summarise(make_partial(make_facts()), make_run(outcome="interrupted", reason="Ctrl-C"))
    assert (summary.is_complete, summary.was_cancelled) == (False, True)
    assert any(reason.rule == "interrupted" for reason in summary.verdict.reasons)


def test_an_aborted_run_is_incomplete_but_nobody_cancelled_it(make_facts, make_partial, make_run):
    summary = summarise(make_partial(make_facts()), make_run(outcome="aborted", reason="disk full"))
    assert (summary.is_complete, summary.was_cancelled) == (False, False)


def test_a_run_without_records_still_has_a_summary(make_run):
    summary = summarise(Partial.empty(), make_run(phases=[]))
    assert summary.verdict.status == "invalid"
    assert summary.metrics["request_count"].statistics == {"avg": 0}
    assert (summary.start_time, summary.end_time) == ("", "")


def test_goodput_is_judged_by_the_plans_objectives(make_facts, make_partial, make_run):
    run = make_run(plan={"results": {"goodput": "time_to_first_token:150"}})
    rows = make_facts(2)
    rows["first_content_ns"][1] += 100 * MS
    partial = make_partial(rows, objectives=objectives_of("time_to_first_token:150"))
    assert summarise(partial, run).metrics["good_request_fraction"].statistics["avg"] == 0.5


def test_load_states_what_was_asked_for_and_what_was_sent(make_facts, make_partial, make_run):
    rows = make_facts(3)
    for name in ("due_ns", "sent_ns"):
        rows[name] += [0, 500 * MS, 1_000 * MS]
    run = make_run(Ledger(offered=5, unsent=2), plan={"load": {"request_rate": 2.0, "concurrency": 8}})
    load = summarise(make_partial(rows), run).load
    assert load == Load(
        mode="rate with a cap", concurrency=8, request_rate=2.0, offered_rate=2.0, achieved_rate=2.0, unsent_count=2,
        in_flight_avg=load.in_flight_avg,
    )  # fmt: skip


def test_records_are_a_ledger_of_their_own(make_facts, make_partial, make_run):
    rows = make_facts(4)
    rows["outcome"] = [Outcome.COMPLETED, Outcome.FAILED, Outcome.CANCELLED, Outcome.CENSORED]
    summary = summarise(make_partial(rows), make_run(records_lost_count=2, slices_lost_count=1))
    assert summary.records == RecordLedger(records=2, lost=2, cut=2, slices_lost=1)


def test_above_the_sweep_limit_the_average_concurrency_is_left(make_facts, make_partial, make_run, monkeypatch):
    monkeypatch.setattr(partial_module, "SWEEP_LIMIT", 1)
    total = make_partial(make_facts(1))
    total.merge(make_partial(make_facts(1)))
    metrics = summarise(total, make_run()).metrics
    assert metrics["effective_concurrency"].statistics == {"avg": 2}
    assert "tokens_in_flight" not in metrics


def test_times_are_iso_in_utc(make_facts, make_partial, make_run):
    summary = summarise(make_partial(make_facts()), make_run())
    assert summary.start_time == "2023-11-14T22:13:20+00:00"
    assert summary.end_time == "2023-11-14T22:13:20.620000+00:00"
