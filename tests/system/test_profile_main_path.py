"""`aiperf profile` against the mock server: every kind of load, input and output, as a user gets it."""

import csv
import json
import re
import ssl
from itertools import pairwise

import pytest
import trustme

from aiperf.mock.truth import read_rows, read_truth

MS = 1_000_000


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "10", "--itl", "2")


def all_succeeded(run, count):
    """The run ended well with so many requests, each with its line."""
    assert run.exit_code == 0, run.stderr
    summary = run.summary
    assert summary["request_count"]["avg"] == summary["credits"]["completed"] == summary["records"]["records"] == count
    assert (summary["was_cancelled"], summary["is_complete"], summary["error_summary"]) == (False, True, [])
    assert sorted(line["metadata"]["session_num"] for line in run.lines) == list(range(count))
    assert all(line["error"] is None for line in run.lines)
    return summary


# The whole of one run


def test_each_request_has_one_line_that_agrees_with_the_server(aiperf, mock_process, tmp_path):
    truth_log = tmp_path / "truth"
    server = mock_process("--ttft", "30", "--itl", "5", "--truth-log", str(truth_log))
    flags = ("--streaming", "--concurrency", "6", "--connections-per-worker", "3", "--record-processors", "2")
    run = aiperf.run_small(server.url, *flags, "--request-count", "60")
    server.stop()
    summary = all_succeeded(run, 60)
    truth = read_truth(truth_log)
    lines = {line["metadata"]["x_request_id"]: line for line in run.lines}
    assert lines.keys() == truth.keys()
    for request_id, line in lines.items():
        row, metadata, metrics = truth[request_id], line["metadata"], line["metrics"]
        assert row.ending == "complete"
        # The client can see neither less than the server waited, nor bytes before they were sent.
        assert metadata["request_start_ns"] <= row.received_ns
        assert metadata["request_ack_ns"] >= row.sent_ns[0]
        assert metrics["time_to_first_token"]["value"] >= 30
        assert metrics["request_latency"]["value"] >= 30 + 3 * 5
        assert metrics["output_sequence_length"] == {"value": 4, "unit": "tokens"}
        assert metrics["input_sequence_length"] == {"value": 8, "unit": "tokens"}
    assert {line["metadata"]["worker_id"] for line in run.lines} == {"worker-0", "worker-1"}
    assert {line["metadata"]["record_processor_id"] for line in run.lines} == {
        "record-processor-0",
        "record-processor-1",
    }
    ends_ns = [line["metadata"]["request_end_ns"] for line in run.lines]
    assert ends_ns == sorted(ends_ns)
    assert sum(worker["request_count"] for worker in summary["workers"]) == 60
    assert summary["timestamp_source"] == "kernel"


def test_the_artifacts_have_the_promised_names_and_shapes(aiperf, url):
    run = aiperf.run_small(url, "--streaming", "--concurrency", "2", "--request-count", "20", "--export-level", "raw")
    summary = all_succeeded(run, 20)
    names = sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file())
    assert (
        names
        == sorted(summary["artifacts"])
        == [
            "inputs.json",
            "logs/aiperf.log",
            "profile_export.jsonl",
            "profile_export_aiperf.csv",
            "profile_export_aiperf.json",
            "profile_export_console.txt",
            "profile_export_raw.jsonl",
        ]
    )
    keys = {"schema_version", "aiperf_version", "benchmark_id", "input_config", "run_info", "start_time", "end_time"}
    assert keys <= summary.keys()
    for tag in ("time_to_first_token", "inter_token_latency", "request_latency", "output_sequence_length"):
        assert {"unit", "avg", "min", "max", "std", "count", "sum"} <= summary[tag].keys()
        assert {f"p{percent}" for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99)} <= summary[tag].keys()

    rows = list(csv.reader((run.folder / "profile_export_aiperf.csv").read_text().splitlines()))
    assert ",".join(rows[0]) == (
        "Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std,p99.9,p99.99,count,"
        "lower_bounds,bound_count,insufficient_for,relative_error"
    )
    blank = rows.index([])
    assert rows[blank + 1] == ["Metric", "Value"]
    (ttft,) = [row for row in rows[:blank] if row[0] == "Time to First Token (ms)"]
    assert float(ttft[1]) == pytest.approx(summary["time_to_first_token"]["avg"])

    metadata_keys = (
        "session_num x_request_id x_correlation_id conversation_id turn_index credit_issued_ns request_start_ns "
        "request_ack_ns request_end_ns worker_id record_processor_id benchmark_phase was_cancelled due_ns url"
    )
    for line in run.lines:
        assert line.keys() == {"metadata", "metrics", "error"}
        assert set(metadata_keys.split()) <= line["metadata"].keys()
        assert all(metric.keys() == {"value", "unit"} for metric in line["metrics"].values())

    for raw in run.json_lines("profile_export_raw.jsonl"):
        assert raw["payload"]["model"] == "m"
        assert raw["status"] == 200
        assert raw["responses"]
    table = (run.folder / "profile_export_console.txt").read_text()
    assert "Time to first token" in table
    assert "\x1b" not in table


