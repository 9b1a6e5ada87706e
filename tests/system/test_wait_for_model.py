"""`--wait-for-model-timeout` as a user meets it: servers that come late, never, or without the model."""

import signal

from tests.ports import dead_port, free_port

from aiperf.mock.truth import read_rows

LOAD = ("--concurrency", "2", "--request-count", "10")


def read_until(run, text: str) -> None:
    """Reads what the run says until a line with this text. Ends with the run at the latest."""
    assert any(text in line for line in iter(run.process.stderr.readline, "")), f"never said: {text}"


def test_the_load_waits_for_a_server_that_comes_late(aiperf, mock_process, tmp_path):
    port = free_port()
    flags = ("--streaming", "--wait-for-model-timeout", "60", "--wait-for-model-mode", "both", "--workers-max", "2")
    run = aiperf.start_small(f"http://127.0.0.1:{port}", *flags, *LOAD)
    read_until(run, "waiting for the model: GET /v1/models: connect_refused: ")
    server = mock_process("--port", str(port), "--model", "m", "--truth-log", str(tmp_path / "truth"))
    run.finish()
    server.stop()
    assert run.exit_code == 0, run.stderr
    assert "the model answers, after " in run.stderr
    assert run.summary["credits"]["issued"] == len(run.lines) == 10
    assert run.summary["error_summary"] == []
    probe, *requests = read_rows(tmp_path / "truth")
    assert "-wait-for-model-" in probe.request_id
    assert {row.request_id for row in requests} == {line["metadata"]["x_request_id"] for line in run.lines}


def test_a_server_that_never_comes_ends_the_run_with_the_last_reason(aiperf):
    with dead_port() as port:
        run = aiperf.run_small(f"http://127.0.0.1:{port}", "--wait-for-model-timeout", "1.5", *LOAD)
    assert run.exit_code == 1
    reason = f"connect_refused: 127.0.0.1:{port} refused the connection: nothing listens there"
    assert run.stderr.splitlines()[-1] == f"aiperf: error: the model did not answer within 1.5 s: {reason}"
    assert run.stderr.count("waiting for the model") == 1


def test_a_server_without_the_model_is_told_and_its_fault_is_the_reason(aiperf, mock_server):
    url = mock_server("--model", "other")
    said = "the server's list of models does not name m; it names other"
    listed = aiperf.run_small(url, "--wait-for-model-timeout", "30", "--wait-for-model-mode", "models", *LOAD)
    assert listed.exit_code == 0, listed.stderr
    assert listed.stderr.count(said) == 1
    without = mock_server("--model", "other", "--fault", "error;status=404")
    refused = aiperf.run_small(without, "--wait-for-model-timeout", "1.5", "--wait-for-model-mode", "both", *LOAD)
    assert refused.exit_code == 1
    assert said in refused.stderr
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("aiperf: error: the model did not answer within 1.5 s: http_status 404: ")


def test_ctrl_c_while_waiting_ends_the_run_at_once(aiperf):
    with dead_port() as port:
        run = aiperf.start_small(f"http://127.0.0.1:{port}", "--wait-for-model-timeout", "3600", *LOAD)
        read_until(run, "waiting for the model")
        run.signal(signal.SIGINT)
        run.finish()
    assert run.exit_code == 130
    assert run.stderr.splitlines()[-1] == "aiperf: interrupted"
