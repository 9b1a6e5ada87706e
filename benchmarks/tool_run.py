"""One run of a tool over a load, and what of it goes wrong.

Owns: starting a tool under the meter in a folder of its own, with the surroundings it needs. Does not own: commands
and results (`peers`), the meter (`metered`).
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from metered import CommandError, Cost, Metered, metered
from peers.environment import installed, surroundings
from peers.peer import Load, Peer, ResultsError
from truth_join import JoinError

LIMIT_S = 600.0
"""A tool that takes longer than that has failed."""
FAILURES = (CommandError, ResultsError, JoinError)


@contextmanager
def started(tool: Peer, load: Load, folder: Path, limit_s: float = LIMIT_S) -> Iterator[Metered]:
    """The tool under way, its results and temporary files in the folder."""
    variables = surroundings(tool.requirements) | {"TMPDIR": str(folder)}
    with metered(tool.command(load, folder), folder, variables, limit_s) as run:
        yield run


def cost_of(tool: Peer, load: Load, folder: Path, limit_s: float = LIMIT_S) -> Cost:
    """Runs the tool to its end. Raises: CommandError, ResultsError if it did not answer for all of the load."""
    with started(tool, load, folder, limit_s) as run:
        cost = run.cost()
    checked(tool, load, folder)
    return cost


def checked(tool: Peer, load: Load, folder: Path) -> None:
    """Raises: ResultsError if not every request of the load was answered in full."""
    count = len(tool.samples(folder))
    if count != load.request_count:
        raise ResultsError(f"{count:,} of {load.request_count:,} requests were answered in full")


def our_processes(run: Metered, folder: Path) -> dict[str, psutil.Process]:
    """The processes of an aiperf under way, by the name of their host; `command` is the one that was called.

    Raises: CommandError if it ends before all are there.
    """
    deadline = time.monotonic() + LIMIT_S
    while run.process.poll() is None and time.monotonic() < deadline:
        pid = run.pid()
        children = sorted(psutil.Process(pid).children(), key=lambda child: child.pid) if pid else []
        for layout in folder.glob("*/layout.json") if children else ():  # it is complete once a host was started
            names = [host["host_id"] for host in json.loads(layout.read_bytes())["hosts"]]
            if len(children) == len(names):  # they are started in the order of the layout
                return {"command": psutil.Process(pid)} | dict(zip(names, children, strict=True))
        time.sleep(0.005)
    run.cost()
    raise CommandError("it ended before its processes were seen")


def made_ready(tools: Sequence[Peer]) -> None:
    """Installs what is missing of the tools."""
    for tool in tools:
        installed(tool.name, tool.requirements)


def tell_failure(tool: Peer, error: Exception) -> None:
    print(f"{tool.name}: {error}", file=sys.stderr, flush=True)