# Kinds of load


LOADS = {
    "chat": ("--concurrency", "2", "--request-count", "20"),
    "chat streaming": ("--streaming", "--concurrency", "2", "--request-count", "20"),
    "completions": ("--endpoint-type", "completions", "--concurrency", "2", "--request-count", "20"),
    "completions streaming": (
        *("--endpoint-type", "completions", "--streaming"),
        *("--concurrency", "2", "--request-count", "20"),
    ),
    "a constant rate": ("--request-rate", "200", "--arrival-pattern", "constant", "--request-count", "20"),
    "a Poisson rate": ("--request-rate", "200", "--request-count", "20"),
    "a gamma rate": (
        *("--request-rate", "200", "--arrival-pattern", "gamma", "--arrival-smoothness", "4"),
        *("--request-count", "20"),
    ),
    "a rate with a cap": ("--request-rate", "500", "--concurrency", "3", "--request-count", "20"),
    "a fresh connection each": ("--connection-reuse-strategy", "never", "--concurrency", "2", "--request-count", "20"),
    "stamps of user space": ("--timestamps", "user", "--concurrency", "2", "--request-count", "20"),
    "the poll selector": ("--io-selector", "poll", "--concurrency", "2", "--request-count", "20"),
}


@pytest.mark.parametrize("flags", LOADS.values(), ids=LOADS.keys())
def test_every_request_of_this_load_succeeds(aiperf, url, flags):
    run = aiperf.run_small(url, *flags)
    summary = all_succeeded(run, 20)
    assert ("time_to_first_token" in summary) == ("--streaming" in flags)
    assert ("dispatch_lag" in summary) == ("--request-rate" in flags)
    assert summary["timestamp_source"] == ("user" if "user" in flags else "kernel")
    if "never" in flags:
        assert summary["http_req_connection_reused"]["max"] == 0
    if "--request-rate" in flags:
        due_ns = sorted(line["metadata"]["due_ns"] for line in run.lines)
        gaps_ns = {later - earlier for earlier, later in pairwise(due_ns)}
        if "constant" in flags:
            assert all(abs(gap_ns - 5 * MS) <= 1 for gap_ns in gaps_ns)
        else:
            assert len(gaps_ns) > 10
    if flags[0] == "--request-rate" and "--concurrency" in flags:
        assert summary["effective_concurrency"]["max"] <= 3


def test_a_duration_ends_the_load(aiperf, url):
    run = aiperf.run_small(url, "--concurrency", "2", "--duration", "0.5")
    summary = all_succeeded(run, int(run.value("request_count")))
    assert summary["request_count"]["avg"] > 2
    started_ns = min(line["metadata"]["credit_issued_ns"] for line in run.lines)
    assert max(line["metadata"]["credit_issued_ns"] for line in run.lines) - started_ns < 500 * MS


