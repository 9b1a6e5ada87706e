import io
from pathlib import Path

import pytest

from aiperf.metrics.distribution import MetricResult
from aiperf.metrics.summary import ErrorEntry, Load
from aiperf.metrics.verdict import Verdict
from aiperf.report.console import FILE_WIDTH, console_text, print_summary, write_console
from aiperf.report.summary_json import write_summary

SNAPSHOT = """\
aiperf 0.1.0 · llama · chat, streaming · http://localhost:8000

                                         avg      p50      p90      p95      p99
Time to first token        ms          210.0    200.0    300.0    400.0   ~500.0
Inter-token latency        ms          12.60    12.00    18.00    24.00   ~30.00
Request latency            ms       ≥1,050.0  1,000.0  1,500.0  2,000.0 ≥2,500.0
Output length              tokens       67.2     64.0     96.0    128.0    160.0
~ 100 requests are few for p99 (662 needed). At 99% confidence it is:
  Time to first token      450.0 ms or more
  Inter-token latency      28.00 to 30.00 ms
  Request latency          2,400.0 ms or more
≥ may be higher: requests were cut before they had ended, or were never sent

Throughput  ! 20.50 requests/s · 12,346 output tokens/s
Load        20 at a time · 19.5 in flight on average
Requests    100 succeeded · 2 failed (1.96%) · 1 cut at the end of grace
            in 4.9 s

Errors      1 http_status 503  overloaded [red]now[/red] [31m
            1 reset

Verdict     degraded  read the numbers with the following in mind
            ! Slots stood empty 2.0% of the time between two requests.
            Meanwhile: worker-0 waited for a CPU.
            Note: 1 request was cut.

Measured    tokens counted by the server · arrivals stamped by the kernel
Artifacts   artifacts/run-1/
            profile_export_aiperf.json
"""


def test_the_table_at_80_columns(make_summary):
    assert console_text(make_summary(), 80, Path("artifacts/run-1")) == SNAPSHOT


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_line_is_wider_than_the_terminal(make_summary, width):
    lines = console_text(make_summary(warnings=["word " * 50]), width, Path("artifacts")).splitlines()
    assert max(map(len, lines)) <= width


def test_min_and_max_are_shown_only_when_there_is_room(make_summary):
    header = {width: console_text(make_summary(), width).splitlines()[2].split() for width in (80, 120)}
    assert header[80] == ["avg", "p50", "p90", "p95", "p99"]
    assert header[120] == ["avg", "min", "p50", "p90", "p95", "p99", "max"]


def test_a_servers_text_reaches_the_terminal_without_control_sequences(make_summary):
    text = console_text(make_summary(), 80)
    assert "\x1b" not in text
    assert "overloaded [red]now[/red] [31m" in text


def test_the_first_output_token_has_a_row_only_when_there_was_reasoning(make_summary):
    plain = make_summary()
    plain.metrics["time_to_first_output_token"] = plain.metrics["time_to_first_token"]
    assert "first output token" not in console_text(plain, 80)
    plain.metrics["reasoning_token_count"] = plain.metrics["output_sequence_length"]
    assert "Time to first output token" in console_text(plain, 80)


def test_an_open_loop_shows_what_was_offered_and_what_was_sent(make_summary):
    load = Load(mode="rate", request_rate=50, offered_rate=49.98, achieved_rate=48.2, unsent_count=7, in_flight_avg=12)
    text = console_text(make_summary(load=load), 100)
    assert "50 requests/s asked for · offered 49.98/s · achieved 48.20/s · 7 never sent" in text


def test_a_run_without_success_shows_no_table_but_its_errors(make_summary, make_single):
    failed = make_summary(
        metrics={"request_count": make_single("requests", 0), "error_request_count": make_single("requests", 7)},
        error_summary=[ErrorEntry("connect_refused", None, "Connection refused", 7)],
        verdict=Verdict("invalid", []),
    )
    lines = console_text(failed, 80).splitlines()
    assert not any("p50" in line for line in lines)
    assert "Errors      7 connect_refused  Connection refused" in lines
    assert "Verdict     invalid  do not use these numbers" in lines


