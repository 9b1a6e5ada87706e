import msgspec
import pytest

from aiperf.ui.picture import clock_time, count, decimal, fraction_done, line, picture
from aiperf.wire.messages import Progress

COUNTED = Progress(
    phase=1,
    state="profiling",
    elapsed_s=12.6,
    sent_count=4612,
    completed_count=4500,
    failed_count=12,
    in_flight_count=100,
    offered_count=4612,
    expected_count=10_000,
    expected_s=-1,
    request_rate=300.0,
    output_token_rate=15_000.4,
    statistics={
        "request_latency": {"avg": 500.0, "p50": 480.26, "p99": 1234.5},
        "time_to_first_token": {"avg": 52.123, "p50": 50.3, "p99": 80.0},
    },
    errors={},
)
TIMED = msgspec.structs.replace(COUNTED, expected_count=-1, expected_s=60.0)
UNBOUND = msgspec.structs.replace(COUNTED, expected_count=-1, expected_s=-1)


def but(progress=COUNTED, **changes):
    return msgspec.structs.replace(progress, **changes)


def test_a_counted_phase_is_measured_by_requests_that_ended():
    said = picture(COUNTED)
    assert said.fraction == pytest.approx(0.4512)
    assert said.extent == "4,512 of 10,000 requests"
    assert said.left == "0:18"


def test_a_timed_phase_is_measured_by_the_clock():
    said = picture(TIMED)
    assert said.fraction == pytest.approx(0.21)
    assert said.extent == "0:12 of 1:00"
    assert said.left == "0:47"


def test_what_nothing_bounds_has_no_fraction_and_no_end():
    said = picture(UNBOUND)
    assert (said.fraction, said.extent, said.left) == (None, "", "")


def test_of_two_bounds_the_nearer_one_counts():
    both = but(expected_s=13.0)
    assert fraction_done(both) == pytest.approx(12.6 / 13)
    assert picture(both).left == "0:00"


def test_the_fraction_never_leaves_its_range():
    assert fraction_done(but(TIMED, elapsed_s=99.0)) == 1.0
    assert fraction_done(but(completed_count=20_000)) == 1.0
    assert fraction_done(but(TIMED, elapsed_s=-0.5)) == 0.0


def test_nothing_is_foretold_without_a_rate_or_while_draining():
    assert picture(but(request_rate=0.0)).left == ""
    assert picture(but(TIMED, state="draining")).left == ""


def test_latencies_keep_the_order_of_a_request_and_leave_out_what_is_unknown():
    rows = picture(COUNTED).latencies
    assert [row.label for row in rows] == ["Time to first token", "Request latency"]
    assert rows[0][1:] == ("52.12", "50.30", "80.00")
    assert rows[1][1:] == ("500.0", "480.3", "1,234.5")


def test_a_statistic_that_is_not_there_is_a_dash():
    (row,) = picture(but(statistics={"request_latency": {"p50": float("nan"), "avg": 1.0}})).latencies
    assert row[1:] == ("1.00", "-", "-")


def test_errors_are_ranked_and_the_rest_is_summed():
    errors = {"reset": 2, "http_status 503": 7, "dns": 1, "tls": 1, "timeout": 3, "protocol": 1, "connect_refused": 1}
    assert picture(but(errors=errors)).errors == [
        ("http_status 503", "7"),
        ("timeout", "3"),
        ("reset", "2"),
        ("connect_refused", "1"),
        ("dns", "1"),
        ("others", "2"),
    ]


def test_requests_are_told_by_what_became_of_them():
    assert picture(COUNTED).requests == [("done", "4,500"), ("failed", "12"), ("in flight", "100")]


def test_an_unknown_state_is_shown_as_it_is():
    assert picture(but(state="levitating")).state == "levitating"


def test_a_line_says_it_all():
    assert line(but(errors={"reset": 12})) == (
        "[0:12] profiling 4,512 of 10,000 requests: 4,500 done, 12 failed, 100 in flight; "
        "300.0 requests/s, 15,000 output tokens/s; TTFT p50 50.30 p99 80.00 ms; latency p50 480.3 p99 1,234.5 ms; "
        "errors: reset 12; 0:18 left"
    )


def test_a_line_before_the_first_request_has_no_empty_parts():
    bare = but(UNBOUND, statistics={}, completed_count=0, failed_count=0, request_rate=0.0, output_token_rate=0.0)
    assert line(bare) == "[0:12] profiling: 0 done, 0 failed, 100 in flight; 0.00 requests/s, 0.00 output tokens/s"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234567, "1,234,567"), (9_999_999, "9,999,999"), (12_345_678, "12.3M")]
)
def test_counts(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (9.999, "10.00"), (99.94, "99.94"), (99.96, "100.0"), (9999.4, "9,999.4"), (12345.6, "12,346")],
)
def test_decimals(value, text):
    assert decimal(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00"), (61, "1:01"), (3599.9, "59:59"), (36_062, "10:01:02")])
def test_clock_times(seconds, text):
    assert clock_time(seconds) == text