def test_requests_that_outlast_the_grace_period_are_cut_and_said_to_be(aiperf, mock_server):
    slow = mock_server("--ttft", "60000")
    run = aiperf.run_small(slow, "--concurrency", "3", "--duration", "0.3", "--benchmark-grace-period", "0.2")
    assert run.exit_code == 1
    assert run.summary["credits"]["censored"] == 3
    assert run.stderr.count("\naiperf: error: no request succeeded") == 1
    assert {line["metadata"]["outcome"] for line in run.lines} == {"censored"}
    assert {line["metadata"]["was_cancelled"] for line in run.lines} == {True}


def test_warm_up_requests_are_sent_and_are_in_no_result(aiperf, mock_process, tmp_path):
    truth_log = tmp_path / "truth"
    server = mock_process("--ttft", "5", "--truth-log", str(truth_log))
    run = aiperf.run_small(server.url, "--warmup-request-count", "7", "--concurrency", "2", "--request-count", "20")
    server.stop()
    all_succeeded(run, 20)
    rows = read_rows(truth_log)
    measured = {line["metadata"]["x_request_id"] for line in run.lines}
    assert len(rows) == 27
    assert [row.request_id in measured for row in rows] == [False] * 7 + [True] * 20


def test_goodput_counts_the_requests_that_meet_the_objectives(aiperf, url):
    flags = ("--streaming", "--concurrency", "2", "--request-count", "20")
    run = aiperf.run_small(url, *flags, "--goodput", "request_latency:60000 time_to_first_token:60000")
    summary = all_succeeded(run, 20)
    assert summary["good_request_fraction"]["avg"] == 1
    assert summary["goodput"]["avg"] == pytest.approx(summary["request_throughput"]["avg"])
    none = aiperf.run_small(url, *flags, "--goodput", "request_latency:0.001")
    assert none.value("goodput") == 0


# What is sent, and where to


def test_several_urls_and_models_are_used_in_turn(aiperf, mock_server):
    urls = [mock_server(), mock_server()]
    flags = ("-m", "other", "--concurrency", "2", "--request-count", "20", "--export-level", "raw")
    run = aiperf.run_small(urls[0], "--url", urls[1], *flags)
    all_succeeded(run, 20)
    assert sorted(line["metadata"]["url"] for line in run.lines) == sorted(urls * 10)
    models = [raw["payload"]["model"] for raw in run.json_lines("profile_export_raw.jsonl")]
    assert sorted(models) == ["m"] * 10 + ["other"] * 10


def test_ipv6(aiperf, mock_server):
    run = aiperf.run_small(mock_server("--host", "::1"), "--concurrency", "2", "--request-count", "10")
    all_succeeded(run, 10)