def test_many_kinds_of_errors_are_summed_up(make_summary):
    entries = [ErrorEntry("http_status", 500 + code, "", 10 - code) for code in range(8)]
    text = console_text(make_summary(error_summary=entries), 80)
    assert "12 of 3 other kinds" in text


def test_large_numbers_never_touch_their_neighbours(make_summary):
    large = make_summary()
    large.metrics["output_token_throughput_per_user"] = MetricResult(
        "tokens/s/user", {"avg": 459_092.3, "p50": 55_484.1, "p90": 974_948.0, "p95": 1_154_740.0, "p99": 12_602_000.0}
    )
    (row,) = (line for line in console_text(large, 80).splitlines() if line.startswith("Output per user"))
    assert row.split()[3:] == ["tokens/s", "459,092", "55,484", "974,948", "1.2M", "12.6M"]


def test_sketched_percentiles_state_their_error(make_summary):
    sketched = make_summary()
    sketched.metrics["request_latency"].relative_error = 2**-10
    assert "Percentiles are within 0.1%" in console_text(sketched, 80)


def test_goodput_is_shown_with_its_objectives(make_summary, make_single):
    summary = make_summary()
    summary.metrics["goodput"] = make_single("requests/s", 18.04)
    summary.metrics["good_request_fraction"] = make_single("ratio", 0.875)
    summary.input_config["results"] = {"goodput": "time_to_first_token:300"}
    assert "18.04 good requests/s (87.5%) · time_to_first_token:300" in console_text(summary, 80)


def test_the_file_has_no_colour_and_no_trailing_blanks(tmp_path, make_summary):
    path = tmp_path / "profile_export_console.txt"
    write_console(path, make_summary())
    text = path.read_text()
    assert text == console_text(make_summary(), FILE_WIDTH)
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.fixture
def summary_path(tmp_path, make_summary):
    path = tmp_path / "profile_export_aiperf.json"
    write_summary(path, make_summary())
    return path


def test_the_screen_is_made_of_the_file_alone(summary_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    screen = io.StringIO()
    print_summary(summary_path, screen)
    shown = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert "Verdict     degraded  read the numbers with the following in mind" in shown
    assert "\x1b" not in screen.getvalue()


def test_a_screen_without_unicode_gets_plain_letters(summary_path):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_summary(summary_path, screen)
    screen.flush()
    text = screen.buffer.getvalue().decode("ascii")
    assert ">=2,500.0" in text
    assert "?" not in text


def test_without_streaming_it_says_what_is_missing(make_summary):
    summary = make_summary()
    assert "--streaming" not in console_text(summary, 80)
    summary.input_config["endpoint"]["streaming"] = False
    assert "need --streaming" in console_text(summary, 80)


def test_throughput_without_ramp_and_drain_stands_below_the_whole(make_summary, make_single):
    summary = make_summary()
    summary.metrics["steady_request_throughput"] = make_single("requests/s", 22.126)
    summary.metrics["steady_output_token_throughput"] = make_single("tokens/s", 1400.0)
    lines = console_text(summary, 80).splitlines()
    below = lines[next(position for position, line in enumerate(lines) if line.startswith("Throughput")) + 1]
    assert below == "            without ramp and drain: 22.13 requests/s · 1,400.0 output tokens/s"


def test_rare_percentiles_are_columns_where_there_is_room_and_else_lines(make_summary):
    large = make_summary()
    for tag in ("time_to_first_token", "request_latency"):
        large.metrics[tag].statistics |= {"count": 7_000, "p99.9": 700}
        large.metrics[tag].p99_interval = None
    assert console_text(large, 114).splitlines()[2].split()[-3:] == ["p99", "p99.9", "max"]
    (row,) = (line for line in console_text(large, 114).splitlines() if line.startswith("Output length"))
    assert row.split()[-2:] == ["160.0", "192.0"]
    narrow = console_text(large, 80).splitlines()
    assert narrow[2].split()[-1] == "p99"
    assert narrow[narrow.index("Beyond p99:") + 1] == "  Time to first token      p99.9 700.0 ms"


def test_without_enough_samples_nothing_is_said_beyond_p99(make_summary):
    for width in (80, 200):
        assert "99.9" not in console_text(make_summary(), width)
