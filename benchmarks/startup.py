"""How much longer than the ideal a small job takes, from command start to exit, and how long `--help` takes.

    python benchmarks/startup.py [--tools ours|all|...] [--repeat 5]

The job: 10 requests, one after another, against a server that answers after 115 ms: 1.15 s are the ideal. CPU time is
that of the command with all its processes: unlike the wall time it hardly depends on what else the machine does.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from metered import Cost
from peers.ours import Ours
from peers.peer import Load
from peers.tools import TOOLS, tools_named
from served import mock_server
from tables import Table, ratio
from tool_run import FAILURES, cost_of, made_ready, tell_failure

AIPERF = [sys.executable, "-m", "aiperf"]
TTFT_MS, REQUESTS = 115, 10
IDEAL_S = TTFT_MS * REQUESTS / 1e3
LIMIT_S = 180.0


def help_seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=tools_named, default=[TOOLS["ours"]], help=", ".join(TOOLS))
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    tools = [tool for tool in options.tools if not isinstance(tool, Ours) or tool.name == "ours"]
    made_ready(tools)
    costs: dict[str, list[Cost]] = defaultdict(list)
    failures: dict[str, str] = {}
    with mock_server("--ttft", str(TTFT_MS), "--itl", "0", "--tokens", "1") as url:
        load = Load(url=url, request_count=REQUESTS, tokens=1, concurrency=1)
        for _ in range(options.repeat):
            for tool in tools:
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        costs[tool.name].append(cost_of(tool, load, Path(folder), LIMIT_S))
                except FAILURES as error:
                    failures[tool.name] = str(error).splitlines()[0]
                    tell_failure(tool, error)
    table = Table(["tool", "more than the ideal, s", "of", "CPU s", "times ours"])
    ours_s = statistics.median(cost.wall_s - IDEAL_S for cost in costs["ours"]) if costs["ours"] else 0.0
    for tool in tools:
        more_s = [cost.wall_s - IDEAL_S for cost in costs[tool.name]]
        if more_s:
            middle_s = statistics.median(more_s)
            cpu_s = statistics.median(cost.cpu_s for cost in costs[tool.name])
            each = ", ".join(f"{value:.2f}" for value in more_s)
            table.add([tool.name, f"{middle_s:.2f}", each, f"{cpu_s:.2f}", ratio(middle_s, ours_s)])
        if tool.name in failures:
            table.add([tool.name, f"failed: {failures[tool.name]}"])
    load_average = f"load average {os.getloadavg()[0]:.1f} at the end"
    print(
        f"\n**{REQUESTS} requests of {TTFT_MS} ms, one after another** (medians of {options.repeat}; {load_average})\n"
    )
    print(table)
    print()
    for words in (["--help"], ["profile", "--help"]):
        walls = [help_seconds([*AIPERF, *words]) for _ in range(options.repeat)]
        print(f"aiperf {' '.join(words)}: {statistics.median(walls):.3f} s, of {', '.join(f'{w:.3f}' for w in walls)}")


if __name__ == "__main__":
    main()
