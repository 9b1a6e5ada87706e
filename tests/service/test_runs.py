"""Whole runs in virtual time: every service is real, only the network and the clock are not."""

from itertools import pairwise

import pytest

from aiperf.errors import ExitCode
from aiperf.plan.plan import WarmupPlan
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.messages import ServiceLost, StopRun

pytestmark = [pytest.mark.looptime]


async def test_a_counted_run_executes_exactly_the_credits_asked_for(benchmark_run):
    run = benchmark_run()
    finished = await run.run(concurrency=5, request_count=53)
    assert (finished.exit_code, finished.outcome) == (ExitCode.DONE, "completed")
    assert [credit for credit, _, _ in run.stream()] == list(range(53))
    assert run.server.in_flight_max == 5
    assert run.summary["request_count"]["avg"] == 53
    assert run.summary["request_latency"]["p99"] == pytest.approx(100)
    assert run.summary["verdict"]["status"] == "valid"


async def test_the_concurrency_is_held_while_there_are_credits(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 80 + 40 * (n % 7) / 7
    await run.run(concurrency=8, request_count=800, workers=2)
    assert run.server.in_flight_max == 8
    # What is missing is the end, when there are fewer credits left than slots: about one round of a hundred.
    assert run.summary["effective_concurrency"]["avg"] > 7.9


async def test_a_duration_ends_dispatching_at_the_agreed_instant_everywhere(benchmark_run):
    run = benchmark_run()
    await run.run(concurrency=6, duration_s=2, workers=3)
    first = min(exchange.dispatched_ns for exchange in run.server.sent)
    assert all(exchange.dispatched_ns < first + 2 * NS_PER_S for exchange in run.server.sent)
    assert run.summary["request_count"]["avg"] == len(run.server.sent) == 6 * 20


async def test_requests_slower_than_the_grace_period_are_cut_and_counted_as_censored(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 100 if n < 40 else 60_000
    await run.run(concurrency=4, duration_s=2, grace_period_s=1)
    credits = run.summary["credits"]
    assert (credits["completed"], credits["censored"]) == (40, 4)
    assert credits["issued"] == 44
    assert run.summary["censored_count"]["avg"] == 4


@pytest.mark.parametrize("workers", [1, 3])
async def test_constant_arrivals_are_sent_at_equal_gaps_whoever_sends_them(benchmark_run, workers):
    run = benchmark_run()
    await run.run(request_rate=50, arrival_pattern="constant", request_count=40, workers=workers)
    dispatched = sorted(exchange.dispatched_ns for exchange in run.server.sent)
    gaps = {later - earlier for earlier, later in pairwise(dispatched)}
    assert all(abs(gap - 20 * NS_PER_MS) <= 1_000 for gap in gaps)
    assert run.summary["dispatch_lag"]["max"] < 0.01


async def test_the_same_seed_gives_the_same_request_stream_for_any_number_of_workers(benchmark_run):
    streams = []
    for workers in (1, 3, 8):
        run = benchmark_run()
        await run.run(request_rate=200, request_count=100, workers=workers, seed=7)
        first = min(due for _, _, due in run.stream())
        streams.append([(credit, entry, due - first) for credit, entry, due in run.stream()])
    assert streams[0] == streams[1] == streams[2]


@pytest.mark.parametrize("load", [{"concurrency": 6}, {"request_rate": 60, "arrival_pattern": "constant"}])
async def test_each_worker_tells_where_it_ran_and_how_it_began(benchmark_run, load, monkeypatch):
    monkeypatch.setenv("POD_NAME", "pod-7")
    monkeypatch.setenv("NODE_NAME", "node-3")
    run = benchmark_run()
    await run.run(request_count=60, workers=3, **load)
    summary = run.summary
    for row in summary["workers"]:
        assert (row["host"], row["node"]) == ("pod-7", "node-3")
        assert row["started_ns"] in {exchange.dispatched_ns for exchange in run.server.sent}
        assert row["start_skew_ms"] == pytest.approx(0, abs=1)
        assert row["loop_lag_max_ms"] == pytest.approx(0, abs=1)
        assert row["throttled_count"] >= 0
        assert row["run_queue_delay_ms"] >= 0
    assert summary["start_skew"]["avg"] == pytest.approx(0, abs=1)


async def test_an_open_loop_does_not_wait_for_a_slow_server(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 3_000
    await run.run(request_rate=100, arrival_pattern="constant", duration_s=2)
    assert run.server.in_flight_max == 200
    assert run.summary["dispatch_lag"]["max"] < 0.01


async def test_an_arrival_due_just_before_the_stop_is_sent(benchmark_run):
    run = benchmark_run()
    await run.run(request_rate=1_000, arrival_pattern="constant", duration_s=1)
    assert len(run.server.sent) == 1_000
    assert run.summary["credits"]["unsent"] == 0


async def test_a_rate_with_a_cap_keeps_the_cap_and_tells_the_wait(benchmark_run):
    run = benchmark_run()
    await run.run(request_rate=100, arrival_pattern="constant", concurrency=5, request_count=200)
    assert run.server.in_flight_max == 5
    summary = run.summary
    assert summary["request_latency"]["p99"] == pytest.approx(100)
    # 100 arrivals a second meet room for 50: the last one waits as long as the run is late by then, about 2 s.
    assert summary["effective_latency"]["max"] == pytest.approx(2_100, rel=0.05)


async def test_warm_up_is_drained_before_profiling_and_is_in_no_result(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 500 if n < 7 else 100
    await run.run(concurrency=2, request_count=20, warmup=WarmupPlan(warmup_request_count=7))
    warm = [exchange for exchange in run.server.sent if exchange.phase == 0]
    measured = [exchange for exchange in run.server.sent if exchange.phase == 1]
    assert (len(warm), len(measured)) == (7, 20)
    assert max(exchange.end_ns for exchange in warm) <= min(exchange.dispatched_ns for exchange in measured)
    assert run.summary["request_latency"]["max"] == pytest.approx(100)
    assert len(run.lines) == 20


async def test_failures_are_records_and_the_run_goes_on(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: n % 4 == 0
    finished = await run.run(concurrency=2, request_count=40)
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert (summary["request_count"]["avg"], summary["error_request_count"]["avg"]) == (30, 10)
    (error,) = summary["error_summary"]
    assert (error["kind"], error["code"], error["count"]) == ("http_status", 503, 10)
    assert "busy" in error["message"]


async def test_no_success_at_all_is_a_failed_benchmark(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: True
    finished = await run.run(concurrency=2, request_count=20)
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert "no request succeeded: http_status 503: " in finished.reason


async def test_lines_are_in_order_of_completion_over_all_record_processors(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 50 + 37 * (n % 7)
    await run.run(concurrency=12, request_count=120, workers=4, processors=3)
    ends = [line["metadata"]["request_end_ns"] for line in run.lines]
    assert ends == sorted(ends)
    assert len(ends) == 120
    assert {line["metadata"]["record_processor_id"] for line in run.lines} == {
        f"record-processor-{n}" for n in range(3)
    }


async def test_the_account_of_credits_and_the_account_of_records_agree(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: n % 5 == 0
    await run.run(concurrency=9, duration_s=3, workers=3, processors=2)
    credits, records = run.summary["credits"], run.summary["records"]
    assert credits["issued"] == sum(credits[name] for name in ("completed", "failed", "cancelled", "censored", "lost"))
    assert credits["completed"] + credits["failed"] == records["records"] + records["lost"] == len(run.server.sent)


async def test_one_stop_lets_requests_in_flight_finish_and_reports_an_interrupted_run(benchmark_run):
    run = benchmark_run()

    def stop_early(progress, seat) -> None:
        if len(run.progress) == 4:
            seat.send(StopRun(now=False, reason="interrupted by the user"))

    run.on_progress = stop_early
    finished = await run.run(concurrency=4, duration_s=600)
    assert finished.exit_code == ExitCode.INTERRUPTED
    summary = run.summary
    assert summary["was_cancelled"]
    assert not summary["is_complete"]
    assert summary["credits"]["completed"] == len(run.server.sent) < 100
    assert summary["credits"]["censored"] == 0


async def test_a_rate_that_is_stopped_early_is_told_over_the_time_it_ran(benchmark_run):
    run = benchmark_run()

    def stop_early(progress, seat) -> None:
        if len(run.progress) == 8:
            seat.send(StopRun(now=False, reason="interrupted by the user"))

    run.on_progress = stop_early
    await run.run(request_rate=100, arrival_pattern="constant", duration_s=600)
    assert run.summary["offered_rate"]["avg"] == pytest.approx(100, rel=0.02)
    assert run.summary["achieved_rate"]["avg"] == pytest.approx(100, rel=0.02)


async def test_the_grace_period_is_shown_as_draining(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 2_000
    await run.run(concurrency=4, duration_s=1)
    assert "draining" in [progress.state for progress in run.progress]


async def test_a_second_stop_cuts_what_is_in_flight(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 100 if n < 8 else 1_000_000

    def stop_twice(progress, seat) -> None:
        if len(run.progress) in (4, 6):
            seat.send(StopRun(now=len(run.progress) == 6, reason="interrupted by the user"))

    run.on_progress = stop_twice
    await run.run(concurrency=4, duration_s=600)
    assert run.summary["credits"]["censored"] == 4
    assert run.summary["credits"]["completed"] == 8


async def test_a_lost_worker_costs_its_requests_and_the_others_take_its_load(benchmark_run):
    run = benchmark_run()

    def lose_one(progress, seat) -> None:
        if len(run.progress) == 4:
            seat.send(ServiceLost("worker-1", "killed"))

    run.on_progress = lose_one
    finished = await run.run(concurrency=6, request_count=300, workers=3)
    assert finished.outcome == "completed"
    summary = run.summary
    credits = summary["credits"]
    assert credits["lost"] > 0
    assert credits["issued"] == 300 == credits["completed"] + credits["lost"]
    assert summary["verdict"]["status"] == "degraded"
    assert summary["verdict"]["reasons"]
    assert [row["lost_count"] for row in summary["workers"]] == [0, credits["lost"], 0]
    assert sum(row["request_count"] for row in summary["workers"]) == credits["completed"]
