"""Runs a command and tells what all its processes cost together.

Owns: the meter, a process of its own (this file, run as a script) between a benchmark and the command: it adopts what
the command leaves behind, so that the kernel accounts for every process that ever came of it. A command that takes too
long is ended with all of them. Does not own: what is run, what its output means.

CPU time is the kernel's count of finished processes (`getrusage`), so nothing is sampled and nothing missed but what
still runs `LINGER_S` after the command ended: that is killed, and counted up to then.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

LINGER_S = 10.0
TAIL_LINES = 15
PR_SET_CHILD_SUBREAPER = 36
"""`prctl(2)`, Linux only: elsewhere orphans go to process 1 and are not counted."""


class Cost(NamedTuple):
    """Of a finished command."""

    exit_code: int
    wall_s: float
    cpu_s: float
    """Of all its processes, user and system."""
    timed_out: bool


class CommandError(Exception):
    """A command did not end well: how, and the last it printed."""


class Metered:
    """A command that runs under the meter, in `folder`, which keeps what it prints."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float) -> None:
        self._cost, self._output = folder / "cost.json", folder / "output.txt"
        meter = [sys.executable, __file__, str(self._cost), f"{limit_s:g}", *command]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(meter, stdout=output, stderr=output, cwd=folder, env=environment)
        self._command, self._limit_s = command, limit_s

    def pid(self) -> int | None:
        """Of the command itself, once it is started."""
        children = psutil.Process(self.process.pid).children()
        return children[0].pid if children else None

    def cost(self) -> Cost:
        """Waits for the end. Raises: CommandError."""
        self.process.wait()
        if not self._cost.exists():
            raise CommandError(f"the meter of {self._command[0]} was ended")
        cost = Cost(**json.loads(self._cost.read_bytes()))
        if cost.timed_out:
            raise CommandError(f"not done after {self._limit_s:g} s\n{self._tail()}")
        if cost.exit_code:
            raise CommandError(f"exit code {cost.exit_code}\n{self._tail()}")
        return cost

    def _tail(self) -> str:
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-TAIL_LINES:])


@contextmanager
def metered(command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float) -> Iterator[Metered]:
    """The command under way; ended with all its processes when the block is left."""
    run = Metered(command, folder, environment, limit_s)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            run.process.wait()


def main() -> None:
    cost_path, limit_s, command = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Whoever ends the meter ends what it watches over: that is done in `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started, timed_out = time.monotonic(), False
    child: subprocess.Popen | None = None
    try:
        child = subprocess.Popen(command)
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        wall_s = time.monotonic() - started
        if child is None or child.returncode is None:
            _kill_all()
        _await_all(time.monotonic() + LINGER_S)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    exit_code = child.wait()
    cost = Cost(exit_code, wall_s, usage.ru_utime + usage.ru_stime, timed_out)
    cost_path.write_text(json.dumps(cost._asdict()))


def _await_all(deadline: float) -> None:
    """Takes in every process that is left, those that outlive the deadline after they are killed."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            if time.monotonic() > deadline:
                _kill_all()
            time.sleep(0.02)


def _kill_all() -> None:
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