@pytest.fixture(scope="module")
def tls(module_mock_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    server = folder / "server.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(server))
    assert ssl.create_default_context(cafile=str(folder / "authority.pem"))
    return module_mock_server("--tls-cert", str(server)), str(folder / "authority.pem")


def test_https_with_an_authority_of_ones_own(aiperf, tls):
    url, authority = tls
    assert url.startswith("https://")
    load = ("--streaming", "--concurrency", "2", "--request-count", "10")
    run = aiperf.run_small(url, "--ca-file", authority, *load)
    summary = all_succeeded(run, 10)
    assert summary["http_req_tls_handshaking"]["max"] > 0
    all_succeeded(aiperf.run_small(url, "--insecure", *load), 10)


def test_https_with_an_unknown_authority_is_refused_with_the_remedy(aiperf, tls):
    run = aiperf.run_small(tls[0], "--concurrency", "2", "--duration", "60")
    assert run.exit_code == 1
    assert re.search(r"^aiperf: error: .*tls", run.stderr, re.MULTILINE)
    assert run.errors().keys() == {("tls", None)}
    assert "--ca-file" in run.summary["error_summary"][0]["message"]


def test_an_input_file_is_sent_line_by_line_with_its_extra_fields(aiperf, url, tmp_path):
    lines = [
        {"text": "Hello", "max_tokens": 3},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
        {"text": "Tell me", "temperature": 0.25, "metadata": {"a": [1, 2]}},
    ]
    file = tmp_path / "input.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    base = ("-m", "m", "--tokenizer", "builtin", "--url", url, "--concurrency", "1", "--request-count", "6")
    run = aiperf.run(*base, "--input-file", str(file), "--export-level", "raw")
    all_succeeded(run, 6)
    raws = sorted(run.json_lines("profile_export_raw.jsonl"), key=lambda raw: raw["metadata"]["session_num"])
    sent = [raw["payload"] for raw in raws]
    assert sent[:3] == sent[3:]
    assert sent[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert sent[0]["max_completion_tokens"] == 3
    assert sent[1]["messages"] == lines[1]["messages"]
    assert (sent[2]["temperature"], sent[2]["metadata"]) == (0.25, {"a": [1, 2]})

    again = aiperf.run(*base, "--input-file", str(run.folder / "inputs.json"), "--export-level", "raw")
    all_succeeded(again, 6)
    repeated = sorted(again.json_lines("profile_export_raw.jsonl"), key=lambda raw: raw["metadata"]["session_num"])
    assert [raw["payload"] for raw in repeated] == sent
    assert (again.folder / "inputs.json").read_bytes() == (run.folder / "inputs.json").read_bytes()


def test_an_exported_summary_runs_the_same_benchmark_again(aiperf, url):
    flags = ("--streaming", "--request-rate", "300", "--request-count", "20", "--isl-stddev", "3", "--random-seed", "7")
    first = aiperf.run_small(url, *flags)
    all_succeeded(first, 20)
    second = aiperf.run("-f", str(first.folder / "profile_export_aiperf.json"))
    all_succeeded(second, 20)

    def stream(run):
        lines = sorted(run.lines, key=lambda line: line["metadata"]["session_num"])
        first_ns = min(line["metadata"]["due_ns"] for line in lines)
        return [(line["metadata"]["conversation_id"], line["metadata"]["due_ns"] - first_ns) for line in lines]

    assert stream(first) == stream(second)
    assert (first.folder / "inputs.json").read_bytes() == (second.folder / "inputs.json").read_bytes()


# What is shown and written


def test_the_export_level_summary_writes_no_lines(aiperf, url):
    run = aiperf.run_small(url, "--concurrency", "2", "--request-count", "10", "--export-level", "summary")
    assert run.exit_code == 0
    assert run.value("request_count") == 10
    assert not list(run.folder.glob("*.jsonl"))


def test_piped_output_is_plain_text_with_the_table_on_stdout_and_progress_on_stderr(aiperf, url):
    run = aiperf.run_small(url, "--streaming", "--concurrency", "2", "--request-count", "10")
    assert "\x1b" not in run.stdout + run.stderr
    for text in ("Time to first token", "Throughput", "Load", "Requests", "Verdict", str(run.folder)):
        assert text in run.stdout
    assert "10 done" in run.stderr
    assert "10 done" not in run.stdout


def test_ui_none_prints_nothing_at_all(aiperf, url):
    run = aiperf.run_small(url, "--concurrency", "2", "--request-count", "10", "--ui", "none")
    assert (run.exit_code, run.stdout, run.stderr) == (0, "", "")
    assert run.value("request_count") == 10


def test_output_that_nobody_reads_is_no_error(aiperf, url):
    run = aiperf.start_small(url, "--concurrency", "2", "--request-count", "10")
    run.process.stdout.close()
    run.process.stdout = None
    run.finish()
    assert run.exit_code == 141
    assert "error" not in run.stderr.replace("errors", "")
    assert run.value("request_count") == 10


def test_two_runs_at_once_do_not_meet(aiperf, url):
    flags = ("--concurrency", "2", "--request-count", "20", "--artifact-dir")
    first = aiperf.start_small(url, *flags, str(aiperf.folder / "shared"))
    second = aiperf.start_small(url, *flags, str(aiperf.folder / "shared"))
    for run in (first, second):
        run.finish()
        assert run.exit_code == 0
    folders = list((aiperf.folder / "shared").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert len((folder / "profile_export.jsonl").read_bytes().splitlines()) == 20
