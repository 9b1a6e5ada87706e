"""The same benchmark in the cluster and on this machine: the same requests, the same files, the same latencies."""

import re
from types import SimpleNamespace

import pytest

COUNT = 60
PLAN = (
    *("-m", "m", "--tokenizer", "builtin", "--streaming", "--random-seed", "7"),
    *("--isl", "40", "--isl-stddev", "10", "--osl", "8", "--num-prompts", "25"),
    *("--concurrency", "6", "--connections-per-worker", "3", "--request-count", str(COUNT)),
    *("--header", "x-mock-ttft:500", "--header", "x-mock-itl:50"),
)
"""Six at a time by two workers. The server is slow, so that what a busy machine adds is little beside it."""
OF_A_BUSY_MACHINE = {
    *("widths", "rearm_delay", "shared_chunks", "dispatch_lag", "sending", "start_skew", "starvation", "throttling"),
}
"""What the verdict may say although all went well: both the load and the server share this machine's processors."""
HOSTS = {
    "compact": {"control", "worker-0", "worker-1", "record-processor-0", "record-processor-1"},
    "per-service": {
        *("system-controller", "worker-manager", "dataset-manager", "timing-manager", "records-manager"),
        *("worker-0", "worker-1", "record-processor-0"),
    },
}


TOPOLOGIES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("compact", "per-service")]
"""The tests of a topology share its run, so they share a session."""


@pytest.fixture(scope="module", params=TOPOLOGIES)
def both(request, cluster, server, module_aiperf):
    """The plan run in the cluster, and on this machine."""
    if cluster.status is None:
        pytest.skip("this machine may not reach the pods of a cluster that the harness did not make")
    distributed = module_aiperf.run(*PLAN, "--url", server.url, "--topology", request.param)
    assert distributed.exit_code == 0, distributed.words
    local = module_aiperf.run(*PLAN, "--url", f"http://{server.pod_address}:8000", "--local")
    return SimpleNamespace(distributed=distributed, local=local, topology=request.param)


def test_it_ends_well_and_prints_the_summary(both):
    run = both.distributed
    assert run.exit_code == 0
    for word in ("Time to first token", "Request latency", "Throughput", "Verdict"):
        assert word in run.stdout, run.words
    summary = run.summary
    assert {reason["rule"] for reason in summary["verdict"]["reasons"]} <= OF_A_BUSY_MACHINE, summary["verdict"]
    assert summary["request_count"]["avg"] == summary["credits"]["completed"] == summary["records"]["records"] == COUNT
    assert run.reconciles
    assert (summary["was_cancelled"], summary["is_complete"], summary["error_summary"]) == (False, True, [])


def test_the_files_are_those_of_a_local_run(both):
    assert both.distributed.files == both.local.files == sorted(both.distributed.summary["artifacts"])


def test_the_request_stream_is_that_of_a_local_run(both):
    here, there = both.local, both.distributed
    assert (there.folder / "inputs.json").read_bytes() == (here.folder / "inputs.json").read_bytes()
    for tag in ("request_count", "input_sequence_length", "output_sequence_length"):
        assert there.summary[tag]["avg"] == here.summary[tag]["avg"]


def test_every_request_has_its_line(both):
    def stream(run):
        return sorted(
            (line["metadata"]["session_num"], line["metrics"]["input_sequence_length"]["value"]) for line in run.lines
        )

    assert [number for number, _ in stream(both.distributed)] == list(range(COUNT))
    assert stream(both.distributed) == stream(both.local)


def test_latencies_are_those_of_a_local_run(both):
    for tag in ("time_to_first_token", "inter_token_latency", "request_latency"):
        here, there = both.local.summary[tag]["p50"], both.distributed.summary[tag]["p50"]
        assert there == pytest.approx(here, rel=0.05), tag


def test_the_log_has_lines_of_every_host(both):
    hosts = set(re.findall(r"^\S+ \w+ +([\w-]+)\[\d+\]", both.distributed.log, re.MULTILINE))
    assert hosts == HOSTS[both.topology]


def test_workers_are_told_apart_with_their_pod_and_node(both):
    workers = both.distributed.summary["workers"]
    assert len(workers) == 2
    assert sum(worker["request_count"] for worker in workers) == COUNT
    for index, worker in enumerate(workers):
        assert f"-worker-{index}-" in worker["host"]
        assert worker["node"]
        assert worker["start_skew_ms"] >= 0
