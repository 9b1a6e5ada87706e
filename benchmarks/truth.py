"""How far reported latencies are from the truth: whole runs of aiperf and of other tools against the server's own log.

    python benchmarks/truth.py [--tools ours,ours-user,...|all] [--concurrency 32 256 1000] [--burners 0 2] [--repeat 3]
                               [--free]

The mock server (TTFT 200 ms, ITL 20 ms, at 4,000 streams and more 100 ms; 50 tokens) runs on one core and writes down
when each request reached it (the kernel's receive stamp) and when it sent each token. The client is held to another
core, in the starved rows together with burners that each want all of it: of aiperf that is the worker, which takes the
times (`ours-one-core`: all of aiperf); of other tools all their processes. Every request of the report is joined with
its row of the log (`truth_join`). With --free nothing is held to a core, so every tool may use all of them beside the
server. Runs of all tools alternate, repeat after repeat; the figures are medians over the repeats of each run's p50 and
p99, in ms, and the range of the p99 of TTFT. "Times ours" compares with `ours-one-core` if that is one of the tools,
else with `ours`. "false" counts intervals of first and last tokens that do not hold the instant of sending
(aiperf alone tells intervals). CPU is that of all processes of the tool. The other tools are installed on demand
(`install_peers.py`).

Measured on 23 November 2026, 2 shared cores on which others worked too (load 3 to 8), medians of 4 to 9 runs
(user stamps: 1 to 4); errors in ms, p50 / p99:
              TTFT, kernel    latency, kernel    TTFT, user     latency, user
       32     0.004 / 0.07    0.004 / 0.05       0.19 / 4.0     0.17 / 4.7
      256     0.004 / 0.03    0.004 / 0.02       0.08 / 2.8     0.11 / 2.0
    1,000     0.004 / 0.02    0.004 / 0.02       0.15 / 4.7     1.3 / 8.0
  starved:
       32     0.004 / 0.07    0.004 / 0.04       0.12 / 3.9     0.10 / 10
      256     0.004 / 0.03    0.004 / 0.02       0.06 / 2.7     0.07 / 3.7
    1,000     0.004 / 0.02    0.004 / 0.01       0.23 / 13      1.3 / 45
With kernel stamps no interval was false (46,000 looked at). In about one run of five something held the worker up for
longer than the gap between tokens; then first tokens share a read with later ones, the p99 of TTFT is 1 to 180 ms off,
and the widths say so. User-space intervals are false for the last event of a read: its width is given as 0.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from metered import Metered
from peers.ours import Ours
from peers.peer import Load, Peer
from peers.tools import TOOLS, tools_named
from served import mock_server
from tables import Table, median, ratio
from tool_run import FAILURES, LIMIT_S, made_ready, our_processes, started, tell_failure
from truth_join import Errors, errors_of, pairs

from aiperf.mock.truth import read_rows

TTFT_MS, ITL_MS, TOKENS = 200, 20, 50
MANY_STREAMS, MANY_ITL_MS = 4000, 100
CORES = os.sched_getaffinity(0)
SERVER_CORE, CLIENT_CORE = min(CORES), max(CORES)
REQUESTS_MIN, ROUNDS = 1000, 3
BURNER = f"import time\nend = time.monotonic() + {LIMIT_S}\nwhile time.monotonic() < end: pass"
DEFAULT_TOOLS = "ours,ours-user"


class Outcome(NamedTuple):
    """Of one run."""

    errors: Errors
    cpu_s: float
    words: str


@contextmanager
def burner() -> Iterator[None]:
    """A process that wants all of the client's core."""
    process = subprocess.Popen([sys.executable, "-c", BURNER])
    os.sched_setaffinity(process.pid, {CLIENT_CORE})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def hold_to_core(run: Metered, tool: Peer, work_dir: Path) -> None:
    """Puts what takes the times on the client's core. Raises: CommandError."""
    if isinstance(tool, Ours) and tool.worker_pinned:
        our_processes(run, work_dir)["worker-0"].cpu_affinity([CLIENT_CORE])
    else:
        # The meter's own, so that all that it starts inherits it; what was started in between follows.
        meter = psutil.Process(run.process.pid)
        for process in (meter, *meter.children(recursive=True)):
            process.cpu_affinity([CLIENT_CORE])


