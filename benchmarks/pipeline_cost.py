"""CPU cost of the whole pipeline, per request and per chunk, records on: of aiperf, by process, and of other tools.

    python benchmarks/pipeline_cost.py [requests|chunks|both] [--tools ours|all|...] [--count N] [--repeat 3]

The mock server runs beside it and is not counted. Counted is the CPU time of the command and of all processes that come
of it (`metered`), start-up and export included; of aiperf's processes also each by itself (read 20 times a second, so
the last moments of one are missing). All tools get the same work; runs alternate, the figures are medians. "Beyond
start-up" counts what nine tenths of the work cost: the run less one of a tenth of it (`--no-start` saves the time), so
what a tool spends on loading itself is not in it.

    requests: answers of one chunk, concurrency 64; 100,000 requests, 20,000 when other tools are to do them too
    chunks:   answers of 500 chunks, ITL 20 ms, concurrency 500; 4,000 requests (2,000,000 chunks), or 1,000
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from metered import Metered
from peers.ours import Ours, summary_of
from peers.peer import Load, Peer
from peers.tools import TOOLS, tools_named
from served import mock_server
from tables import Table, ratio
from tool_run import FAILURES, checked, made_ready, our_processes, started, tell_failure

LIMIT_S = 900.0
SAMPLING_S = 0.05
US_PER_S = 1e6
TENTH = 10


@dataclass(frozen=True)
class Work:
    """What all tools are to do."""

    unit: str
    server: tuple[str, ...]
    concurrency: int
    chunks: int
    """Of each answer."""
    units_per_request: int
    count_alone: int
    count_compared: int


WORKS = {
    "requests": Work("requests", ("--ttft", "0", "--itl", "0", "--tokens", "1"), 64, 1, 1, 100_000, 20_000),
    "chunks": Work("chunks", ("--ttft", "100", "--itl", "20"), 500, 500, 500, 4_000, 1_000),
}


class Run(NamedTuple):
    cpu_s: float
    wall_s: float
    of_processes: dict[str, float]
    """CPU seconds, by host (aiperf alone)."""
    worker_cpu_s: float
    """As the workers themselves tell it at their end (aiperf alone)."""


class Runs(NamedTuple):
    """One repeat of a tool."""

    whole: Run
    tenth: Run | None
    """The same with a tenth of the requests."""


def measure(tool: Peer, work: Work, count: int) -> Run:
    """One run. Raises: CommandError, ResultsError."""
    with tempfile.TemporaryDirectory() as name, mock_server(*work.server) as url:
        folder = Path(name)
        load = Load(url=url, request_count=count, tokens=work.chunks, concurrency=work.concurrency)
        ours = isinstance(tool, Ours)
        with started(tool, load, folder, LIMIT_S) as run:
            of_processes = watched(run, our_processes(run, folder)) if ours else {}
            cost = run.cost()
        checked(tool, load, folder)
        workers = sum(row["cpu_s"] for row in summary_of(folder)["workers"]) if ours else 0.0
        return Run(cost.cpu_s, cost.wall_s, of_processes, workers)


def watched(
    run: Metered, processes: dict[str, psutil.Process], in_kernel: dict[str, float] | None = None
) -> dict[str, float]:
    """CPU seconds of each process, as last seen before it ended; those in the kernel besides."""
    seen: dict[str, float] = {}
    kernel: dict[str, float] = {} if in_kernel is None else in_kernel
    while run.process.poll() is None:
        for name, process in processes.items():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            seen[name] = max(seen.get(name, 0.0), times.user + times.system)  # a zombie tells none
            kernel[name] = max(kernel.get(name, 0.0), times.system)
        time.sleep(SAMPLING_S)
    return seen


def compare(tools: list[Peer], work: Work, count: int, repeat: int, with_start: bool) -> None:
    runs: dict[str, list[Runs]] = defaultdict(list)
    failures: dict[str, str] = {}
    for _ in range(repeat):
        for tool in tools:
            if tool.name in failures:
                continue
            try:
                tenth = measure(tool, work, count // TENTH) if with_start else None
                runs[tool.name].append(Runs(measure(tool, work, count), tenth))
            except FAILURES as error:
                failures[tool.name] = str(error).splitlines()[0]
                tell_failure(tool, error)
    units = count * work.units_per_request
    what = f"{units:,} {work.unit}" + (f" in {count:,} requests" if units > count else "")
    how = f"medians of {repeat}; load average {os.getloadavg()[0]:.1f} at the end"
    print(f"\n**{what}, {work.concurrency} requests at once** ({how})\n")
    print(_tools_table(tools, work, count, runs, failures))
    for tool in tools:
        if isinstance(tool, Ours) and runs[tool.name]:
            table = _process_table([run.whole for run in runs[tool.name]], work.unit, units)
            print(f"\n{tool.name}, by process:\n\n{table}", flush=True)


def _tools_table(
    tools: list[Peer], work: Work, count: int, runs: dict[str, list[Runs]], failures: dict[str, str]
) -> Table:
    per_cpu_s = f"{work.unit} per CPU-s"
    table = Table(
        ["tool", per_cpu_s, "of", "ours does, times", "beyond start-up", "ours does, times", "CPU s", "wall s"]
    )
    ours_all, ours_beyond = _rates(runs["ours"], work, count), _rates_beyond(runs["ours"], work, count)
    for tool in tools:
        rates, beyond = _rates(runs[tool.name], work, count), _rates_beyond(runs[tool.name], work, count)
        if rates:
            table.add(
                [
                    tool.name,
                    *(_middle(rates), ", ".join(f"{rate:,.0f}" for rate in rates), _times(ours_all, rates)),
                    *(_middle(beyond), _times(ours_beyond, beyond)),
                    f"{statistics.median(run.whole.cpu_s for run in runs[tool.name]):.1f}",
                    f"{statistics.median(run.whole.wall_s for run in runs[tool.name]):.1f}",
                ]
            )
        if tool.name in failures:
            table.add([tool.name, f"failed: {failures[tool.name]}"])
    return table


def _rates(runs: list[Runs], work: Work, count: int) -> list[float]:
    return [count * work.units_per_request / run.whole.cpu_s for run in runs]


def _rates_beyond(runs: list[Runs], work: Work, count: int) -> list[float]:
    units = (count - count // TENTH) * work.units_per_request
    return [units / (run.whole.cpu_s - run.tenth.cpu_s) for run in runs if run.tenth]


def _middle(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f}" if rates else ""


def _times(ours: list[float], rates: list[float]) -> str:
    return ratio(statistics.median(ours), statistics.median(rates)) if ours and rates else ""


def _process_table(runs: list[Run], unit: str, units: int) -> Table:
    table = Table(["process", f"µs per {unit.rstrip('s')}", f"{unit} per CPU-s"])
    for name in runs[0].of_processes:
        _add_process(table, name, [run.of_processes.get(name, 0.0) for run in runs], units)
    _add_process(table, "workers, as they tell it", [run.worker_cpu_s for run in runs], units)
    return table


def _add_process(table: Table, name: str, cpu_s: list[float], units: int) -> None:
    middle_s = statistics.median(cpu_s)
    table.add([name, f"{middle_s / units * US_PER_S:.2f}", f"{units / middle_s:,.0f}" if middle_s else ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*WORKS, "both"], default="both")
    parser.add_argument("--tools", type=tools_named, default=[TOOLS["ours"]], help=", ".join(TOOLS))
    parser.add_argument("--count", type=int, help="requests (default: see above)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-start", action="store_true", help="without the runs that tell the cost of start-up")
    options = parser.parse_args()
    # What stamps come from and which core is used is no matter of cost here.
    tools = [tool for tool in options.tools if not isinstance(tool, Ours) or tool.name == "ours"]
    made_ready(tools)
    for name, work in WORKS.items():
        if options.what in (name, "both"):
            alone = all(isinstance(tool, Ours) for tool in tools)
            count = options.count or (work.count_alone if alone else work.count_compared)
            compare(tools, work, count, options.repeat, not options.no_start)


if __name__ == "__main__":
    main()
