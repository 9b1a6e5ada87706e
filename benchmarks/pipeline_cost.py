"""CPU cost of the whole pipeline and of the worker alone, per request and per streamed chunk, record export on.

    python benchmarks/pipeline_cost.py [--repeat 3] [requests|chunks|both]

The mock server runs beside it and is not counted. Counted is the CPU time of the command and of all its child
processes (as the kernel accounts it to the finished command), and that of the worker process by itself. What a run
costs that has no load to speak of (start-up, export) is measured as well and subtracted from nothing: it is part of it.

    requests: answers of one chunk, concurrency 64, 100,000 requests
    chunks:   answers of 500 chunks, ITL 20 ms, concurrency 500, 4,000 requests (2,000,000 chunks)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

AIPERF = [sys.executable, "-m", "aiperf"]


def measure(server: list[str], load: list[str]) -> tuple[float, float, float, dict]:
    """CPU-seconds of all of aiperf and of its workers, wall seconds, and the summary of one run."""
    mock = subprocess.Popen([*AIPERF, "mock-server", "--port", "0", *server], stdout=subprocess.PIPE, text=True)
    try:
        url = mock.stdout.readline().split()[-1]
        with tempfile.TemporaryDirectory() as folder:
            command = [*AIPERF, "profile", "-m", "mock", "--tokenizer", "builtin", "--use-server-token-count",
                       "-u", url,
                       "--streaming", "--isl", "16", "--ui", "none", "--artifact-dir", folder, *load]  # fmt: skip
            pid = os.posix_spawn(sys.executable, command, os.environ)
            _, status, usage = os.wait4(pid, 0)
            if status:
                raise SystemExit(f"the run failed with exit code {os.waitstatus_to_exitcode(status)}")
            (path,) = Path(folder).glob("*/profile_export_aiperf.json")
            summary = json.loads(path.read_text())
    finally:
        mock.terminate()
        mock.wait()
    workers = sum(row["cpu_s"] for row in summary["workers"])
    return usage.ru_utime + usage.ru_stime, workers, summary["benchmark_duration"]["avg"], summary


def report(name: str, unit: str, runs: list[tuple[float, float, float, float]]) -> None:
    def line(label: str, values: list[float]) -> None:
        print(
            f"{name:9} {label:28} median {statistics.median(values):10,.0f}   of "
            + ", ".join(f"{value:,.0f}" for value in values)
        )

    line(f"{unit}/CPU-s, all of aiperf", [count / cpu for count, cpu, _, _ in runs])
    line(f"{unit}/CPU-s, worker alone", [count / worker for count, _, worker, _ in runs])
    line(f"{unit}/s of wall time", [count / wall for count, _, _, wall in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["requests", "chunks", "both"], default="both")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    requests, chunks = [], []
    for _ in range(options.repeat):
        if options.what != "chunks":
            cpu, worker, wall, summary = measure(
                ["--ttft", "0", "--itl", "0", "--tokens", "1"], ["--concurrency", "64", "--request-count", "100000"]
            )
            requests.append((summary["request_count"]["avg"], cpu, worker, wall))
        if options.what != "requests":
            cpu, worker, wall, summary = measure(
                ["--ttft", "100", "--itl", "20", "--tokens", "500"], ["--concurrency", "500", "--request-count", "4000"]
            )
            chunks.append((summary["request_count"]["avg"] * 500, cpu, worker, wall))
    if requests:
        report("requests", "requests", requests)
    if chunks:
        report("chunks", "chunks", chunks)


if __name__ == "__main__":
    main()
