"""`aiperf calibrate` and `--calibrate` as a person meets them: real processes, the built-in server, real sockets."""

import http.client
import json
import signal
import threading

import pytest
from tests.ports import ipv6_loopback_is_there

from aiperf.mock.processes import bind
from aiperf.mock.server import Server
from aiperf.mock.truth import TruthLog, read_truth
from aiperf.schedule.calibration import STEPS_MAX, CalibrationShape
from aiperf.service.calibration_server import behaviour_of
from aiperf.units import NS_PER_MS, NS_PER_S

QUICK = ("--calibrate-duration", "0.4", "--calibrate-ttft", "20ms", "--calibrate-itl", "5ms")
LOAD = ("--tokenizer", "builtin", "--isl", "8", "--osl", "4", "--num-prompts", "10", "--streaming")


def reconciles(step) -> bool:
    credits = step["credits"]
    fates = sum(credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost"))
    ended = step["request_count"] + step["failed_count"] + step["cut_count"]
    return credits["issued"] == fates == ended + credits["lost"] and credits["completed"] == step["request_count"]


def test_a_calibration_alone_tells_every_step_and_needs_neither_model_nor_endpoint(aiperf):
    flags = ("--concurrency", "4", "--connections-per-worker", "2", "--workers-max", "2")
    run = aiperf.run(*LOAD, *flags, *QUICK, command="calibrate")
    assert run.exit_code == 0, run.stderr
    report = json.loads((run.folder / "profile_export_calibration.json").read_bytes())
    found = report["calibration"]
    assert (report["outcome"], report["workers"]) == ("completed", ["worker-0", "worker-1"])
    assert found["steps"][0]["concurrency"] == 4
    assert 1 <= len(found["steps"]) <= STEPS_MAX
    for step in found["steps"]:
        assert reconciles(step)
        assert step["load"] in run.stdout
    assert "argest truthful load" in run.stdout or "o load was carried truthfully" in run.stdout
    assert "calibration against the built-in server" in run.stderr
    assert not (run.folder / "profile_export_aiperf.json").exists()


def test_a_calibration_before_a_benchmark_never_touches_the_endpoint(aiperf, mock_process, tmp_path):
    truth_log = tmp_path / "truth"
    server = mock_process("--ttft", "10", "--itl", "2", "--truth-log", str(truth_log))
    flags = ("--streaming", "--concurrency", "3", "--request-count", "30", "--warmup-request-count", "5")
    run = aiperf.run_small(server.url, *flags, "--calibrate", *QUICK)
    server.stop()
    assert run.exit_code == 0, run.stderr
    summary = run.summary
    assert run.reconciles
    assert summary["request_count"]["avg"] == len(run.lines) == 30
    assert len(read_truth(truth_log)) == 35
    found = summary["calibration"]
    assert all(reconciles(step) for step in found["steps"])
    assert found["steps"][0]["load"] == "concurrency 3"
    assert found["steps"][0]["request_count"] > 0
    assert "Calibrated" in run.stdout
    assert "calibration" not in {line["metadata"]["benchmark_phase"] for line in run.lines}


@pytest.mark.skipif(not ipv6_loopback_is_there(), reason="this machine has no ::1")
def test_a_calibration_from_ipv6_addresses_alone_is_served_by_ipv6(aiperf):
    run = aiperf.run(*LOAD, "--concurrency", "2", "--source-address", "::1", *QUICK, command="calibrate")
    assert run.exit_code == 0, run.stderr
    found = json.loads((run.folder / "profile_export_calibration.json").read_bytes())["calibration"]
    assert found["steps"][0]["request_count"] > 0
    assert found["steps"][0]["failed_count"] == 0


def test_a_calibration_that_loses_its_server_is_given_up_and_the_benchmark_goes_on(aiperf, mock_process):
    server = mock_process("--ttft", "10", "--itl", "2")
    flags = ("--streaming", "--concurrency", "2", "--request-count", "10", "--calibrate", "--calibrate-duration", "30")
    run = aiperf.start_small(server.url, *flags)
    host = run.host("calibration-server-0")
    run.wait_for_load()
    host.kill()
    run.finish()
    assert run.exit_code == 0, run.stderr
    assert run.summary["request_count"]["avg"] == 10
    assert any("the calibration was given up: calibration-server-0" in text for text in run.summary["warnings"])


def test_an_interrupted_calibration_leaves_what_it_has_found(aiperf):
    run = aiperf.start(*LOAD, "--concurrency", "2", "--calibrate-duration", "20", command="calibrate")
    run.wait_for_load()
    run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130
    report = json.loads((run.folder / "profile_export_calibration.json").read_bytes())
    assert (report["outcome"], report["calibration"]["steps"]) == ("interrupted", [])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--calibrate-ttft", "100"), "no duration"),
        (("--calibrate-ttft", "4s"), "leaves no room in a step of 5 s"),
        (("--concurrency", "0"), "--concurrency"),
    ],
)
def test_bad_flags_are_told_before_anything_is_started(aiperf, flags, told):
    run = aiperf.start(*flags, command="calibrate")
    run.process.wait()
    run.stdout, run.stderr = run.process.communicate()
    assert run.exit_code == 2
    assert told in run.stderr


@pytest.mark.parametrize("streaming", [True, False])
def test_the_servers_account_is_what_its_own_log_says(tmp_path, streaming):
    shape = CalibrationShape(20 * NS_PER_MS, 5 * NS_PER_MS, NS_PER_S)
    (listener,) = bind(("127.0.0.1",), 0, shared=True)
    port = listener.getsockname()[1]
    server = Server([listener], behaviour_of(shape), log=TruthLog(tmp_path / "truth"))
    thread = threading.Thread(target=server.serve)
    thread.start()
    accounts = {}
    try:
        for tokens in (1, 2, 6):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            body = {"messages": [{"role": "user", "content": "a"}], "stream": streaming, "max_tokens": tokens}
            client.request("POST", "/v1/chat/completions", json.dumps(body), {"X-Request-ID": str(tokens)})
            data = client.getresponse().read().decode()
            client.close()
            lines = [line.removeprefix("data: ") for line in data.splitlines() if line and "[DONE]" not in line]
            accounts[str(tokens)] = json.loads(lines[-1])["usage"]["aiperf_sent_after_ns"]
    finally:
        server.stop()
        thread.join()
    for name, row in read_truth(tmp_path / "truth").items():
        logged = [sent_ns - row.received_ns for sent_ns in row.sent_ns]
        assert accounts[name][:-1] == logged[:-1]
        # The log's own stamp is taken when the account has been written, an instant later.
        assert row.due_ns[-1] - row.received_ns <= accounts[name][-1] <= logged[-1]
        assert len(logged) == (int(name) if streaming else 1)