def measure(tool: Peer, concurrency: int, burner_count: int, free: bool) -> Outcome:
    """One run. Raises: CommandError, ResultsError, JoinError."""
    itl_ms = MANY_ITL_MS if concurrency >= MANY_STREAMS else ITL_MS
    request_count = max(REQUESTS_MIN, ROUNDS * concurrency) // concurrency * concurrency
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        delays = ("--ttft", str(TTFT_MS), "--itl", str(itl_ms))
        with ExitStack() as stack:
            log = folder / "truth"
            url = stack.enter_context(mock_server("--truth-log", str(log), *delays, core=None if free else SERVER_CORE))
            load = Load(url=url, request_count=request_count, tokens=TOKENS, concurrency=concurrency)
            run = stack.enter_context(started(tool, load, folder))
            if not free:
                hold_to_core(run, tool, folder)
            for _ in range(burner_count):
                stack.enter_context(burner())
            cost = run.cost()
        joined = pairs(tool.samples(folder), read_rows(log))
        return Outcome(errors_of(joined, widths_claimed=isinstance(tool, Ours)), cost.cpu_s, tool.words(folder))


def row_of(tool: Peer, runs: list[Outcome], ours: list[Outcome]) -> list[str]:
    errors = [run.errors for run in runs]
    highest = [each.ttft_p99 for each in errors]

    def cell(field: str) -> str:
        return f"{median(errors, field):.3f}"

    return [
        tool.name,
        *(cell("ttft_p50"), cell("ttft_p99"), f"{min(highest):.3f} to {max(highest):.3f}"),
        *(cell("latency_p50"), cell("latency_p99")),
        *(_times(runs, ours, "ttft_p50"), _times(runs, ours, "ttft_p99")),
        cell("width_p99") if isinstance(tool, Ours) else "",
        str(sum(each.false_count for each in errors)) if isinstance(tool, Ours) else "",
        f"{statistics.median(run.cpu_s for run in runs):.1f}",
        ", ".join(sorted({run.words for run in runs})) or "none",
    ]


def _times(runs: list[Outcome], ours: list[Outcome], field: str) -> str:
    """How many times ours it is off."""
    return ratio(median([run.errors for run in runs], field), median([run.errors for run in ours], field))


COLUMNS = ["tool", "TTFT p50", "p99", "p99, range", "latency p50", "p99", "TTFT p50, times ours", "p99, times ours",
           "last width p99", "false", "CPU s", "what it says itself"]  # fmt: skip


def compare(tools: list[Peer], concurrency: int, burner_count: int, repeat: int, free: bool) -> None:
    """The table of one load."""
    runs: dict[str, list[Outcome]] = {tool.name: [] for tool in tools}
    failures: dict[str, str] = {}
    for _ in range(repeat):
        for tool in tools:
            if tool.name in failures:
                continue
            try:
                runs[tool.name].append(measure(tool, concurrency, burner_count, free))
            except FAILURES as error:
                failures[tool.name] = str(error)
                tell_failure(tool, error)
    table = Table(COLUMNS)
    # The one that was held to one core with all its processes, if it ran: so were the others.
    ours = runs.get("ours-one-core") or runs.get("ours") or []
    for tool in tools:
        if runs[tool.name]:
            table.add(row_of(tool, runs[tool.name], ours))
        if tool.name in failures:
            table.add([tool.name, f"failed: {failures[tool.name].splitlines()[0]}"])
    how = f"{burner_count} burners on the client's core" if burner_count else "no burner"
    load = f"load average {os.getloadavg()[0]:.1f} at the end"
    print(f"\n**{concurrency:,} streams, {how}** (medians of {repeat}; {load})\n\n{table}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=tools_named, default=tools_named(DEFAULT_TOOLS), help=", ".join(TOOLS))
    parser.add_argument("--concurrency", type=int, nargs="+", default=[32, 256, 1000])
    parser.add_argument("--burners", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--free", action="store_true", help="nothing is held to a core")
    options = parser.parse_args()
    made_ready(options.tools)
    cores = "no process is held to a core" if options.free else f"server on core {SERVER_CORE}, client on {CLIENT_CORE}"
    print(f"TTFT {TTFT_MS} ms, {TOKENS} tokens; errors in ms; {cores}")
    for concurrency in options.concurrency:
        for burner_count in options.burners:
            compare(options.tools, concurrency, burner_count, options.repeat, options.free)


if __name__ == "__main__":
    main()
