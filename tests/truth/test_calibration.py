"""What a calibration states as this side's own error is what a join with a server's log finds at the same load."""

TOLERANCE_MS = 1.0
"""Below this no user notices (`metrics.verdict_sharpness.NEGLIGIBLE_MS`). Medians are held against it, which a busy
machine moves little: arrivals are stamped by the kernel."""

SERVER = ("--ttft", "100", "--itl", "10")
SHAPE = ("--streaming", "--isl", "8", "--osl", "10", "--num-prompts", "10")
LOAD = (*SHAPE, "--concurrency", "8", "--request-count", "100")
CALIBRATION = ("--calibrate", "--calibrate-duration", "1", "--calibrate-ttft", "100ms", "--calibrate-itl", "10ms")


def test_the_stated_error_is_that_of_a_join_with_the_servers_log(measure, median):
    measured = measure(SERVER, (*LOAD, *CALIBRATION))
    measured.check_conservation(100)
    own = measured.summary["calibration"]["steps"][0]
    assert own["concurrency"] == 8
    for tag, errors_ms in (
        ("time_to_first_token", [request.ttft_error_ms for request in measured.requests]),
        ("request_latency", [request.latency_error_ms for request in measured.requests]),
    ):
        stated_ms = own["errors"][tag]["p50"]
        assert stated_ms > 0
        assert abs(stated_ms - median(errors_ms)) <= TOLERANCE_MS
