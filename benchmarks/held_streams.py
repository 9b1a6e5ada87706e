"""How many of the streams that were asked for a tool has open at once, and what it makes of those that it has not.

    python benchmarks/held_streams.py [--tools ours|all|...] [--streams 1000 5000] [--repeat 3]

One request for each stream, TTFT 20 s, ITL 2 s, 5 tokens: whoever begins all of them within 20 s has them all open at
once. How many were is counted from the mock server's log: requests that have arrived (the kernel's receive stamp) and
whose last token has not left. A tool that holds fewer lets the others wait, and if it takes a request's time from when
it was to begin, that wait is in its latencies: told are its TTFT, and how far that is from the server's truth
(`truth_join`). Runs of all tools alternate; figures are medians of the runs that ended, the range that of the most at
once. Nothing is held to a core.
"""

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from peers.ours import Ours
from peers.peer import Load, Peer
from peers.tools import TOOLS, tools_named
from served import mock_server
from tables import Table, median
from tool_run import FAILURES, made_ready, started, tell_failure
from truth_join import errors_of, pairs

from aiperf.mock.truth import Truth, read_rows

TTFT_MS, ITL_MS, TOKENS = 20_000, 2_000, 5


class Run(NamedTuple):
    """Units: ms."""

    at_once: int
    answered: int
    ttft_p50: float
    ttft_p99: float
    error_p50: float
    error_p99: float


def most_at_once(log: Sequence[Truth]) -> int:
    """Of the requests in the log."""
    steps = [(row.received_ns, 1) for row in log]
    steps += [(row.after_ns[-1], -1) for row in log if row.after_ns]
    open_now = most = 0
    for _, step in sorted(steps):
        open_now += step
        most = max(most, open_now)
    return most


def measure(tool: Peer, streams: int) -> Run:
    """One run. Raises: CommandError, ResultsError, JoinError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "truth"
        delays = ("--ttft", str(TTFT_MS), "--itl", str(ITL_MS))
        with mock_server("--truth-log", str(log), *delays) as url:
            load = Load(url=url, request_count=streams, tokens=TOKENS, concurrency=streams)
            with started(tool, load, folder) as run:
                run.cost()
        samples, rows = tool.samples(folder), read_rows(log)
        errors = errors_of(pairs(samples, rows), widths_claimed=isinstance(tool, Ours))
        p50, p99 = (float(each) for each in np.percentile([sample.ttft_ms for sample in samples], (50, 99)))
        return Run(most_at_once(rows), len(samples), p50, p99, errors.ttft_p50, errors.ttft_p99)


def table_of(tools: list[Peer], runs: dict[str, list[Run]], failures: dict[str, str]) -> Table:
    table = Table(["tool", "most at once", "of each run", "answered", "TTFT p50, ms", "p99, ms", "error p50", "p99"])
    for tool in tools:
        if seen := runs[tool.name]:
            each = ", ".join(f"{run.at_once:,}" for run in seen)
            counts = [f"{median(seen, field):,.0f}" for field in ("at_once", "answered")]
            times = [f"{median(seen, field):,.1f}" for field in ("ttft_p50", "ttft_p99")]
            errors = [f"{median(seen, field):,.3f}" for field in ("error_p50", "error_p99")]
            table.add([tool.name, counts[0], each, counts[1], *times, *errors])
        if tool.name in failures:
            table.add([tool.name, f"failed: {failures[tool.name]}"])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=tools_named, default=[TOOLS["ours"]], help=", ".join(TOOLS))
    parser.add_argument("--streams", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    tools = [tool for tool in options.tools if not isinstance(tool, Ours) or tool.name == "ours"]
    made_ready(tools)
    for streams in options.streams:
        runs: dict[str, list[Run]] = defaultdict(list)
        failures: dict[str, str] = {}
        for _ in range(options.repeat):
            for tool in tools:
                try:
                    runs[tool.name].append(measure(tool, streams))
                except FAILURES as error:
                    failures[tool.name] = str(error).splitlines()[0]
                    tell_failure(tool, error)
        how = f"medians of {options.repeat}; load average {os.getloadavg()[0]:.1f} at the end"
        print(f"\n**{streams:,} streams asked for** ({how})\n")
        print(table_of(tools, runs, failures), flush=True)


if __name__ == "__main__":
    main()
