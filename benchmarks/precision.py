"""How precisely requests are sent at a constant rate: due against sent, by the tool's own word and by the server's.

    python benchmarks/precision.py [--tools ours|all|...] [--rate 1000] [--seconds 30] [--repeat 3] [--alone]

A constant rate on connections that are open already where the tool can have them so (aiperf: a warm-up of one second),
against a server that answers after 5 ms. Of aiperf, by its records: dispatch lag (the worker takes it up, after it was
due) and send lag (the bytes leave). Of every tool, by the server: its kernel's receive stamps, in order of arrival,
against an even grid of the asked-for rate. Where the grid begins is chosen so that the median deviation is 0, since
nobody tells when a tool meant to begin; told is how far off arrivals are from it, early or late, and the rate achieved.
With --alone the worker has the last core for itself: server and the rest of aiperf are held to the others.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from arrival_grid import Punctuality, punctuality
from peers.ours import Ours
from peers.peer import Load, Peer, only_file
from peers.tools import TOOLS, tools_named
from served import mock_server
from tables import Table, median, ratio
from tool_run import FAILURES, checked, made_ready, our_processes, started, tell_failure

from aiperf.mock.truth import read_rows
from aiperf.units import NS_PER_MS

TTFT_MS = 5
CORES = sorted(os.sched_getaffinity(0))
LIMIT_GRACE_S = 120.0
COLUMNS = ("tool", "off the grid p50, ms", "p99, ms", "most, ms", "p50, times ours", "p99, times ours", "rate off, %")
COMPARED = ("off_p50", "off_p99")


class Lags(NamedTuple):
    """Of one run of aiperf, by its records: after the due time. Units: ms."""

    dispatch_p50: float
    dispatch_p99: float
    send_p50: float
    send_p99: float


class Run(NamedTuple):
    at_server: Punctuality
    lags: Lags | None


def measure(tool: Peer, rate_rps: float, seconds: float, alone: bool) -> Run:
    """One run. Raises: CommandError, ResultsError."""
    ours = isinstance(tool, Ours)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "truth"
        delays = ("--ttft", str(TTFT_MS), "--itl", "0")
        core = CORES[0] if alone else None
        with mock_server("--truth-log", str(log), *delays, core=core) as url:
            load = Load(url=url, request_count=round(rate_rps * seconds), tokens=1, rate_rps=rate_rps, warm_up=ours)
            with started(tool, load, folder, seconds * 3 + LIMIT_GRACE_S) as run:
                if ours and alone:
                    for host, process in our_processes(run, folder).items():
                        process.cpu_affinity([CORES[-1]] if host.startswith("worker-") else CORES[:-1] or CORES)
                run.cost()
        checked(tool, load, folder)
        arrivals_ns = [row.received_ns for row in read_rows(log)][
            -load.request_count :
        ]  # those of a warm-up come first
        return Run(punctuality(arrivals_ns, rate_rps), _lags(folder) if ours else None)


def _lags(folder: Path) -> Lags:
    lines = only_file(folder, "artifacts/*/profile_export.jsonl").read_bytes().splitlines()
    rows = [json.loads(line)["metadata"] for line in lines]
    values = [
        float(value) / NS_PER_MS
        for name in ("credit_issued_ns", "request_start_ns")
        for value in np.percentile([row[name] - row["due_ns"] for row in rows], (50, 99))
    ]
    return Lags(*values)


def tools_table(tools: list[Peer], runs: dict[str, list[Run]], failures: dict[str, str]) -> Table:
    table = Table(
        ["tool", "off the grid p50, ms", "p99, ms", "most, ms", "p50, times ours", "p99, times ours", "rate off, %"]
    )
    ours = [run.at_server for run in runs["ours"]]
    for tool in tools:
        seen = [run.at_server for run in runs[tool.name]]
        if seen:
            times = [
                ratio(median(seen, field), median(ours, field)) if ours else "" for field in ("off_p50", "off_p99")
            ]
            figures = [f"{median(seen, field):.3f}" for field in ("off_p50", "off_p99", "off_max")]
            rate = statistics.median(each.rate_off_fraction for each in seen)
            table.add([tool.name, *figures, *times, f"{rate * 100:+.3f}"])
        if tool.name in failures:
            table.add([tool.name, f"failed: {failures[tool.name]}"])
    return table


def lags_table(lags: list[Lags]) -> Table:
    table = Table(["aiperf, by its records", "p50, ms", "p99, ms", "p99 of each run"])
    for name, field in (("dispatch lag", "dispatch"), ("send lag", "send")):
        each = ", ".join(f"{getattr(run, f'{field}_p99'):.3f}" for run in lags)
        table.add([name, *(f"{median(lags, f'{field}_{percent}'):.3f}" for percent in ("p50", "p99")), each])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=tools_named, default=[TOOLS["ours"]], help=", ".join(TOOLS))
    parser.add_argument("--rate", type=float, help="default 1000, with other tools 100")
    parser.add_argument("--seconds", type=float, help="default 30, with other tools 10")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    tools = [tool for tool in options.tools if not isinstance(tool, Ours) or tool.name == "ours"]
    made_ready(tools)
    only_ours = all(isinstance(tool, Ours) for tool in tools)
    rate_rps, seconds = options.rate or (1000.0 if only_ours else 100.0), options.seconds or (30 if only_ours else 10)
    runs: dict[str, list[Run]] = defaultdict(list)
    failures: dict[str, str] = {}
    for _ in range(options.repeat):
        for tool in tools:
            try:
                runs[tool.name].append(measure(tool, rate_rps, seconds, options.alone))
            except FAILURES as error:
                failures[tool.name] = str(error).splitlines()[0]
                tell_failure(tool, error)
    how = f"medians of {options.repeat}; load average {os.getloadavg()[0]:.1f} at the end"
    print(f"\n**{rate_rps:g} requests/s for {seconds:g} s{', worker on its own core' * options.alone}** ({how})\n")
    print(tools_table(tools, runs, failures))
    lags = [run.lags for run in runs["ours"] if run.lags]
    if lags:
        print(f"\n{lags_table(lags)}")


if __name__ == "__main__":
    main()
