"""What can be done to a worker while it measures: its core burnt, itself stopped or limited, its sockets made small.

Owns: doing it, and undoing it. Does not own: what it makes of the numbers (`verdict_experiments`).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, WORKER_CORE = CORES[0], CORES[-1]
BURNER = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"

GC_PRESSURE = """
import gc, os, threading, time

def pause():
    while not gc.callbacks:  # a worker in its measured phase looks at its collector
        time.sleep(0.05)
    heap = [[each] for each in range(1_500_000)]
    while True:
        time.sleep(0.4)
        gc.collect()

os.register_at_fork(after_in_child=lambda: threading.Thread(target=pause, daemon=True).start())
"""

Disturb = Callable[[psutil.Process, ExitStack], None]
"""Gets the worker's process before the load begins, and undoes on the stack what it did."""


class SkippedError(Exception):
    """This machine does not allow the experiment; says why."""


def end(process: subprocess.Popen, by: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(by)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def burn(count: int, *, idle: bool = False) -> Disturb:
    """Other processes want the worker's core; an idle worker gets next to nothing of it while they do."""

    def disturb(worker: psutil.Process, stack: ExitStack) -> None:
        if idle:
            os.sched_setscheduler(worker.pid, os.SCHED_IDLE, os.sched_param(0))
        for _ in range(count):
            burner = subprocess.Popen([sys.executable, "-c", BURNER])
            stack.callback(end, burner, signal.SIGKILL)
            os.sched_setaffinity(burner.pid, {WORKER_CORE})

    return disturb


def stop(seconds: float, *, host: str = "worker") -> Disturb:
    """The process stands still for a while in the midst of the load."""

    def disturb(worker: psutil.Process, stack: ExitStack) -> None:
        process = worker if host == "worker" else _control_beside(worker)
        script = f"sleep 3.5; kill -STOP {process.pid}; sleep {seconds}; kill -CONT {process.pid}"
        stopper = subprocess.Popen(["sh", "-c", script])
        stack.callback(end, stopper, signal.SIGKILL)

    return disturb


def _control_beside(worker: psutil.Process) -> psutil.Process:
    """The first process that the command started is that of the control host."""
    parent = worker.parent()
    assert parent is not None
    return min(parent.children(), key=lambda child: child.pid)


def quota(fraction: float) -> Disturb:
    """The worker's cgroup may use so much of a CPU, in periods of 100 ms."""

    def disturb(worker: psutil.Process, stack: ExitStack) -> None:
        own, files = _new_cpu_cgroup()
        stack.callback(_remove_cgroup, own)
        try:
            for name, value in files(round(fraction * 100_000)).items():
                (own / name).write_text(value)
            (own / "cgroup.procs").write_text(str(worker.pid))
        except OSError as error:
            raise SkippedError(f"no quota can be set: {error.strerror}") from error

    return disturb


def _new_cpu_cgroup() -> tuple[Path, Callable[[int], dict[str, str]]]:
    """A cgroup with a CPU controller, and what to write for a quota in µs. Raises: SkippedError."""
    root = Path("/sys/fs/cgroup")
    name = f"aiperf-verdict-{os.getpid()}-{time.monotonic_ns()}"
    if (root / "cpu" / "cpu.cfs_quota_us").exists() or (root / "cpu" / "tasks").exists():
        own = root / "cpu" / name
        files = lambda us: {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": str(us)}  # noqa: E731
    elif "cpu" in _text(root / "cgroup.subtree_control").split():
        own = root / name
        files = lambda us: {"cpu.max": f"{us} 100000"}  # noqa: E731
    else:
        raise SkippedError("no CPU controller of cgroups is at hand")
    try:
        own.mkdir()
    except OSError as error:
        raise SkippedError(f"no cgroup can be made: {error.strerror}") from error
    return own, files


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _remove_cgroup(own: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            own.rmdir()
        except OSError:  # its processes are still ending
            time.sleep(0.05)
        else:
            return


@contextmanager
def collected() -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """The worker gets a large heap and a thread that collects it again and again."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(GC_PRESSURE)
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        yield (), {"PYTHONPATH": path}


@contextmanager
def small_buffers() -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """A network of its own in which sockets take 4 KB at a time."""
    name = f"aiperf-verdict-{os.getpid()}"
    inside = ("ip", "netns", "exec", name)
    sizes = "4096 4096 4096"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SkippedError(f"no network namespace can be made: {getattr(error, 'stderr', '') or error}") from error
    try:
        for command in (("ip", "link", "set", "lo", "up"), ("sysctl", "-qw", f"net.ipv4.tcp_wmem={sizes}")):
            subprocess.run([*inside, *command], check=True, capture_output=True)
        yield inside, {}
    except subprocess.CalledProcessError as error:
        raise SkippedError(f"the network cannot be set up: {error.stderr}") from error
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
