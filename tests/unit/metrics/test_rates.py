import math

import pytest

from aiperf.metrics import rates
from aiperf.metrics.rates import RunView
from aiperf.metrics.steady import SteadyWindow
from aiperf.metrics.totals import Totals
from aiperf.schedule.ledger import Ledger

S = 1_000_000_000


@pytest.fixture
def view(make_run):
    def make(run=None, steady=None, has_objectives=False, starts=(), **totals):
        settings = {
            "completed_count": 80, "failed_count": 20, "cancelled_count": 3, "censored_count": 4, "sent_count": 107,
            "isl_tokens": 8_000, "osl_tokens": 4_000, "output_tokens": 3_000, "good_count": 60, "retried_count": 2,
            "streamed_count": 80, "content_chunk_count": 1_000, "shared_chunk_count": 50,
            "first_sent_ns": 100 * S, "last_sent_ns": 110 * S, "last_end_ns": 120 * S,
        }  # fmt: skip
        return RunView(Totals(**(settings | totals)), run or make_run(), steady, has_objectives, starts)

    return make


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (rates.request_count, 80),
        (rates.error_request_count, 20),
        (rates.completed_request_count, 100),
        (rates.request_error_rate, 20),
        (rates.cancelled_request_count, 3),
        (rates.censored_count, 4),
        (rates.retried_request_count, 2),
        (rates.benchmark_duration, 20),
        (rates.request_throughput, 4),
        (rates.output_token_throughput, 200),
        (rates.input_token_throughput, 400),
        (rates.total_token_throughput, 600),
        (rates.total_isl, 8_000),
        (rates.total_osl, 4_000),
        (rates.total_output_tokens, 3_000),
        (rates.shared_chunk_fraction, 0.05),
    ],
)
def test_each_number_of_an_ordinary_run(view, metric, value):
    assert metric(view()) == pytest.approx(value)


@pytest.mark.parametrize(
    "metric",
    [rates.request_error_rate, rates.benchmark_duration, rates.request_throughput, rates.total_isl, rates.total_osl,
     rates.total_output_tokens, rates.output_token_throughput, rates.shared_chunk_fraction, rates.achieved_rate],
)  # fmt: skip
def test_a_run_without_requests_leaves_it_undefined(make_run, metric):
    assert math.isnan(metric(RunView(Totals(), make_run())))


def test_good_requests_are_counted_only_against_objectives(view):
    assert rates.good_request_count(view(has_objectives=True)) == 60
    assert rates.good_request_fraction(view(has_objectives=True)) == 0.6
    assert rates.goodput(view(has_objectives=True)) == 3
    for metric in (rates.good_request_count, rates.good_request_fraction, rates.goodput):
        assert math.isnan(metric(view()))


def test_steady_numbers_are_of_the_window(view):
    steady = view(steady=SteadyWindow(100 * S, 105 * S, requests=30, output_tokens=1_500))
    assert rates.steady_window_duration(steady) == 5
    assert rates.steady_request_throughput(steady) == 6
    assert rates.steady_output_token_throughput(steady) == 300
    for metric in (
        rates.steady_window_duration,
        rates.steady_request_throughput,
        rates.steady_output_token_throughput,
    ):
        assert math.isnan(metric(view()))


def test_a_counted_run_has_its_rates_over_the_gaps(view):
    due = view(due_count=11, sent_count=11, first_due_ns=100 * S, last_due_ns=105 * S)
    assert rates.offered_rate(due) == 2
    assert rates.achieved_rate(due) == 1


def test_a_timed_run_has_its_rates_over_the_phase(view, make_run):
    start = make_run().phases[0].start_ns
    run = make_run(Ledger(offered=300, unsent=20), stop_ns=start + 10 * S)
    timed = view(run=run, due_count=280, sent_count=280)
    assert rates.offered_rate(timed) == 30
    assert rates.achieved_rate(timed) == 28
    assert rates.unsent_count(timed) == 20


def test_a_closed_loop_offers_no_rate(view):
    assert math.isnan(rates.offered_rate(view()))


def test_start_skew_is_the_spread_of_true_starts(view):
    assert rates.start_skew(view(starts=(0, 3_000_000))) == 3
    assert math.isnan(rates.start_skew(view(starts=(7,))))
