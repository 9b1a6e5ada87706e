"""Where the CPU time of the pipeline goes: by process and stage, per request or per chunk, records on.

    python benchmarks/cost_profile.py requests|chunks [--count N] [--rate 200]

The work is that of `pipeline_cost`, done twice: once as it is, once with a sampler (py-spy, installed on demand into an
environment of its own; it needs the right to trace processes) at the worker, the record processor and the control host.
Each stage gets its share of the samples of its process, of the CPU time that the process took in the run without the
sampler. Start-up is not in it: it counts from when all processes were there. Stages are those of `cost_stages`.

What the sampler costs stands beside it: it halts a process for each sample and reads its stack, native frames too.
Shares are no finer than that. Samples are taken of threads that run or are ready to, so on a busy machine a stage that
wakes others (`send`: the server) shows more than its own. Stacks that wait are left out and their number told; what the
event loop's own wait costs the kernel is spread over the other stages with them. Threads without a Python frame
(ZeroMQ's) are in the CPU time, not in the samples. What is in the kernel is as the kernel's clock ticks tell it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
from cost_stages import WAIT, stages
from metered import CommandError
from peers.environment import installed, program
from peers.peer import Load
from peers.tools import TOOLS
from pipeline_cost import LIMIT_S, US_PER_S, WORKS, Work, watched
from served import mock_server
from tables import Table
from tool_run import FAILURES, checked, our_processes, started

SAMPLER, REQUIREMENTS = "sampler", ("py-spy>=0.4,<0.5",)
COUNTS = {"requests": 100_000, "chunks": 1_000}
"""Of requests: both runs take less than 90 s."""
SAMPLED = ("worker", "record-processor", "control")
SAMPLER_END_S = 30.0


class Spent(NamedTuple):
    """One process in one run."""

    cpu_s: float
    system_s: float
    """Of it in the kernel."""
    samples: Counter[str]
    """By stage; empty without the sampler."""


def spend(work: Work, count: int, rate_hz: int | None) -> dict[str, Spent]:
    """One run: each process since all of them were there. Raises: CommandError, ResultsError."""
    tool = TOOLS["ours"]
    with tempfile.TemporaryDirectory() as name, mock_server(*work.server) as url, ExitStack() as samplers:
        folder = Path(name)
        load = Load(url=url, request_count=count, tokens=work.chunks, concurrency=work.concurrency)
        with started(tool, load, folder, LIMIT_S) as run:
            processes = {
                name: process for name, process in our_processes(run, folder).items() if name.startswith(SAMPLED)
            }
            at_first = {name: process.cpu_times() for name, process in processes.items()}
            under_way = {
                name: samplers.enter_context(_sampler(process.pid, folder / f"{name}.stacks", rate_hz))
                for name, process in processes.items()
                if rate_hz
            }
            kernel: dict[str, float] = {}
            of_processes = watched(run, processes, kernel)
            run.cost()
        checked(tool, load, folder)
        for name, sampler in under_way.items():
            _await_end(sampler, name)
        spent = {}
        for name, first in at_first.items():
            stacks = folder / f"{name}.stacks"
            samples = stages(stacks.read_text().splitlines()) if stacks.exists() else Counter[str]()
            cpu_s = of_processes[name] - first.user - first.system
            spent[name] = Spent(cpu_s, kernel[name] - first.system, samples)
        return spent


def _sampler(pid: int, stacks: Path, rate_hz: int | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(program(SAMPLER, "py-spy"), "record", "--native", "--pid", str(pid)),
            *("--rate", str(rate_hz)),
            *("--format", "raw", "--output", str(stacks), "--duration", f"{LIMIT_S:.0f}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _await_end(sampler: "subprocess.Popen[str]", name: str) -> None:
    """It ends with its process. Raises: CommandError if it did not sample."""
    try:
        output, _ = sampler.communicate(timeout=SAMPLER_END_S)
    except subprocess.TimeoutExpired:
        sampler.kill()
        raise CommandError(f"the sampler of {name} did not end with its process") from None
    if sampler.returncode:
        raise CommandError(f"the sampler of {name} failed: {output.strip()}")


def tell(plain: dict[str, Spent], sampled: dict[str, Spent], unit: str, units: int) -> None:
    one = unit.rstrip("s")
    for name, spent in plain.items():
        us = spent.cpu_s / units * US_PER_S
        with_us = sampled[name].cpu_s / units * US_PER_S
        samples = Counter(sampled[name].samples)
        waits = samples.pop(WAIT, 0)
        total = samples.total()
        kernel = f"{spent.system_s / spent.cpu_s:.0%} of it in the kernel" if spent.cpu_s else "too little to tell"
        print(f"\n**{name}**: {us:.2f} µs a {one}, {kernel}; with the sampler {with_us:.2f}; ", end="")
        print(f"{total:,} samples, {waits:,} more waited\n")
        table = Table(["stage", f"µs per {one}", "share", "samples"])
        for stage, count in samples.most_common():
            table.add([stage, f"{us * count / total:.2f}", f"{count / total:.1%}", f"{count:,}"])
        print(table, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*WORKS])
    parser.add_argument("--count", type=int, help=f"requests (default: {COUNTS})")
    parser.add_argument("--rate", type=int, default=200, help="samples a second")
    options = parser.parse_args()
    installed(SAMPLER, REQUIREMENTS)
    work, count = WORKS[options.what], options.count or COUNTS[options.what]
    units = count * work.units_per_request
    try:
        plain, sampled = spend(work, count, None), spend(work, count, options.rate)
    except (*FAILURES, psutil.Error) as error:
        print(f"no profile: {error}", file=sys.stderr)
        return 1
    in_requests = f" in {count:,} requests" if units > count else ""
    print(f"{units:,} {work.unit}{in_requests}; load average {os.getloadavg()[0]:.1f} at the end")
    tell(plain, sampled, work.unit, units)
    return 0


if __name__ == "__main__":
    sys.exit(main())
